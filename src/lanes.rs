//! `Lanes`: priorities of messages, as consumers of which the urgent ones come first.

use crate::consumer::{Consumer, ConsumerRoot};
use crate::engine::{ConsumerRef, Holder};
use crate::error::{FetchError, LanesError, RunError};
use crate::fetch::{Batch, Fetch};
use crate::message::Message;
use crate::riverbed::Riverbed;
use crate::run::{RunOptions, Runner};
use std::fmt::Display;
use std::sync::Arc;

/// Most lanes of one handle: each fetch looks at all of them until one has something.
const LANES_MAX: usize = 16;

/// Consumers that workers take one before the other: priorities of messages. Made by [`Riverbed::lanes`].
///
/// Each lane is a consumer, with everything that a consumer has: its own limits, order (G7), dead letters and counts. A
/// message is urgent because of its subject, or because of its stream. A fetch takes a batch from the first lane that has
/// anything to give at that moment, and waits for all of them when none has. A lane that gives nothing for a reason of
/// its own is passed by: it is paused, its rate is used up, as much is in flight as it allows.
///
/// Each lane is at work while somebody fetches. While all workers handle what one lane gave, nobody is at work with the others: give
/// ephemeral consumers a longer [`inactive_threshold`](crate::ConsumerConfig::inactive_threshold) than that takes.
///
/// Nothing about lanes is stored. They are a way to fetch, and others may fetch from the same consumers, in lanes or without.
///
/// # Starvation
///
/// Lanes are strict: *as long as an earlier lane always has something to give, the later ones get nothing*, however long
/// their messages wait. That is what they are for, and it is right where urgent messages are few. Where they may be many:
///
/// - give some workers to the later lane alone ([`Consumer::run`] beside [`Lanes::run`]): they take no urgent ones, so
///   that a share of the work is always the later lane's;
/// - or limit the urgent consumer ([`ConsumerConfig::rate_limit`](crate::ConsumerConfig::rate_limit)): beyond its rate
///   the other lanes have their turn;
/// - and let [`Alerts`](crate::Alerts) say when a consumer is behind, or stuck.
///
/// # Examples
///
/// ```
/// use riverbed::{ConsumerConfig, Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let mail = store.create_stream(StreamConfig::new("mail").subjects(["mail.>"]))?;
/// let urgent = mail.create_consumer(ConsumerConfig::new("urgent").filter("mail.urgent"))?;
/// let bulk = mail.create_consumer(ConsumerConfig::new("bulk").filter("mail.bulk"))?;
/// let lanes = store.lanes([&urgent, &bulk])?;
///
/// store.publish("mail.bulk", "our newsletter")?;
/// store.publish("mail.urgent", "reset your password")?;
/// for expected in ["reset your password", "our newsletter"] {
///     let batch = lanes.fetch(10)?;
///     assert_eq!(batch[0].payload(), expected.as_bytes());
///     batch.ack()?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lanes {
    /// What all share is the first one's.
    pub(crate) first: Arc<ConsumerRoot>,
    /// Each of them, the first one too.
    pub(crate) all: Arc<[Arc<ConsumerRoot>]>,
}

impl AsRef<ConsumerRef> for Arc<ConsumerRoot> {
    fn as_ref(&self) -> &ConsumerRef {
        &self.reference
    }
}

impl Riverbed {
    /// Lanes of consumers of this store, of one stream or of several, the urgent one first; 1 to 16.
    ///
    /// The filters of lanes of one stream must not overlap, or a message would be handled in both lanes. That is judged
    /// now. An update of a consumer's filters is not held up by lanes: from then on each consumer gets what its own
    /// filters match, and a message that two of them match comes in both lanes. When a subject changes lanes, update the
    /// consumer first that gives it up, unless it is better handled twice than not at all.
    ///
    /// # Errors
    ///
    /// [`LanesError`]: none or too many, one twice, one of another store, overlapping filters, a consumer that is gone;
    /// or the store is unavailable.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, LanesError, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let mail = store.create_stream(StreamConfig::new("mail").subjects(["mail.>"]))?;
    /// let urgent = mail.create_consumer(ConsumerConfig::new("urgent").filter("mail.urgent"))?;
    /// let all = mail.create_consumer(ConsumerConfig::new("all"))?;
    /// assert!(matches!(store.lanes([&urgent, &all]), Err(LanesError::Overlap { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lanes<'a>(
        &self,
        urgent_first: impl IntoIterator<Item = &'a Consumer>,
    ) -> Result<Lanes, LanesError> {
        let lanes = urgent_first.into_iter();
        let all: Arc<[Arc<ConsumerRoot>]> = lanes.map(|lane| Arc::clone(&lane.whose)).collect();
        let Some(first) = all.first().filter(|_| all.len() <= LANES_MAX) else {
            let (lanes, limit) = (all.len(), LANES_MAX);
            return Err(LanesError::Number { lanes, limit });
        };
        let here = |lane: &ConsumerRoot| Arc::ptr_eq(&lane.root, &self.root);
        if let Some(foreign) = all.iter().find(|lane| !here(lane)) {
            let consumer = foreign.reference.name.clone();
            return Err(LanesError::Foreign { consumer });
        }
        for (lane, before) in all.iter().zip(0..) {
            let same = |other: &&Arc<ConsumerRoot>| other.reference.id == lane.reference.id;
            if all.iter().take(before).any(|other| same(&other)) {
                return Err(LanesError::Twice {
                    consumer: lane.reference.name.clone(),
                    stream: lane.stream_name.clone(),
                });
            }
        }
        let lanes: Vec<&ConsumerRef> = all.iter().map(AsRef::as_ref).collect();
        self.root.engine.check_lanes(&lanes)?;
        let first = Arc::clone(first);
        Ok(Lanes { first, all })
    }
}

impl Lanes {
    /// A consumer alone.
    pub(crate) fn only(consumer: &Arc<ConsumerRoot>) -> Self {
        Self {
            first: Arc::clone(consumer),
            all: Arc::new([Arc::clone(consumer)]),
        }
    }

    /// The names of the consumers, the urgent one first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|lane| lane.reference.name.as_str())
    }

    /// Fetches messages of the first lane that has any to give: what [`Consumer::fetch`] of that lane gives, one lane a
    /// batch.
    ///
    /// A later lane gives only when each lane before it was looked at and had nothing to give. When none has anything,
    /// this waits for all of them as the [`Fetch`] says, and then says why with an empty batch: the reason is that of the first
    /// lane that is not just empty, and [`NoMessages`](crate::EmptyReason::NoMessages) when all are.
    /// [`Message::consumer_name`] and [`Batch::consumer_name`] tell the lane.
    ///
    /// The bounds of the fetch hold for the lane that gives. Its [priority](Fetch::priority) and its minimums
    /// ([`min_pending`](Fetch::min_pending), [`min_ack_pending`](Fetch::min_ack_pending)) are judged in each lane by
    /// itself, among those that fetch from that consumer: a lane with fewer messages is passed by.
    ///
    /// A message that such a fetch waited for comes one commit later than it would come to a fetch of its consumer
    /// alone, which the commit that publishes may serve.
    ///
    /// # Crash safety
    ///
    /// As for [`Consumer::fetch`]: the delivery is counted on disk before this returns (G4).
    ///
    /// # Errors
    ///
    /// [`FetchError`]: one of the consumers is gone, whichever lane has messages; the bounds make no sense; the next message
    /// of the first lane that has any is over `max_bytes`; the store is unavailable, or damaged where a lane is to be
    /// read.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, EmptyReason, Fetch, Riverbed, StreamConfig, Timestamp};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let orders = store.create_stream(StreamConfig::new("orders"))?;
    /// let reports = store.create_stream(StreamConfig::new("reports"))?;
    /// let first = orders.create_consumer(ConsumerConfig::new("orders"))?;
    /// let then = reports.create_consumer(ConsumerConfig::new("reports"))?;
    /// let lanes = store.lanes([&first, &then])?;
    /// store.publish("orders", "17")?;
    /// store.publish("reports", "monthly")?;
    /// let until = Timestamp::from_micros(u64::MAX);
    /// first.pause(until)?;
    /// // What is paused is passed by.
    /// let batch = lanes.fetch(1)?;
    /// assert_eq!(batch.consumer_name(), "reports");
    /// batch.ack()?;
    /// let empty = lanes.fetch(Fetch::new(1).no_wait())?;
    /// assert_eq!(empty.empty_reason(), Some(EmptyReason::Paused { until }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fetch(&self, fetch: impl Into<Fetch>) -> Result<Batch, FetchError> {
        let ask = fetch.into().ask(Holder::Caller)?;
        let engine = &self.first.root.engine;
        match engine.fetch_lanes(&self.all, &ask, &|| false)? {
            Some((lane, fetched)) => Ok(Batch::new(lane, fetched)),
            None => unreachable!("nobody says stop"),
        }
    }

    /// Runs a handler on worker threads; see [`Consumer::run`]. Each worker takes its next message, or batch, from the first
    /// lane that has any: one urgent message waits at most until a worker is done with what it holds.
    ///
    /// # Errors
    ///
    /// As for [`Consumer::run`].
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, Riverbed, StreamConfig};
    /// use std::sync::mpsc;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let mail = store.create_stream(StreamConfig::new("mail").subjects(["mail.>"]))?;
    /// let urgent = mail.create_consumer(ConsumerConfig::new("urgent").filter("mail.urgent"))?;
    /// let bulk = mail.create_consumer(ConsumerConfig::new("bulk").filter("mail.bulk"))?;
    /// store.publish("mail.bulk", "our newsletter")?;
    /// store.publish("mail.urgent", "reset your password")?;
    /// let (done, seen) = mpsc::channel();
    /// let handler = move |message: &riverbed::Message| done.send(message.subject().to_owned());
    /// let runner = store.lanes([&urgent, &bulk])?.run(1, handler)?;
    /// // And one who sends newsletters, whatever is urgent.
    /// let beside = bulk.run(1, |_| Ok::<(), String>(()))?;
    /// assert_eq!(seen.recv()?, "mail.urgent");
    /// beside.stop()?;
    /// runner.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run<E: Display>(
        &self,
        workers: usize,
        handler: impl Fn(&Message) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<Runner, RunError> {
        self.run_with(RunOptions::new(workers), handler)
    }

    /// Runs a handler with options; see [`run`](Self::run). Priority and minimums hold in each lane by itself, as for
    /// [`fetch`](Self::fetch).
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn run_with<E: Display>(
        &self,
        options: RunOptions,
        handler: impl Fn(&Message) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<Runner, RunError> {
        Runner::start(self, options, handler)
    }
}
