//! Streams that are bounded by their slowest consumer.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, InvalidSetting, OnExhausted, Publish, PublishErrorKind, Rollup, Stream,
    StreamConfig, StreamError,
};
use std::thread;

fn bounded(world: &World, lag: u64) -> Stream {
    let config = StreamConfig::new("s").subjects(["s.>"]);
    let config = config.max_lag_messages(lag);
    world.store.create_stream(config).unwrap()
}

fn exceeded(consumer: &str, lag: u64, limit: u64) -> PublishErrorKind {
    PublishErrorKind::LagExceeded {
        stream: "s".into(),
        consumer: consumer.into(),
        lag,
        limit,
    }
}

fn clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn publishers_are_refused_when_the_slowest_consumer_is_too_far_behind() {
    let world = World::new();
    let stream = bounded(&world, 3);
    publish(&stream, "s.free", 5);
    let start = riverbed::DeliverPolicy::New;
    let fast = create(&stream, ConsumerConfig::new("fast").deliver(start));
    let slow = create(
        &stream,
        ConsumerConfig::new("slow").deliver(start).filter("s.a"),
    );
    publish(&stream, "s.a", 3);
    assert_eq!(
        publish_kind(stream.publish("s.a", "")),
        exceeded("fast", 3, 3)
    );
    for message in take(&fast, 9) {
        message.ack().unwrap();
    }
    assert_eq!(
        publish_kind(stream.publish("s.a", "")),
        exceeded("slow", 3, 3)
    );
    // Who does not want it holds nobody up.
    stream.publish("s.b", "").unwrap();
    // What is in flight is to be done, and so is what waits for another attempt.
    let held = take(&slow, 2);
    held[1].nak().unwrap();
    assert_eq!(
        publish_kind(stream.publish("s.a", "")),
        exceeded("slow", 3, 3)
    );
    held[0].ack().unwrap();
    stream.publish("s.a", "").unwrap();
    // All of a batch, or none of it.
    take_one(&slow).ack().unwrap();
    for message in take(&fast, 9) {
        message.ack().unwrap();
    }
    let batch = [("s.b", ""), ("s.a", ""), ("s.a", "")];
    assert_eq!(
        publish_kind(stream.publish_batch(batch)),
        exceeded("slow", 2, 3)
    );
    assert_eq!(stream.info().unwrap().messages, 10);
    stream.publish_batch([("s.b", ""), ("s.a", "")]).unwrap();
    clean(&world);
}

#[test]
fn what_a_consumer_gave_up_and_who_only_visits_hold_nobody_up() {
    let world = World::new();
    let stream = bounded(&world, 1);
    let parks = ConsumerConfig::new("parks").max_deliver(1);
    let parks = create(&stream, parks.on_exhausted(OnExhausted::Park));
    let visitor = ConsumerConfig::new("visitor").inactive_threshold(secs(60));
    let visitor = create(&stream, visitor);
    for _ in 0..3 {
        stream.publish("s.a", "").unwrap();
        assert_eq!(
            publish_kind(stream.publish("s.a", "")),
            exceeded("parks", 1, 1)
        );
        take_one(&parks).nak().unwrap();
    }
    assert_eq!((info(&parks).parked, info(&visitor).pending), (3, 3));
    // A paused one is to do what it has.
    stream.publish("s.a", "").unwrap();
    parks
        .pause(riverbed::Timestamp::from_micros(u64::MAX))
        .unwrap();
    assert_eq!(
        publish_kind(stream.publish("s.a", "")),
        exceeded("parks", 1, 1)
    );
    // What is lost is no longer to be done, and a consumer that is gone does nothing.
    stream.delete(4.into()).unwrap();
    stream.publish("s.a", "").unwrap();
    stream.delete_consumer("parks").unwrap();
    stream.publish("s.a", "").unwrap();
    clean(&world);
}

#[test]
fn only_publishers_are_held_back_and_duplicates_are_answered() {
    let world = World::new();
    let stream = bounded(&world, 1);
    let work = create(
        &stream,
        ConsumerConfig::new("work")
            .max_deliver(1)
            .dead_letter("dead"),
    );
    let message = || Publish::new("s.a", "").id("one");
    stream.publish_message(message()).unwrap();
    assert!(stream.publish_message(message()).unwrap().duplicate);
    // A message for later is judged when it is accepted, and sent when it is due.
    let later = || Publish::new("s.a", "later").after(secs(5));
    let refused = publish_kind(stream.publish_message(later()));
    assert_eq!(refused, exceeded("work", 1, 1));
    take_one(&work).term("bad").unwrap();
    stream.publish_message(later()).unwrap();
    stream.publish("s.a", "").unwrap();
    world.pass(secs(5));
    assert_eq!(info(&work).pending, 2);
    // So is what is redriven.
    let dead = world.store.stream("dead").unwrap();
    dead.redrive(1.into()).unwrap();
    assert_eq!(info(&work).pending, 3);
    // What a rollup replaces counts until it has left.
    let rollup = Publish::new("s.a", "").rollup(Rollup::All);
    assert_eq!(
        publish_kind(stream.publish_message(rollup)),
        exceeded("work", 3, 1)
    );
    clean(&world);
}

#[test]
fn a_dead_letter_stream_that_is_bounded_takes_every_letter() {
    let world = World::new();
    let config = StreamConfig::new("dead").subjects(["dead.>"]);
    let dead = world
        .store
        .create_stream(config.max_lag_messages(1))
        .unwrap();
    let reader = create(&dead, ConsumerConfig::new("reader"));
    let stream = world.stream("s");
    let work = create(&stream, ConsumerConfig::new("work").dead_letter("dead"));
    publish(&stream, "s.a", 3);
    for message in take(&work, 3) {
        message.term("bad").unwrap();
    }
    assert_eq!((info(&reader).pending, info(&work).refused), (3, 0));
    clean(&world);
}

#[test]
fn the_bound_holds_across_a_restart_and_an_update_changes_it() {
    let world = World::new();
    let stream = bounded(&world, 2);
    create(&stream, ConsumerConfig::new("c").filter("s.*"));
    publish(&stream, "s.a", 2);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(publish_kind(stream.publish("s.a", "")), exceeded("c", 2, 2));
    let config = stream.info().unwrap().config.max_lag_messages(3);
    world.store.update_stream(config).unwrap();
    stream.publish("s.a", "").unwrap();
    assert_eq!(publish_kind(stream.publish("s.a", "")), exceeded("c", 3, 3));
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    take_one(&world.consumer("s", "c")).ack().unwrap();
    stream.publish("s.a", "").unwrap();
    clean(&world);
}

#[test]
fn a_bound_that_can_never_matter_is_refused() {
    let world = World::new();
    let refused = |config: StreamConfig| match world.store.create_stream(config) {
        Err(StreamError::Invalid(InvalidSetting { setting, why, .. })) => {
            assert_eq!(setting, "max_lag_messages");
            why
        }
        other => panic!("{other:?}"),
    };
    refused(StreamConfig::new("s").max_lag_messages(0));
    let why = refused(StreamConfig::new("s").max_messages(3).max_lag_messages(4));
    assert!(why.contains("max_messages"), "{why}");
    let config = StreamConfig::new("s").max_messages(3).max_lag_messages(3);
    world.store.create_stream(config).unwrap();
}

/// Starts a publisher that waits for the consumer, and says whether it got through.
fn patient(stream: &Stream) -> thread::JoinHandle<u64> {
    let stream = stream.clone();
    let message = Publish::new("s.a", "patient").wait_for_room(secs(3_600));
    thread::spawn(move || stream.publish_message(message).unwrap().seq.get())
}

#[test]
fn a_waiting_publisher_goes_on_when_the_consumer_does() {
    let world = World::threaded();
    let stream = bounded(&world, 1);
    let work = create(&stream, ConsumerConfig::new("work"));
    stream.publish("s.a", "").unwrap();
    let served = patient(&stream);
    take_one(&work).ack().unwrap();
    assert_eq!(served.join().unwrap(), 2);
    let served = patient(&stream);
    take_one(&work).term("bad").unwrap();
    assert_eq!(served.join().unwrap(), 3);
    let served = patient(&stream);
    stream.purge(riverbed::Purge::all()).unwrap();
    assert_eq!(served.join().unwrap(), 4);
    let served = patient(&stream);
    stream.delete_consumer("work").unwrap();
    assert_eq!(served.join().unwrap(), 5);
    create(
        &stream,
        ConsumerConfig::new("work").deliver(riverbed::DeliverPolicy::New),
    );
    stream.publish("s.a", "").unwrap();
    let served = patient(&stream);
    let config = stream.info().unwrap().config.max_lag_messages(2);
    world.store.update_stream(config).unwrap();
    assert_eq!(served.join().unwrap(), 7);
    let late = {
        let stream = stream.clone();
        let message = Publish::new("s.a", "late").wait_for_room(secs(5));
        thread::spawn(move || publish_kind(stream.publish_message(message)))
    };
    while !late.is_finished() {
        world.clock.advance(secs(1));
        thread::yield_now();
    }
    assert_eq!(late.join().unwrap(), exceeded("work", 2, 2));
    clean(&world);
}
