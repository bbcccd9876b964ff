//! What the oracle (`tests/simulation`) found, each as a small story of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use riverbed::disk::MemoryDisk;
use riverbed::{
    ConsumerConfig, Discard, Fetch, ManualClock, Publish, RedriveError, Riverbed, Seq, StreamConfig,
};
use std::sync::Arc;
use std::time::Duration;

fn open(disk: &MemoryDisk, clock: &ManualClock) -> Riverbed {
    let disk = Arc::new(disk.clone());
    let builder = Riverbed::builder()
        .clock(clock.clock())
        .disk(disk)
        .without_threads();
    builder.open("/store").unwrap()
}

fn seqs(batch: &riverbed::Batch) -> Vec<u64> {
    batch.iter().map(|message| message.seq().get()).collect()
}

fn now(n: usize) -> Fetch {
    Fetch::new(n).no_wait()
}

#[test]
fn the_first_fetch_keeps_to_max_ack_pending_bytes() {
    let store = open(&MemoryDisk::new(), &ManualClock::new());
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let config = ConsumerConfig::new("worker").max_ack_pending_bytes(100);
    let worker = jobs.create_consumer(config).unwrap();
    jobs.publish_batch([
        ("jobs", vec![1; 40]),
        ("jobs", vec![2; 40]),
        ("jobs", vec![3; 400]),
    ])
    .unwrap();
    assert_eq!(seqs(&worker.fetch(now(10)).unwrap()), [1, 2]);
    let batch = worker.fetch(now(10)).unwrap();
    assert!(batch.is_empty(), "what is out leaves no room for the third");
}

#[test]
fn one_message_over_max_ack_pending_bytes_is_delivered_alone() {
    let store = open(&MemoryDisk::new(), &ManualClock::new());
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let config = ConsumerConfig::new("worker").max_ack_pending_bytes(100);
    let worker = jobs.create_consumer(config).unwrap();
    jobs.publish_batch([("jobs", vec![1; 400]), ("jobs", vec![2; 4])])
        .unwrap();
    let first = worker.fetch(now(10)).unwrap();
    assert_eq!(seqs(&first), [1]);
    first.ack().unwrap();
    assert_eq!(seqs(&worker.fetch(now(10)).unwrap()), [2]);
}

#[test]
fn delivered_and_the_ack_floor_do_not_go_back_over_a_kill() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock);
    let stream = store
        .create_stream(StreamConfig::new("s").subjects(["s.*"]))
        .unwrap();
    let worker = stream
        .create_consumer(ConsumerConfig::new("worker").filter("s.wanted"))
        .unwrap();
    stream
        .publish_batch([("s.other", "1"), ("s.other", "2")])
        .unwrap();
    assert!(worker.fetch(now(1)).unwrap().is_empty());
    let before = worker.info().unwrap();
    assert_eq!(
        (before.delivered, before.ack_floor),
        (Seq::new(2), Seq::new(2))
    );
    let store = open(&disk.kill_image(), &clock);
    let after = store
        .stream("s")
        .unwrap()
        .consumer("worker")
        .unwrap()
        .info()
        .unwrap();
    assert_eq!(
        (after.delivered, after.ack_floor),
        (before.delivered, before.ack_floor)
    );
}

#[test]
fn the_oldest_unfinished_message_is_one_that_the_consumer_wants() {
    let clock = ManualClock::new();
    let store = open(&MemoryDisk::new(), &clock);
    let stream = store
        .create_stream(StreamConfig::new("s").subjects(["s.*"]))
        .unwrap();
    let worker = stream
        .create_consumer(ConsumerConfig::new("worker").filter("s.wanted"))
        .unwrap();
    stream.publish("s.other", "not mine").unwrap();
    stream.publish("s.wanted", "mine, but deleted").unwrap();
    clock.advance(Duration::from_secs(60));
    stream.publish("s.wanted", "mine").unwrap();
    stream.delete(Seq::new(2)).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(
        worker.info().unwrap().oldest_unfinished,
        Some(Duration::from_secs(1))
    );
}

#[test]
fn after_reopening_due_messages_are_in_order_also_when_a_delay_ended_meanwhile() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock);
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    let worker = stream
        .create_consumer(ConsumerConfig::new("worker"))
        .unwrap();
    stream
        .publish_batch([("s", "1"), ("s", "2"), ("s", "3")])
        .unwrap();
    let batch = worker.fetch(now(3)).unwrap();
    batch[0].nak_after(Duration::from_secs(5)).unwrap();
    batch[1].nak().unwrap();
    clock.advance(Duration::from_secs(10));
    let store = open(&disk.kill_image(), &clock);
    let worker = store.stream("s").unwrap().consumer("worker").unwrap();
    assert_eq!(seqs(&worker.fetch(now(3)).unwrap()), [1, 2, 3]);
}

#[test]
fn a_claim_that_a_limit_takes_first_is_no_delivery() {
    let store = open(&MemoryDisk::new(), &ManualClock::new());
    let stream = store
        .create_stream(StreamConfig::new("s").max_messages(2))
        .unwrap();
    let worker = stream
        .create_consumer(ConsumerConfig::new("worker"))
        .unwrap();
    for n in 0..3 {
        stream.publish_async(("s", format!("{n}"))).unwrap();
    }
    // The claim and the limit are in one commit.
    assert_eq!(seqs(&worker.fetch(now(3)).unwrap()), [2, 3]);
    let info = worker.info().unwrap();
    assert_eq!((info.deliveries, info.in_flight, info.lost), (2, 2, 1));
}

#[test]
fn redrive_to_a_consumer_never_takes_another_message_for_the_original() {
    let clock = ManualClock::new();
    let store = open(&MemoryDisk::new(), &clock);
    let config = || ConsumerConfig::new("worker").dead_letter("dead");
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let worker = jobs.create_consumer(config()).unwrap();
    jobs.publish("jobs", "broken").unwrap();
    worker.fetch(now(1)).unwrap()[0].term("broken").unwrap();
    store.delete_stream("jobs").unwrap();

    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let worker = jobs.create_consumer(config()).unwrap();
    jobs.publish("jobs", "another").unwrap();
    worker.fetch(now(1)).unwrap().ack().unwrap();
    let dead = store.stream("dead").unwrap();
    let refused = dead.redrive_to_consumer(Seq::new(1));
    assert!(
        matches!(refused, Err(RedriveError::Gone { .. })),
        "{refused:?}"
    );
    assert_eq!(dead.info().unwrap().messages, 1, "the dead letter stays");
    assert!(worker.fetch(now(1)).unwrap().is_empty());
}

#[test]
fn a_redrive_counts_the_id_against_max_bytes() {
    let store = open(&MemoryDisk::new(), &ManualClock::new());
    let config = StreamConfig::new("jobs")
        .max_bytes(400)
        .discard(Discard::New);
    let jobs = store.create_stream(config.clone()).unwrap();
    let worker = jobs
        .create_consumer(ConsumerConfig::new("worker").dead_letter("dead"))
        .unwrap();
    jobs.publish_message(Publish::new("jobs", "").id("i".repeat(100)))
        .unwrap();
    worker.fetch(now(1)).unwrap()[0].term("no").unwrap();
    jobs.delete(Seq::new(1)).unwrap();
    let dead = store.stream("dead").unwrap();
    // The envelope comes along; leave room for all of it but not for the id.
    let letter = dead.get(Seq::new(1)).unwrap().unwrap();
    let without_id = ("jobs".len() + letter.headers().encoded_size()) as u64;
    let config = config.max_bytes(without_id + 50);
    store.update_stream(config).unwrap();
    let refused = dead.redrive(Seq::new(1));
    assert!(
        matches!(refused, Err(RedriveError::Refused { .. })),
        "{refused:?}"
    );
    let bytes = jobs.info().unwrap().bytes;
    assert_eq!(
        bytes, 0,
        "a stream that discards new messages stays below its limit"
    );
}

#[test]
fn a_dead_letter_that_never_fits_holds_up_no_other() {
    let store = open(&MemoryDisk::new(), &ManualClock::new());
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let dead = StreamConfig::new("dead")
        .subjects(["dead.>"])
        .max_bytes(800)
        .discard(Discard::New);
    let dead = store.create_stream(dead).unwrap();
    let worker = jobs
        .create_consumer(ConsumerConfig::new("worker").dead_letter("dead"))
        .unwrap();
    jobs.publish_batch([
        ("jobs", vec![1; 2_000]),
        ("jobs", vec![2; 300]),
        ("jobs", vec![3; 301]),
    ])
    .unwrap();
    let batch = worker.fetch(now(3)).unwrap();
    batch[1].term("fits").unwrap();
    batch[2].term("finds no room").unwrap();
    batch[0].term("never fits").unwrap();
    assert_eq!(worker.info().unwrap().refused, 2);
    dead.delete(Seq::new(1)).unwrap();
    store.drive().unwrap();
    let info = worker.info().unwrap();
    assert_eq!(
        (info.refused, info.dead_lettered),
        (1, 2),
        "there is room for the small one now"
    );
}

#[test]
fn a_new_subject_behind_a_duplicate_counts_against_the_bound_on_subjects() {
    let mut limits = riverbed::Limits::default();
    limits.subjects_per_stream = 1;
    let disk = Arc::new(MemoryDisk::new());
    let store = Riverbed::builder()
        .limits(limits)
        .disk(disk)
        .without_threads()
        .open("/store")
        .unwrap();
    let stream = store
        .create_stream(StreamConfig::new("s").subjects(["s.*"]))
        .unwrap();
    stream
        .publish_message(Publish::new("s.a", "").id("id"))
        .unwrap();
    let batch = [Publish::new("s.b", "").id("id"), Publish::new("s.b", "")];
    let refused = stream.publish_batch(batch).unwrap_err().kind;
    assert!(
        matches!(refused, riverbed::PublishErrorKind::SubjectsFull { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_crash_in_the_middle_of_a_purge_counts_no_death_of_what_was_purged() {
    let mut met = 0;
    for operation in 0..40 {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let store = open(&disk, &clock);
        let stream = store
            .create_stream(StreamConfig::new("s").subjects(["s.*"]))
            .unwrap();
        let worker = stream
            .create_consumer(ConsumerConfig::new("worker").max_deliver(5))
            .unwrap();
        stream.publish("s.gone", "purged").unwrap();
        let held = worker.fetch(now(1)).unwrap();
        assert_eq!(seqs(&held), [1]);
        disk.fail_from(disk.operations() + operation);
        if stream
            .purge(riverbed::Purge::all().filter("s.gone"))
            .is_ok()
        {
            break;
        }
        let store = open(&disk.kill_image(), &clock);
        let stream = store.stream("s").unwrap();
        store.drive().unwrap();
        let info = stream.consumer("worker").unwrap().info().unwrap();
        let purged = stream.info().unwrap().messages == 0;
        met += u64::from(purged);
        let deaths = u64::from(!purged);
        assert_eq!(
            (info.lost, info.failures, info.crashes),
            (u64::from(purged), deaths, deaths),
            "the disk failed at operation {operation} of the purge"
        );
    }
    assert!(met > 0, "no crash came between the mark and its steps");
}

#[test]
fn a_longer_window_brings_no_forgotten_id_back_not_even_after_a_reopen() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock);
    let config = StreamConfig::new("s").dedup_window(Duration::from_secs(10));
    let stream = store.create_stream(config.clone()).unwrap();
    let id = |id: &str| Publish::new("s", "").id(id);
    // Two ids of different age in one row: the older is forgotten, the row stays.
    stream.publish_async(id("old")).unwrap();
    clock.advance(Duration::from_secs(6));
    stream.publish_async(id("young")).unwrap();
    stream.flush().unwrap();
    clock.advance(Duration::from_secs(6));
    let longer = config.dedup_window(Duration::from_secs(600));
    store.update_stream(longer).unwrap();
    let store = open(&disk.kill_image(), &clock);
    let stream = store.stream("s").unwrap();
    assert_eq!(stream.info().unwrap().dedup_ids, 1);
    assert!(!stream.publish_message(id("old")).unwrap().duplicate);
    assert!(stream.publish_message(id("young")).unwrap().duplicate);
}
