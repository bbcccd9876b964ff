//! Publishing, and what limits take.

use super::{driven, ends, with_threads};
use riverbed::disk::MemoryDisk;
use riverbed::{Limits, ManualClock, Publish, Riverbed, StreamConfig};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn limits_are_enforced_however_far_a_batch_goes_over_them() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let jobs = store
        .create_stream(StreamConfig::new("jobs").max_messages(10))
        .unwrap();
    jobs.publish_batch((0..60_000).map(|_| ("jobs", "")))
        .unwrap();
    store.drive().unwrap();
    assert_eq!(jobs.info().unwrap().messages, 10);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn pipelined_duplicates_on_a_quiet_store_are_answered() {
    ends(|| {
        let store = with_threads();
        let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
        let message = || Publish::new("jobs", vec![1; 1 << 20]).id("same");
        jobs.publish_message(message()).unwrap();
        for _ in 0..40 {
            assert!(
                jobs.publish_async(message())
                    .unwrap()
                    .wait()
                    .unwrap()
                    .duplicate
            );
        }
    });
}

#[test]
fn a_group_limit_of_nothing_still_lets_one_publish_through() {
    ends(|| {
        let mut limits = Limits::default();
        limits.group_bytes = 0;
        let builder = Riverbed::builder()
            .disk(Arc::new(MemoryDisk::new()))
            .limits(limits);
        let store = builder.open("/store").unwrap();
        let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
        jobs.publish("jobs", "1").unwrap();
        jobs.publish("jobs", "2").unwrap();
    });
}

#[test]
fn a_new_age_limit_is_judged_by_the_time_now() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let jobs = store
        .create_stream(StreamConfig::new("jobs").without_dedup())
        .unwrap();
    jobs.publish("jobs", "old").unwrap();
    clock.advance(Duration::from_secs(60));
    let aged = StreamConfig::new("jobs")
        .without_dedup()
        .max_age(Duration::from_secs(30));
    store.update_stream_removing(aged).unwrap();
    assert_eq!(jobs.info().unwrap().messages, 0);
}
