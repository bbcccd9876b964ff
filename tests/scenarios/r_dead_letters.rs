//! R19: which dead-letter streams are taken, and what they do when they are full.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, ConsumerError, DeadReason, Discard, Event, Stream, StreamConfig, StreamError,
};

fn refused(stream: &Stream, name: &str, dead: &str) -> bool {
    let config = ConsumerConfig::new(name).dead_letter(dead);
    matches!(
        stream.create_consumer(config),
        Err(ConsumerError::DeadLetter { .. })
    )
}

#[test]
fn r19_a_stream_made_on_demand_refuses_when_full_and_never_ages() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    assert_eq!(info(&consumer).config.max_deliver, Some(5));
    let config = world.store.stream("dead").unwrap().info().unwrap().config;
    assert_eq!(config.subjects, ["dead.>"]);
    assert_eq!((config.discard, config.max_age), (Discard::New, None));
    assert_eq!(
        (config.max_messages, config.max_bytes),
        (Some(1_000_000), Some(1 << 30))
    );
    // Creating the consumer again finds it, though its number of deliveries was filled in.
    create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
}

#[test]
fn r19_a_stream_that_can_not_take_the_letters_is_refused() {
    let world = World::new();
    let stream = world.stream("s");
    let make = |config| world.store.create_stream(config).unwrap();
    make(StreamConfig::new("deaf").subjects(["elsewhere.>"]));
    make(
        StreamConfig::new("small")
            .subjects(["small.>"])
            .max_message_size(1024),
    );
    make(StreamConfig::new("other").subjects(["taken.>"]));
    assert!(refused(&stream, "c", "deaf"));
    assert!(refused(&stream, "c", "small"));
    assert!(
        refused(&stream, "c", "taken"),
        "its subjects belong to another stream"
    );
    assert!(refused(&stream, "c", "s"), "itself");
    assert!(stream.consumers().unwrap().is_empty());
    make(StreamConfig::new("exact").subjects(["exact.s.c"]));
    assert!(refused(&stream, "d", "exact"));
    create(&stream, ConsumerConfig::new("c").dead_letter("exact"));
}

#[test]
fn l5_a_cycle_of_dead_letters_is_refused_when_it_is_configured() {
    let world = World::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| world.stream(name));
    create(&a, ConsumerConfig::new("x").dead_letter("b"));
    assert!(refused(&b, "x", "a"));
    create(&b, ConsumerConfig::new("x").dead_letter("c"));
    assert!(refused(&c, "x", "a"));
    create(&c, ConsumerConfig::new("x"));
    let turned = c.update_consumer(ConsumerConfig::new("x").dead_letter("b"));
    assert!(matches!(turned, Err(ConsumerError::DeadLetter { .. })));
    assert!(matches!(
        info(&c.consumer("x").unwrap()).config.on_exhausted,
        riverbed::OnExhausted::Park
    ));
}

#[test]
fn r19_a_dead_letter_stream_in_use_is_neither_deleted_nor_made_unfit() {
    let world = World::new();
    let stream = world.stream("s");
    create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    let in_use = |result: Result<Stream, StreamError>| {
        assert!(
            matches!(result, Err(StreamError::InUse { .. })),
            "{result:?}"
        );
    };
    let deleted = world.store.delete_stream("dead").unwrap_err();
    assert!(matches!(deleted, StreamError::InUse { consumer, .. } if consumer == "c"));
    in_use(
        world
            .store
            .update_stream(StreamConfig::new("dead").subjects(["x.>"])),
    );
    let small = StreamConfig::new("dead")
        .subjects(["dead.>"])
        .max_message_size(1);
    in_use(world.store.update_stream(small));
    stream.delete_consumer("c").unwrap();
    world.store.delete_stream("dead").unwrap();
}

#[test]
fn r19_a_source_does_not_outgrow_its_dead_letter_stream() {
    let world = World::new();
    let source = StreamConfig::new("s").max_message_size(100);
    let stream = world.store.create_stream(source.clone()).unwrap();
    let dead = StreamConfig::new("dead")
        .subjects(["dead.>"])
        .max_message_size(100);
    world.store.create_stream(dead.clone()).unwrap();
    create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    let outgrown = world
        .store
        .update_stream(source.clone().max_message_size(101));
    assert!(
        outgrown.is_err(),
        "a message of 101 bytes would have nowhere to go"
    );
    world
        .store
        .update_stream(dead.max_message_size(101))
        .unwrap();
    world
        .store
        .update_stream(source.max_message_size(101))
        .unwrap();
}

/// A consumer with four messages and a dead-letter stream with room for one.
fn little_room(world: &World) -> (Stream, riverbed::Consumer, Stream) {
    let stream = world.stream("s");
    publish(&stream, "s.a", 4);
    let dead = StreamConfig::new("dead")
        .subjects(["dead.>"])
        .max_messages(1);
    let dead = world
        .store
        .create_stream(dead.discard(Discard::New))
        .unwrap();
    let config = ConsumerConfig::new("c")
        .max_deliver(1)
        .dead_letter("dead")
        .max_ack_pending(2);
    (stream.clone(), create(&stream, config), dead)
}

#[test]
fn l3_what_a_full_dead_letter_stream_refuses_stays_is_shown_and_goes_when_there_is_room() {
    let world = World::new();
    let events = world.store.events(20);
    let (stream, consumer, dead) = little_room(&world);
    let taken = take(&consumer, 2);
    taken[0].nak().unwrap();
    taken[1].term("no use").unwrap();
    assert_eq!(
        (info(&consumer).dead_lettered, info(&consumer).refused),
        (1, 1)
    );
    assert_eq!(dead.info().unwrap().refused_dead_letters, 1);
    assert!(
        is_stale(&taken[1].ack()),
        "it is stored, and out of delivery"
    );
    // It does not occupy max_ack_pending.
    let more = take(&consumer, 5);
    assert_eq!(seqs(&more), [3, 4]);
    more[0].nak().unwrap();
    assert_eq!((info(&consumer).refused, info(&consumer).in_flight), (2, 1));
    assert!(stream.get(2.into()).unwrap().is_some());
    dead.delete(1.into()).unwrap();
    world.store.drive().unwrap();
    assert_eq!(
        (info(&consumer).dead_lettered, info(&consumer).refused),
        (2, 1)
    );
    let letter = dead.dead_letters().next().unwrap().unwrap();
    assert_eq!(
        (letter.seq.get(), &letter.reason),
        (2, &DeadReason::Term("no use".into()))
    );
    let world = world.reopened();
    let dead = world.store.stream("dead").unwrap();
    let consumer = world.consumer("s", "c");
    assert_eq!(info(&consumer).refused, 1);
    let mut config = dead.info().unwrap().config;
    config.max_messages = Some(10);
    world.store.update_stream(config).unwrap();
    world.store.drive().unwrap();
    assert_eq!(
        (info(&consumer).dead_lettered, info(&consumer).refused),
        (3, 0)
    );
    let told: Vec<Event> = events.try_iter().collect();
    let refusals = told
        .iter()
        .filter(|event| matches!(event, Event::DeadLetterRefused { .. }))
        .count();
    assert_eq!(refusals, 2, "{told:?}");
}

#[test]
fn what_a_lowered_limit_condemns_and_a_full_dead_letter_stream_refuses_is_announced_once() {
    let world = World::new();
    let (stream, consumer, dead) = little_room(&world);
    let config = info(&consumer).config;
    stream
        .update_consumer(config.clone().max_deliver(9))
        .unwrap();
    for message in take(&consumer, 2) {
        message.nak().unwrap();
    }
    publish(&dead, "dead.by.hand", 1);
    let events = world.store.events(20);
    let refusals = || {
        let told = events.try_iter().filter_map(|event| match event {
            Event::DeadLetterRefused { whose, to, .. } => Some((whose.seq.get(), to)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    stream.update_consumer(config.max_deliver(1)).unwrap();
    world.store.drive().unwrap();
    assert_eq!(refusals(), [(1, "dead".into()), (2, "dead".into())]);
    // A second try that is refused again says nothing new.
    dead.delete(1.into()).unwrap();
    publish(&dead, "dead.by.hand", 1);
    world.store.drive().unwrap();
    assert_eq!((refusals(), info(&consumer).refused), (vec![], 2));
    dead.delete(2.into()).unwrap();
    world.store.drive().unwrap();
    assert_eq!((refusals(), info(&consumer).refused), (vec![], 1));
}

#[test]
fn a_refused_message_that_leaves_its_stream_is_lost_and_counted() {
    let world = World::new();
    let (stream, consumer, _dead) = little_room(&world);
    for message in take(&consumer, 2) {
        message.nak().unwrap();
    }
    stream.delete(2.into()).unwrap();
    let known = info(&consumer);
    assert_eq!((known.refused, known.lost, known.dead_lettered), (0, 1, 1));
}

#[test]
fn a_refused_message_is_parked_when_the_consumer_no_longer_dead_letters() {
    let world = World::new();
    let (stream, consumer, _dead) = little_room(&world);
    for message in take(&consumer, 2) {
        message.nak().unwrap();
    }
    stream
        .update_consumer(ConsumerConfig::new("c").max_deliver(1))
        .unwrap();
    world.store.drive().unwrap();
    assert_eq!((info(&consumer).refused, info(&consumer).parked), (0, 1));
    world.store.delete_stream("dead").unwrap();
}

#[test]
fn g5_at_every_crash_point_a_dying_message_is_in_exactly_one_place() {
    for stop in 1.. {
        let world = World::new();
        let stream = world.stream("s");
        publish(&stream, "s.a", 1);
        let consumer = create(
            &stream,
            ConsumerConfig::new("c").max_deliver(1).dead_letter("dead"),
        );
        let message = take_one(&consumer);
        world.disk.fail_from(world.disk.operations() + stop);
        let done = message.term("x").is_ok();
        let after = World::on(world.disk.kill_image(), world.clock.clone());
        let known = info(&after.consumer("s", "c"));
        let letters = after.store.stream("dead").unwrap().dead_letters().count() as u64;
        let held = known.due + known.refused;
        assert_eq!(
            (held + letters, known.dead_lettered),
            (1, letters),
            "after operation {stop}"
        );
        assert!(!done || letters == 1);
        if done {
            return;
        }
    }
}
