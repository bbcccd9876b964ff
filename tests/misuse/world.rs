//! What the tests share.

use riverbed::disk::MemoryDisk;
use riverbed::{Consumer, ConsumerConfig, ManualClock, Riverbed, Stream, StreamConfig};
use std::sync::Arc;
use std::time::Duration;

/// A store in memory without threads, and the clock that the test moves.
pub(crate) fn driven() -> (Riverbed, ManualClock) {
    let clock = ManualClock::new();
    let builder = Riverbed::builder()
        .clock(clock.clock())
        .disk(Arc::new(MemoryDisk::new()));
    (builder.without_threads().open("/store").unwrap(), clock)
}

/// A store in memory with its own threads.
pub(crate) fn threaded() -> Riverbed {
    let builder = Riverbed::builder().disk(Arc::new(MemoryDisk::new()));
    builder.open("/store").unwrap()
}

pub(crate) fn stream_and_consumer(store: &Riverbed) -> (Stream, Consumer) {
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    let consumer = stream.create_consumer(ConsumerConfig::new("c")).unwrap();
    (stream, consumer)
}

pub(crate) fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

/// Longer than any test takes.
pub(crate) const LONG: Duration = Duration::from_secs(600);
