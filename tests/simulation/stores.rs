//! How a seed's stores are opened.

use riverbed::disk::MemoryDisk;
use riverbed::{Builder, Durability, Limits, ManualClock, OpenError, Riverbed};
use std::sync::Arc;
use std::time::Duration;

/// Of every store, so that a run can be repeated to the bit.
const IDENTITY: u64 = 0x0072_6976_6572_6265;

thread_local! {
    /// Bytes of a segment of the journal, in the runs of this thread.
    static JOURNAL: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
    /// Milliseconds within which their commits are synced, if not at once.
    static WITHIN: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// Whether a seed's stores have a journal.
pub(crate) fn choose_journal(seed: u64) {
    let segments = [None, Some(16 << 10), Some(64 << 10), Some(256 << 10)];
    JOURNAL.set(segments[(seed % 4) as usize]);
}

/// Whether a seed's store syncs its commits later, and within how many milliseconds: it needs a journal.
pub(crate) fn choose_durability(seed: u64) -> Option<u64> {
    let later = !seed.is_multiple_of(4) && (seed / 4).is_multiple_of(3);
    let within = later.then(|| [20, 500, 5_000][(seed / 12 % 3) as usize]);
    WITHIN.set(within);
    within
}

pub(crate) fn open(disk: &MemoryDisk, clock: &ManualClock) -> Result<Riverbed, OpenError> {
    let durability = match WITHIN.get() {
        Some(within) => Durability::written(Duration::from_millis(within)),
        None => Durability::Synced,
    };
    builder(disk, clock).durability(durability).open("/store")
}

pub(crate) fn open_at(
    disk: &MemoryDisk,
    clock: &ManualClock,
    path: &str,
) -> Result<Riverbed, OpenError> {
    builder(disk, clock).open(path)
}

fn builder(disk: &MemoryDisk, clock: &ManualClock) -> Builder {
    let mut limits = Limits::default();
    limits.subjects_per_stream = crate::oracle::SUBJECTS;
    limits.scheduled_per_stream = crate::oracle::SCHEDULED;
    limits.ttls_per_stream = crate::oracle::TTLS;
    let builder = match JOURNAL.get() {
        Some(segment) => Riverbed::builder().journal_segment(segment),
        None => Riverbed::builder().without_journal(),
    };
    builder
        // So small that what a store does is read from the disk, which may fail.
        .cache_bytes(64 << 10)
        .clock(clock.clock())
        .disk(Arc::new(disk.clone()))
        .limits(limits)
        .alerts(crate::alerting::alerts())
        .without_threads()
        .identity(IDENTITY)
}
