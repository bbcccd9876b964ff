//! `Consumer`: a durable cursor with per-message acks.

use crate::clock::Timestamp;
use crate::engine::{ConsumerRef, Holder};
use crate::error::{
    AckAndFetchError, AckError, ConsumerError, FetchError, RedriveError, RunError, Unavailable,
};
use crate::event::DeadReason;
use crate::explain::{ConsumerExplanation, Explanation};
use crate::fetch::{Batch, BatchAck, Fetch};
use crate::info::ConsumerInfo;
use crate::lanes::Lanes;
use crate::message::{Message, StoredMessage};
use crate::root::Root;
use crate::run::{RunOptions, Runner};
use crate::seq::Seq;
use std::fmt::Display;
use std::sync::Arc;

/// A durable consumer of a stream.
///
/// Any number of threads fetch from one consumer, through clones of the handle or handles of their own:
/// each message goes to one of them, and workers come and go without any pause (G9). Different consumers
/// of a stream are independent and each get every message that they want.
///
/// # Examples
///
/// ```
/// use riverbed::{ConsumerConfig, Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let orders = store.create_stream(StreamConfig::new("orders").subjects(["orders.>"]))?;
/// let paid = orders.create_consumer(ConsumerConfig::new("paid").filter("orders.*.paid"))?;
/// store.publish("orders.17.placed", "")?;
/// store.publish("orders.17.paid", "")?;
/// let batch = paid.fetch(10)?;
/// assert_eq!(batch[0].subject(), "orders.17.paid");
/// batch.ack()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Consumer {
    pub(crate) whose: Arc<ConsumerRoot>,
}

/// A consumer with the store that it lives in.
#[derive(Debug)]
pub(crate) struct ConsumerRoot {
    pub(crate) root: Arc<Root>,
    pub(crate) reference: ConsumerRef,
    pub(crate) stream_name: String,
}

impl ConsumerRoot {
    pub(crate) fn ack(self: &Arc<Self>, messages: &[Message]) -> Result<BatchAck, AckError> {
        let tokens = self.tokens(messages)?;
        let refused = self.root.engine.ack_batch(&self.reference, &tokens)?;
        Ok(BatchAck::of(tokens.len(), refused))
    }

    fn tokens(
        self: &Arc<Self>,
        messages: &[Message],
    ) -> Result<Vec<crate::state::Token>, AckError> {
        if let Some(foreign) = messages.iter().find(|message| !message.is_of(self)) {
            let (seq, consumer) = (foreign.seq(), self.reference.name.clone());
            return Err(AckError::Foreign { seq, consumer });
        }
        Ok(messages.iter().map(Message::token).collect())
    }

    fn gone(&self) -> ConsumerError {
        ConsumerError::NotFound {
            name: self.reference.name.clone(),
            stream: self.stream_name.clone(),
        }
    }
}

impl Consumer {
    pub(crate) fn new(root: Arc<Root>, reference: ConsumerRef, stream_name: String) -> Self {
        Self {
            whose: Arc::new(ConsumerRoot {
                root,
                reference,
                stream_name,
            }),
        }
    }

    /// The consumer's name.
    pub fn name(&self) -> &str {
        &self.whose.reference.name
    }

    /// The name of its stream.
    pub fn stream_name(&self) -> &str {
        &self.whose.stream_name
    }

    /// Fetches messages: due redeliveries first, then new ones in the order of the stream (G7).
    ///
    /// Returns as soon as there is anything; when there is nothing, waits as the [`Fetch`] says, and
    /// then says why with an empty batch. Each message's lease starts when this returns (R16).
    ///
    /// Any number of fetches may wait; each wants a thread, and they are served by their
    /// [priority](Fetch::priority) and in the order in which they came.
    ///
    /// # Crash safety
    ///
    /// The delivery is counted on disk before this returns (G4), so a message that kills the process
    /// still reaches its limit.
    ///
    /// # Errors
    ///
    /// [`FetchError`]: the consumer is gone, the bounds make no sense, the next message is over
    /// `max_bytes`, or the store is unavailable.
    pub fn fetch(&self, fetch: impl Into<Fetch>) -> Result<Batch, FetchError> {
        let ask = fetch.into().ask(Holder::Caller)?;
        let fetched = self.whose.root.engine.fetch(&self.whose.reference, &ask)?;
        Ok(Batch::new(&self.whose, fetched))
    }

    /// Acks messages in one commit; see [`Batch::ack`].
    ///
    /// # Crash safety
    ///
    /// As for [`Batch::ack`].
    ///
    /// # Errors
    ///
    /// [`AckError::Foreign`] when a message is another consumer's (nothing is acked then); the consumer
    /// is gone; the store is unavailable.
    pub fn ack_batch(&self, messages: &[Message]) -> Result<BatchAck, AckError> {
        self.whose.ack(messages)
    }

    /// Acks messages and fetches the next ones, in one commit when there is something to fetch.
    ///
    /// # Crash safety
    ///
    /// After `Ok` the acks are on disk (unless they are lazy) and the deliveries are counted. After
    /// [`AckAndFetchError::Fetch`] the acks are too, if the store is not unavailable.
    ///
    /// # Errors
    ///
    /// [`AckAndFetchError`] tells whether the acks are done. When only fetching failed, they are, and it
    /// carries those that were refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{AckAndFetchError, ConsumerConfig, Fetch, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let stream = store.create_stream(StreamConfig::new("jobs"))?;
    /// let worker = stream.create_consumer(ConsumerConfig::new("worker"))?;
    /// stream.publish("jobs", "small")?;
    /// stream.publish("jobs", "larger than eight bytes")?;
    /// let first = worker.fetch(1)?;
    /// match worker.ack_and_fetch(&first, Fetch::new(1).no_wait().max_bytes(8)) {
    ///     Err(AckAndFetchError::Fetch { refused, .. }) => assert!(refused.is_empty()),
    ///     other => panic!("the next message is too big: {other:?}"),
    /// }
    /// assert_eq!(worker.info()?.acked, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ack_and_fetch(
        &self,
        messages: &[Message],
        fetch: impl Into<Fetch>,
    ) -> Result<(BatchAck, Batch), AckAndFetchError> {
        let ask = fetch
            .into()
            .ask(Holder::Caller)
            .map_err(AckAndFetchError::Bounds)?;
        let tokens = self.whose.tokens(messages)?;
        let engine = &self.whose.root.engine;
        let (refused, fetched) = engine.ack_and_fetch(&self.whose.reference, &tokens, &ask)?;
        let acked = BatchAck::of(tokens.len(), refused);
        Ok((acked, Batch::new(&self.whose, fetched)))
    }

    /// Messages one after the other, waiting for each as long as it takes. It ends when the store is
    /// closed, or after an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let stream = store.create_stream(StreamConfig::new("jobs"))?;
    /// let worker = stream.create_consumer(ConsumerConfig::new("worker"))?;
    /// stream.publish("jobs", "stop")?;
    /// for message in worker.messages() {
    ///     let message = message?;
    ///     message.ack()?;
    ///     if message.payload() == b"stop" {
    ///         break;
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn messages(&self) -> Messages {
        Messages {
            consumer: self.clone(),
            over: false,
        }
    }

    /// Runs a handler on worker threads, each holding one message at a time: `Ok` acks, `Err` naks with
    /// the consumer's backoff, and a panic is caught and naks. A message stays the handler's for as long
    /// as it runs.
    ///
    /// The runner stops when it is told to or dropped: what is in hand is finished, nothing is lost.
    ///
    /// # Errors
    ///
    /// [`RunError`]: not 1 to 1,024 workers, the system refuses a thread, or the store is unavailable.
    ///
    /// # Examples
    ///
    /// See [`Runner`].
    pub fn run<E: Display>(
        &self,
        workers: usize,
        handler: impl Fn(&Message) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<Runner, RunError> {
        self.run_with(RunOptions::new(workers), handler)
    }

    /// Runs a handler with options; see [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn run_with<E: Display>(
        &self,
        options: RunOptions,
        handler: impl Fn(&Message) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<Runner, RunError> {
        Runner::start(&Lanes::only(&self.whose), options, handler)
    }

    /// Facts about the consumer.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`] when it is gone; the store is unavailable.
    pub fn info(&self) -> Result<ConsumerInfo, ConsumerError> {
        let info = self
            .whose
            .root
            .engine
            .consumer_info(&self.whose.reference)?;
        info.ok_or_else(|| self.whose.gone())
    }

    /// What became of one sequence for this consumer: see [`Stream::explain`](crate::Stream::explain), which says the
    /// same for all consumers of the stream, and what it costs.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`] when it is gone; the bytes to be looked at are damaged; the store is unavailable.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, ConsumerFate, Riverbed, Seq, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
    /// let worker = jobs.create_consumer(ConsumerConfig::new("worker"))?;
    /// jobs.publish("jobs", "resize 17.png")?;
    /// let explained = worker.explain(Seq::new(1))?;
    /// assert_eq!(explained.fate, ConsumerFate::Waiting { deliveries: 0 });
    /// worker.fetch(1)?.ack()?;
    /// assert_eq!(worker.explain(Seq::new(1))?.fate, ConsumerFate::Acked);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self, seq: Seq) -> Result<ConsumerExplanation, ConsumerError> {
        let whose = &self.whose;
        let (stream, name) = (whose.reference.stream, whose.stream_name.as_str());
        let engine = &whose.root.engine;
        let explained = engine.explain(stream, name, seq, Some(&whose.reference))?;
        let fate = |mut known: Explanation| {
            Some(ConsumerExplanation {
                fate: known.consumers.remove(&whose.reference.name)?,
                consumer: whose.reference.name.clone(),
                stream: known.stream,
                seq,
                message: known.message,
            })
        };
        explained.and_then(fate).ok_or_else(|| whose.gone())
    }

    /// Delivers nothing until a time: fetches wait or come back empty and say
    /// [`Paused`](crate::EmptyReason::Paused), and go on by themselves when it has come. What is in flight
    /// may still be settled, and its leases run. A later pause takes the place of an earlier one.
    ///
    /// # Crash safety
    ///
    /// After `Ok` the pause survives a crash.
    ///
    /// # Errors
    ///
    /// As for [`info`](Self::info).
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, EmptyReason, Fetch, Riverbed, StreamConfig, Timestamp};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let stream = store.create_stream(StreamConfig::new("mail"))?;
    /// let sender = stream.create_consumer(ConsumerConfig::new("sender"))?;
    /// stream.publish("mail", "hello")?;
    /// let until = Timestamp::from_micros(u64::MAX);
    /// sender.pause(until)?;
    /// let batch = sender.fetch(Fetch::new(1).no_wait())?;
    /// assert_eq!(batch.empty_reason(), Some(EmptyReason::Paused { until }));
    /// sender.resume()?;
    /// assert_eq!(sender.fetch(1)?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pause(&self, until: Timestamp) -> Result<(), ConsumerError> {
        self.set_pause(Some(until))
    }

    /// Ends a pause; nothing to do where there is none.
    ///
    /// # Crash safety
    ///
    /// As for [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// As for [`info`](Self::info).
    pub fn resume(&self) -> Result<(), ConsumerError> {
        self.set_pause(None)
    }

    fn set_pause(&self, until: Option<Timestamp>) -> Result<(), ConsumerError> {
        let engine = &self.whose.root.engine;
        if engine.pause_consumer(&self.whose.reference, until)? {
            Ok(())
        } else {
            Err(self.whose.gone())
        }
    }

    /// Parked messages from a sequence on, at most `limit` and no more than some 16 MiB, in the order of the
    /// stream: the last sequence plus one is where to go on.
    ///
    /// # Errors
    ///
    /// As for [`info`](Self::info).
    pub fn parked(&self, from: Seq, limit: usize) -> Result<Vec<Parked>, ConsumerError> {
        let parked = self
            .whose
            .root
            .engine
            .parked(&self.whose.reference, from.get(), limit)?;
        let parked = parked.ok_or_else(|| self.whose.gone())?;
        let one = |(place, stored): (crate::state::PendingPlace, crate::state::Stored)| Parked {
            message: StoredMessage::new(Arc::new(stored)),
            deliveries: place.deliveries,
            failures: place.failures,
            reason: place.reason,
            since: Timestamp::from_micros(place.since),
        };
        Ok(parked.into_iter().map(one).collect())
    }

    /// Makes a parked message due again, with its attempts counted anew.
    ///
    /// # Crash safety
    ///
    /// After `Ok` it is due, also after a crash; before, it is parked or due.
    ///
    /// # Errors
    ///
    /// [`RedriveError::NotParked`]; the store is unavailable.
    pub fn release(&self, seq: Seq) -> Result<(), RedriveError> {
        self.whose
            .root
            .engine
            .release_parked(&self.whose.reference, seq)
    }

    /// Ends a parked message for this consumer.
    ///
    /// # Crash safety
    ///
    /// After `Ok` it is gone for this consumer, also after a crash; before, it is parked or gone.
    ///
    /// # Errors
    ///
    /// As for [`release`](Self::release).
    pub fn discard(&self, seq: Seq) -> Result<(), RedriveError> {
        self.whose
            .root
            .engine
            .discard_parked(&self.whose.reference, seq)
    }
}

/// A message that its consumer set aside, because its deliveries were used up and no dead-letter stream
/// is named.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parked {
    /// The message.
    pub message: StoredMessage,
    /// How often it was delivered.
    pub deliveries: u64,
    /// How many deliveries failed.
    pub failures: u64,
    /// Why it was parked.
    pub reason: DeadReason,
    /// Since when.
    pub since: Timestamp,
}

/// A blocking iterator over a consumer's messages; made by [`Consumer::messages`].
#[derive(Debug)]
pub struct Messages {
    consumer: Consumer,
    over: bool,
}

impl Iterator for Messages {
    type Item = Result<Message, FetchError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            match self.consumer.fetch(Fetch::new(1).forever()) {
                Ok(batch) => {
                    if let Some(message) = batch.into_iter().next() {
                        return Some(Ok(message));
                    }
                }
                Err(FetchError::Unavailable(Unavailable::Closed)) => self.over = true,
                Err(why) => {
                    self.over = true;
                    return Some(Err(why));
                }
            }
        }
        None
    }
}
