//! C: ack waits, backoff, and how many attempts a message has.

use crate::helpers::*;
use riverbed::{ConsumerConfig, DeadReason, EmptyReason, Event, OnExhausted, Purge, Seq, Stream};

fn one_message(world: &World) -> Stream {
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    stream
}

#[test]
fn c2_the_backoff_sets_the_gaps_and_its_last_step_repeats() {
    let world = World::new();
    let stream = one_message(&world);
    let steps = [millis(50), millis(250), millis(1000)];
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").backoff(steps).max_deliver(1000),
    );
    for (at, gap) in [50, 250, 1000, 1000, 1000].into_iter().enumerate() {
        assert_eq!(take_one(&consumer).deliveries(), at as u64 + 1);
        world.pass(millis(gap - 1));
        nothing(&consumer);
        world.pass(millis(1));
    }
    take_one(&consumer);
}

#[test]
fn c3_a_message_on_a_late_step_does_not_hold_up_one_on_its_first() {
    let world = World::new();
    let stream = one_message(&world);
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").backoff([secs(2), secs(4)]),
    );
    take_one(&consumer);
    world.pass(secs(2));
    assert_eq!(take_one(&consumer).deliveries(), 2);
    stream.publish("s.a", "").unwrap();
    assert_eq!(take_one(&consumer).seq(), 2);
    world.pass(secs(2));
    assert_eq!(seqs(&take(&consumer, 5)), [2]);
    world.pass(secs(2));
    assert_eq!(seqs(&take(&consumer, 5)), [1]);
}

#[test]
fn c5_five_deliveries_and_never_another() {
    let world = World::new();
    let stream = one_message(&world);
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").ack_wait(secs(1)).max_deliver(5),
    );
    for attempt in 1..=5 {
        assert_eq!(take_one(&consumer).deliveries(), attempt);
        world.pass(secs(1));
    }
    for _ in 0..5 {
        assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
        world.pass(secs(60));
    }
    assert_eq!(
        (info(&consumer).deliveries, info(&consumer).failures),
        (5, 5)
    );
}

#[test]
fn c6_an_exhausted_message_stays_so_over_restarts_and_others_go_on_counting() {
    let world = World::new();
    let stream = one_message(&world);
    let consumer = create(&stream, ConsumerConfig::new("c").max_deliver(3));
    for _ in 0..3 {
        take_one(&consumer).nak_now().unwrap();
    }
    publish(&stream, "s.a", 2);
    take_one(&consumer).nak_now().unwrap();
    let world = world.reopened();
    let consumer = world.consumer("s", "c");
    let second = take_one(&consumer);
    assert_eq!(
        (second.seq().get(), second.deliveries(), second.failures()),
        (2, 2, 1)
    );
    second.nak_now().unwrap();
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    let second = take_one(&consumer);
    assert_eq!((second.deliveries(), second.failures()), (3, 2));
    second.nak_now().unwrap();
    assert_eq!(seqs(&take(&consumer, 5)), [3]);
    assert_eq!(info(&consumer).parked, 2);
}

#[test]
fn c8_a_lowered_limit_is_applied_to_what_waits_and_announced() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    let config = ConsumerConfig::new("c").max_deliver(10);
    let consumer = create(&stream, config.clone());
    for _ in 0..3 {
        for message in take(&consumer, 3) {
            match message.seq().get() {
                1 => message.nak_now().unwrap(),
                2 => message.nak_after(secs(1)).unwrap(),
                _ => message.in_progress().unwrap(),
            }
        }
        world.pass(secs(1));
    }
    assert_eq!(info(&consumer).in_flight, 1);
    let events = world.store.events(8);
    stream.update_consumer(config.max_deliver(2)).unwrap();
    world.store.drive().unwrap();
    nothing(&consumer);
    assert_eq!((info(&consumer).parked, info(&consumer).in_flight), (2, 1));
    for seq in [1, 2] {
        let Event::Parked { whose, reason } = events.try_recv().unwrap() else {
            panic!("parked")
        };
        assert_eq!((whose.seq, reason), (Seq::new(seq), DeadReason::MaxDeliver));
    }
}

#[test]
fn c8b_a_lowered_limit_sends_what_is_over_it_to_the_dead_letters() {
    let world = World::new();
    let stream = one_message(&world);
    let config = ConsumerConfig::new("c").max_deliver(10).dead_letter("dead");
    let consumer = create(&stream, config.clone());
    for _ in 0..4 {
        take_one(&consumer).nak_now().unwrap();
    }
    stream.update_consumer(config.max_deliver(4)).unwrap();
    world.store.drive().unwrap();
    let letter = world
        .store
        .stream("dead")
        .unwrap()
        .dead_letters()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!((letter.deliveries, letter.failures), (4, 4));
    assert_eq!(info(&consumer).dead_lettered, 1);
}

#[test]
fn c9_limits_come_and_go_by_update() {
    let world = World::new();
    let stream = one_message(&world);
    let config = ConsumerConfig::new("c");
    let consumer = create(&stream, config.clone());
    for _ in 0..5 {
        take_one(&consumer).nak_now().unwrap();
    }
    stream
        .update_consumer(config.clone().max_deliver(7))
        .unwrap();
    take_one(&consumer).nak_now().unwrap();
    stream.update_consumer(config.clone()).unwrap();
    for _ in 0..5 {
        take_one(&consumer).nak_now().unwrap();
    }
    stream.update_consumer(config.max_deliver(11)).unwrap();
    world.store.drive().unwrap();
    assert_eq!(info(&consumer).parked, 1);
}

#[test]
fn c11_a_lapse_alone_ends_the_last_attempt_without_any_fetch() {
    let world = World::new();
    let stream = one_message(&world);
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").ack_wait(secs(1)).max_deliver(1),
    );
    take_one(&consumer);
    world.pass(secs(1));
    assert_eq!((info(&consumer).in_flight, info(&consumer).parked), (0, 1));
}

#[test]
fn c12_dead_messages_stay_readable_and_the_floor_passes_them() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    let consumer = create(&stream, ConsumerConfig::new("c").max_deliver(2));
    for _ in 0..2 {
        for message in take(&consumer, 3) {
            message.nak().unwrap();
        }
    }
    stream.publish("s.a", "").unwrap();
    take_one(&consumer).ack().unwrap();
    let info = info(&consumer);
    assert_eq!(
        (
            info.pending,
            info.parked,
            info.ack_floor.get(),
            info.deliveries
        ),
        (0, 3, 4, 7)
    );
    world.pass(secs(3600));
    for seq in 1..=3 {
        assert!(stream.get(Seq::new(seq)).unwrap().is_some());
    }
}

#[test]
fn c14_the_records_of_dead_messages_go_with_the_messages() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 6);
    let consumer = create(&stream, ConsumerConfig::new("c").max_deliver(1));
    for message in take(&consumer, 6) {
        message.nak().unwrap();
    }
    assert_eq!(info(&consumer).parked, 6);
    stream.delete(2.into()).unwrap();
    stream.purge(Purge::all().up_to(4.into())).unwrap();
    assert_eq!((info(&consumer).parked, info(&consumer).lost), (3, 3));
    stream.purge(Purge::all()).unwrap();
    let world = world.reopened();
    let consumer = world.consumer("s", "c");
    assert_eq!((info(&consumer).parked, info(&consumer).lost), (0, 6));
    assert!(consumer.parked(1.into(), 10).unwrap().is_empty());
}

#[test]
fn c15_a_late_ack_of_a_dead_message_changes_nothing() {
    let world = World::new();
    let stream = one_message(&world);
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").ack_wait(secs(1)).max_deliver(1),
    );
    let late = take_one(&consumer);
    world.pass(secs(1));
    // A parked message is still stored for its consumer, but not this delivery's.
    assert!(is_stale(&late.ack()));
    assert_eq!((info(&consumer).parked, info(&consumer).acked), (1, 0));
    consumer.discard(1.into()).unwrap();
    assert!(is_gone(&late.ack()));
}

#[test]
fn c18_a_lapse_on_the_last_attempt_ends_the_message_at_the_limit() {
    let world = World::new();
    let stream = one_message(&world);
    let consumer = create(
        &stream,
        ConsumerConfig::new("c")
            .ack_wait(secs(1))
            .max_deliver(2)
            .on_exhausted(OnExhausted::Drop),
    );
    for _ in 0..2 {
        take_one(&consumer);
        world.pass(secs(1));
    }
    nothing(&consumer);
    let info = info(&consumer);
    assert_eq!((info.dropped, info.deliveries, info.failures), (1, 2, 2));
}

#[test]
fn c20_the_floor_slides_past_messages_that_died() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 5);
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").ack_wait(secs(1)).max_deliver(1),
    );
    let taken = take(&consumer, 5);
    taken[3].ack().unwrap();
    taken[4].in_progress().unwrap();
    assert_eq!(info(&consumer).ack_floor, 0);
    world.pass(secs(1));
    assert_eq!(info(&consumer).ack_floor, 5);
}
