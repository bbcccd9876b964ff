//! A calendar that jumps while a store is open (R3).

use crate::world::{driven, hours};
use riverbed::{ConsumerConfig, Fetch, Publish, Seq, StreamConfig, Timestamp};
use std::time::Duration;

fn back_an_hour(time: Timestamp) -> Timestamp {
    Timestamp::from_micros(time.as_micros() - 3_600_000_000)
}

#[test]
fn r3_an_hour_back_changes_nothing_of_ages_ids_leases_and_order() {
    let (store, clock) = driven();
    let config = StreamConfig::new("s")
        .max_age(hours(2))
        .dedup_window(Duration::from_secs(60));
    let stream = store.create_stream(config).unwrap();
    let consumer = stream.create_consumer(ConsumerConfig::new("c")).unwrap();
    stream
        .publish_message(Publish::new("s", "").id("a"))
        .unwrap();
    let held = consumer.fetch(Fetch::new(1).no_wait()).unwrap();
    clock.set_calendar(back_an_hour(clock.clock().now()));
    // Ids are remembered, the lease goes on, and time in the stream does not go back.
    let again = stream
        .publish_message(Publish::new("s", "").id("a"))
        .unwrap();
    assert!(again.duplicate);
    stream.publish("s", "").unwrap();
    let time = |seq: u64| stream.get(Seq::new(seq)).unwrap().unwrap().timestamp();
    assert!(time(1) <= time(2));
    clock.advance(Duration::from_secs(29));
    store.drive().unwrap();
    held[0].ack().unwrap();
    // The window of ids and the age end when they would have.
    clock.advance(Duration::from_secs(32));
    store.drive().unwrap();
    let new = stream
        .publish_message(Publish::new("s", "").id("a"))
        .unwrap();
    assert!(!new.duplicate);
    clock.advance(Duration::from_secs(2 * 3_600 - 61));
    store.drive().unwrap();
    assert_eq!(stream.info().unwrap().first_seq, 3);
}

#[test]
fn r3_a_day_ahead_ends_what_the_calendar_rules_and_no_lease() {
    let (store, clock) = driven();
    let config = StreamConfig::new("s").max_age(hours(12));
    let stream = store.create_stream(config).unwrap();
    let consumer = stream.create_consumer(ConsumerConfig::new("c")).unwrap();
    stream
        .publish_message(Publish::new("s", "").id("a"))
        .unwrap();
    let keeper = store.create_stream(StreamConfig::new("kept")).unwrap();
    let worker = keeper
        .create_consumer(ConsumerConfig::new("worker"))
        .unwrap();
    keeper.publish("kept", "").unwrap();
    let held = worker.fetch(Fetch::new(1).no_wait()).unwrap();
    clock.set_calendar(clock.clock().now().plus(hours(24)));
    store.drive().unwrap();
    assert_eq!(stream.info().unwrap().messages, 0);
    assert_eq!(consumer.info().unwrap().lost, 1, "and it is counted (G11)");
    let new = stream
        .publish_message(Publish::new("s", "").id("a"))
        .unwrap();
    assert!(!new.duplicate, "the window of ids is over");
    assert_eq!(worker.info().unwrap().in_flight, 1);
    held[0].ack().unwrap();
    // Setting it right again takes nothing back: store time waits for the calendar.
    clock.set_calendar(back_an_hour(clock.clock().now()));
    stream.publish("s", "").unwrap();
    let time = |seq: u64| stream.get(Seq::new(seq)).unwrap().unwrap().timestamp();
    assert!(time(2) <= time(3));
}
