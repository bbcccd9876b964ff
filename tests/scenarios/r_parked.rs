//! Parked messages: listed, released, discarded.

use crate::helpers::*;
use riverbed::{ConsumerConfig, DeadReason, EmptyReason, RedriveError, Seq};

fn parked(world: &World, messages: u64) -> riverbed::Consumer {
    let stream = world.stream("s");
    publish(&stream, "s.a", messages);
    let consumer = create(&stream, ConsumerConfig::new("c").max_deliver(1));
    for message in take(&consumer, 100) {
        message.nak().unwrap();
    }
    consumer
}

#[test]
fn parked_messages_are_listed_with_what_happened_to_them() {
    let world = World::new();
    let consumer = parked(&world, 4);
    let since = world.clock.clock().now();
    let listed = consumer.parked(2.into(), 2).unwrap();
    assert_eq!(
        listed
            .iter()
            .map(|one| one.message.seq().get())
            .collect::<Vec<_>>(),
        [2, 3]
    );
    assert_eq!(listed[0].message.payload(), b"2");
    assert_eq!((listed[0].deliveries, listed[0].failures), (1, 1));
    assert_eq!(
        (&listed[0].reason, listed[0].since),
        (&DeadReason::MaxDeliver, since)
    );
    let world = world.killed();
    let again = world.consumer("s", "c");
    assert_eq!(again.parked(2.into(), 2).unwrap(), listed);
    assert_eq!(again.parked(1.into(), 100).unwrap().len(), 4);
    assert!(again.parked(5.into(), 100).unwrap().is_empty());
}

#[test]
fn a_released_message_is_due_with_its_attempts_counted_anew() {
    let world = World::new();
    let consumer = parked(&world, 3);
    consumer.release(2.into()).unwrap();
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    let again = take_one(&consumer);
    assert_eq!(
        (again.seq().get(), again.deliveries(), again.failures()),
        (2, 1, 0)
    );
    assert_eq!(info(&consumer).ack_floor, 3, "the floor never moves back");
    again.nak().unwrap();
    assert_eq!(info(&consumer).parked, 3);
    consumer.release(2.into()).unwrap();
    take_one(&consumer).ack().unwrap();
    assert_eq!((info(&consumer).parked, info(&consumer).acked), (2, 1));
}

#[test]
fn a_discarded_message_is_finished_and_stays_in_the_stream() {
    let world = World::new();
    let consumer = parked(&world, 2);
    consumer.discard(1.into()).unwrap();
    assert_eq!((info(&consumer).parked, info(&consumer).dropped), (1, 1));
    assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
    assert_eq!(stored(&world.store.stream("s").unwrap()), [1, 2]);
}

#[test]
fn what_is_not_parked_is_neither_released_nor_discarded() {
    let world = World::new();
    let consumer = parked(&world, 1);
    world.store.publish("s.a", "").unwrap();
    consumer.discard(1.into()).unwrap();
    for seq in [1, 2, 3] {
        let not = RedriveError::NotParked {
            consumer: "c".into(),
            seq: Seq::new(seq),
        };
        assert_eq!(consumer.release(seq.into()).unwrap_err(), not);
        assert_eq!(consumer.discard(seq.into()).unwrap_err(), not);
    }
}

#[test]
fn a_parked_message_is_not_in_the_way_of_anything() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 5);
    let config = ConsumerConfig::new("c").max_deliver(1).max_ack_pending(1);
    let consumer = create(&stream, config);
    for _ in 0..5 {
        take_one(&consumer).nak().unwrap();
    }
    assert_eq!(
        (info(&consumer).parked, info(&consumer).ack_floor.get()),
        (5, 5)
    );
    assert_eq!(info(&consumer).oldest_unfinished, Some(secs(0)));
}

#[test]
fn a_terminated_message_without_a_dead_letter_stream_is_dropped_not_parked() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, ConsumerConfig::new("c").max_deliver(3));
    take_one(&consumer).term("x").unwrap();
    assert_eq!((info(&consumer).parked, info(&consumer).dropped), (0, 1));
}
