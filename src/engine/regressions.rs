//! Bugs that a review found, held by tests that stand where only the engine can: between a commit and
//! what follows from it.

use super::tests::open;
use crate::changes::{Change, Changes};
use crate::clock::ManualClock;
use crate::config::{ConsumerConfig, StreamConfig};
use crate::disk::MemoryDisk;
use crate::fetch::Fetch;
use crate::riverbed::Riverbed;
use crate::seq::Seq;
use crate::state::{Need, PurgeBound};
use crate::store::Commit;
use crate::stream::Stream;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn store() -> (MemoryDisk, ManualClock, Riverbed) {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock);
    (disk, clock, store)
}

/// Begins a purge without doing what follows: what others see in the middle of one.
pub(super) fn cut(stream: &Stream, filter: Option<&str>, bound: &PurgeBound) -> u64 {
    let filter = filter.map(|filter| filter.parse().unwrap());
    let mut core = stream.root.engine.enter().unwrap();
    core.state.begin_purge(stream.id, filter, bound).unwrap();
    core.state.stream(stream.id).unwrap().group
}

/// Takes blocks away behind the store's back.
pub(super) fn lose_blocks(stream: &Stream, to: u64) {
    let lost = Change::DropBlocks {
        stream: stream.id,
        from: 0,
        to,
    };
    let changes = Changes {
        group: 99,
        changes: vec![lost],
    };
    stream
        .root
        .engine
        .store
        .apply(&changes, Commit::Durable)
        .unwrap();
}

#[test]
fn g11_a_consumer_that_fetches_in_the_middle_of_a_cut_counts_what_it_lost() {
    let (_disk, _clock, store) = store();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let worker = jobs.create_consumer(ConsumerConfig::new("worker")).unwrap();
    jobs.publish_batch((0..100).map(|n| ("jobs", format!("{n}"))))
        .unwrap();
    cut(&jobs, None, &PurgeBound::Below(95));
    let batch = worker.fetch(Fetch::new(1).no_wait()).unwrap();
    assert_eq!(batch[0].seq(), Seq::new(95));
    let info = worker.info().unwrap();
    assert_eq!((info.lost, info.pending), (94, 5));
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn g11_a_consumer_that_fetches_in_the_middle_of_a_purge_by_subject_counts_what_it_lost() {
    let (_disk, _clock, store) = store();
    let jobs = store
        .create_stream(StreamConfig::new("jobs").subjects(["jobs.*"]))
        .unwrap();
    let worker = jobs
        .create_consumer(ConsumerConfig::new("worker").filter("jobs.*"))
        .unwrap();
    jobs.publish_batch([("jobs.a", "1"), ("jobs.b", "2")])
        .unwrap();
    let group = cut(&jobs, Some("jobs.a"), &PurgeBound::All);
    jobs.root.engine.wait(group).unwrap();
    let batch = worker.fetch(Fetch::new(1).no_wait()).unwrap();
    assert_eq!(batch[0].subject(), "jobs.b");
    let info = worker.info().unwrap();
    assert_eq!((info.lost, info.pending), (1, 0));
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn r1_a_durably_purged_message_never_shows_again() {
    let (_disk, _clock, store) = store();
    let jobs = store
        .create_stream(StreamConfig::new("jobs").subjects(["jobs.*"]))
        .unwrap();
    jobs.publish_batch([("jobs.a", "1"), ("jobs.b", "2")])
        .unwrap();
    let group = cut(&jobs, Some("jobs.b"), &PurgeBound::All);
    let engine = &jobs.root.engine;
    engine.wait(group).unwrap();
    assert_eq!(jobs.get(Seq::new(2)).unwrap(), None);
    // The mark is gone and the hole is not yet in the store.
    engine
        .run(|core| core.state.purge_step(jobs.id, &mut 100))
        .unwrap();
    assert_eq!(jobs.get(Seq::new(2)).unwrap(), None);
}

#[test]
fn r9_a_large_cut_is_freed_in_steps_and_not_in_its_own_group() {
    let (_disk, _clock, store) = store();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    jobs.publish_batch((0..60_000).map(|_| ("jobs", "")))
        .unwrap();
    let group = cut(&jobs, None, &PurgeBound::Below(59_000));
    let engine = &jobs.root.engine;
    engine.wait(group).unwrap();
    let head = engine.enter().unwrap().state.stream(jobs.id).unwrap().head;
    assert!(head < 59_000, "{head}: all of it at once");
    store.drive().unwrap();
    assert_eq!(jobs.info().unwrap().messages, 1_001);
}

#[test]
fn blocks_are_freed_after_a_purge_of_all_and_a_publish_in_one_group() {
    let (_disk, _clock, store) = store();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    for _ in 0..3 {
        jobs.publish_batch((0..20_000).map(|n| ("jobs", format!("{n}"))))
            .unwrap();
    }
    cut(&jobs, None, &PurgeBound::All);
    jobs.publish("jobs", "alone").unwrap();
    store.drive().unwrap();
    let engine = &jobs.root.engine;
    let blocks = engine
        .store
        .read(|reader| reader.block_starts(jobs.id, u64::MAX, 1_000));
    assert_eq!(blocks.unwrap(), [60_001]);
    assert_eq!(
        jobs.get(Seq::new(60_001)).unwrap().unwrap().payload(),
        b"alone"
    );
}

#[test]
fn r10_close_waits_for_the_group_on_its_way_to_the_disk() {
    let (disk, clock, store) = store();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let engine = Arc::clone(&jobs.root.engine);
    // With the tails held, the leader stands between sealing the group and applying it.
    let tails = engine.tails.lock();
    let publisher = std::thread::spawn({
        let jobs = jobs.clone();
        move || jobs.publish("jobs", "precious")
    });
    while {
        let core = engine.core.lock();
        !core.leading || core.state.has_work()
    } {
        std::thread::yield_now();
    }
    let closer = std::thread::spawn({
        let store = store.clone();
        move || store.close()
    });
    while !engine.core.lock().closing {
        std::thread::yield_now();
    }
    drop(tails);
    publisher.join().unwrap().unwrap();
    closer.join().unwrap().unwrap();
    drop((store, jobs, engine));
    let store = open(&disk, &clock);
    assert_eq!(store.stream("jobs").unwrap().info().unwrap().messages, 1);
}

/// The turn that a compaction is handed is that of a group, which nobody else would commit.
#[test]
fn r6_what_nobody_waits_for_is_committed_behind_a_compaction() {
    let store = Riverbed::builder().disk(Arc::new(MemoryDisk::new()));
    let store = store.open("/store").unwrap();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let engine = Arc::clone(&jobs.root.engine);
    // With the tails held, the leader stands between sealing the group and applying it.
    let tails = engine.tails.lock();
    let publisher = std::thread::spawn({
        let jobs = jobs.clone();
        move || jobs.publish("jobs", "first")
    });
    while {
        let core = engine.core.lock();
        !core.leading || core.state.has_work()
    } {
        std::thread::yield_now();
    }
    let compactor = std::thread::spawn({
        let store = store.clone();
        move || store.compact()
    });
    while engine.core.lock().slots.is_empty() {
        std::thread::yield_now();
    }
    let pipelined = jobs.publish_async(("jobs", "second")).unwrap();
    drop(tails);
    publisher.join().unwrap().unwrap();
    compactor.join().unwrap().unwrap();
    let group = engine.core.lock().state.group;
    for _ in 0..10_000_000 {
        let core = engine.core.lock();
        if !core.leading && !core.state.has_work() && core.durable + 1 >= group {
            break;
        }
        drop(core);
        std::thread::yield_now();
    }
    assert!(!engine.core.lock().state.has_work(), "it is still staged");
    pipelined.wait().unwrap();
    assert_eq!(jobs.info().unwrap().messages, 2);
}

#[test]
fn g9_an_unreadable_dead_letter_stops_no_other_timeout() {
    let (_disk, clock, store) = store();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let fine = store.create_stream(StreamConfig::new("fine")).unwrap();
    let config = ConsumerConfig::new("worker")
        .max_deliver(1)
        .dead_letter("dead");
    let worker = jobs.create_consumer(config).unwrap();
    let other = fine.create_consumer(ConsumerConfig::new("other")).unwrap();
    jobs.publish("jobs", "lost").unwrap();
    fine.publish("fine", "kept").unwrap();
    let _held = worker.fetch(Fetch::new(1).no_wait()).unwrap();
    let _other_held = other.fetch(Fetch::new(1).no_wait()).unwrap();
    lose_blocks(&jobs, 10);
    clock.advance(Duration::from_secs(31));
    store.drive().unwrap();
    assert_eq!(other.info().unwrap().due, 1);
    // The other one can't be copied: it stays, out of delivery, and is shown.
    let info = worker.info();
    assert!(info.is_err() || info.is_ok_and(|info| info.refused == 1));
}

#[test]
fn g12_a_missing_head_block_stops_neither_other_streams_nor_publishing() {
    let (disk, clock, store) = store();
    let aged = StreamConfig::new("jobs").max_age(Duration::from_secs(3_600));
    let jobs = store.create_stream(aged).unwrap();
    let fine = store.create_stream(StreamConfig::new("fine")).unwrap();
    jobs.publish("jobs", vec![1; 5_000]).unwrap();
    jobs.publish("jobs", vec![1; 5_000]).unwrap();
    lose_blocks(&jobs, 1);
    drop((jobs, fine, store));
    let store = open(&disk, &clock);
    store.stream("jobs").unwrap().publish("jobs", "x").unwrap();
    store.stream("fine").unwrap().publish("fine", "x").unwrap();
    assert!(!store.check().unwrap().is_empty(), "the damage is reported");
}

#[test]
fn a_head_that_passes_what_was_excluded_is_stored() {
    let (disk, clock, store) = store();
    let aged = StreamConfig::new("jobs").max_age(Duration::from_secs(3_600));
    let jobs = store.create_stream(aged).unwrap();
    jobs.publish("jobs", vec![1; 5_000]).unwrap();
    jobs.publish("jobs", vec![1; 5_000]).unwrap();
    lose_blocks(&jobs, 1);
    drop((jobs, store));
    let store = open(&disk, &clock);
    store.drive().unwrap();
    assert_eq!(store.exclude_damaged().unwrap().excluded.len(), 1);
    store.drive().unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let jobs = store.stream("jobs").unwrap();
    assert_eq!(jobs.info().unwrap().first_seq, Seq::new(2));
}

#[test]
fn g12_no_commit_can_grow_a_last_block_whose_exclusion_is_staged() {
    let (_disk, _clock, store) = store();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    // The block is known as the stream's tail, to be grown by the next publish.
    jobs.publish_batch([("jobs", "1"), ("jobs", "2")]).unwrap();
    lose_blocks(&jobs, 1);
    let engine = Arc::clone(&jobs.root.engine);
    // With the tails held, whoever excludes stands between staging it and forgetting the tail.
    let tails = engine.tails.lock();
    assert!(tails.get(&jobs.id).is_some_and(Option::is_some));
    let excluder = std::thread::spawn({
        let store = store.clone();
        move || store.exclude_damaged()
    });
    // It keeps the state's lock meanwhile: nobody can publish into that group and commit it.
    let mut refused_in_a_row = 0;
    while refused_in_a_row < 10_000 && !excluder.is_finished() {
        refused_in_a_row += 1;
        if let Some(core) = engine.core.try_lock() {
            refused_in_a_row = 0;
            assert!(!core.state.has_work(), "a commit could grow the tail");
        }
        std::thread::yield_now();
    }
    drop(tails);
    assert_eq!(excluder.join().unwrap().unwrap().excluded.len(), 1);
    jobs.publish("jobs", "3").unwrap();
    let payload = |seq| {
        let message = jobs.get(Seq::new(seq)).unwrap();
        message.map(|message| message.payload().to_vec())
    };
    assert_eq!([1, 2, 3].map(payload), [None, None, Some(b"3".to_vec())]);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    assert!(store.exclude_damaged().unwrap().is_empty());
}

#[test]
fn r3_the_sweeper_sleeps_over_a_head_that_it_cannot_read() {
    let (_disk, _clock, store) = store();
    let aged = StreamConfig::new("aged").max_age(Duration::from_secs(60));
    let aged = store.create_stream(aged).unwrap();
    aged.publish("aged", "one").unwrap();
    let engine = &aged.root.engine;
    store.drive().unwrap();
    engine.sleep().unwrap();
    // Damage was met where the head is.
    let mut core = engine.enter().unwrap();
    let known = core.state.streams.get_mut(&aged.id).unwrap();
    known.unreadable = Some("the head".into());
    drop(core);
    store.drive().unwrap();
    assert_eq!(engine.sleep(), None);
}

#[test]
fn g10_one_damaged_message_does_not_let_all_others_be_read_at_once() {
    let (_disk, _clock, store) = store();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let mut large = Vec::new();
    for _ in 0..40 {
        large.push(jobs.publish("jobs", vec![0; 1 << 20]).unwrap().seq.get());
    }
    lose_blocks(&jobs, large[0]);
    let engine = &jobs.root.engine;
    let wanted = large.iter().map(|seq| (jobs.id, *seq)).collect();
    let supplied = engine.load_or_mark(&Need::Messages(wanted)).unwrap();
    assert!((1..=17).contains(&supplied.len()), "{}", supplied.len());
    assert_eq!(supplied[0], (jobs.id, large[1]));
}

#[test]
fn r1_the_last_of_several_subjects_is_not_that_of_what_is_not_durable() {
    let (_disk, _clock, store) = store();
    let jobs = StreamConfig::new("jobs").subjects(["jobs.*"]);
    let jobs = store.create_stream(jobs).unwrap();
    jobs.publish("jobs.y", "one").unwrap();
    let last = jobs.publish("jobs.x", "two").unwrap().seq;
    let engine = &jobs.root.engine;
    let last_seq = || {
        jobs.last_for_subject("jobs.*")
            .unwrap()
            .map(|last| last.seq())
    };
    engine.hold_group();
    jobs.delete(last).unwrap();
    assert_eq!(last_seq(), Some(last));
    engine.commit_held().unwrap();
    assert_eq!(last_seq(), Some(Seq::new(1)));
}

#[test]
fn g9_who_waits_for_one_lane_is_served_while_another_is_counted() {
    let (_disk, _clock, store) = store();
    let lane = |name: &str| {
        let stream = store.create_stream(StreamConfig::new(name)).unwrap();
        stream
            .create_consumer(ConsumerConfig::new("worker"))
            .unwrap()
    };
    let (urgent, bulk) = (lane("urgent"), lane("bulk"));
    let held = bulk.whose.reference.reading.take_to_count();
    let lanes = store.lanes([&urgent, &bulk]).unwrap();
    let patient = || Fetch::new(1).forever();
    let (told, served) = std::sync::mpsc::channel();
    let of_lanes = std::thread::spawn({
        let told = told.clone();
        move || told.send(lanes.fetch(patient()).unwrap().len()).unwrap()
    });
    let alone = std::thread::spawn({
        let urgent = urgent.clone();
        move || told.send(urgent.fetch(patient()).unwrap().len()).unwrap()
    });
    for _ in 0..2 {
        store.publish("urgent", "").unwrap();
    }
    // The one that is alone, at least; and the other, if it has not come to its second lane.
    let patience = Duration::from_secs(60);
    assert_eq!(served.recv_timeout(patience), Ok(1));
    drop(held);
    assert_eq!(served.recv_timeout(patience), Ok(1));
    of_lanes.join().unwrap();
    alone.join().unwrap();
}
