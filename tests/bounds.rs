//! What a commit costs does not depend on what did nothing, and opening does not read the backlog.
//!
//! Costs are counted on the simulated disk, never timed.

#![allow(clippy::unwrap_used, reason = "a test")]

use riverbed::disk::MemoryDisk;
use riverbed::{ConsumerConfig, Fetch, ManualClock, Riverbed, StreamConfig};
use std::sync::Arc;

fn open(disk: &MemoryDisk, clock: &ManualClock) -> Riverbed {
    Riverbed::builder()
        .without_journal()
        .disk(Arc::new(disk.clone()))
        .clock(clock.clock())
        .without_threads()
        .open("/store")
        .unwrap()
}

/// Disk operations of a publish, a fetch and an ack in a store with so many idle streams, each with a
/// consumer.
fn operations_beside(idle: usize) -> [u64; 3] {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock);
    for n in 0..idle {
        let stream = store
            .create_stream(StreamConfig::new(format!("idle-{n}")))
            .unwrap();
        stream.create_consumer(ConsumerConfig::new("idle")).unwrap();
    }
    let busy = store.create_stream(StreamConfig::new("busy")).unwrap();
    let worker = busy.create_consumer(ConsumerConfig::new("worker")).unwrap();
    // The first round makes tables and pages that the second one finds.
    let mut counted = [0; 3];
    for _ in 0..2 {
        let start = disk.operations();
        busy.publish("busy", "work").unwrap();
        let published = disk.operations();
        let batch = worker.fetch(Fetch::new(1).no_wait()).unwrap();
        let fetched = disk.operations();
        batch.ack().unwrap();
        counted = [
            published - start,
            fetched - published,
            disk.operations() - fetched,
        ];
    }
    counted
}

#[test]
fn a_commit_costs_the_same_beside_three_hundred_idle_streams_and_consumers() {
    let (alone, beside) = (operations_beside(0), operations_beside(300));
    for (alone, beside) in alone.into_iter().zip(beside) {
        // A B-tree over more tables is deeper: a page or two on the way, not one per stream.
        assert!(
            beside <= alone + 8,
            "{beside} disk operations beside 300 idle ones, {alone} alone"
        );
    }
}

/// Bytes read to open a cleanly closed store with a backlog of so many messages of 1 KiB. With debug
/// assertions redb walks every page at open, so it says nothing there.
#[cfg(not(debug_assertions))]
fn bytes_read_to_open(messages: usize) -> u64 {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock);
    let stream = store.create_stream(StreamConfig::new("log")).unwrap();
    stream
        .create_consumer(ConsumerConfig::new("reader"))
        .unwrap();
    for _ in 0..messages / 1_000 {
        stream
            .publish_batch((0..1_000).map(|_| ("log", vec![7; 1_024])))
            .unwrap();
    }
    store.close().unwrap();
    let before = disk.bytes_read();
    let store = open(&disk, &clock);
    assert_eq!(
        store.stream("log").unwrap().info().unwrap().messages,
        messages as u64
    );
    disk.bytes_read() - before
}

#[cfg(not(debug_assertions))]
#[test]
fn opening_a_cleanly_closed_store_does_not_read_the_backlog() {
    let (small, large) = (bytes_read_to_open(1_000), bytes_read_to_open(20_000));
    assert!(
        large <= small + (256 << 10),
        "{large} bytes read for 20 MiB, {small} for 1 MiB"
    );
}

/// Bytes read to open what a kill left of a store with so many messages of 1 KiB, and the bytes that
/// its blocks take: after a while of silence, and right after a commit.
#[cfg(not(debug_assertions))]
fn bytes_read_after_a_kill(messages: usize, idle: bool) -> (u64, u64) {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock);
    let stream = store.create_stream(StreamConfig::new("log")).unwrap();
    for _ in 0..messages / 1_000 {
        stream
            .publish_batch((0..1_000).map(|_| ("log", vec![7; 1_024])))
            .unwrap();
    }
    let used = store.info().unwrap().used_bytes;
    if idle {
        clock.advance(std::time::Duration::from_secs(2));
        store.drive().unwrap();
    }
    let left = disk.kill_image();
    drop(open(&left, &clock));
    (left.bytes_read(), used)
}

#[cfg(not(debug_assertions))]
#[test]
fn opening_after_a_kill_at_work_reads_the_file_twice_at_most() {
    for messages in [2_000, 20_000] {
        let (read, used) = bytes_read_after_a_kill(messages, false);
        let bound = 2 * used + (1 << 20);
        assert!(read <= bound, "{read} bytes read for {used} in use");
    }
}

#[cfg(not(debug_assertions))]
#[test]
fn opening_after_a_kill_of_an_idle_store_does_not_read_the_backlog() {
    let ((small, _), (large, used)) = (
        bytes_read_after_a_kill(1_000, true),
        bytes_read_after_a_kill(20_000, true),
    );
    assert!(
        large <= small + (256 << 10),
        "{large} bytes read for {used} in use, {small} for a small store"
    );
}

/// The same of a store whose small commits go to a journal: one of them is the last.
#[cfg(not(debug_assertions))]
fn bytes_read_after_a_kill_with_a_journal(messages: usize) -> u64 {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = journaled(&disk, &clock);
    let stream = store.create_stream(StreamConfig::new("log")).unwrap();
    for _ in 0..messages / 50 {
        stream
            .publish_batch((0..50).map(|_| ("log", vec![7; 1_024])))
            .unwrap();
        store.drive().unwrap();
    }
    let left = disk.kill_image();
    drop(open(&left, &clock));
    left.bytes_read()
}

#[cfg(not(debug_assertions))]
#[test]
fn opening_after_a_kill_of_a_store_with_a_journal_reads_the_journal_and_not_the_backlog() {
    let (small, large) = (
        bytes_read_after_a_kill_with_a_journal(2_000),
        bytes_read_after_a_kill_with_a_journal(20_000),
    );
    // What lies in the journal differs by half a segment at most, and redb reads what that changes.
    assert!(
        large <= small + (2 << 20),
        "{large} bytes read for 20 MiB, {small} for 2 MiB"
    );
}

#[cfg(not(debug_assertions))]
fn journaled(disk: &MemoryDisk, clock: &ManualClock) -> Riverbed {
    Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .clock(clock.clock())
        .without_threads()
        .open("/store")
        .unwrap()
}

#[cfg(not(debug_assertions))]
fn work(store: &Riverbed, messages: usize) {
    for n in 0..messages {
        store.publish("log", format!("message {n}")).unwrap();
        store.drive().unwrap();
    }
}

#[cfg(not(debug_assertions))]
fn backlog(disk: &MemoryDisk, clock: &ManualClock, messages: usize) {
    let store = journaled(disk, clock);
    let stream = store.create_stream(StreamConfig::new("log")).unwrap();
    for _ in 0..messages / 1_000 {
        stream
            .publish_batch((0..1_000).map(|_| ("log", vec![7; 1_024])))
            .unwrap();
        store.drive().unwrap();
    }
    store.close().unwrap();
}

#[cfg(not(debug_assertions))]
#[test]
fn a_kill_soon_after_a_clean_open_costs_no_look_at_all_of_it() {
    let mut read = Vec::new();
    for messages in [1_000, 20_000] {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        backlog(&disk, &clock, messages);
        let store = journaled(&disk, &clock);
        work(&store, 50);
        let left = disk.kill_image();
        drop(journaled(&left, &clock));
        read.push(left.bytes_read());
    }
    assert!(read[1] <= read[0] + (2 << 20), "{read:?}");
}

#[cfg(not(debug_assertions))]
#[test]
fn a_second_kill_costs_no_look_at_all_of_it_either() {
    let mut read = Vec::new();
    for messages in [1_000, 20_000] {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        backlog(&disk, &clock, messages);
        let store = journaled(&disk, &clock);
        work(&store, 20);
        // Idle: what is there is written down.
        clock.advance(std::time::Duration::from_secs(2));
        store.drive().unwrap();
        work(&store, 20);
        let left = disk.kill_image();
        let store = journaled(&left, &clock);
        let first = left.bytes_read();
        work(&store, 20);
        let again = left.kill_image();
        drop(journaled(&again, &clock));
        read.push((first, again.bytes_read()));
    }
    assert!(read[1].0 <= read[0].0 + (2 << 20), "first: {read:?}");
    assert!(read[1].1 <= read[0].1 + (2 << 20), "second: {read:?}");
}

#[cfg(not(debug_assertions))]
#[test]
fn opening_after_a_kill_behind_a_compaction_does_not_read_the_backlog() {
    let read = [2_000, 20_000].map(|messages| {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let store = open(&disk, &clock);
        let stream = store.create_stream(StreamConfig::new("log")).unwrap();
        for _ in 0..messages / 1_000 {
            stream
                .publish_batch((0..1_000).map(|_| ("log", vec![7; 1_024])))
                .unwrap();
        }
        store.compact().unwrap();
        let left = disk.kill_image();
        drop(open(&left, &clock));
        left.bytes_read()
    });
    assert!(
        read[1] <= read[0] + (256 << 10),
        "bytes read after 2,000 messages and after 20,000: {read:?}"
    );
}
