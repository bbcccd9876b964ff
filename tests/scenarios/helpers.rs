//! What the scenarios share: a store on a disk in memory with a clock that only the test moves.

use riverbed::disk::MemoryDisk;
use riverbed::{
    AckError, Consumer, ConsumerConfig, ConsumerInfo, Discard, EmptyReason, Fetch, ManualClock,
    Message, PublishErrorKind, Purge, Refusal, Retention, Riverbed, Stream, StreamConfig, Unwanted,
};
use std::sync::Arc;
use std::time::Duration;

const PATH: &str = "/store";

/// A store, the disk under it and the clock beside it.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) disk: MemoryDisk,
    pub(crate) store: Riverbed,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(MemoryDisk::new(), ManualClock::new())
    }

    pub(crate) fn on(disk: MemoryDisk, clock: ManualClock) -> Self {
        let builder = Riverbed::builder()
            .clock(clock.clock())
            .disk(Arc::new(disk.clone()));
        let store = builder.without_threads().open(PATH).unwrap();
        Self { clock, disk, store }
    }

    /// With the store's own threads.
    pub(crate) fn threaded() -> Self {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let builder = Riverbed::builder()
            .clock(clock.clock())
            .disk(Arc::new(disk.clone()));
        let store = builder.open(PATH).unwrap();
        Self { clock, disk, store }
    }

    /// The store after a clean close.
    pub(crate) fn reopened(self) -> Self {
        self.store.close().unwrap();
        Self::on(self.disk, self.clock)
    }

    /// The store as another process finds it when this one was killed.
    pub(crate) fn killed(self) -> Self {
        Self::on(self.disk.kill_image(), self.clock)
    }

    /// Lets time pass, and does what is due then.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.store.drive().unwrap();
    }

    /// A stream that captures everything below its name.
    pub(crate) fn stream(&self, name: &str) -> Stream {
        self.store
            .create_stream(StreamConfig::new(name).subjects([format!("{name}.>")]))
            .unwrap()
    }

    /// The same for three messages, which refuses more.
    pub(crate) fn stream_of_three(&self, name: &str) -> Stream {
        let config = StreamConfig::new(name).subjects([format!("{name}.>")]);
        let config = config.max_messages(3).discard(Discard::New);
        self.store.create_stream(config).unwrap()
    }

    /// The same, which keeps what consumers want.
    pub(crate) fn stream_of_interest(&self, name: &str, unwanted: Unwanted) -> Stream {
        let config = StreamConfig::new(name).subjects([format!("{name}.>")]);
        let config = config.retention(Retention::Interest).unwanted(unwanted);
        self.store.create_stream(config).unwrap()
    }

    /// Purges all messages of a stream.
    pub(crate) fn empty(&self, stream: &str) {
        let stream = self.store.stream(stream).unwrap();
        stream.purge(Purge::all()).unwrap();
    }

    pub(crate) fn consumer(&self, stream: &str, name: &str) -> Consumer {
        self.store.stream(stream).unwrap().consumer(name).unwrap()
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Publishes so many messages, one commit each, with their numbers from 1 as payloads.
pub(crate) fn publish(stream: &Stream, subject: &str, messages: u64) {
    for number in 1..=messages {
        stream.publish(subject, number.to_string()).unwrap();
    }
}

pub(crate) fn create(stream: &Stream, config: ConsumerConfig) -> Consumer {
    stream.create_consumer(config).unwrap()
}

/// What is there now, at most so many.
pub(crate) fn take(consumer: &Consumer, messages: usize) -> Vec<Message> {
    consumer
        .fetch(Fetch::new(messages).no_wait())
        .unwrap()
        .into_iter()
        .collect()
}

/// The one message that is there.
pub(crate) fn take_one(consumer: &Consumer) -> Message {
    let mut taken = take(consumer, 1);
    assert_eq!(taken.len(), 1, "a message is expected");
    taken.remove(0)
}

pub(crate) fn nothing(consumer: &Consumer) -> EmptyReason {
    let batch = consumer.fetch(Fetch::new(1).no_wait()).unwrap();
    assert_eq!(seqs(&batch), Vec::<u64>::new());
    batch.empty_reason().unwrap()
}

pub(crate) fn seqs(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.seq().get()).collect()
}

pub(crate) fn deliveries(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(Message::deliveries).collect()
}

pub(crate) fn info(consumer: &Consumer) -> ConsumerInfo {
    consumer.info().unwrap()
}

/// The sequences stored.
pub(crate) fn stored(stream: &Stream) -> Vec<u64> {
    stream
        .range(..)
        .map(|message| message.unwrap().seq().get())
        .collect()
}

pub(crate) fn is_stale(result: &Result<(), AckError>) -> bool {
    matches!(result, Err(AckError::Refused(Refusal::Stale { .. })))
}

pub(crate) fn is_gone(result: &Result<(), AckError>) -> bool {
    matches!(result, Err(AckError::Refused(Refusal::Gone { .. })))
}

pub(crate) fn publish_kind<T: std::fmt::Debug>(
    result: Result<T, riverbed::PublishError>,
) -> PublishErrorKind {
    result.unwrap_err().kind
}
