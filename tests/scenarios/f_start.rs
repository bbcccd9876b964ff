//! F: where a consumer starts, and what it filters.

use crate::helpers::*;
use riverbed::{ConsumerConfig, ConsumerError, DeliverPolicy, Purge, Seq, Stream, Timestamp};

/// Six messages, ten seconds apart, on `s.a` and `s.b` in turn.
fn six(world: &World) -> Stream {
    let stream = world.stream("s");
    for number in 0..6 {
        stream
            .publish(["s.a", "s.b"][number % 2], number.to_string())
            .unwrap();
        world.pass(secs(10));
    }
    stream
}

fn starting(stream: &Stream, name: &str, deliver: DeliverPolicy) -> Vec<u64> {
    seqs(&take(
        &create(stream, ConsumerConfig::new(name).deliver(deliver)),
        10,
    ))
}

#[test]
fn a_consumer_starts_where_its_policy_says() {
    let world = World::new();
    let start = world.clock.clock().now();
    let stream = six(&world);
    assert_eq!(
        starting(&stream, "all", DeliverPolicy::All),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(starting(&stream, "last", DeliverPolicy::Last), [6]);
    assert_eq!(
        starting(&stream, "new", DeliverPolicy::New),
        Vec::<u64>::new()
    );
    assert_eq!(
        starting(&stream, "seq", DeliverPolicy::FromSequence(Seq::new(4))),
        [4, 5, 6]
    );
    let from = |after| DeliverPolicy::FromTime(start.plus(secs(after)));
    assert_eq!(starting(&stream, "at", from(20)), [3, 4, 5, 6]);
    assert_eq!(starting(&stream, "between", from(21)), [4, 5, 6]);
    assert_eq!(
        starting(
            &stream,
            "before",
            DeliverPolicy::FromTime(Timestamp::default())
        )
        .len(),
        6
    );
    assert_eq!(starting(&stream, "late", from(1000)), Vec::<u64>::new());
}

#[test]
fn new_means_after_the_creation_over_a_restart_too() {
    let world = World::new();
    let stream = six(&world);
    let config = ConsumerConfig::new("c").deliver(DeliverPolicy::New);
    assert_eq!(info(&create(&stream, config.clone())).pending, 0);
    stream.publish("s.a", "").unwrap();
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    let consumer = create(&stream, config);
    assert_eq!(info(&consumer).pending, 1);
    assert_eq!(seqs(&take(&consumer, 10)), [7]);
}

#[test]
fn last_is_the_last_one_that_matches_and_onwards() {
    let world = World::new();
    let stream = six(&world);
    let config = ConsumerConfig::new("c")
        .deliver(DeliverPolicy::Last)
        .filter("s.a");
    let consumer = create(&stream, config);
    assert_eq!(info(&consumer).pending, 1);
    publish(&stream, "s.a", 1);
    assert_eq!(seqs(&take(&consumer, 10)), [5, 7]);
}

#[test]
fn last_of_nothing_is_what_comes_next() {
    let world = World::new();
    let stream = six(&world);
    let config = ConsumerConfig::new("c").deliver(DeliverPolicy::Last);
    let consumer = create(&stream, config.filter("s.never"));
    nothing(&consumer);
    stream.publish("s.never", "").unwrap();
    assert_eq!(seqs(&take(&consumer, 10)), [7]);
    stream.purge(Purge::all()).unwrap();
    let empty = create(
        &stream,
        ConsumerConfig::new("empty").deliver(DeliverPolicy::Last),
    );
    nothing(&empty);
    stream.publish("s.a", "").unwrap();
    assert_eq!(seqs(&take(&empty, 10)), [8]);
}

#[test]
fn a_start_that_is_deleted_moves_to_the_next_message() {
    let world = World::new();
    let stream = six(&world);
    stream.delete(4.into()).unwrap();
    assert_eq!(
        starting(&stream, "seq", DeliverPolicy::FromSequence(Seq::new(4))),
        [5, 6]
    );
    stream.delete(6.into()).unwrap();
    assert_eq!(starting(&stream, "last", DeliverPolicy::Last), [5]);
}

#[test]
fn a_start_still_to_come_is_waited_for() {
    let world = World::new();
    let stream = six(&world);
    let config = ConsumerConfig::new("c")
        .deliver(DeliverPolicy::FromSequence(Seq::new(9)))
        .filter("s.a");
    let consumer = create(&stream, config);
    publish(&stream, "s.a", 2);
    assert_eq!(info(&consumer).pending, 0);
    nothing(&consumer);
    let world = world.reopened();
    let (stream, consumer) = (world.store.stream("s").unwrap(), world.consumer("s", "c"));
    publish(&stream, "s.a", 2);
    assert_eq!(info(&consumer).pending, 2);
    assert_eq!(seqs(&take(&consumer, 10)), [9, 10]);
}

#[test]
fn f7_from_a_time_with_filters_is_the_first_match_from_then_on() {
    let world = World::new();
    let start = world.clock.clock().now();
    let stream = six(&world);
    stream.publish("s.c", "").unwrap();
    let config = ConsumerConfig::new("c").deliver(DeliverPolicy::FromTime(start.plus(secs(20))));
    let consumer = create(&stream, config.filters(["s.b", "s.c"]));
    assert_eq!(info(&consumer).pending, 3);
    assert_eq!(seqs(&take(&consumer, 10)), [4, 6, 7]);
}

#[test]
fn f8_a_start_at_sequence_0_is_refused() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").deliver(DeliverPolicy::FromSequence(Seq::new(0)));
    assert!(matches!(
        stream.create_consumer(config),
        Err(ConsumerError::Invalid(_))
    ));
}

#[test]
fn f10_a_filter_within_another_is_refused_and_overlapping_ones_deliver_once() {
    let world = World::new();
    let stream = world.stream("event");
    for subset in [
        ["event.>", "event.*.foo"],
        ["event.*.foo", "event.>"],
        ["event.a", "event.a"],
    ] {
        let config = ConsumerConfig::new("c").filters(subset);
        assert!(matches!(
            stream.create_consumer(config),
            Err(ConsumerError::Invalid(_))
        ));
    }
    let config = ConsumerConfig::new("c").filters(["event.foo.*", "event.*.foo"]);
    let consumer = create(&stream, config);
    for subject in ["event.foo.x", "event.foo.foo", "event.x.foo", "event.x.x"] {
        stream.publish(subject, "").unwrap();
    }
    assert_eq!(info(&consumer).pending, 3);
    assert_eq!(seqs(&take(&consumer, 10)), [1, 2, 3]);
}

#[test]
fn f11_a_subject_and_what_is_below_it_are_two_filters() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c").filters(["s.a", "s.a.>"]));
    for subject in ["s.a", "s.a.b", "s.a.b.c", "s.b"] {
        stream.publish(subject, "").unwrap();
    }
    assert_eq!(seqs(&take(&consumer, 10)), [1, 2, 3]);
}

#[test]
fn the_start_of_a_consumer_is_fixed() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").filter("s.a");
    create(&stream, config.clone());
    let other = stream
        .update_consumer(config.deliver(DeliverPolicy::New))
        .unwrap_err();
    assert_eq!(other, ConsumerError::Fixed { setting: "deliver" });
}

#[test]
fn g9_consumers_are_independent_of_each_other() {
    let world = World::new();
    let stream = six(&world);
    let slow = create(&stream, ConsumerConfig::new("slow").max_ack_pending(1));
    let quick = create(&stream, ConsumerConfig::new("quick"));
    take_one(&slow);
    for message in take(&quick, 10) {
        message.ack().unwrap();
    }
    assert_eq!((info(&slow).in_flight, info(&slow).pending), (1, 5));
    assert_eq!((info(&quick).acked, info(&quick).ack_floor.get()), (6, 6));
}
