//! S: updates by which messages would be lost, and the word for them.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, ConsumerError, Discard, Event, OnExhausted, Publish, Purge, Retention, Seq,
    Stream, StreamConfig, StreamError, Unwanted,
};
use std::time::Duration;

fn is_clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

fn config() -> StreamConfig {
    StreamConfig::new("s").subjects(["s.>"])
}

fn made(world: &World, config: StreamConfig, messages: u64) -> Stream {
    let stream = world.store.create_stream(config).unwrap();
    publish(&stream, "s.a", messages);
    stream
}

fn at(world: &World) -> Stream {
    world.store.stream("s").unwrap()
}

/// The setting that would remove messages, and how many; nothing is changed.
fn refused(world: &World, config: StreamConfig) -> (&'static str, Option<u64>) {
    let before = at(world).info().unwrap();
    let (setting, messages) = match world.store.update_stream(config) {
        Err(StreamError::WouldRemove {
            name,
            setting,
            messages,
        }) => {
            assert_eq!(name, "s");
            (setting, messages)
        }
        updated => panic!("{:?}", updated.map(|stream| stream.info())),
    };
    world.store.drive().unwrap();
    assert_eq!(at(world).info().unwrap(), before);
    (setting, messages)
}

#[test]
fn an_update_that_would_remove_messages_says_which_setting_and_how_many() {
    let world = World::new();
    let stream = made(&world, config(), 4);
    stream.publish("s.b", "a longer one").unwrap();
    assert_eq!(
        refused(&world, config().max_messages(3)),
        ("max_messages", Some(2))
    );
    assert_eq!(refused(&world, config().max_bytes(20)), ("max_bytes", None));
    assert_eq!(
        refused(&world, config().max_messages_per_subject(1)),
        ("max_messages_per_subject", Some(3))
    );
    world.pass(secs(10));
    assert_eq!(
        refused(&world, config().max_age(secs(10))),
        ("max_age", None)
    );
    let why = world.store.update_stream(config().max_messages(3));
    let why = why.unwrap_err().to_string();
    assert!(
        why.contains("`max_messages` would remove 2 messages"),
        "{why}"
    );
    assert!(why.contains("update_stream_removing"), "{why}");
    world
        .store
        .update_stream_removing(config().max_messages(3))
        .unwrap();
    assert_eq!(stored(&stream), [3, 4, 5]);
    is_clean(&world);
}

#[test]
fn an_update_that_removes_nothing_needs_no_word() {
    let world = World::new();
    let stream = made(&world, config(), 4);
    let tight = config()
        .max_messages(4)
        .max_bytes(stream.info().unwrap().bytes)
        .max_messages_per_subject(4)
        .max_age(secs(60));
    world.store.update_stream(tight.clone()).unwrap();
    // A lower limit takes nothing where new messages are refused.
    let full = tight.clone().max_messages(1).discard(Discard::New);
    world.store.update_stream(full.clone()).unwrap();
    assert_eq!(stored(&stream), [1, 2, 3, 4]);
    // But when the old are discarded again.
    assert_eq!(
        refused(&world, full.clone().discard(Discard::Old)),
        ("discard", Some(3))
    );
    // What is sealed loses nothing.
    world.store.update_stream(full.sealed()).unwrap();
    assert_eq!(stored(&stream), [1, 2, 3, 4]);
    is_clean(&world);
}

#[test]
fn what_leaves_anyway_is_not_held_against_an_update() {
    let world = World::new();
    let stream = made(&world, config().max_age(secs(20)), 2);
    world.pass(secs(15));
    publish(&stream, "s.a", 1);
    world.clock.advance(secs(5));
    // The first two are too old already; nobody has looked yet.
    world
        .store
        .update_stream(config().max_age(secs(10)))
        .unwrap();
    assert_eq!(stored(&stream), [3]);
    // What a purge took is gone.
    publish(&stream, "s.b", 3);
    stream.purge(Purge::all().filter("s.b")).unwrap();
    world.store.update_stream(config().max_messages(1)).unwrap();
    assert_eq!(stored(&stream), [3]);
    is_clean(&world);
}

#[test]
fn turning_to_interest_needs_the_word_only_when_somebody_is_done_with_a_message() {
    let world = World::new();
    let stream = made(&world, config(), 3);
    let interest = config().retention(Retention::Interest);
    let keeps = interest.clone().unwanted(Unwanted::Keep);
    // Nobody wants them: all would leave, unless they are kept.
    assert_eq!(refused(&world, interest.clone()), ("retention", Some(3)));
    world.store.update_stream(keeps.clone()).unwrap();
    assert_eq!(refused(&world, interest.clone()), ("unwanted", Some(3)));
    world.store.update_stream(config()).unwrap();
    let all = create(&stream, ConsumerConfig::new("all"));
    world.store.update_stream(interest.clone()).unwrap();
    world.store.update_stream(config()).unwrap();
    take_one(&all).ack().unwrap();
    assert_eq!(refused(&world, interest.clone()), ("retention", None));
    assert_eq!(refused(&world, keeps), ("retention", None));
    world.store.update_stream_removing(interest).unwrap();
    world.store.drive().unwrap();
    assert_eq!(stored(&stream), [2, 3]);
    is_clean(&world);
}

#[test]
fn a_long_log_is_looked_at_to_its_end_before_it_turns_to_interest() {
    let world = World::new();
    let stream = made(&world, config(), 0);
    for _ in 0..5 {
        let batch = (0..2_000).map(|_| Publish::new("s.a", ""));
        stream.publish_batch(batch).unwrap();
    }
    let interest = config().retention(Retention::Interest);
    let consumer = create(&stream, ConsumerConfig::new("c").max_ack_pending(20_000));
    world.store.update_stream(interest.clone()).unwrap();
    world.store.update_stream(config()).unwrap();
    let last = take(&consumer, 10_000).pop().unwrap();
    assert_eq!(last.seq(), Seq::new(10_000));
    last.ack().unwrap();
    assert_eq!(refused(&world, interest), ("retention", None));
    is_clean(&world);
}

#[test]
fn an_update_that_was_refused_is_refused_after_a_restart_too() {
    let world = World::new();
    let stream = made(&world, config(), 3);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    take_one(&consumer).ack().unwrap();
    let (tight, interest) = (
        config().max_messages(2),
        config().retention(Retention::Interest),
    );
    let said = [
        refused(&world, tight.clone()),
        refused(&world, interest.clone()),
    ];
    let world = world.killed();
    assert_eq!(
        [refused(&world, tight.clone()), refused(&world, interest)],
        said
    );
    world.store.update_stream_removing(tight.clone()).unwrap();
    let world = world.reopened();
    assert_eq!(stored(&at(&world)), [2, 3]);
    world.store.update_stream(tight).unwrap();
    is_clean(&world);
}

fn worker() -> ConsumerConfig {
    ConsumerConfig::new("c").on_exhausted(OnExhausted::Drop)
}

fn would_drop(stream: &Stream, config: ConsumerConfig) -> (&'static str, u64) {
    match stream.update_consumer(config) {
        Err(ConsumerError::WouldDrop {
            setting, messages, ..
        }) => (setting, messages),
        updated => panic!("{:?}", updated.map(|consumer| consumer.info())),
    }
}

#[test]
fn lowering_max_deliver_needs_the_word_where_messages_would_be_dropped() {
    let world = World::new();
    let stream = made(&world, config(), 3);
    let consumer = create(&stream, worker().max_deliver(5));
    for message in take(&consumer, 2) {
        message.nak().unwrap();
    }
    let once = worker().max_deliver(1);
    assert_eq!(would_drop(&stream, once.clone()), ("max_deliver", 2));
    let world = world.killed();
    let stream = at(&world);
    assert_eq!(would_drop(&stream, once.clone()), ("max_deliver", 2));
    // A limit that none of them reached, or a place where they are kept, needs no word.
    stream.update_consumer(worker().max_deliver(2)).unwrap();
    let parks = once.clone().on_exhausted(OnExhausted::Park);
    stream.update_consumer(parks).unwrap();
    world.store.drive().unwrap();
    let consumer = world.consumer("s", "c");
    assert_eq!((info(&consumer).parked, info(&consumer).dropped), (2, 0));
    stream.update_consumer(worker().max_deliver(5)).unwrap();
    take_one(&consumer).nak().unwrap();
    let events = world.store.events(10);
    stream.update_consumer_dropping(once).unwrap();
    world.store.drive().unwrap();
    assert!(matches!(events.try_recv().unwrap(), Event::Dropped { .. }));
    assert_eq!((info(&consumer).parked, info(&consumer).dropped), (2, 1));
    is_clean(&world);
}

#[test]
fn what_waits_for_room_in_a_dead_letter_stream_is_not_dropped_without_the_word() {
    let world = World::new();
    let dead = StreamConfig::new("dead")
        .subjects(["dead.>"])
        .max_messages(1)
        .discard(Discard::New);
    world.store.create_stream(dead).unwrap();
    let stream = made(&world, config(), 3);
    let config = ConsumerConfig::new("c").dead_letter("dead");
    let consumer = create(&stream, config.clone());
    for message in take(&consumer, 3) {
        message.term("no").unwrap();
    }
    assert_eq!(info(&consumer).refused, 2);
    let drops = config.clone().on_exhausted(OnExhausted::Drop);
    assert_eq!(would_drop(&stream, drops.clone()), ("on_exhausted", 2));
    // What was terminated is not parked.
    let parks = config.on_exhausted(OnExhausted::Park);
    assert_eq!(would_drop(&stream, parks), ("on_exhausted", 2));
    assert_eq!(info(&consumer).refused, 2);
    stream.update_consumer_dropping(drops).unwrap();
    world.pass(Duration::from_secs(1));
    assert_eq!((info(&consumer).refused, info(&consumer).dropped), (0, 2));
    is_clean(&world);
}
