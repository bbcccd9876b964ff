//! A message that aborts the process: it alone is dead-lettered, after exactly its limit of deaths (G4,
//! R17, R18).
//!
//! The test runs itself again as a child that handles messages; the poison aborts the child, and the
//! test starts the next one until nothing is left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test"
)]

use riverbed::{ConsumerConfig, Riverbed, RunOptions, StreamConfig};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const CHILD: &str = "RIVERBED_TEST_CHILD";

fn config(limit: u64) -> ConsumerConfig {
    ConsumerConfig::new("worker")
        .max_deliver(limit)
        .dead_letter("dead")
        .max_ack_pending(100)
}

/// What the child does: handle everything, abort on the poison, end when all is done.
fn child(path: &Path, workers: usize, batch: usize) {
    let store = Riverbed::open(path).unwrap();
    let consumer = store.stream("jobs").unwrap().consumer("worker").unwrap();
    let left = consumer.info().unwrap();
    let left = left.pending + left.due + left.in_flight + left.delayed;
    if left == 0 {
        return;
    }
    let handled = Arc::new(AtomicUsize::new(0));
    let (done, all_done) = std::sync::mpsc::channel();
    let runner = consumer
        .run_with(RunOptions::new(workers).batch(batch), move |message| {
            if message.payload() == b"poison" {
                std::process::abort();
            }
            if handled.fetch_add(1, Ordering::SeqCst) as u64 + 1 == left {
                done.send(()).unwrap();
            }
            Ok::<(), String>(())
        })
        .unwrap();
    all_done.recv().unwrap();
    runner.stop().unwrap();
    store.close().unwrap();
}

/// The child's body when this binary was started as one; a test that does nothing otherwise.
#[test]
fn run_as_child() {
    let Ok(told) = std::env::var(CHILD) else {
        return;
    };
    let mut told = told.split('|');
    let path = told.next().unwrap();
    let workers = told.next().unwrap().parse().unwrap();
    let batch = told.next().unwrap().parse().unwrap();
    child(Path::new(path), workers, batch);
}

fn start_child(path: &Path, workers: usize, batch: usize) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "run_as_child", "--nocapture"])
        .env(CHILD, format!("{}|{workers}|{batch}", path.display()))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
}

/// A store with so many messages, of which one kills whoever handles it.
fn prepare(path: &Path, messages: u64, poison: u64, limit: u64) {
    let store = Riverbed::open(path).unwrap();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    jobs.create_consumer(config(limit)).unwrap();
    let payload = |n| {
        if n == poison {
            "poison".to_owned()
        } else {
            format!("job {n}")
        }
    };
    jobs.publish_batch((1..=messages).map(|n| ("jobs", payload(n))))
        .unwrap();
    store.close().unwrap();
}

/// Runs children until one ends by itself; returns how many died.
fn run_until_done(path: &Path, workers: usize, batch: usize) -> u64 {
    (0..100)
        .find(|_| start_child(path, workers, batch).success())
        .expect("it ends some day")
}

/// What the poison's dead letter says of it.
#[derive(Debug, PartialEq, Eq)]
struct Died {
    failures: u64,
    crashes: u64,
    deliveries: u64,
}

/// The poison alone is a dead letter; all others are acked once, and only once.
fn only_the_poison_died(path: &Path, messages: u64, poison: u64) -> Died {
    let store = Riverbed::open(path).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let dead = store.stream("dead").unwrap();
    let dead: Vec<_> = dead.dead_letters().map(Result::unwrap).collect();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].seq.get(), poison);
    let worker = store.stream("jobs").unwrap().consumer("worker").unwrap();
    let info = worker.info().unwrap();
    assert_eq!((info.acked, info.dead_lettered), (messages - 1, 1));
    assert_eq!((info.dropped, info.lost, info.parked), (0, 0, 0));
    assert_eq!((info.pending, info.due, info.in_flight), (0, 0, 0));
    // A bystander never fails: the poison paid for every failure that the consumer counts.
    assert_eq!(info.failures, dead[0].failures);
    Died {
        failures: dead[0].failures,
        crashes: dead[0].crashes,
        deliveries: dead[0].deliveries,
    }
}

#[test]
fn g4_a_poison_message_handled_alone_dies_after_exactly_its_limit_of_crashes() {
    for limit in [1, 3, 5] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        prepare(&path, 1, 1, limit);
        assert_eq!(run_until_done(&path, 1, 1), limit);
        let died = only_the_poison_died(&path, 1, 1);
        assert_eq!((died.failures, died.deliveries), (limit, limit));
    }
}

#[test]
fn g4_a_poison_message_between_others_that_are_handled_alone_too_dies_after_its_limit() {
    for limit in [1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        prepare(&path, 5, 3, limit);
        assert_eq!(run_until_done(&path, 1, 1), limit);
        let died = only_the_poison_died(&path, 5, 3);
        assert_eq!((died.failures, died.deliveries), (limit, limit));
    }
}

#[test]
fn r18_a_fetch_of_100_whose_37th_message_aborts_ends_with_only_the_37th_dead() {
    for limit in [1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        prepare(&path, 100, 37, limit);
        // Caught beside others twice, and then alone until its limit.
        assert_eq!(run_until_done(&path, 1, 100), limit + 2);
        let died = only_the_poison_died(&path, 100, 37);
        assert_eq!((died.failures, died.crashes), (limit, 2));
        assert_eq!(died.deliveries, limit + 2);
    }
}

#[test]
fn r18_with_eight_workers_only_the_poison_dies() {
    // All of the hundred with one worker, and some with each.
    for batch in [100, 12] {
        let (folder, limit) = (tempfile::tempdir().unwrap(), 3);
        let path = folder.path().join("store");
        prepare(&path, 100, 37, limit);
        let deaths = run_until_done(&path, 8, batch);
        let died = only_the_poison_died(&path, 100, 37);
        assert_eq!(died.failures, limit);
        // Each death caught it once: alone, or beside others, which happens no more than twice.
        assert_eq!(deaths, died.failures + died.crashes);
        assert_eq!(deaths, died.deliveries);
        assert!(died.crashes <= 2, "{died:?}");
    }
}
