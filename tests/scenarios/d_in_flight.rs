//! D: how much may be in flight.

use crate::helpers::*;
use riverbed::{ConsumerConfig, EmptyReason};

#[test]
fn d1_a_full_consumer_takes_as_many_again_after_its_acks() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish_batch((0..100).map(|_| ("s.a", ""))).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").max_ack_pending(33));
    let first = take(&consumer, 100);
    assert_eq!(first.len(), 33);
    assert_eq!(nothing(&consumer), EmptyReason::InFlight { messages: 33 });
    for message in first {
        message.ack().unwrap();
    }
    assert_eq!(seqs(&take(&consumer, 33)), (34..=66).collect::<Vec<u64>>());
    assert_eq!(nothing(&consumer), EmptyReason::InFlight { messages: 33 });
}

#[test]
fn d3_a_fetch_over_the_limit_returns_at_once_what_may_be_taken() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 10);
    let consumer = create(&stream, ConsumerConfig::new("c").max_ack_pending(5));
    // The clock stands still: a fetch that waited for more would wait forever.
    let batch = consumer
        .fetch(riverbed::Fetch::new(10).max_wait(secs(2)))
        .unwrap();
    assert_eq!(batch.len(), 5);
}

#[test]
fn d4_a_deleted_message_makes_room() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let consumer = create(&stream, ConsumerConfig::new("c").max_ack_pending(1));
    let first = take_one(&consumer);
    nothing(&consumer);
    stream.delete(1.into()).unwrap();
    let second = take_one(&consumer);
    assert_eq!(second.seq(), 2);
    assert_eq!(info(&consumer).ack_floor, 1);
    assert!(is_gone(&first.ack()));
}

#[test]
fn d6_a_delayed_message_is_not_in_flight() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 5);
    let consumer = create(&stream, ConsumerConfig::new("c").max_ack_pending(2));
    for message in take(&consumer, 2) {
        message.nak_after(secs(3600)).unwrap();
    }
    assert_eq!(seqs(&take(&consumer, 5)), [3, 4]);
    assert_eq!((info(&consumer).delayed, info(&consumer).in_flight), (2, 2));
}

#[test]
fn d7_delayed_messages_that_are_superseded_drain_to_nothing() {
    let world = World::new();
    let config = riverbed::StreamConfig::new("s").max_messages(3);
    let stream = world.store.create_stream(config).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c"));
    for round in 0..20 {
        publish(&stream, "s", 4);
        for (at, message) in take(&consumer, 2).into_iter().enumerate() {
            if at == 0 {
                message.nak_after(secs(round)).unwrap();
            } else {
                message.ack().unwrap();
            }
        }
    }
    world.pass(secs(60));
    for message in take(&consumer, 100) {
        message.ack().unwrap();
    }
    let info = info(&consumer);
    assert_eq!(
        (info.in_flight, info.due, info.delayed, info.pending),
        (0, 0, 0, 0)
    );
    assert_eq!(info.acked + info.lost, 80);
}

#[test]
fn bytes_in_flight_are_bounded_but_one_message_always_goes() {
    let world = World::new();
    let stream = world.stream("s");
    for _ in 0..3 {
        stream.publish("s.a", vec![0; 1000]).unwrap();
    }
    let consumer = create(&stream, ConsumerConfig::new("c").max_ack_pending_bytes(500));
    let one = take(&consumer, 3);
    assert_eq!(seqs(&one), [1]);
    assert_eq!(
        nothing(&consumer),
        EmptyReason::InFlightBytes { bytes: 1003 }
    );
    one[0].ack().unwrap();
    assert_eq!(seqs(&take(&consumer, 3)), [2]);
}
