//! H: limits for each subject of a stream.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, Discard, Event, Publish, PublishErrorKind, Purge, Removal, Riverbed, Stream,
    StreamConfig,
};

fn config(most: u64) -> StreamConfig {
    StreamConfig::new("kv")
        .subjects(["kv.>"])
        .max_messages_per_subject(most)
}

fn made(store: &Riverbed, config: StreamConfig) -> Stream {
    store.create_stream(config).unwrap()
}

fn checked(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

fn on(stream: &Stream, subject: &str) -> Vec<u64> {
    let messages = stream.range(..).map(Result::unwrap);
    messages
        .filter(|m| m.subject() == subject)
        .map(|m| m.seq().get())
        .collect()
}

#[test]
fn h11b_a_full_subject_loses_its_oldest_message_and_no_other() {
    let world = World::new();
    let stream = made(&world.store, config(2));
    for round in 0..4 {
        stream.publish("kv.a", round.to_string()).unwrap();
        stream.publish("kv.b", round.to_string()).unwrap();
    }
    stream.publish("kv.c", "one").unwrap();
    assert_eq!(stored(&stream), [5, 6, 7, 8, 9]);
    // More of one subject in a batch than may be.
    stream
        .publish_batch((0..5).map(|n| ("kv.c", n.to_string())))
        .unwrap();
    assert_eq!(on(&stream, "kv.c"), [13, 14]);
    assert_eq!(on(&stream, "kv.a"), [5, 7]);
    assert_eq!(stream.info().unwrap().messages, 6);
    checked(&world);
    let world = world.killed();
    let stream = world.store.stream("kv").unwrap();
    stream.publish("kv.a", "").unwrap();
    assert_eq!(on(&stream, "kv.a"), [7, 15]);
    checked(&world);
}

#[test]
fn h11c_a_full_subject_may_refuse_the_new_message_instead() {
    let world = World::new();
    let stream = made(&world.store, config(2).discard_per_subject(Discard::New));
    publish(&stream, "kv.a", 2);
    let refused = stream.publish("kv.a", "kept").unwrap_err();
    assert!(
        refused.to_string().contains("2 of 2 messages on `kv.a`"),
        "{refused}"
    );
    assert_eq!(refused.messages, [Publish::new("kv.a", "kept")]);
    let batch = [("kv.b", "1"), ("kv.b", "2"), ("kv.b", "3")];
    let refused = publish_kind(stream.publish_batch(batch));
    assert!(
        matches!(refused, PublishErrorKind::Full { .. }),
        "{refused:?}"
    );
    assert_eq!(stored(&stream), [1, 2]);
    stream.delete(1.into()).unwrap();
    assert_eq!(stream.publish("kv.a", "").unwrap().seq, 3);
    let alone = StreamConfig::new("other").discard_per_subject(Discard::New);
    let why = world.store.create_stream(alone).unwrap_err().to_string();
    assert!(why.contains("discard_per_subject") && why.contains("max_messages_per_subject"));
    assert!(world.store.create_stream(config(0)).is_err());
    checked(&world);
}

#[test]
fn h14_a_lowered_limit_trims_what_is_stored_and_holds_from_then_on() {
    let world = World::new();
    let stream = made(&world.store, config(5));
    for n in 0..30 {
        stream.publish(format!("kv.{}", n % 3), "").unwrap();
    }
    assert_eq!(stream.info().unwrap().messages, 15);
    world.store.update_stream_removing(config(3)).unwrap();
    world.store.drive().unwrap();
    assert_eq!(stored(&stream), (22..=30).collect::<Vec<u64>>());
    stream.publish("kv.1", "").unwrap();
    assert_eq!(on(&stream, "kv.1"), [26, 29, 31]);
    checked(&world);
    let world = world.reopened();
    let stream = world.store.stream("kv").unwrap();
    let unlimited = StreamConfig::new("kv").subjects(["kv.>"]);
    world.store.update_stream(unlimited).unwrap();
    publish(&stream, "kv.1", 5);
    assert_eq!(on(&stream, "kv.1").len(), 8);
    checked(&world);
}

#[test]
fn the_last_value_of_each_of_many_subjects_is_kept_across_restarts() {
    let mut world = World::new();
    made(&world.store, config(1));
    let mut last = std::collections::BTreeMap::new();
    for round in 0_u64..12 {
        let stream = world.store.stream("kv").unwrap();
        let keys = (0..200).map(|n| (n * 7 + round * 3) % 97);
        let batch: Vec<_> = keys
            .map(|key| (format!("kv.{key}"), format!("{round}")))
            .collect();
        for ((subject, _), ack) in batch
            .iter()
            .zip(stream.publish_batch(batch.clone()).unwrap())
        {
            last.insert(subject.clone(), ack.seq.get());
        }
        let mut kept: Vec<u64> = last.values().copied().collect();
        kept.sort_unstable();
        assert_eq!(stored(&stream), kept);
        checked(&world);
        world = if round % 2 == 0 {
            world.killed()
        } else {
            world.reopened()
        };
    }
}

#[test]
fn a_deleted_newest_message_leaves_the_older_ones_in_their_place() {
    let world = World::new();
    let stream = made(&world.store, config(3));
    for subject in ["kv.a", "kv.b", "kv.a", "kv.b", "kv.a"] {
        stream.publish(subject, "").unwrap();
    }
    stream.delete(5.into()).unwrap();
    stream.delete(1.into()).unwrap();
    publish(&stream, "kv.a", 2);
    assert_eq!(on(&stream, "kv.a"), [3, 6, 7]);
    stream.purge(Purge::all().filter("kv.a").keep(1)).unwrap();
    publish(&stream, "kv.a", 3);
    assert_eq!(on(&stream, "kv.a"), [8, 9, 10]);
    checked(&world);
}

#[test]
fn what_a_full_subject_takes_unfinished_is_counted_and_told() {
    let world = World::new();
    let stream = made(&world.store, config(1));
    let worker = create(&stream, ConsumerConfig::new("w"));
    let events = world.store.events(10);
    stream.publish("kv.a", "1").unwrap();
    let held = take_one(&worker);
    stream.publish("kv.a", "2").unwrap();
    assert!(is_gone(&held.ack()));
    let Event::UnfinishedRemoved {
        messages,
        first,
        by,
        ..
    } = events.recv().unwrap()
    else {
        panic!("a loss is told");
    };
    assert_eq!(
        (messages, first.get(), by),
        (1, 1, Removal::MaxMessagesPerSubject)
    );
    assert_eq!((info(&worker).lost, info(&worker).pending), (1, 1));
    assert_eq!(take_one(&worker).payload(), b"2");
    checked(&world);
}
