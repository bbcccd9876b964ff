//! What is published: [`Publish`], and what comes back: [`PublishAck`].

use crate::clock::{Timestamp, micros};
use crate::headers::Headers;
use crate::repeat::Repeat;
use crate::seq::Seq;
use std::sync::Arc;
use std::time::Duration;

/// A message to be published.
///
/// Most calls take anything that turns into one: `(subject, payload)` for a plain message, or a
/// `Publish` for one with headers, an id or a condition.
///
/// # Examples
///
/// ```
/// use riverbed::Publish;
///
/// let order = Publish::new("orders.eu.placed", "{\"id\":17}")
///     .header("Content-Type", "application/json")
///     .id("order-17");
/// assert_eq!(order.subject(), "orders.eu.placed");
/// assert_eq!(order.payload(), b"{\"id\":17}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub(crate) subject: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) headers: Headers,
    pub(crate) id: Option<String>,
    /// Apart, because most messages expect nothing.
    pub(crate) expect: Option<Box<Expect>>,
    pub(crate) rollup: Option<Rollup>,
    pub(crate) wait_for_room: Option<Duration>,
    pub(crate) due: Due,
    /// Apart, because most messages come once.
    pub(crate) repeat: Option<Box<Repeat>>,
    pub(crate) ttl: Option<Duration>,
}

/// When a message is to be in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    After(Duration),
    At(Timestamp),
}

impl Due {
    /// The time, if it is still to come.
    pub(crate) fn later_than(self, now: u64) -> Option<u64> {
        let due = match self {
            Self::Now => return None,
            Self::After(delay) => now.saturating_add(micros(delay)),
            Self::At(time) => time.as_micros(),
        };
        (due > now).then_some(due)
    }
}

/// What a message replaces when it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rollup {
    /// The earlier messages on its subject.
    Subject,
    /// All earlier messages of its stream.
    All,
}

impl Publish {
    /// A message on this subject.
    pub fn new(subject: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            subject: subject.into(),
            payload: payload.into(),
            headers: Headers::new(),
            id: None,
            expect: None,
            rollup: None,
            wait_for_room: None,
            due: Due::Now,
            repeat: None,
            ttl: None,
        }
    }

    /// Adds a header; a name may come more than once.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Sets all headers.
    pub fn headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Names the message, so that publishing it again within the stream's dedup window stores nothing
    /// and answers with the first one's sequence (G8). 1 to 1,024 bytes without control characters.
    ///
    /// [`StreamConfig::dedup_release`](crate::StreamConfig::dedup_release) has the id forgotten when consumers are
    /// done with the message.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Publishes only if this is the stream's last sequence; 0 means that it never had a message (in a stream
    /// with another [`first_sequence`](crate::StreamConfig::first_sequence) the one before that does).
    ///
    /// A duplicate is answered as a duplicate whatever is expected. In a batch only the first message
    /// may expect this.
    pub fn expect_last(mut self, seq: Seq) -> Self {
        self.expect.get_or_insert_default().last = Some(seq);
        self
    }

    /// Publishes only if this is the sequence of the last message stored on a subject, or on any subject
    /// that a wildcard filter matches; 0 means that there is none (any more).
    ///
    /// The subject need not be the message's own. A deleted message does not count. A duplicate is
    /// answered as a duplicate whatever is expected. In a batch every message may expect this of a
    /// subject that none before it is on, and the first of a filter, too: what is expected is what was
    /// there before the batch.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Publish, PublishErrorKind, Riverbed, Seq, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let settings = store.create_stream(StreamConfig::new("settings").subjects(["set.>"]))?;
    /// let set = |value: &str, last| {
    ///     let message = Publish::new("set.color", value).expect_last_for_subject("set.color", last);
    ///     settings.publish_message(message)
    /// };
    /// let blue = set("blue", Seq::new(0))?.seq;
    /// settings.publish("set.size", "4")?;
    /// set("red", blue)?;
    /// let late = set("green", blue).unwrap_err();
    /// assert!(matches!(late.kind, PublishErrorKind::WrongLastForSubject { actual, .. } if actual == 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expect_last_for_subject(mut self, filter: impl Into<String>, seq: Seq) -> Self {
        self.expect.get_or_insert_default().last_for_subject = Some((filter.into(), seq));
        self
    }

    /// Publishes only if the last message stored in the stream has this id.
    ///
    /// A deleted message does not count. A duplicate is answered as a duplicate whatever is expected. In
    /// a batch only the first message may expect this.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Publish, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let steps = store.create_stream(StreamConfig::new("steps"))?;
    /// steps.publish_message(Publish::new("steps", "one").id("1"))?;
    /// let two = Publish::new("steps", "two").id("2").expect_last_id("1");
    /// assert!(!steps.publish_message(two.clone())?.duplicate);
    /// assert!(steps.publish_message(two)?.duplicate); // and no error
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expect_last_id(mut self, id: impl Into<String>) -> Self {
        self.expect.get_or_insert_default().last_id = Some(id.into());
        self
    }

    /// Replaces earlier messages: they go in the commit that stores this one, never before and never
    /// after. What a consumer had not finished of them is counted on it and announced (G11).
    ///
    /// A stream that [denies purges](crate::Deny::Purge) refuses it. One batch replaces at most 65,536
    /// messages by [`Rollup::Subject`]; `Rollup::All` has no limit. What is replaced makes room in a full
    /// stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Publish, Riverbed, Rollup, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let states = store.create_stream(StreamConfig::new("states").subjects(["state.*"]))?;
    /// states.publish_batch([("state.door", "open"), ("state.lamp", "on"), ("state.door", "shut")])?;
    /// let now = Publish::new("state.door", "open again").rollup(Rollup::Subject);
    /// states.publish_message(now)?;
    /// assert_eq!(states.info()?.messages, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rollup(mut self, rollup: Rollup) -> Self {
        self.rollup = Some(rollup);
        self
    }

    /// Waits up to this long for room in a full stream that discards new messages, or for a consumer that is
    /// as far behind as [`max_lag_messages`](crate::StreamConfig::max_lag_messages) allows, where a publish
    /// otherwise is refused at once. In a batch the first message's wait counts.
    pub fn wait_for_room(mut self, patience: Duration) -> Self {
        self.wait_for_room = Some(patience);
        self
    }

    /// Publishes the message so much later, counted from its acceptance. It is on disk at once (G1), and
    /// invisible until it is due: it has no sequence, no consumer counts it, and no reader finds it. Then
    /// it is appended to its stream, with the time and the sequence of that moment; of what is due
    /// together, what was due first comes first, and then what was accepted first.
    ///
    /// The answer says under which [number](PublishAck::scheduled) it waits.
    /// [`Stream::scheduled`](crate::Stream::scheduled) lists what waits, and
    /// [`Stream::cancel_scheduled`](crate::Stream::cancel_scheduled) takes it back. The stream's rules are
    /// checked at once, and again when it is due: should the stream refuse it then, it waits until the
    /// stream takes it, and an [event](crate::Event::ScheduledRefused) says so. Its id is remembered, and
    /// what it [expects](Self::expect_last) is judged, at acceptance only. It can be no
    /// [rollup](Self::rollup), and expects nothing of a subject or an id. A purge does not touch it.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Publish, Riverbed, StreamConfig};
    /// use std::time::Duration;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let mails = store.create_stream(StreamConfig::new("mails"))?;
    /// let reminder = Publish::new("mails", "Have you seen this?").after(Duration::from_secs(86_400));
    /// let ack = mails.publish_message(reminder)?;
    /// assert_eq!((ack.scheduled, mails.info()?.messages), (Some(1), 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn after(mut self, delay: Duration) -> Self {
        self.due = Due::After(delay);
        self
    }

    /// Publishes the message at a time; one that has passed means now. Otherwise as
    /// [`after`](Self::after). The calendar is looked at anew every minute at least, so that a clock that
    /// is set ahead, or a machine that was suspended, delays it by no more.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.due = Due::At(time);
        self
    }

    /// Gives the message a time to live of its own: so long after it came to its stream it is removed, from
    /// wherever it stands, whatever [`max_age`](crate::StreamConfig::max_age) says of the others. A stream
    /// takes it only with [`allow_message_ttl`](crate::StreamConfig::allow_message_ttl). At least 100 ms;
    /// it may be seen 50 ms longer. A consumer that had not finished the message has lost it (G11).
    ///
    /// A message for later lives from when it is due. A dead letter is a copy, and has none.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Publish, Riverbed, StreamConfig};
    /// use std::time::Duration;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let offers = store.create_stream(StreamConfig::new("offers").allow_message_ttl())?;
    /// offers.publish_message(Publish::new("offers", "today only").ttl(Duration::from_secs(86_400)))?;
    /// assert_eq!(offers.info()?.expiring, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The subject.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload, taken out.
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// What limits count: headers and payload.
    pub(crate) fn limited_size(&self) -> u64 {
        (self.headers.encoded_size() + self.payload.len()) as u64
    }

    /// What the message adds to a stream's bytes.
    pub(crate) fn stored_size(&self) -> u64 {
        let id = self.id.as_ref().map_or(0, String::len);
        self.limited_size() + (self.subject.len() + id) as u64
    }
}

impl<S: Into<String>, P: Into<Vec<u8>>> From<(S, P)> for Publish {
    fn from((subject, payload): (S, P)) -> Self {
        Self::new(subject, payload)
    }
}

/// What a publisher expects of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expect {
    pub(crate) last: Option<Seq>,
    /// Of a subject or a filter.
    pub(crate) last_for_subject: Option<(String, Seq)>,
    pub(crate) last_id: Option<String>,
}

/// The answer to a publish that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishAck {
    /// The stream that took the message.
    pub stream: Arc<str>,
    /// The message's sequence; for a duplicate, the first one's. 0, which no message has, for one that
    /// was published for later.
    pub seq: Seq,
    /// The number of a message that was published for later, see [`Publish::after`]. A duplicate of one
    /// has its number, also when that one was sent since.
    pub scheduled: Option<u64>,
    /// Whether the message had been stored before, and so was not stored again.
    pub duplicate: bool,
}
