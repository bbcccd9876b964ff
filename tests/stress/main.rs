//! Everybody at once, with real threads on a real file, for as long as is asked for; then the sums.
//!
//! ```text
//! RIVERBED_STRESS_SECONDS=600 cargo test --release --test stress -- --nocapture
//! ```
//!
//! Without the variable it takes three seconds. It ends with one line that says how much was done. What is
//! random here is the schedule, so a failure can't be replayed: the sums say what to look for, and
//! `tests/shuttle` is where an interleaving is then pinned down.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod log;
mod work;

use riverbed::{ConsumerInfo, Riverbed};
use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Tells everybody when to end.
#[derive(Debug, Default)]
struct Stop(AtomicBool);

impl Stop {
    fn say(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn said(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Where the messages of a consumer are: each is in exactly one place.
fn sum(known: &ConsumerInfo) -> u64 {
    let over = known.acked + known.dead_lettered + known.dropped + known.lost;
    let aside = known.parked + known.refused + known.delayed;
    over + aside + known.pending + known.in_flight + known.due
}

fn is_sound(store: &Riverbed) {
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn publishers_fetchers_ackers_and_purgers_agree_in_the_end() {
    agree(|| Riverbed::builder().without_journal());
}

#[test]
fn they_agree_with_a_journal_beside_the_store() {
    agree(|| Riverbed::builder().journal_segment(256 << 10));
}

fn agree(builder: impl Fn() -> riverbed::Builder) {
    let seconds = env::var("RIVERBED_STRESS_SECONDS").map_or(3, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = builder().open(&path).unwrap();
    let (work, log) = (work::Work::new(&store), log::Log::new(&store));
    let (no_more, stop) = (Stop::default(), Stop::default());
    thread::scope(|scope| {
        work.start(scope, &no_more, &stop);
        log.start(scope, &no_more, &stop);
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            // Somebody looks, all the time.
            work.look();
            log.look();
        }
        no_more.say();
        work.publishers_end();
        stop.say();
    });
    work.add_up(&store);
    log.add_up(&store);
    is_sound(&store);
    store.close().unwrap();

    let store = builder().open(&path).unwrap();
    is_sound(&store);
    work.add_up(&store);
    log.add_up(&store);
    work.drain(&store);
    is_sound(&store);
    println!(
        "seconds={seconds} {} {} differences=0",
        work.line(&store),
        log.line(&store)
    );
    store.close().unwrap();
}
