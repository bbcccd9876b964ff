//! S: messages with a time to live of their own.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, Event, Limits, Publish, PublishErrorKind, Purge, Removal, Riverbed, Seq,
    Stream, StreamConfig,
};
use std::sync::Arc;

fn brief(payload: &str, seconds: u64) -> Publish {
    Publish::new("s.a", payload).ttl(secs(seconds))
}

fn allowing(world: &World) -> Stream {
    let config = StreamConfig::new("s").subjects(["s.>"]);
    world
        .store
        .create_stream(config.allow_message_ttl())
        .unwrap()
}

fn is_sound(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_message_leaves_when_its_own_time_to_live_is_over_wherever_it_stands() {
    let world = World::new();
    let events = world.store.events(100);
    let stream = allowing(&world);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(300)));
    stream.publish("s.a", "1").unwrap();
    for (payload, seconds) in [("2", 30), ("3", 10), ("4", 20)] {
        stream.publish_message(brief(payload, seconds)).unwrap();
    }
    stream.publish("s.a", "5").unwrap();
    let held = take(&consumer, 3);
    assert_eq!(stream.info().unwrap().expiring, 3);
    world.pass(secs(10));
    assert_eq!(stored(&stream), [1, 2, 4, 5]);
    assert!(is_gone(&held[2].ack()), "it was out with a worker");
    assert_eq!(stream.get(Seq::new(3)).unwrap(), None);
    is_sound(&world);
    world.pass(secs(10));
    assert_eq!(stored(&stream), [1, 2, 5]);
    world.pass(secs(10));
    assert_eq!(stored(&stream), [1, 5]);
    let seen = stream.info().unwrap();
    assert_eq!((seen.expiring, seen.messages, seen.deleted), (0, 2, 3));
    held[0].ack().unwrap();
    assert_eq!(seqs(&take(&consumer, 9)), [5]);
    // Two were held, one was ahead; each is lost, counted and announced.
    assert_eq!(info(&consumer).lost, 3);
    let lost = events.try_iter().filter_map(|event| match event {
        Event::UnfinishedRemoved {
            first,
            messages: 1,
            by: Removal::MessageTtl,
            ..
        } => Some(first.get()),
        _ => None,
    });
    assert_eq!(lost.collect::<Vec<_>>(), [3, 4, 2]);
    is_sound(&world);
}

#[test]
fn a_time_to_live_is_refused_where_it_is_not_allowed_or_too_short() {
    let world = World::new();
    let plain = world.stream("s");
    let refused = publish_kind(plain.publish_message(brief("", 10)));
    assert_eq!(refused, PublishErrorKind::TtlRefused { stream: "s".into() });
    let config = plain.info().unwrap().config.allow_message_ttl();
    world.store.update_stream(config.clone()).unwrap();
    plain.publish_message(brief("", 10)).unwrap();
    let short = Publish::new("s.a", "").ttl(millis(99));
    let short = publish_kind(plain.publish_message(short));
    assert!(matches!(short, PublishErrorKind::TtlTooShort { .. }));
    // What is stored keeps its time when no more is allowed.
    let mut closed = config;
    closed.message_ttl = riverbed::MessageTtl::Refused;
    world.store.update_stream(closed).unwrap();
    assert!(plain.publish_message(brief("", 10)).is_err());
    world.pass(secs(10));
    assert_eq!(stored(&plain), Vec::<u64>::new());
    is_sound(&world);
}

#[test]
fn a_time_to_live_survives_a_restart_and_runs_on_while_the_store_is_closed() {
    for restart in [World::reopened as fn(World) -> World, World::killed] {
        let world = World::new();
        let stream = allowing(&world);
        stream.publish("s.a", "1").unwrap();
        stream.publish_message(brief("2", 10)).unwrap();
        stream.publish_message(brief("3", 60)).unwrap();
        let world = restart(world);
        let stream = world.store.stream("s").unwrap();
        assert_eq!(
            (stored(&stream), stream.info().unwrap().expiring),
            (vec![1, 2, 3], 2)
        );
        world.clock.advance(secs(10));
        let world = restart(world);
        let stream = world.store.stream("s").unwrap();
        assert_eq!(stored(&stream), [1, 3]);
        world.pass(secs(50));
        assert_eq!(stored(&stream), [1]);
        let world = restart(world);
        assert_eq!(world.store.stream("s").unwrap().info().unwrap().expiring, 0);
        is_sound(&world);
    }
}

#[test]
fn a_time_to_live_goes_with_its_message_however_that_leaves() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects(["s.>"]).max_messages(5);
    let stream = world
        .store
        .create_stream(config.allow_message_ttl())
        .unwrap();
    for number in 0..7 {
        let subject = if number == 5 { "s.b" } else { "s.a" };
        let message = Publish::new(subject, number.to_string()).ttl(secs(10));
        stream.publish_message(message).unwrap();
    }
    let expiring = || stream.info().unwrap().expiring;
    assert_eq!((stored(&stream), expiring()), (vec![3, 4, 5, 6, 7], 5));
    stream.delete(Seq::new(4)).unwrap();
    assert_eq!(expiring(), 4);
    stream.purge(Purge::all().filter("s.b")).unwrap();
    assert_eq!(expiring(), 3);
    stream.purge(Purge::all().up_to(Seq::new(4))).unwrap();
    assert_eq!(expiring(), 2);
    is_sound(&world);
    stream.purge(Purge::all()).unwrap();
    assert_eq!(expiring(), 0);
    world.pass(secs(20));
    is_sound(&world);
}

#[test]
fn a_message_for_later_lives_from_when_it_is_due_and_a_dead_letter_has_no_time_to_live() {
    let world = World::new();
    let stream = allowing(&world);
    let consumer = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    stream
        .publish_message(brief("x", 10).after(secs(60)))
        .unwrap();
    assert_eq!(stream.info().unwrap().expiring, 0);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    world.pass(secs(60));
    assert_eq!(stored(&stream), [1]);
    world.pass(secs(9));
    assert_eq!(stored(&stream), [1]);
    drop(consumer);
    take_one(&world.consumer("s", "c")).term("no").unwrap();
    world.pass(secs(60));
    assert_eq!(stored(&stream), Vec::<u64>::new());
    let dead = world.store.stream("dead").unwrap();
    assert_eq!((stored(&dead), dead.info().unwrap().expiring), (vec![1], 0));
    is_sound(&world);
}

#[test]
fn as_many_have_a_time_to_live_as_are_allowed() {
    let world = World::new();
    let mut limits = Limits::default();
    limits.ttls_per_stream = 2;
    let builder = Riverbed::builder()
        .clock(world.clock.clock())
        .limits(limits);
    let disk = riverbed::disk::MemoryDisk::new();
    let store = builder
        .disk(Arc::new(disk))
        .without_threads()
        .open("/other")
        .unwrap();
    let config = StreamConfig::new("s").subjects(["s.>"]).allow_message_ttl();
    let stream = store.create_stream(config).unwrap();
    for _ in 0..2 {
        stream.publish_message(brief("", 10)).unwrap();
    }
    let full = publish_kind(stream.publish_message(brief("", 10)));
    assert!(matches!(full, PublishErrorKind::TtlFull { limit: 2, .. }));
    stream
        .publish_message(brief("later", 10).after(secs(5)))
        .unwrap();
    world.clock.advance(secs(5));
    store.drive().unwrap();
    assert_eq!(stored(&stream), [1, 2], "it waits until one expires");
    world.clock.advance(secs(5));
    store.drive().unwrap();
    assert_eq!(stored(&stream), [3]);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn the_threads_of_a_store_expire_messages() {
    let world = World::threaded();
    let stream = allowing(&world);
    stream.publish_message(brief("x", 3_600)).unwrap();
    while stream.info().unwrap().messages > 0 {
        world.clock.advance(secs(60));
        std::thread::yield_now();
    }
    is_sound(&world);
}

#[test]
fn a_purge_that_a_kill_interrupted_ends_though_the_times_to_live_are_over() {
    for operations in [2, 3, 4, 6, 9] {
        let world = World::new();
        let config = StreamConfig::new("t").subjects(["t.>"]).allow_message_ttl();
        let stream = world.store.create_stream(config).unwrap();
        // Several times as many blocks as facts are kept of.
        for _ in 0..30 {
            let batch = (0..100).map(|_| Publish::new("t.a", [7; 400]).ttl(secs(60)));
            stream.publish_batch(batch).unwrap();
        }
        stream.publish("t.b", "stays").unwrap();
        // With luck the mark is durable and its steps are not done.
        world.disk.fail_from(world.disk.operations() + operations);
        let _ = stream.purge(Purge::all().filter("t.a"));
        world.clock.advance(secs(3_600));
        let world = World::on(world.disk.kill_image(), world.clock.clone());
        world.pass(secs(1));
        let stream = world.store.stream("t").unwrap();
        assert_eq!(stored(&stream), [3_001]);
        assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
    }
}
