//! Dead letters.

use super::driven;
use riverbed::disk::MemoryDisk;
use riverbed::{Consumer, ConsumerConfig, Fetch, ManualClock, Riverbed, Seq, StreamConfig};
use std::time::Duration;

#[test]
fn a_dead_letter_whose_consumer_no_longer_wants_it_stays() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let jobs = store
        .create_stream(StreamConfig::new("jobs").subjects(["jobs.*"]))
        .unwrap();
    let config = |filter: &str| {
        ConsumerConfig::new("worker")
            .filter(filter)
            .dead_letter("dead")
    };
    let worker = jobs.create_consumer(config("jobs.a")).unwrap();
    jobs.publish("jobs.a", "precious").unwrap();
    worker.fetch(Fetch::new(1).no_wait()).unwrap()[0]
        .term("no")
        .unwrap();
    jobs.delete_consumer("worker").unwrap();
    jobs.create_consumer(config("jobs.b")).unwrap();
    let dead = store.stream("dead").unwrap();
    assert!(dead.redrive_to_consumer(Seq::new(1)).is_err());
    assert_eq!(dead.info().unwrap().messages, 1);
}

/// A consumer whose dead letters go to a stream of so many bytes that refuses what is too much.
fn with_dead_letters(
    store: &Riverbed,
    most: u64,
) -> (riverbed::Stream, riverbed::Stream, Consumer) {
    let dead = StreamConfig::new("dead").subjects(["dead.>"]);
    let dead = dead.max_bytes(most).discard(riverbed::Discard::New);
    let dead = store.create_stream(dead).unwrap();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let config = ConsumerConfig::new("worker").dead_letter("dead");
    let worker = jobs.create_consumer(config).unwrap();
    (dead, jobs, worker)
}

fn terminate_all(worker: &Consumer) {
    loop {
        let batch = worker.fetch(Fetch::new(1_000).no_wait()).unwrap();
        if batch.is_empty() {
            return;
        }
        batch
            .iter()
            .for_each(|message| message.term("bad").unwrap());
    }
}

#[test]
fn r19_a_letter_that_never_fits_strands_no_other() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let (dead, jobs, worker) = with_dead_letters(&store, 500_000);
    dead.publish("dead.x", vec![0; 499_000]).unwrap();
    jobs.publish("jobs", vec![0; 600_000]).unwrap();
    // More than one step of the sweeper takes.
    jobs.publish_batch((0..400).map(|_| ("jobs", "small")))
        .unwrap();
    terminate_all(&worker);
    store.drive().unwrap();
    dead.purge(riverbed::Purge::all()).unwrap();
    store.drive().unwrap();
    assert_eq!(worker.info().unwrap().refused, 1);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn r19_a_small_letter_is_tried_behind_large_ones() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let (dead, jobs, worker) = with_dead_letters(&store, 8 << 20);
    dead.publish("dead.x", vec![0; 7 << 20]).unwrap();
    let filler = dead.publish("dead.x", vec![0; 900_000]).unwrap().seq;
    // Three of them are more than is read at once.
    for _ in 0..3 {
        jobs.publish("jobs", vec![0; 8_000_000]).unwrap();
    }
    jobs.publish("jobs", vec![0; 500_000]).unwrap();
    terminate_all(&worker);
    store.drive().unwrap();
    assert_eq!(worker.info().unwrap().refused, 4);
    dead.delete(filler).unwrap();
    store.drive().unwrap();
    assert_eq!(worker.info().unwrap().refused, 3);
}

#[test]
fn r19_a_refusal_does_not_hide_that_room_was_made_for_others() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let (dead, jobs, worker) = with_dead_letters(&store, 1_000);
    dead.publish("dead.x", vec![0; 900]).unwrap();
    jobs.publish("jobs", "small").unwrap();
    terminate_all(&worker);
    assert_eq!(worker.info().unwrap().refused, 1);
    dead.purge(riverbed::Purge::all()).unwrap();
    // Before the sweeper looks, another one is refused for its own size.
    jobs.publish("jobs", vec![0; 2_000]).unwrap();
    terminate_all(&worker);
    store.drive().unwrap();
    assert_eq!(worker.info().unwrap().refused, 1);
    assert_eq!(dead.info().unwrap().messages, 1);
}

/// A stream whose only message its consumer gave up, and a dead-letter stream that has no room for it.
fn refused(store: &Riverbed) -> (Consumer, riverbed::Stream, riverbed::Stream) {
    let dead = StreamConfig::new("dead")
        .subjects(["dead.>"])
        .without_dedup();
    let dead = dead.max_messages(1).discard(riverbed::Discard::New);
    let dead = dead.max_age(Duration::from_secs(10));
    let dead = store.create_stream(dead).unwrap();
    dead.publish("dead.by.hand", "in the way").unwrap();
    let jobs = StreamConfig::new("jobs")
        .subjects(["jobs.>"])
        .without_dedup();
    let jobs = store
        .create_stream(jobs.max_age(Duration::from_secs(10)))
        .unwrap();
    let worker = ConsumerConfig::new("worker")
        .filter("jobs.a")
        .max_deliver(1);
    let worker = jobs.create_consumer(worker.dead_letter("dead")).unwrap();
    // Blocks of their own, so that not all of the stream is read at once.
    for _ in 0..4 {
        jobs.publish("jobs.b", vec![7; 70_000]).unwrap();
    }
    jobs.publish("jobs.a", "work").unwrap();
    let message = worker.fetch(1).unwrap().into_iter().next().unwrap();
    message.nak().unwrap();
    store.drive().unwrap();
    assert_eq!(worker.info().unwrap().refused, 1);
    (worker, jobs, dead)
}

/// Found by the simulation: it depended on which of the two streams had to be read first.
#[test]
fn r19_what_is_too_old_is_lost_whatever_room_ages_make() {
    for restart in [false, true] {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let mut store = driven(&disk, &clock);
        let (mut worker, ..) = refused(&store);
        if restart {
            store.close().unwrap();
            drop((worker, store));
            store = driven(&disk, &clock);
            worker = store.stream("jobs").unwrap().consumer("worker").unwrap();
        }
        clock.advance(Duration::from_secs(60));
        store.drive().unwrap();
        let info = worker.info().unwrap();
        assert_eq!((info.dead_lettered, info.lost), (0, 1), "restart {restart}");
        assert_eq!(store.stream("dead").unwrap().info().unwrap().messages, 0);
    }
}

/// Found by the simulation: a power cut in the middle of a purge, and room for a letter that was refused.
#[test]
fn r19_a_message_that_is_purged_becomes_no_dead_letter() {
    let mut met = 0;
    for at in 0.. {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let store = driven(&disk, &clock);
        let (old, jobs, dead) = refused(&store);
        dead.purge(riverbed::Purge::all()).unwrap();
        disk.fail_from(disk.operations() + at);
        let purged = jobs.purge(riverbed::Purge::all().filter("jobs.a"));
        let image = disk.crash_image(1);
        drop((store, jobs, dead, old));
        let store = driven(&image, &clock);
        let info = |name| store.stream(name).unwrap().info().unwrap();
        let worker = store.stream("jobs").unwrap().consumer("worker").unwrap();
        let totals = worker.info().unwrap();
        let is_gone = info("jobs").messages == 4;
        assert_eq!(
            (totals.lost, totals.dead_lettered),
            if is_gone { (1, 0) } else { (0, 1) }
        );
        assert_eq!(info("dead").messages, u64::from(!is_gone));
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
        met |= 1 << u8::from(is_gone);
        if purged.is_ok() {
            break;
        }
    }
    assert_eq!(met, 3, "both were met");
}
