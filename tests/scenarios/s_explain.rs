//! Where is my message: what became of a sequence, in its stream and for each consumer.

use crate::helpers::*;
use riverbed::{
    AckPolicy, ConsumerConfig, ConsumerError, ConsumerFate, DeadReason, DeliverPolicy, Explanation,
    MessageFate, Publish, Purge, Removal, Retention, Rollup, Seq, Stream, StreamConfig,
    StreamError, Timestamp,
};

fn explain(stream: &Stream, seq: u64) -> Explanation {
    stream.explain(Seq::new(seq)).unwrap()
}

fn fate(stream: &Stream, seq: u64, consumer: &str) -> ConsumerFate {
    let fate = explain(stream, seq).consumers.remove(consumer).unwrap();
    let handle = stream.consumer(consumer).unwrap();
    let alone = handle.explain(Seq::new(seq)).unwrap();
    assert_eq!(alone.fate, fate, "one consumer is told the same as all");
    assert_eq!(alone.message, explain(stream, seq).message);
    fate
}

/// Why a message left, at a single time.
fn left(stream: &Stream, seq: u64) -> (Removal, Timestamp) {
    match explain(stream, seq).message {
        MessageFate::Removed { by, since, until } if since == until => (by, since),
        other => panic!("{other:?}"),
    }
}

fn is_stored(stream: &Stream, seq: u64) -> bool {
    matches!(explain(stream, seq).message, MessageFate::Stored { .. })
}

fn lost(by: Removal, at: Timestamp) -> ConsumerFate {
    let (since, until) = (at, at);
    ConsumerFate::Lost { by, since, until }
}

fn clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_message_is_followed_from_its_publish_to_its_ack() {
    let world = World::new();
    let stream = world.stream("s");
    let worker = create(&stream, ConsumerConfig::new("worker").filter("s.a"));
    let none = explain(&stream, 1);
    assert_eq!(none.message, MessageFate::NotYetStored);
    assert_eq!(none.consumers["worker"], ConsumerFate::NoMessage);
    assert_eq!(explain(&stream, 0).message, MessageFate::NeverStored);
    stream.publish("s.a", "1").unwrap();
    stream.publish("s.b", "2").unwrap();
    create(
        &stream,
        ConsumerConfig::new("late").deliver(DeliverPolicy::New),
    );
    let published = world.clock.clock().now();
    let subject = "s.a".to_owned();
    let stored = MessageFate::Stored { subject, published };
    assert_eq!(explain(&stream, 1).message, stored);
    assert_eq!(fate(&stream, 1, "late"), ConsumerFate::BeforeStart);
    assert_eq!(fate(&stream, 2, "worker"), ConsumerFate::NotMatched);
    let waiting = |deliveries| ConsumerFate::Waiting { deliveries };
    assert_eq!(fate(&stream, 1, "worker"), waiting(0));
    let first = take_one(&worker);
    world.pass(secs(10));
    let in_flight = |delivery, since: Timestamp, lease| ConsumerFate::InFlight {
        delivery,
        since: Some(since),
        until: Some(since.plus(lease)),
    };
    assert_eq!(
        fate(&stream, 1, "worker"),
        in_flight(1, published, secs(30))
    );
    first.in_progress().unwrap();
    assert_eq!(
        fate(&stream, 1, "worker"),
        in_flight(1, published, secs(40))
    );
    first.nak_after(secs(5)).unwrap();
    let (until, deliveries) = (published.plus(secs(15)), 1);
    let delayed = ConsumerFate::Delayed { until, deliveries };
    assert_eq!(fate(&stream, 1, "worker"), delayed);
    world.clock.advance(secs(5));
    assert_eq!(fate(&stream, 1, "worker"), waiting(1));
    let again = take_one(&worker);
    assert_eq!(fate(&stream, 1, "worker"), in_flight(2, until, secs(30)));
    again.ack().unwrap();
    assert_eq!(fate(&stream, 1, "worker"), ConsumerFate::Acked);
    assert_eq!(
        explain(&stream, 1).to_string(),
        format!(
            "message 1 of `s`: stored on `s.a`, published at {published}\
             \n  consumer `late`: before its start\n  consumer `worker`: acked"
        )
    );
    clean(&world);
}

#[test]
fn why_and_when_a_message_left_is_told_also_after_a_restart() {
    let mut world = World::new();
    let config = StreamConfig::new("s")
        .subjects(["s.>"])
        .max_messages_per_subject(2)
        .max_messages(6)
        .max_age(secs(1_000))
        .allow_message_ttl();
    let mut stream = world.store.create_stream(config).unwrap();
    create(&stream, ConsumerConfig::new("c").filter("s.a"));
    let mut expected = Vec::new();
    let now = |world: &World| world.clock.clock().now();
    publish(&stream, "s.a", 3);
    expected.push((1, Removal::MaxMessagesPerSubject, now(&world)));
    world.pass(secs(1));
    stream.delete(Seq::new(2)).unwrap();
    expected.push((2, Removal::Delete, now(&world)));
    world.pass(secs(1));
    stream
        .publish_message(Publish::new("s.a", "4").rollup(Rollup::Subject))
        .unwrap();
    expected.push((3, Removal::Rollup, now(&world)));
    stream
        .publish_message(Publish::new("s.b", "5").ttl(secs(5)))
        .unwrap();
    stream.publish("s.c", "6").unwrap();
    world.pass(secs(6));
    expected.push((5, Removal::MessageTtl, now(&world)));
    stream.purge(Purge::all().filter("s.c")).unwrap();
    expected.push((6, Removal::Purge, now(&world)));
    for subject in ["s.d", "s.e", "s.f", "s.g", "s.h", "s.i"] {
        stream.publish(subject, "7 to 12").unwrap();
    }
    expected.push((4, Removal::MaxMessages, now(&world)));
    world.pass(secs(1_000));
    expected.extend((7..=12).map(|seq| (seq, Removal::MaxAge, now(&world))));
    stream.publish("s.a", "13").unwrap();
    world.pass(secs(1));
    stream.purge(Purge::all()).unwrap();
    expected.push((13, Removal::Purge, now(&world)));
    for restart in [World::reopened, World::killed] {
        for (seq, by, at) in &expected {
            assert_eq!(left(&stream, *seq), (*by, *at), "{seq}");
            let told = fate(&stream, *seq, "c");
            if *seq <= 4 {
                assert_eq!(told, lost(*by, *at), "{seq}");
            } else if *seq == 13 {
                // A purge of everything does not look at what was never delivered.
                assert_eq!(told, ConsumerFate::Unknown);
            } else {
                assert_eq!(told, ConsumerFate::NotMatched, "{seq}");
            }
        }
        clean(&world);
        world = restart(world);
        stream = world.store.stream("s").unwrap();
        world.pass(secs(1));
    }
    assert_eq!(explain(&stream, 14).message, MessageFate::NotYetStored);
}

#[test]
fn what_was_given_up_is_found_where_its_copy_is() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").dead_letter("dead").max_deliver(1);
    let consumer = create(&stream, config);
    publish(&stream, "s.a", 4);
    let taken = take(&consumer, 4);
    taken[0].ack().unwrap();
    assert_eq!(fate(&stream, 1, "c"), ConsumerFate::Acked);
    taken[1].term("broken").unwrap();
    taken[2].nak().unwrap();
    let copied = |to_seq| ConsumerFate::DeadLettered {
        to: "dead".into(),
        to_seq: Seq::new(to_seq),
    };
    assert_eq!(fate(&stream, 2, "c"), copied(1));
    assert_eq!(fate(&stream, 3, "c"), copied(2));
    assert_eq!(
        fate(&stream, 1, "c"),
        ConsumerFate::Finished,
        "how is not kept now"
    );
    let dead = world.store.stream("dead").unwrap();
    dead.delete(Seq::new(1)).unwrap();
    assert_eq!(fate(&stream, 2, "c"), ConsumerFate::Finished);
    // The message leaves, the copy stays.
    stream.purge(Purge::all()).unwrap();
    assert_eq!(fate(&stream, 3, "c"), copied(2));
    assert_eq!(fate(&stream, 1, "c"), ConsumerFate::Finished);
    assert!(matches!(
        fate(&stream, 4, "c"),
        ConsumerFate::Lost {
            by: Removal::Purge,
            ..
        }
    ));
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(fate(&stream, 3, "c"), copied(2));
    clean(&world);
}

#[test]
fn a_message_that_is_set_aside_or_refused_says_so() {
    let world = World::new();
    let stream = world.stream("s");
    let small = StreamConfig::new("full")
        .subjects(["full.>"])
        .max_messages(1)
        .discard(riverbed::Discard::New);
    world.store.create_stream(small).unwrap();
    let parks = create(&stream, ConsumerConfig::new("parks").max_deliver(1));
    let refused = ConsumerConfig::new("refused")
        .max_deliver(1)
        .dead_letter("full");
    let refused = create(&stream, refused);
    publish(&stream, "s.a", 2);
    for consumer in [&parks, &refused] {
        for message in take(consumer, 2) {
            message.nak().unwrap();
        }
    }
    let since = world.clock.clock().now();
    let (reason, deliveries) = (DeadReason::MaxDeliver, 1);
    let parked = ConsumerFate::Parked {
        since,
        reason: reason.clone(),
        deliveries,
    };
    let to = "full".to_owned();
    let refused = ConsumerFate::Refused { to, reason };
    world.pass(secs(1));
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(fate(&stream, 1, "parks"), parked);
    assert_eq!(fate(&stream, 2, "refused"), refused);
    assert!(matches!(
        fate(&stream, 1, "refused"),
        ConsumerFate::DeadLettered { .. }
    ));
    clean(&world);
}

#[test]
fn an_ack_that_removes_a_message_is_told_from_a_consumer_that_came_later() {
    let world = World::new();
    let config = StreamConfig::new("s")
        .subjects(["s.>"])
        .retention(Retention::Interest);
    let stream = world.store.create_stream(config).unwrap();
    let all = create(&stream, ConsumerConfig::new("all"));
    let some = create(&stream, ConsumerConfig::new("some").filter("s.b"));
    create(
        &stream,
        ConsumerConfig::new("none").ack_policy(AckPolicy::None),
    );
    publish(&stream, "s.a", 2);
    for message in take(&all, 2) {
        message.ack().unwrap();
    }
    take(&world.consumer("s", "none"), 2);
    assert!(take(&some, 1).is_empty());
    assert_eq!(left(&stream, 1).0, Removal::Retention);
    assert_eq!(fate(&stream, 1, "all"), ConsumerFate::Acked);
    assert_eq!(fate(&stream, 1, "none"), ConsumerFate::Acked);
    assert!(matches!(
        fate(&stream, 1, "some"),
        ConsumerFate::Passed | ConsumerFate::NotMatched
    ));
    create(&stream, ConsumerConfig::new("later"));
    publish(&stream, "s.a", 1);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(fate(&stream, 1, "later"), ConsumerFate::BeforeCreated);
    assert_eq!(
        fate(&stream, 3, "later"),
        ConsumerFate::Waiting { deliveries: 0 }
    );
    assert!(is_stored(&stream, 3));
    clean(&world);
}

#[test]
fn what_is_forgotten_is_not_guessed() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let messages = (1..=1_400).map(|number: u64| ("s.a", number.to_string()));
    stream.publish_batch(messages).unwrap();
    let at = world.clock.clock().now();
    // No two of them are neighbours: each is a range of its own.
    for seq in (2..=1_400).step_by(2) {
        stream.delete(Seq::new(seq)).unwrap();
    }
    let forgotten = |until| MessageFate::Forgotten { until };
    assert_eq!(explain(&stream, 2).message, forgotten(None));
    assert_eq!(fate(&stream, 2, "c"), ConsumerFate::Unknown);
    assert_eq!(left(&stream, 1_400).0, Removal::Delete);
    assert!(is_stored(&stream, 1));
    assert_eq!(
        fate(&stream, 1_399, "c"),
        ConsumerFate::Waiting { deliveries: 0 }
    );
    world.pass(secs(1));
    stream.purge(Purge::all()).unwrap();
    // It may have been deleted before, or be purged now.
    assert_eq!(
        explain(&stream, 3).message,
        forgotten(Some(at.plus(secs(1))))
    );
    assert_eq!(left(&stream, 1_399), (Removal::Purge, at.plus(secs(1))));
    assert_eq!(left(&stream, 1_400), (Removal::Delete, at));
    assert!(take(&consumer, 1).is_empty());
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(
        explain(&stream, 2).message,
        forgotten(Some(at.plus(secs(1))))
    );
    assert_eq!(fate(&stream, 2, "c"), ConsumerFate::Unknown);
    assert_eq!(left(&stream, 1_399), (Removal::Purge, at.plus(secs(1))));
    clean(&world);
}

#[test]
fn removals_that_follow_each_other_stay_one_range() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects(["s.>"]).max_messages(1);
    let stream = world.store.create_stream(config).unwrap();
    let begun = world.clock.clock().now();
    publish(&stream, "s.a", 300);
    world.pass(secs(30));
    publish(&stream, "s.a", 300);
    let (by, since) = (Removal::MaxMessages, begun);
    let until = begun.plus(secs(30));
    assert_eq!(
        explain(&stream, 1).message,
        MessageFate::Removed { by, since, until }
    );
    assert_eq!(explain(&stream, 599).message, explain(&stream, 1).message);
    assert!(is_stored(&stream, 600));
    clean(&world);
}

#[test]
fn a_stream_or_consumer_that_is_gone_explains_nothing() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    publish(&stream, "s.a", 1);
    stream.delete_consumer("c").unwrap();
    let gone = consumer.explain(Seq::new(1));
    assert!(
        matches!(gone, Err(ConsumerError::NotFound { .. })),
        "{gone:?}"
    );
    world.store.delete_stream("s").unwrap();
    let gone = stream.explain(Seq::new(1));
    assert!(
        matches!(gone, Err(StreamError::NotFound { .. })),
        "{gone:?}"
    );
    let gone = consumer.explain(Seq::new(1));
    assert!(
        matches!(gone, Err(ConsumerError::NotFound { .. })),
        "{gone:?}"
    );
    // What it remembered leaves with it.
    let world = world.killed();
    let stream = world.stream("s");
    assert_eq!(explain(&stream, 1).message, MessageFate::NotYetStored);
    clean(&world);
}

#[test]
fn what_a_reset_passed_over_is_not_called_acked() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    publish(&stream, "s.a", 6);
    take_one(&consumer).ack().unwrap();
    assert_eq!(fate(&stream, 1, "c"), ConsumerFate::Acked);
    consumer
        .reset(DeliverPolicy::FromSequence(Seq::new(4)))
        .unwrap();
    assert_eq!(fate(&stream, 2, "c"), ConsumerFate::Passed);
    let waits = ConsumerFate::Waiting { deliveries: 0 };
    assert_eq!(fate(&stream, 4, "c"), waits);
    for message in take(&consumer, 3) {
        message.ack().unwrap();
    }
    publish(&stream, "s.a", 1);
    consumer
        .reset(DeliverPolicy::FromSequence(Seq::new(5)))
        .unwrap();
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    // It was acked once, and waits again.
    assert_eq!(fate(&stream, 5, "c"), waits);
    assert_eq!(fate(&stream, 3, "c"), ConsumerFate::Passed);
    let consumer = world.consumer("s", "c");
    for message in take(&consumer, 10) {
        message.ack().unwrap();
    }
    assert_eq!(fate(&stream, 6, "c"), ConsumerFate::Passed);
    // It had not come so far then.
    assert_eq!(fate(&stream, 7, "c"), ConsumerFate::Acked);
    publish(&stream, "s.a", 1);
    take_one(&consumer).ack().unwrap();
    assert_eq!(fate(&stream, 8, "c"), ConsumerFate::Acked);
    world.empty("s");
    assert_eq!(fate(&stream, 2, "c"), ConsumerFate::Passed);
    clean(&world);
}

#[test]
fn a_reset_from_ahead_of_the_stream_is_done_with_nothing_that_is_to_come() {
    let world = World::new();
    let stream = world.stream("s");
    let ahead = DeliverPolicy::FromSequence(Seq::new(20));
    let consumer = create(&stream, ConsumerConfig::new("c").deliver(ahead));
    publish(&stream, "s.a", 1);
    consumer
        .reset(DeliverPolicy::FromSequence(Seq::new(3)))
        .unwrap();
    publish(&stream, "s.a", 2);
    take_one(&consumer).ack().unwrap();
    assert_eq!(fate(&stream, 3, "c"), ConsumerFate::Acked);
    publish(&stream, "s.a", 1);
    world.empty("s");
    let lost = fate(&stream, 4, "c");
    assert!(matches!(lost, ConsumerFate::Lost { .. }), "{lost:?}");
    clean(&world);
}
