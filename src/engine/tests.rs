//! In these tests every group is applied twice, once as it came through its byte encoding (R27).

use crate::changes::Changes;
use crate::clock::ManualClock;
use crate::config::{ConsumerConfig, DedupRelease, Retention, StreamConfig};
use crate::disk::MemoryDisk;
use crate::fetch::Fetch;
use crate::format::{decode_changes, encode_changes};
use crate::publish::Publish;
use crate::riverbed::Riverbed;
use crate::store::Store;
use crate::stream::Purge;
use std::sync::Arc;
use std::time::Duration;

/// What a journal would do with a group: write it, read it, apply it, and apply it again.
pub(super) fn through_bytes(store: &Store, changes: &Changes) -> Changes {
    let decoded = decode_changes(&encode_changes(changes)).unwrap();
    let decoded = store.supplied(decoded).unwrap();
    assert_eq!(&decoded, changes);
    decoded
}

pub(super) fn open(disk: &MemoryDisk, clock: &ManualClock) -> Riverbed {
    Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .clock(clock.clock())
        .without_threads()
        .open("/store")
        .unwrap()
}

#[test]
fn r27_a_history_whose_groups_are_all_applied_twice_is_like_any_other() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock);
    let jobs = store
        .create_stream(
            StreamConfig::new("jobs")
                .subjects(["jobs.*"])
                .max_messages(60),
        )
        .unwrap();
    let config = ConsumerConfig::new("worker")
        .max_deliver(2)
        .dead_letter("dead");
    let worker = jobs.create_consumer(config).unwrap();
    for round in 0..10 {
        jobs.publish_batch((0..10).map(|n| (format!("jobs.{n}"), format!("{round}/{n}"))))
            .unwrap();
        let batch = worker.fetch(Fetch::new(7).no_wait()).unwrap();
        batch[0].ack().unwrap();
        batch[1].nak().unwrap();
        batch[2].term("no").unwrap();
        clock.advance(Duration::from_secs(31));
        store.drive().unwrap();
        jobs.delete(batch[3].seq()).unwrap_or_default();
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }
    jobs.purge(Purge::all().filter("jobs.3")).unwrap();
    let before = (jobs.info().unwrap(), worker.info().unwrap());
    drop((store, jobs, worker));
    let store = open(&disk, &clock);
    let jobs = store.stream("jobs").unwrap();
    let after = (
        jobs.info().unwrap(),
        jobs.consumer("worker").unwrap().info().unwrap(),
    );
    assert_eq!(before, after);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_count_that_was_not_stored_is_found() {
    let store = open(&MemoryDisk::new(), &ManualClock::new());
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    jobs.create_consumer(ConsumerConfig::new("worker")).unwrap();
    jobs.publish("jobs", "").unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    {
        let mut core = jobs.root.engine.enter().unwrap();
        for consumer in core.state.consumers.values_mut() {
            consumer.totals.acked += 1;
        }
    }
    let said = "stream `jobs`: row 1 of ConsumerState is stored otherwise";
    assert_eq!(store.check().unwrap(), [said]);
}

#[test]
fn an_id_that_was_released_and_is_stored_is_found() {
    let store = open(&MemoryDisk::new(), &ManualClock::new());
    let config = StreamConfig::new("jobs")
        .retention(Retention::WorkQueue)
        .dedup_release(DedupRelease::Finished);
    let jobs = store.create_stream(config).unwrap();
    let batch = ["a", "b"].map(|id| Publish::new("jobs", "").id(id));
    jobs.publish_batch(batch).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    {
        let mut core = jobs.root.engine.enter().unwrap();
        for stream in core.state.streams.values_mut() {
            assert!(stream.dedup.release(1));
        }
    }
    let said = "stream `jobs`: its message ids are stored otherwise";
    assert_eq!(store.check().unwrap(), [said]);
}
