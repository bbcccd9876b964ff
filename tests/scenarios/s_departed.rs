//! S: how much left a stream, and how often a subject was left without a message.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, Publish, Purge, Removal, Retention, Rollup, Seq, Stream, StreamConfig,
};

/// What left by reason, and how often a subject was emptied.
fn left(stream: &Stream) -> (Vec<(Removal, u64)>, u64) {
    let info = stream.info().unwrap();
    (info.removed.into_iter().collect(), info.emptied_subjects)
}

fn is_sound(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn what_left_is_counted_by_reason_for_good() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects(["s.>"]).max_messages(6);
    let config = config.max_age(secs(60)).allow_message_ttl();
    let stream = world.store.create_stream(config).unwrap();
    assert_eq!(left(&stream), (vec![], 0));
    for subject in ["s.a", "s.a", "s.b", "s.c", "s.d", "s.d", "s.d", "s.e"] {
        stream.publish(subject, "").unwrap();
    }
    // Both of `s.a`, in one commit or in two.
    assert_eq!(left(&stream), (vec![(Removal::MaxMessages, 2)], 1));
    stream.delete(Seq::new(3)).unwrap();
    stream.purge(Purge::all().filter("s.d")).unwrap();
    world.store.drive().unwrap();
    let brief = Publish::new("s.f", "").ttl(secs(5));
    stream.publish_message(brief).unwrap();
    world.pass(secs(5));
    let expected = vec![
        (Removal::MaxMessages, 2),
        (Removal::MessageTtl, 1),
        (Removal::Purge, 3),
        (Removal::Delete, 1),
    ];
    assert_eq!(left(&stream), (expected.clone(), 4));
    world.pass(secs(60));
    let mut expected = expected;
    expected.insert(1, (Removal::MaxAge, 2));
    assert_eq!(left(&stream), (expected.clone(), 6));
    is_sound(&world);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(left(&stream), (expected.clone(), 6));
    publish(&stream, "s.a", 2);
    stream.purge(Purge::all()).unwrap();
    world.store.drive().unwrap();
    expected[3].1 += 2;
    assert_eq!(left(&stream), (expected, 7));
    is_sound(&world);
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stream.info().unwrap().removed.values().sum::<u64>(), 11);
    is_sound(&world);
}

#[test]
fn a_subject_is_not_emptied_by_what_comes_in_the_place_of_its_last_message() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects(["s.>"]);
    let config = config.max_messages_per_subject(2).max_age(secs(60));
    let config = config
        .allow_message_ttl()
        .subject_delete_marker_ttl(secs(9));
    let stream = world.store.create_stream(config).unwrap();
    publish(&stream, "s.a", 3);
    let replacing = |rollup| Publish::new("s.a", "").rollup(rollup);
    stream.publish_message(replacing(Rollup::Subject)).unwrap();
    let counts = [(Removal::MaxMessagesPerSubject, 1), (Removal::Rollup, 2)];
    assert_eq!(left(&stream), (counts.to_vec(), 0));
    publish(&stream, "s.b", 1);
    // `s.b` is left without one, and `s.a` has the message that did it.
    stream.publish_message(replacing(Rollup::All)).unwrap();
    let counts = [(Removal::MaxMessagesPerSubject, 1), (Removal::Rollup, 4)];
    assert_eq!(left(&stream), (counts.to_vec(), 1));
    // The marker is there for it, until nothing is.
    world.pass(secs(60));
    assert_eq!(stream.info().unwrap().delete_markers, 1);
    assert_eq!(left(&stream).1, 1);
    world.pass(secs(9));
    assert_eq!(stream.info().unwrap().messages, 0);
    assert_eq!(left(&stream).1, 2);
    is_sound(&world);
}

#[test]
fn what_consumers_are_done_with_is_told_from_what_was_taken_from_them() {
    let world = World::new();
    let config = StreamConfig::new("s").retention(Retention::WorkQueue);
    let stream = world.store.create_stream(config).unwrap();
    let worker = create(&stream, ConsumerConfig::new("worker"));
    publish(&stream, "s", 5);
    for message in take(&worker, 3) {
        message.ack().unwrap();
    }
    stream.purge(Purge::all()).unwrap();
    world.store.drive().unwrap();
    let counts = [(Removal::Purge, 2), (Removal::Retention, 3)];
    assert_eq!(left(&stream), (counts.to_vec(), 1));
    assert_eq!(info(&worker).lost, 2);
    is_sound(&world);
}
