//! Priorities of messages: consumers that are taken one before the other.

use crate::helpers::*;
use riverbed::{
    Batch, Consumer, ConsumerConfig, EmptyReason, Fetch, FetchError, Lanes, LanesError, Rate,
    RunError, Stream, Timestamp, Unavailable,
};

/// Consumers of one stream, each of one subject.
pub(crate) struct Three {
    pub(crate) stream: Stream,
    pub(crate) urgent: Consumer,
    pub(crate) normal: Consumer,
    pub(crate) bulk: Consumer,
    pub(crate) lanes: Lanes,
}

pub(crate) fn three(world: &World) -> Three {
    let stream = world.stream("s");
    let lane = |name: &str| {
        let config = ConsumerConfig::new(name).filter(format!("s.{name}"));
        create(&stream, config.max_ack_pending(3))
    };
    let (urgent, normal, bulk) = (lane("urgent"), lane("normal"), lane("bulk"));
    let lanes = world.store.lanes([&urgent, &normal, &bulk]).unwrap();
    Three {
        stream,
        urgent,
        normal,
        bulk,
        lanes,
    }
}

pub(crate) fn clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

pub(crate) fn now(lanes: &Lanes, messages: usize) -> Batch {
    lanes.fetch(Fetch::new(messages).no_wait()).unwrap()
}

/// The lane and the sequences of what is there now.
pub(crate) fn got(lanes: &Lanes, messages: usize) -> (String, Vec<u64>) {
    let batch = now(lanes, messages);
    (batch.consumer_name().to_owned(), seqs(&batch))
}

pub(crate) fn lane(name: &str, seqs: &[u64]) -> (String, Vec<u64>) {
    (name.to_owned(), seqs.to_vec())
}

#[test]
fn a_later_lane_gives_only_when_the_earlier_ones_have_nothing() {
    let world = World::new();
    let of = three(&world);
    publish(&of.stream, "s.bulk", 2);
    publish(&of.stream, "s.normal", 1);
    publish(&of.stream, "s.urgent", 2);
    assert_eq!(
        of.lanes.names().collect::<Vec<_>>(),
        ["urgent", "normal", "bulk"]
    );
    // One lane a batch, however many are asked for.
    let batch = now(&of.lanes, 10);
    assert_eq!(
        (batch.consumer_name(), seqs(&batch)),
        ("urgent", vec![4, 5])
    );
    assert_eq!(
        (batch[0].consumer_name(), batch[0].stream_name()),
        ("urgent", "s")
    );
    assert_eq!(batch.ack().unwrap().acked, 2);
    assert_eq!(got(&of.lanes, 10), lane("normal", &[3]));
    publish(&of.stream, "s.urgent", 1);
    assert_eq!(got(&of.lanes, 10), lane("urgent", &[6]));
    let late = now(&of.lanes, 1);
    assert_eq!((late.consumer_name(), seqs(&late)), ("bulk", vec![1]));
    // What failed is due again, in its lane.
    late[0].nak().unwrap();
    assert_eq!(got(&of.lanes, 9), lane("bulk", &[1, 2]));
    let counts = |consumer: &Consumer| (info(consumer).acked, info(consumer).deliveries);
    assert_eq!(counts(&of.urgent), (2, 3));
    assert_eq!((counts(&of.normal), counts(&of.bulk)), ((0, 1), (0, 3)));
    clean(&world);
}

#[test]
fn lanes_may_be_of_several_streams_and_want_the_same_subjects_there() {
    let world = World::new();
    let (first, then) = (world.stream("first"), world.stream("then"));
    let urgent = create(&first, ConsumerConfig::new("c"));
    let later = create(&then, ConsumerConfig::new("c"));
    let lanes = world.store.lanes([&urgent, &later]).unwrap();
    publish(&then, "then.a", 1);
    publish(&first, "first.a", 1);
    let streams = |_| now(&lanes, 5)[0].stream_name().to_owned();
    assert_eq!([1, 2].map(streams), ["first", "then"]);
    // One lane is its consumer.
    let alone = world.store.lanes([&later]).unwrap();
    assert_eq!(now(&alone, 1).empty_reason(), Some(EmptyReason::NoMessages));
    clean(&world);
}

#[test]
fn lanes_that_make_no_sense_are_refused() {
    let world = World::new();
    let of = three(&world);
    let lanes = |consumers: &[&Consumer]| {
        let made = world.store.lanes(consumers.iter().copied());
        made.map(drop).unwrap_err()
    };
    assert_eq!(
        lanes(&[]),
        LanesError::Number {
            lanes: 0,
            limit: 16
        }
    );
    assert_eq!(
        lanes(&[&of.urgent; 17]),
        LanesError::Number {
            lanes: 17,
            limit: 16
        }
    );
    let again = world.consumer("s", "urgent");
    let twice = LanesError::Twice {
        consumer: "urgent".to_owned(),
        stream: "s".to_owned(),
    };
    assert_eq!(lanes(&[&of.urgent, &of.bulk, &again]), twice);
    let other = World::new();
    let foreign = create(&other.stream("s"), ConsumerConfig::new("c"));
    assert!(matches!(
        lanes(&[&of.urgent, &foreign]),
        LanesError::Foreign { consumer } if consumer == "c"
    ));
    let most = create(&of.stream, ConsumerConfig::new("most").filter("s.*"));
    let all = create(&of.stream, ConsumerConfig::new("all"));
    let overlap = lanes(&[&of.normal, &most]);
    assert_eq!(
        overlap.to_string(),
        "`s.normal` of the consumer `normal` and `s.*` of the consumer `most` can match the same subject, so that a \
         message of the stream `s` would come in both lanes: choose filters that don't overlap"
    );
    assert!(matches!(
        lanes(&[&all, &of.urgent]),
        LanesError::Overlap { first_filter, .. } if first_filter == ">"
    ));
    of.stream.delete_consumer("bulk").unwrap();
    assert_eq!(
        lanes(&[&of.urgent, &of.bulk]),
        LanesError::ConsumerGone {
            consumer: "bulk".to_owned()
        }
    );
    clean(&world);
    let old = of.urgent.clone();
    let world = world.reopened();
    assert!(matches!(
        world.store.lanes([&old]),
        Err(LanesError::Foreign { .. })
    ));
    world.store.close().unwrap();
    let closed = LanesError::Unavailable(Unavailable::Closed);
    let store = &other.store;
    store.close().unwrap();
    assert_eq!(store.lanes([&foreign]).map(drop).unwrap_err(), closed);
}

#[test]
fn what_no_lane_could_ever_give_is_refused_at_once() {
    let world = World::new();
    let of = three(&world);
    publish(&of.stream, "s.urgent", 1);
    let refused = |fetch: Fetch| of.lanes.fetch(fetch.no_wait()).map(drop).unwrap_err();
    assert!(matches!(refused(Fetch::new(0)), FetchError::TooMany { .. }));
    assert_eq!(
        refused(Fetch::new(1).max_bytes(1)),
        FetchError::TooBig {
            consumer: "urgent".to_owned(),
            seq: riverbed::Seq::new(1),
            bytes: 9,
            limit: 1
        }
    );
    assert!(matches!(
        refused(Fetch::new(1).min_ack_pending(3)),
        FetchError::Precedence { .. }
    ));
    let none = of.lanes.run(0, |_| Ok::<(), String>(()));
    assert!(matches!(none, Err(RunError::Workers { .. })));
    // Although the urgent lane has something.
    of.stream.delete_consumer("bulk").unwrap();
    let gone = FetchError::ConsumerGone {
        consumer: "bulk".to_owned(),
    };
    assert_eq!(refused(Fetch::new(1)), gone);
    assert_eq!(info(&of.urgent).deliveries, 0);
    clean(&world);
}

#[test]
fn filters_that_an_update_makes_overlap_bring_a_message_in_both_lanes() {
    let world = World::new();
    let of = three(&world);
    let wider = ConsumerConfig::new("bulk").filter("s.*");
    of.stream.update_consumer(wider).unwrap();
    publish(&of.stream, "s.urgent", 1);
    assert_eq!(got(&of.lanes, 9), lane("urgent", &[1]));
    assert_eq!(got(&of.lanes, 9), lane("bulk", &[1]));
    clean(&world);
}

#[test]
fn g4_deliveries_through_lanes_are_counted_across_a_kill_and_come_again_in_their_order() {
    let world = World::new();
    let of = three(&world);
    publish(&of.stream, "s.bulk", 2);
    publish(&of.stream, "s.urgent", 2);
    let urgent = now(&of.lanes, 1);
    urgent.ack().unwrap();
    assert_eq!(got(&of.lanes, 1), lane("urgent", &[4]));
    assert_eq!(got(&of.lanes, 2), lane("bulk", &[1, 2]));
    let world = world.killed();
    let lanes = ["urgent", "normal", "bulk"].map(|name| world.consumer("s", name));
    let lanes = world.store.lanes(&lanes).unwrap();
    let again = now(&lanes, 9);
    assert_eq!((seqs(&again), deliveries(&again)), (vec![4], vec![2]));
    let again = now(&lanes, 9);
    assert_eq!((seqs(&again), deliveries(&again)), (vec![1, 2], vec![2, 2]));
    assert_eq!(info(&world.consumer("s", "urgent")).acked, 1);
    clean(&world);
    let world = world.reopened();
    clean(&world);
}

#[test]
fn a_lane_that_gives_nothing_now_is_passed_by_and_says_why_when_all_are() {
    let world = World::new();
    let of = three(&world);
    publish(&of.stream, "s.bulk", 5);
    publish(&of.stream, "s.normal", 5);
    publish(&of.stream, "s.urgent", 5);
    let until = Timestamp::from_micros(u64::MAX);
    of.urgent.pause(until).unwrap();
    assert_eq!(got(&of.lanes, 9), lane("normal", &[6, 7, 8]));
    // As many are in flight as the lane allows.
    assert_eq!(got(&of.lanes, 9), lane("bulk", &[1, 2, 3]));
    let empty = now(&of.lanes, 9);
    assert_eq!(empty.consumer_name(), "urgent");
    assert_eq!(empty.empty_reason(), Some(EmptyReason::Paused { until }));
    of.urgent.resume().unwrap();
    assert_eq!(got(&of.lanes, 9), lane("urgent", &[11, 12, 13]));
    now(&of.lanes, 9);
    for message in take(&of.urgent, 9) {
        message.ack().unwrap();
    }
    clean(&world);
}

#[test]
fn a_lane_whose_rate_is_used_up_lets_the_others_have_their_turn() {
    let world = World::new();
    let stream = world.stream("s");
    let slow = ConsumerConfig::new("slow").filter("s.slow");
    let slow = create(&stream, slow.rate_limit(Rate::per_second(1).burst(2)));
    let other = create(&stream, ConsumerConfig::new("other").filter("s.other"));
    let lanes = world.store.lanes([&slow, &other]).unwrap();
    publish(&stream, "s.slow", 4);
    publish(&stream, "s.other", 1);
    assert_eq!(got(&lanes, 9), lane("slow", &[1, 2]));
    assert_eq!(got(&lanes, 9), lane("other", &[5]));
    let empty = now(&lanes, 9);
    assert!(matches!(
        empty.empty_reason(),
        Some(EmptyReason::RateLimited { .. })
    ));
    world.pass(secs(1));
    assert_eq!(got(&lanes, 9), lane("slow", &[3]));
    clean(&world);
}

#[test]
fn the_reason_is_that_of_the_first_lane_that_is_not_just_empty() {
    let world = World::new();
    let of = three(&world);
    let empty = now(&of.lanes, 1);
    assert_eq!(
        (empty.consumer_name(), empty.empty_reason()),
        ("urgent", Some(EmptyReason::NoMessages))
    );
    assert!(empty.ack().unwrap().refused.is_empty());
    publish(&of.stream, "s.normal", 1);
    publish(&of.stream, "s.bulk", 1);
    for _ in 0..2 {
        now(&of.lanes, 1)[0].nak_after(secs(9)).unwrap();
    }
    let empty = now(&of.lanes, 1);
    assert_eq!(empty.consumer_name(), "normal");
    assert!(matches!(
        empty.empty_reason(),
        Some(EmptyReason::DelayedUntil(_))
    ));
    world.pass(secs(9));
    assert_eq!(got(&of.lanes, 1), lane("normal", &[1]));
    clean(&world);
}

#[test]
fn minimums_are_judged_in_each_lane() {
    let world = World::new();
    let of = three(&world);
    publish(&of.stream, "s.urgent", 1);
    publish(&of.stream, "s.bulk", 2);
    let helper = Fetch::new(9).min_pending(2).no_wait();
    let batch = of.lanes.fetch(helper).unwrap();
    assert_eq!((batch.consumer_name(), seqs(&batch)), ("bulk", vec![2, 3]));
    let below = EmptyReason::BelowMinimum {
        pending: 1,
        in_flight: 0,
    };
    let empty = of.lanes.fetch(helper).unwrap();
    assert_eq!(empty.empty_reason(), Some(below));
    clean(&world);
}

#[test]
fn a_lane_that_is_never_reached_is_at_work_all_the_same() {
    let world = World::new();
    let stream = world.stream("s");
    let urgent = create(&stream, ConsumerConfig::new("urgent").filter("s.urgent"));
    let bulk = ConsumerConfig::new("bulk").filter("s.bulk");
    let bulk = create(&stream, bulk.inactive_threshold(secs(10)));
    let lanes = world.store.lanes([&urgent, &bulk]).unwrap();
    for _ in 0..5 {
        publish(&stream, "s.urgent", 1);
        now(&lanes, 1).ack().unwrap();
        world.pass(secs(6));
    }
    assert_eq!(info(&bulk).pending, 0);
    world.pass(secs(10));
    assert!(bulk.info().is_err());
    clean(&world);
}
