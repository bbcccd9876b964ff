//! J: configuration, lifecycle and restarts.

use crate::helpers::*;
use riverbed::{
    AckError, ConsumerConfig, ConsumerError, FetchError, PublishErrorKind, Purge, PurgeError,
    ReadError, StreamConfig, StreamError,
};

#[test]
fn j1_creating_the_same_stream_finds_it_and_another_of_its_name_is_a_conflict() {
    let world = World::new();
    let config = StreamConfig::new("s").max_messages(5);
    let stream = world.store.create_stream(config.clone()).unwrap();
    publish(&stream, "s", 3);
    let again = world.store.create_stream(config.clone()).unwrap();
    assert_eq!(again.info().unwrap().messages, 3);
    let other = world
        .store
        .create_stream(config.clone().max_messages(6))
        .unwrap_err();
    assert_eq!(
        other,
        StreamError::Exists {
            name: "s".into(),
            setting: "max_messages"
        }
    );
    let missing = StreamError::NotFound { name: "x".into() };
    assert_eq!(
        world
            .store
            .update_stream(StreamConfig::new("x"))
            .unwrap_err(),
        missing
    );
    assert_eq!(world.store.stream("x").unwrap_err(), missing);
    assert_eq!(world.store.delete_stream("x").unwrap_err(), missing);
    let updated = world.store.update_stream(config.max_messages(6)).unwrap();
    assert_eq!(updated.info().unwrap().config.max_messages, Some(6));
    assert_eq!(stored(&stream), [1, 2, 3]);
    let world = world.reopened();
    assert_eq!(world.store.streams().unwrap(), ["s"]);
    let config = StreamConfig::new("s").max_messages(6);
    assert_eq!(
        world
            .store
            .create_stream(config)
            .unwrap()
            .info()
            .unwrap()
            .messages,
        3
    );
}

#[test]
fn j1b_creating_the_same_consumer_finds_it_and_a_refused_one_changes_nothing() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 5);
    let config = ConsumerConfig::new("c").ack_wait(secs(60));
    let consumer = create(&stream, config.clone());
    let taken = take(&consumer, 2);
    taken[0].ack().unwrap();
    let before = info(&consumer);
    assert_eq!(info(&create(&stream, config.clone())), before);
    let other = stream
        .create_consumer(config.clone().ack_wait(secs(61)))
        .unwrap_err();
    assert_eq!(
        other,
        ConsumerError::Exists {
            name: "c".into(),
            setting: "ack_wait"
        }
    );
    assert_eq!(info(&consumer), before);
    let missing = stream
        .update_consumer(ConsumerConfig::new("x"))
        .unwrap_err();
    assert_eq!(
        missing,
        ConsumerError::NotFound {
            name: "x".into(),
            stream: "s".into()
        }
    );
    stream.update_consumer(config.ack_wait(secs(61))).unwrap();
    assert_eq!(info(&consumer).config.ack_wait, secs(61));
    taken[1].ack().unwrap();
}

#[test]
fn settings_that_break_a_rule_are_refused_by_name() {
    let world = World::new();
    let base = || StreamConfig::new("s");
    let refused = [
        ("name", StreamConfig::new("a.b")),
        ("name", StreamConfig::new("")),
        ("subjects", base().subjects(["a", "*"])),
        ("subjects", base().subjects(["a..b"])),
        (
            "subjects",
            base().subjects((0..257).map(|n| format!("s{n}"))),
        ),
        ("max_messages", base().max_messages(0)),
        ("max_bytes", base().max_bytes(0)),
        ("max_age", base().max_age(millis(99)).without_dedup()),
        ("max_message_size", base().max_message_size((8 << 20) + 1)),
        ("dedup_ids", base().dedup_ids(0)),
    ];
    for (name, config) in refused {
        match world.store.create_stream(config).unwrap_err() {
            StreamError::Invalid(invalid) => assert_eq!(invalid.setting, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let stream = world.stream("s");
    let base = || ConsumerConfig::new("c");
    let refused = [
        ("name", ConsumerConfig::new("a b")),
        ("filters", base().filter("a..b")),
        ("ack_wait", base().ack_wait(millis(0))),
        ("ack_wait", base().ack_wait(secs(86_401))),
        ("backoff", base().backoff([millis(0)])),
        ("max_ack_pending", base().max_ack_pending(0)),
        ("max_ack_pending", base().max_ack_pending(1_000_001)),
        ("max_ack_pending_bytes", base().max_ack_pending_bytes(0)),
        ("max_deliver", base().max_deliver(0)),
        ("dead_letter", base().dead_letter("a.b")),
    ];
    for (name, config) in refused {
        match stream.create_consumer(config).unwrap_err() {
            ConsumerError::Invalid(invalid) => assert_eq!(invalid.setting, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(stream.consumers().unwrap().is_empty());
}

#[test]
fn j3_a_restart_makes_everything_unsettled_due_at_once_and_in_order() {
    for clean in [true, false] {
        let world = World::new();
        let stream = world.stream("s");
        publish(&stream, "s.a", 25);
        let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(3600)));
        take(&consumer, 25);
        let world = if clean {
            world.reopened()
        } else {
            world.killed()
        };
        let consumer = world.consumer("s", "c");
        assert_eq!((info(&consumer).in_flight, info(&consumer).due), (0, 25));
        let again = take(&consumer, 100);
        assert_eq!(seqs(&again), (1..=25).collect::<Vec<u64>>());
        assert!(
            again
                .iter()
                .all(|message| message.deliveries() == 2 && message.failures() == 0)
        );
    }
}

#[test]
fn j4_counts_survive_many_restarts_and_go_with_the_ack() {
    let mut world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    create(&stream, ConsumerConfig::new("c"));
    for round in 1..=4 {
        let consumer = world.consumer("s", "c");
        let taken = take(&consumer, 2);
        assert_eq!(deliveries(&taken), [round, round]);
        for message in taken {
            message.nak().unwrap();
        }
        world = if round % 2 == 0 {
            world.reopened()
        } else {
            world.killed()
        };
    }
    let consumer = world.consumer("s", "c");
    for message in take(&consumer, 3) {
        message.ack().unwrap();
    }
    let known = info(&consumer);
    assert_eq!((known.redelivered, known.acked, known.failures), (0, 3, 8));
    assert_eq!(known.deliveries, 11);
    let world = world.killed();
    assert_eq!(info(&world.consumer("s", "c")).acked, 3);
    nothing(&world.consumer("s", "c"));
}

#[test]
fn j6_what_is_deleted_stays_deleted() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 5);
    create(&stream, ConsumerConfig::new("gone"));
    create(&stream, ConsumerConfig::new("c"));
    stream.delete_consumer("gone").unwrap();
    let other = world.stream("other");
    publish(&other, "other.a", 1);
    create(&other, ConsumerConfig::new("c"));
    world.store.delete_stream("other").unwrap();
    let world = world.killed();
    assert_eq!(world.store.streams().unwrap(), ["s"]);
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stream.consumers().unwrap(), ["c"]);
    let known = world.store.info().unwrap();
    assert_eq!((known.streams, known.consumers), (1, 1));
    // A stream of the old name is another one, and begins anew.
    let other = world.stream("other");
    assert!(other.consumers().unwrap().is_empty());
    assert_eq!(other.info().unwrap().last_seq, 0);
    assert_eq!(other.publish("other.a", "").unwrap().seq, 1);
}

#[test]
fn handles_of_a_deleted_consumer_say_so() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let message = take_one(&consumer);
    stream.delete_consumer("c").unwrap();
    let again = create(&stream, ConsumerConfig::new("c"));
    assert!(matches!(
        consumer.fetch(1),
        Err(FetchError::ConsumerGone { .. })
    ));
    // Its successor has the same message under a delivery of its own.
    let other = take_one(&again);
    assert_eq!(other.seq(), message.seq());
    for result in [message.ack(), message.nak(), message.in_progress()] {
        assert!(
            matches!(result, Err(AckError::ConsumerGone { .. })),
            "{result:?}"
        );
    }
    assert!(matches!(
        consumer.info(),
        Err(ConsumerError::NotFound { .. })
    ));
    assert!(matches!(
        stream.delete_consumer("x"),
        Err(ConsumerError::NotFound { .. })
    ));
    other.ack().unwrap();
}

#[test]
fn handles_of_a_deleted_stream_say_so() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let message = take_one(&consumer);
    world.store.delete_stream("s").unwrap();
    world.stream("s").publish("s.a", "another").unwrap();
    assert!(matches!(
        publish_kind(stream.publish("s.a", "")),
        PublishErrorKind::StreamGone { stream } if stream == "s"
    ));
    assert!(matches!(
        stream.get(1.into()),
        Err(ReadError::StreamGone { .. })
    ));
    assert!(matches!(
        stream.range(..).next(),
        Some(Err(ReadError::StreamGone { .. }))
    ));
    assert!(matches!(
        stream.last_for_subject("s.a"),
        Err(ReadError::StreamGone { .. })
    ));
    assert!(matches!(
        stream.purge(Purge::all()),
        Err(PurgeError::StreamGone { .. })
    ));
    assert!(matches!(
        stream.delete(1.into()),
        Err(PurgeError::StreamGone { .. })
    ));
    assert!(matches!(stream.info(), Err(StreamError::NotFound { .. })));
    let made = stream
        .create_consumer(ConsumerConfig::new("x"))
        .unwrap_err();
    assert_eq!(made, ConsumerError::StreamGone { stream: "s".into() });
    assert!(matches!(
        consumer.fetch(1),
        Err(FetchError::ConsumerGone { .. })
    ));
    assert!(matches!(message.ack(), Err(AckError::ConsumerGone { .. })));
}

#[test]
fn lazy_acks_lose_nothing_but_acks() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    let consumer = create(&stream, ConsumerConfig::new("c").lazy_acks());
    let taken = take(&consumer, 3);
    taken[0].ack().unwrap();
    // The next commit of anybody takes it along.
    stream.publish("s.a", "").unwrap();
    taken[1].ack().unwrap();
    assert!(is_gone(&taken[1].ack()));
    let world = world.killed();
    let left = seqs(&take(&world.consumer("s", "c"), 10));
    assert!(left == [2, 3, 4] || left == [3, 4], "{left:?}");
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").lazy_acks());
    take_one(&consumer).ack().unwrap();
    let world = world.reopened();
    nothing(&world.consumer("s", "c"));
}
