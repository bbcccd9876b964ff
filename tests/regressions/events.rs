//! Events.

use super::{driven, ends, with_threads};
use riverbed::disk::MemoryDisk;
use riverbed::{ConsumerConfig, Event, Fetch, ManualClock, StreamConfig};
use std::time::Duration;

#[test]
fn receivers_of_events_end_when_the_store_closes() {
    ends(|| {
        let store = with_threads();
        let events = store.events(10);
        store.close().unwrap();
        assert!(events.recv().is_err());
        assert!(store.events(10).recv().is_err());
    });
}

#[test]
fn idleness_is_told_also_after_a_fetch_that_waited() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let events = store.events(10);
    let jobs = store
        .create_stream(StreamConfig::new("jobs").without_dedup())
        .unwrap();
    let worker = jobs.create_consumer(ConsumerConfig::new("worker")).unwrap();
    assert!(worker.fetch(Fetch::new(1).no_wait()).unwrap().is_empty());
    jobs.publish("jobs", "forgotten").unwrap();
    clock.advance(Duration::from_secs(301));
    store.drive().unwrap();
    assert!(matches!(
        events.try_recv().unwrap(),
        Event::ConsumerIdle { .. }
    ));
}
