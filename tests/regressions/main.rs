//! Bugs that a review found, each held by the behaviour that must be.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod dead_letters;
mod delivering;
mod events;
mod publishing;

use riverbed::disk::MemoryDisk;
use riverbed::{Consumer, ManualClock, Riverbed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// Longer than anything here takes; a test that hangs fails with this instead.
const FOREVER: Duration = Duration::from_secs(60);

fn with_threads() -> Riverbed {
    Riverbed::builder()
        .disk(Arc::new(MemoryDisk::new()))
        .open("/store")
        .unwrap()
}

fn driven(disk: &MemoryDisk, clock: &ManualClock) -> Riverbed {
    let builder = Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .clock(clock.clock());
    builder.without_threads().open("/store").unwrap()
}

/// Runs what must end on a thread of its own.
fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    ended.recv_timeout(FOREVER).expect("it ends")
}

fn wait_for_waiting(consumer: &Consumer, fetches: u64) {
    while consumer.info().unwrap().waiting < fetches {
        thread::yield_now();
    }
}
