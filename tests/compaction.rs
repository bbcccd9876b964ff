//! Giving back space: what compaction frees, what it leaves alone, and what a crash in it leaves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use riverbed::disk::MemoryDisk;
use riverbed::{
    Builder, CompactionProgress, ConsumerConfig, Fetch, ManualClock, OpenError, Purge, Riverbed,
    StreamConfig, Unavailable,
};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn builder(disk: &MemoryDisk, clock: &ManualClock) -> Builder {
    Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .clock(clock.clock())
        .journal_segment(16 << 10)
        .identity(7)
        .without_threads()
}

fn open(disk: &MemoryDisk, clock: &ManualClock) -> Result<Riverbed, OpenError> {
    builder(disk, clock).open("/store")
}

/// A store that holds little behind much that was purged; the last groups are in the journal alone.
fn prepared(disk: &MemoryDisk, clock: &ManualClock) -> Riverbed {
    filled(open(disk, clock).unwrap())
}

fn filled(store: Riverbed) -> Riverbed {
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let kept = store.create_stream(StreamConfig::new("kept")).unwrap();
    let worker = kept.create_consumer(ConsumerConfig::new("worker")).unwrap();
    for n in 0..20 {
        jobs.publish_batch((0..10).map(|_| ("jobs", vec![7; 4_000])))
            .unwrap();
        kept.publish("kept", format!("{n}")).unwrap();
        store.drive().unwrap();
    }
    for message in worker.fetch(Fetch::new(5).no_wait()).unwrap() {
        message.ack().unwrap();
    }
    jobs.purge(Purge::all()).unwrap();
    kept.publish("kept", "20").unwrap();
    store
}

/// What is in such a store, held against what was put there.
fn verify(store: &Riverbed, place: &str) {
    let kept = store.stream("kept").unwrap();
    let found = kept.range(..).map(|message| {
        let message = message.unwrap();
        String::from_utf8(message.payload().to_vec()).unwrap()
    });
    let expected: Vec<String> = (0..=20).map(|n| n.to_string()).collect();
    assert_eq!(found.collect::<Vec<_>>(), expected, "{place}");
    let jobs = store.stream("jobs").unwrap().info().unwrap();
    assert_eq!((jobs.messages, jobs.last_seq.get()), (0, 200), "{place}");
    let worker = kept.consumer("worker").unwrap().info().unwrap();
    assert_eq!((worker.acked, worker.ack_floor.get()), (5, 5), "{place}");
    assert_eq!(store.check().unwrap(), Vec::<String>::new(), "{place}");
}

#[test]
fn what_a_purge_freed_is_given_back_and_nothing_else_changes() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = prepared(&disk, &clock);
    let compaction = store.compact().unwrap();
    assert!(compaction.before_bytes > 1 << 20, "{compaction:?}");
    assert!(
        compaction.after_bytes < compaction.before_bytes / 2,
        "{compaction:?}"
    );
    assert_eq!(store.info().unwrap().file_bytes, compaction.after_bytes);
    verify(&store, "compacted");
    // Once more there is nothing to do, and the store goes on.
    let again = store.compact().unwrap();
    assert!(again.after_bytes <= compaction.after_bytes);
    for n in 0..50 {
        store.publish("jobs", format!("{n}")).unwrap();
        store.drive().unwrap();
    }
    store.close().unwrap();
    let store = open(&disk, &clock).unwrap();
    let jobs = store.stream("jobs").unwrap().info().unwrap();
    assert_eq!((jobs.messages, jobs.last_seq.get()), (50, 250));
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_crash_at_any_moment_of_it_changes_nothing() {
    let (mut cuts, mut shorter) = (0, BTreeSet::new());
    for at in 0.. {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let store = prepared(&disk, &clock);
        disk.fail_from(disk.operations() + at);
        let compacted = store.compact();
        if compacted.is_err() {
            let after = store.publish("kept", "21").unwrap_err().to_string();
            assert!(after.contains("the store stopped"), "{after}");
        }
        let images = [0, 1, at + 2, at + 900].map(|seed| disk.crash_image(seed));
        for image in images.into_iter().chain([disk.kill_image()]) {
            let place = format!("cut at {at}");
            let store = open(&image, &clock);
            let store = store.unwrap_or_else(|why| panic!("{place}: {why}"));
            verify(&store, &place);
            shorter.insert(store.info().unwrap().file_bytes);
            cuts += 1;
        }
        if compacted.is_ok() {
            break;
        }
    }
    // Before it and behind it were met, and something in between.
    assert!(cuts > 100 && shorter.len() > 2, "{cuts} {shorter:?}");
}

#[test]
fn everybody_else_waits_and_goes_on() {
    let disk = MemoryDisk::new();
    let store = Riverbed::builder().disk(Arc::new(disk));
    let store = store.open("/store").unwrap();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let worker = jobs.create_consumer(ConsumerConfig::new("worker")).unwrap();
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let received = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        jobs.publish("jobs", vec![7; 500]).unwrap();
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut received = BTreeSet::new();
            loop {
                let last = done.load(Ordering::Relaxed);
                let batch = worker.fetch(Fetch::new(100).no_wait()).unwrap();
                received.extend(batch.iter().map(riverbed::Message::seq));
                batch.ack().unwrap();
                if last && batch.is_empty() {
                    return received;
                }
            }
        });
        for _ in 0..10 {
            while sent.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            sent.fetch_min(0, Ordering::Relaxed);
            store.compact().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        for publisher in publishers {
            publisher.join().unwrap();
        }
        // What came in while it looked for the last time is what is left.
        let mut received = reader.join().unwrap();
        let rest = worker.fetch(Fetch::new(10_000).no_wait()).unwrap();
        received.extend(rest.iter().map(riverbed::Message::seq));
        received
    });
    let info = jobs.info().unwrap();
    assert_eq!(received.len() as u64, info.messages);
    assert_eq!(info.messages, info.last_seq.get());
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_closed_store_compacts_nothing() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = prepared(&disk, &clock);
    store.close().unwrap();
    assert_eq!(store.compact(), Err(Unavailable::Closed));
}

#[test]
fn a_store_that_is_mostly_full_becomes_no_longer() {
    for kept in [2_000, 4_000, 6_000, 9_000] {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let store = open(&disk, &clock).unwrap();
        let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
        for _ in 0..100 {
            jobs.publish_batch((0..100).map(|_| ("jobs", vec![7; 1_000])))
                .unwrap();
        }
        jobs.purge(Purge::all().keep(kept)).unwrap();
        let compaction = store.compact().unwrap();
        assert!(compaction.after_bytes <= compaction.before_bytes);
        // The file may grow again, sparsely, as far as twice of what is stored.
        let used = store.info().unwrap().used_bytes;
        let room = compaction.after_bytes.saturating_sub(2 * used);
        assert!(room < 256 << 10, "{compaction:?} for {used}");
        assert_eq!(jobs.range(..).flatten().count() as u64, kept);
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn it_is_reported_how_it_goes_on() {
    for journal in [true, false] {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let with = builder(&disk, &clock);
        let with = if journal {
            with
        } else {
            with.without_journal()
        };
        let store = filled(with.open("/store").unwrap());
        let mut reports = Vec::new();
        let compaction = store
            .compact_with(|progress| reports.push(progress))
            .unwrap();
        assert!(compaction.after_bytes < compaction.before_bytes / 2);
        let last = *reports.last().unwrap();
        assert_eq!(last.file_bytes, compaction.after_bytes);
        assert!(last.written_bytes > 0, "{last:?}");
        for pair in reports.windows(2) {
            assert!(pair[0].written_bytes <= pair[1].written_bytes);
        }
        for report in reports {
            assert_eq!(report.before_bytes, compaction.before_bytes);
            assert!(report.file_bytes <= compaction.before_bytes, "{report:?}");
        }
        verify(&store, "compacted");
    }
}

#[test]
fn a_report_that_panics_stops_neither_the_compaction_nor_the_store() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = prepared(&disk, &clock);
    let before = store.info().unwrap().file_bytes;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.compact_with(|_| panic!("the application's own"))
    }));
    let panic = panicked.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the application's own"));
    assert!(store.info().unwrap().file_bytes < before / 2);
    verify(&store, "after the panic");
    store.compact().unwrap();
    store.publish("jobs", "goes on").unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    store.close().unwrap();
    open(&disk, &clock).unwrap();
}

#[test]
fn a_report_may_call_the_store_and_hears_when_it_is_done() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = prepared(&disk, &clock);
    let (mut told, mut published) = (0, 0);
    let compaction = store.compact_with(|progress: CompactionProgress| {
        told += 1;
        let after = store.info().unwrap().file_bytes;
        assert!(after <= progress.before_bytes);
        published = store.publish("jobs", "from a report").unwrap().seq.get();
        // Another one has its turn behind this one.
        store.compact().unwrap();
    });
    compaction.unwrap();
    assert!(told >= 1 && published > 200, "{told} {published}");
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_store_that_is_closed_by_a_report_is_closed() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = prepared(&disk, &clock);
    // It was under way when the store began to close, and ends one way or the other.
    let compacted = store.compact_with(|_| store.close().unwrap());
    assert!(matches!(compacted, Ok(_) | Err(Unavailable::Closed)));
    let again = store.compact_with(|_| unreachable!("there is nothing to report"));
    assert_eq!(again, Err(Unavailable::Closed));
    verify(&open(&disk, &clock).unwrap(), "closed by a report");
}

#[test]
fn a_disk_that_fails_in_the_middle_of_reports_stops_the_store() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = prepared(&disk, &clock);
    disk.fail_from(disk.operations() + 20);
    let mut told = 0;
    store.compact_with(|_| told += 1).unwrap_err();
    assert!(told >= 1);
    let after = store.publish("kept", "21").unwrap_err().to_string();
    assert!(after.contains("the store stopped"), "{after}");
    let image = disk.crash_image(3);
    verify(&open(&image, &clock).unwrap(), "cut in the middle");
}
