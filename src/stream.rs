//! `Stream`: publishing, reading, purging, and the stream's consumers.

use crate::config::ConsumerConfig;
use crate::consumer::Consumer;
use crate::engine::{ConsumerRef, PurgeAsk, Target};
use crate::error::{ConsumerError, PublishError, PurgeError, ReadError, StreamError, Unavailable};
use crate::explain::Explanation;
use crate::info::StreamInfo;
use crate::message::StoredMessage;
use crate::publish::{Publish, PublishAck};
use crate::publish_handle::PublishHandle;
use crate::root::{Root, one};
use crate::seq::Seq;
use crate::subject::SubjectFilter;
use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

/// A stream of a store: an append-only log of messages with its consumers.
///
/// A cheap handle; clones share the stream. A handle whose stream was deleted answers `StreamGone`,
/// also when another one of the same name was created since.
///
/// # Examples
///
/// ```
/// use riverbed::{Publish, Riverbed, Seq, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let orders = store.create_stream(StreamConfig::new("orders").subjects(["orders.>"]))?;
/// let first = orders.publish_message(Publish::new("orders.eu", "1").id("order-1"))?;
/// let again = orders.publish_message(Publish::new("orders.eu", "1").id("order-1"))?;
/// assert_eq!((again.seq, again.duplicate), (first.seq, true));
/// assert_eq!(orders.info()?.messages, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stream {
    pub(crate) root: Arc<Root>,
    pub(crate) id: u32,
    name: String,
}

/// What to purge: everything, or less.
///
/// # Examples
///
/// ```
/// use riverbed::{Purge, Riverbed, Seq, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let stream = store.create_stream(StreamConfig::new("s").subjects(["s.*"]))?;
/// stream.publish_batch([("s.a", "1"), ("s.b", "2"), ("s.a", "3"), ("s.b", "4")])?;
/// assert_eq!(stream.purge(Purge::all().filter("s.a").keep(1))?, 1);
/// assert_eq!(stream.purge(Purge::all().up_to(Seq::new(3)))?, 1);
/// assert_eq!(stream.purge(Purge::all())?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    filter: Option<String>,
    up_to: Option<Seq>,
    keep: Option<u64>,
}

impl Purge {
    /// Everything that is stored when the purge begins.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only messages on subjects that this filter matches.
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// Only messages before this sequence, which stays.
    pub fn up_to(mut self, seq: Seq) -> Self {
        self.up_to = Some(seq);
        self
    }

    /// All but the newest so many, of those that the filter matches.
    pub fn keep(mut self, messages: u64) -> Self {
        self.keep = Some(messages);
        self
    }
}

impl Stream {
    pub(crate) fn new(root: Arc<Root>, id: u32, name: String) -> Self {
        Self { root, id, name }
    }

    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn target(&self) -> Target {
        Target::Stream {
            id: self.id,
            name: self.name.clone(),
        }
    }

    /// Publishes a message and waits until it is on disk.
    ///
    /// # Crash safety
    ///
    /// After `Ok` the message survives a kill of the process and a power cut (G1). Before, it is stored
    /// whole or not at all, and never delivered unless it is on disk (G2).
    ///
    /// # Errors
    ///
    /// [`PublishError`], with the message in it: the stream does not capture the subject, it is full, a
    /// limit is broken, or the store is unavailable.
    pub fn publish(
        &self,
        subject: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) -> Result<PublishAck, PublishError> {
        self.publish_message(Publish::new(subject, payload))
    }

    /// Publishes a message with its headers, id and conditions.
    ///
    /// # Crash safety
    ///
    /// As for [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish), and what the conditions say.
    pub fn publish_message(&self, message: impl Into<Publish>) -> Result<PublishAck, PublishError> {
        let acks = self
            .root
            .engine
            .publish(&self.target(), vec![message.into()])?;
        Ok(one(acks))
    }

    /// Publishes a batch, all messages or none, in one commit. Duplicates are flagged one by one and do
    /// not stop the others (R22). At most 65,536 messages and 64 MiB.
    ///
    /// # Crash safety
    ///
    /// All of the batch is stored, or nothing.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish); the whole batch comes back.
    pub fn publish_batch<M: Into<Publish>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<Vec<PublishAck>, PublishError> {
        let messages = messages.into_iter().map(Into::into).collect();
        self.root.engine.publish(&self.target(), messages)
    }

    /// Publishes a message without waiting for the disk. What is wrong with it is said now; when it is
    /// on disk, the handle says. Messages become durable in the order in which they were accepted.
    ///
    /// At most [`Limits::pipeline_bytes`](crate::Limits::pipeline_bytes) are on their way at once; over
    /// that the call waits.
    ///
    /// # Crash safety
    ///
    /// A crash before [`PublishHandle::wait`] or [`flush`](Self::flush) returned `Ok` may lose the
    /// message, and with it all that were accepted later, but none that was accepted earlier.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish).
    pub fn publish_async(
        &self,
        message: impl Into<Publish>,
    ) -> Result<PublishHandle, PublishError> {
        let accepted = self
            .root
            .engine
            .publish_async(&self.target(), message.into())?;
        Ok(PublishHandle {
            root: Arc::clone(&self.root),
            accepted,
        })
    }

    /// Waits until everything that was published to the stream so far is on disk.
    ///
    /// # Crash safety
    ///
    /// After `Ok` all of it survives a kill and a power cut.
    ///
    /// # Errors
    ///
    /// The commit failed or the store is unavailable.
    pub fn flush(&self) -> Result<(), Unavailable> {
        self.root.engine.flush(self.id)
    }

    /// Reads one message without consuming it; `None` when it is not stored (any more).
    ///
    /// # Errors
    ///
    /// The stream is gone, or the store is unavailable.
    pub fn get(&self, seq: Seq) -> Result<Option<StoredMessage>, ReadError> {
        let found = self.root.engine.get(self.id, &self.name, seq.get())?;
        Ok(found.map(StoredMessage::new))
    }

    /// Reads the last message on a subject, or on any subject that a wildcard filter matches.
    ///
    /// # Errors
    ///
    /// The subject is malformed, the stream is gone, or the store is unavailable.
    pub fn last_for_subject(&self, subject: &str) -> Result<Option<StoredMessage>, ReadError> {
        let filter: SubjectFilter = subject.parse()?;
        let found = self
            .root
            .engine
            .last_for_subject(self.id, &self.name, filter)?;
        Ok(found.map(StoredMessage::new))
    }

    /// Reads a range of messages in order, without consuming them. It sees what is on disk when it gets
    /// there, and holds nothing in between.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Riverbed, Seq, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let stream = store.create_stream(StreamConfig::new("s"))?;
    /// stream.publish_batch([("s", "1"), ("s", "2"), ("s", "3")])?;
    /// let read: Vec<_> = stream.range(Seq::new(2)..).collect::<Result<_, _>>()?;
    /// assert_eq!(read.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn range(&self, range: impl RangeBounds<Seq>) -> Range {
        let from = match range.start_bound() {
            Bound::Included(seq) => seq.get(),
            Bound::Excluded(seq) => seq.next().get(),
            Bound::Unbounded => 1,
        };
        let to = match range.end_bound() {
            Bound::Included(seq) => Some(seq.get()),
            Bound::Excluded(seq) => seq.get().checked_sub(1),
            Bound::Unbounded => Some(u64::MAX),
        };
        let next = if to.is_none() { u64::MAX } else { from };
        Range {
            stream: self.clone(),
            next,
            to: to.unwrap_or(0),
            read: VecDeque::new(),
        }
    }

    /// Removes messages and returns how many; see [`Purge`]. Sequences are never reused. A message that
    /// a consumer had not finished is counted on it and announced (G11).
    ///
    /// A purge of everything reads nothing, so that no damage stops it. What an earlier purge that damage
    /// stopped had left over is counted with it.
    ///
    /// # Crash safety
    ///
    /// One commit takes all of the messages away at once; freeing their space goes on in steps, also
    /// after a crash.
    ///
    /// # Errors
    ///
    /// The filter is malformed, both bounds are given, the stream is gone, or the store is unavailable.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "a purge is built where it is passed"
    )]
    pub fn purge(&self, purge: Purge) -> Result<u64, PurgeError> {
        let filter = purge.filter.as_deref().map(str::parse).transpose()?;
        let ask = PurgeAsk {
            filter,
            up_to: purge.up_to,
            keep: purge.keep,
        };
        self.root.engine.purge(self.id, &self.name, &ask)
    }

    /// Deletes one message.
    ///
    /// # Crash safety
    ///
    /// After `Ok` it is gone, also after a crash; before, it is there or gone.
    ///
    /// # Errors
    ///
    /// [`PurgeError::NoMessage`]; the stream is gone; the store is unavailable.
    pub fn delete(&self, seq: Seq) -> Result<(), PurgeError> {
        self.root.engine.delete(self.id, &self.name, seq)
    }

    /// What became of one sequence: in the stream, and for each of its consumers.
    ///
    /// It answers from stored facts, or says that they are gone. Why a message left is remembered for the newest 512
    /// ranges of sequences that left the stream, and for as many that each consumer lost; sequences that follow each
    /// other and leave within ten minutes for the same reason are one range, however many they are. What a
    /// consumer finished is only known to be acked while it never gave a message up; else a copy is looked for in
    /// its dead-letter stream, among its oldest 10,000 there, by the names of the stream and the
    /// consumer: one that a consumer of the same name left before it was made anew is told as well.
    ///
    /// It reads one block at most and one row of deletes, looks at every consumer, and reads the copies in dead-letter
    /// streams of those that gave messages up and are done with this one. It changes nothing.
    ///
    /// # Errors
    ///
    /// [`StreamError::NotFound`] when it is gone; the bytes to be looked at are damaged; the store is unavailable.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, ConsumerFate, MessageFate, Removal, Riverbed, Seq, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let jobs = store.create_stream(StreamConfig::new("jobs").max_messages(1))?;
    /// let worker = jobs.create_consumer(ConsumerConfig::new("worker").dead_letter("jobs-dead"))?;
    /// jobs.publish("jobs", "resize 17.png")?;
    /// worker.fetch(1)?[0].term("not an image")?;
    /// jobs.publish("jobs", "resize 18.png")?;
    /// let explained = jobs.explain(Seq::new(1))?;
    /// let by_limit = matches!(
    ///     explained.message,
    ///     MessageFate::Removed { by: Removal::MaxMessages, .. }
    /// );
    /// assert!(by_limit);
    /// let copied = ConsumerFate::DeadLettered { to: "jobs-dead".into(), to_seq: Seq::new(1) };
    /// assert_eq!(explained.consumers["worker"], copied);
    /// println!("{explained}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self, seq: Seq) -> Result<Explanation, StreamError> {
        let explained = self.root.engine.explain(self.id, &self.name, seq, None)?;
        explained.ok_or_else(|| StreamError::NotFound {
            name: self.name.clone(),
        })
    }

    /// Facts about the stream.
    ///
    /// # Errors
    ///
    /// [`StreamError::NotFound`] when it is gone; the store is unavailable.
    pub fn info(&self) -> Result<StreamInfo, StreamError> {
        let info = self.root.engine.stream_info(self.id)?;
        info.ok_or_else(|| StreamError::NotFound {
            name: self.name.clone(),
        })
    }

    /// Creates a consumer. One of the same name and the same configuration is simply found.
    ///
    /// Its place in the stream is fixed now (R4). A dead-letter stream that it names is created on
    /// demand: `<name>.>`, at most a million messages and 1 GiB, refusing when full, never ageing.
    ///
    /// # Crash safety
    ///
    /// The consumer exists after a crash if this returned `Ok`; if it did not, it exists whole or not
    /// at all.
    ///
    /// # Errors
    ///
    /// [`ConsumerError`]: a setting breaks a rule, another consumer has the name, the dead-letter stream
    /// can't take its messages, the stream is gone, or the store is unavailable.
    pub fn create_consumer(&self, config: ConsumerConfig) -> Result<Consumer, ConsumerError> {
        let config = config.validated()?;
        let id = self
            .root
            .engine
            .create_consumer(self.id, &self.name, &config)?;
        Ok(self.consumer_handle(id, config.name))
    }

    /// Finds a consumer.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`]; the store is unavailable.
    pub fn consumer(&self, name: &str) -> Result<Consumer, ConsumerError> {
        Ok(self.consumer_handle(self.consumer_id(name)?, name.to_owned()))
    }

    /// Deletes a consumer; the stream's messages stay. Its waiting fetches and the holders of its
    /// messages are told.
    ///
    /// # Crash safety
    ///
    /// The consumer is there or gone.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`]; the store is unavailable.
    pub fn delete_consumer(&self, name: &str) -> Result<(), ConsumerError> {
        let id = self.consumer_id(name)?;
        self.root.engine.delete_consumer(id)
    }

    /// The names of the stream's consumers, sorted.
    ///
    /// # Errors
    ///
    /// The stream is gone, or the store is unavailable.
    pub fn consumers(&self) -> Result<Vec<String>, StreamError> {
        let names = self.root.engine.consumer_names(self.id)?;
        names.ok_or_else(|| StreamError::NotFound {
            name: self.name.clone(),
        })
    }

    pub(crate) fn consumer_id(&self, name: &str) -> Result<u32, ConsumerError> {
        let found = self.root.engine.find_consumer(self.id, name)?;
        found.ok_or_else(|| ConsumerError::NotFound {
            name: name.to_owned(),
            stream: self.name.clone(),
        })
    }

    pub(crate) fn consumer_handle(&self, id: u32, name: String) -> Consumer {
        let reference = ConsumerRef {
            id,
            name,
            stream: self.id,
            reading: self.root.engine.reading_of(id),
        };
        Consumer::new(Arc::clone(&self.root), reference, self.name.clone())
    }
}

/// Messages of a range in order; made by [`Stream::range`].
#[derive(Debug)]
pub struct Range {
    stream: Stream,
    next: u64,
    to: u64,
    read: VecDeque<StoredMessage>,
}

/// Messages that a range reads ahead.
const READ_AHEAD: usize = 256;

impl Iterator for Range {
    type Item = Result<StoredMessage, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.read.is_empty() && self.next < u64::MAX {
            let Stream { root, id, name } = &self.stream;
            match root.engine.range(*id, name, self.next, self.to, READ_AHEAD) {
                Ok(found) => {
                    self.next = found.next;
                    self.read = found.messages.into_iter().map(StoredMessage::new).collect();
                }
                Err(why) => {
                    self.next = u64::MAX;
                    return Some(Err(why));
                }
            }
        }
        self.read.pop_front().map(Ok)
    }
}
