//! B: the order of redeliveries; naks, extensions and terminations.

use crate::helpers::*;
use riverbed::{ConsumerConfig, DeadReason, EmptyReason, Event, RunOptions};
use std::sync::mpsc;

#[test]
fn b1_a_naked_message_comes_before_the_new_ones() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 8);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    for message in take(&consumer, 5) {
        message.ack().unwrap();
    }
    let sixth = take_one(&consumer);
    sixth.nak().unwrap();
    let next = take(&consumer, 3);
    assert_eq!(seqs(&next), [6, 7, 8]);
    assert_eq!(deliveries(&next), [2, 1, 1]);
    assert!(next[0].serial() > sixth.serial());
}

#[test]
fn b2_every_round_of_redeliveries_is_in_the_order_of_sequences() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 100);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(1)));
    let all: Vec<u64> = (1..=100).collect();
    for round in 1..=5 {
        let taken = take(&consumer, 200);
        assert_eq!(seqs(&taken), all);
        assert!(taken.iter().all(|message| message.deliveries() == round));
        world.pass(secs(1));
    }
}

#[test]
fn b4_stale_ack_is_refused() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(1)));
    let with_a = take_one(&consumer);
    world.pass(secs(1));
    // Nobody has it yet, but A's delivery is over.
    assert!(is_stale(&with_a.ack()));
    let with_b = take_one(&consumer);
    for late in [
        with_a.ack(),
        with_a.nak(),
        with_a.in_progress(),
        with_a.term("x"),
    ] {
        assert!(is_stale(&late));
    }
    assert_eq!(info(&consumer).in_flight, 1);
    with_b.ack().unwrap();
    assert!(is_gone(&with_a.ack()));
}

#[test]
fn b5_what_is_acked_is_not_redelivered_by_a_late_nak() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 10);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let taken = take(&consumer, 10);
    for message in &taken {
        message.ack().unwrap();
    }
    for message in &taken {
        assert!(is_gone(&message.nak()));
    }
    assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
}

#[test]
fn b7_a_message_in_progress_stays_with_its_holder_until_that_falls_silent() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(10)));
    let first = take_one(&consumer);
    for _ in 0..15 {
        world.pass(secs(2));
        first.in_progress().unwrap();
    }
    assert_eq!(take_one(&consumer).seq(), 2);
    world.pass(millis(9_999));
    assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
    world.pass(millis(1));
    assert_eq!(seqs(&take(&consumer, 2)), [1, 2]);
}

#[test]
fn b8_in_progress_counts_nothing() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").ack_wait(secs(1)).max_deliver(2),
    );
    let message = take_one(&consumer);
    for _ in 0..10 {
        message.in_progress().unwrap();
    }
    world.pass(secs(1));
    let again = take_one(&consumer);
    assert_eq!((again.deliveries(), again.failures()), (2, 1));
}

#[test]
fn b10_a_terminated_message_is_over_and_announced_with_its_reason() {
    let world = World::new();
    let events = world.store.events(8);
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    take_one(&consumer).nak().unwrap();
    take_one(&consumer).term("why").unwrap();
    assert_eq!(take_one(&consumer).seq(), 2);
    let Event::Dropped { whose, reason } = events.try_recv().unwrap() else {
        panic!("dropped")
    };
    assert_eq!((whose.stream.as_str(), whose.consumer.as_str()), ("s", "c"));
    assert_eq!((whose.seq.get(), whose.deliveries), (1, 2));
    assert_eq!(reason, DeadReason::Term("why".into()));
    assert_eq!(info(&consumer).dropped, 1);
}

#[test]
fn b11_a_deleted_message_is_skipped_when_its_redelivery_is_due() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(1)));
    take(&consumer, 3);
    world.pass(secs(1));
    stream.delete(2.into()).unwrap();
    let again = take(&consumer, 5);
    assert_eq!(seqs(&again), [1, 3]);
    for message in again {
        message.ack().unwrap();
    }
    let info = info(&consumer);
    assert_eq!((info.in_flight, info.due, info.ack_floor.get()), (0, 0, 3));
    assert_eq!((info.deliveries, info.lost), (5, 1));
}

#[test]
fn b13_a_delayed_message_is_not_there_before_its_time() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c"));
    take_one(&consumer).nak_after(millis(500)).unwrap();
    let until = world.clock.clock().now().plus(millis(500));
    assert_eq!(nothing(&consumer), EmptyReason::DelayedUntil(until));
    world.pass(millis(499));
    assert_eq!(nothing(&consumer), EmptyReason::DelayedUntil(until));
    // A fetch looks at the clock itself; it does not wait for the sweeper.
    world.clock.advance(millis(1));
    assert_eq!(take_one(&consumer).deliveries(), 2);
}

#[test]
fn b14_an_explicit_delay_is_exact_whatever_the_backoff_says() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").backoff([secs(5), secs(10)]),
    );
    take_one(&consumer).nak_now().unwrap();
    take_one(&consumer).nak_after(secs(1)).unwrap();
    world.pass(millis(999));
    nothing(&consumer);
    world.pass(millis(1));
    assert_eq!(take_one(&consumer).deliveries(), 3);
}

#[test]
fn b14b_a_plain_nak_takes_the_backoff_of_its_attempt() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").backoff([secs(5), secs(10)]),
    );
    for delay in [5, 10, 10] {
        take_one(&consumer).nak().unwrap();
        world.pass(secs(delay).checked_sub(millis(1)).unwrap());
        nothing(&consumer);
        world.pass(millis(1));
    }
    assert_eq!(take_one(&consumer).deliveries(), 4);
}

#[test]
fn b16_a_nak_survives_a_kill_and_its_message_is_there_at_once() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").max_deliver(5));
    take_one(&consumer).nak().unwrap();
    let world = world.killed();
    let again = take_one(&world.consumer("s", "c"));
    assert_eq!(
        (again.deliveries(), again.failures(), again.crashes()),
        (2, 1, 0)
    );
}

#[test]
fn b17_due_redeliveries_come_before_new_messages() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 8);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(1)));
    for message in take(&consumer, 8) {
        if ![2, 5].contains(&message.seq().get()) {
            message.ack().unwrap();
        }
    }
    world.pass(secs(1));
    stream.publish("s.a", "").unwrap();
    let next = take(&consumer, 3);
    assert_eq!(seqs(&next), [2, 5, 9]);
    assert_eq!(deliveries(&next), [2, 2, 1]);
}

#[test]
fn b18_a_nak_queues_behind_what_is_due_already() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let taken = take(&consumer, 3);
    taken[2].nak().unwrap();
    taken[0].nak().unwrap();
    taken[1].nak().unwrap();
    assert_eq!(seqs(&take(&consumer, 3)), [3, 1, 2]);
}

#[test]
fn b19_an_update_keeps_what_is_pending_and_its_counts() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 20);
    let config = ConsumerConfig::new("c").ack_wait(secs(1));
    let consumer = create(&stream, config.clone());
    for message in take(&consumer, 20) {
        if message.seq().get().is_multiple_of(4) {
            message.ack().unwrap();
        }
    }
    world.pass(secs(1));
    let consumer = stream.update_consumer(config.ack_wait(secs(5))).unwrap();
    publish(&stream, "s.a", 20);
    let taken = take(&consumer, 100);
    let old: Vec<u64> = (1..=20).filter(|seq| seq % 4 != 0).collect();
    assert_eq!(
        seqs(&taken),
        old.into_iter().chain(21..=40).collect::<Vec<u64>>()
    );
    assert!(
        taken
            .iter()
            .all(|known| known.deliveries() == 1 + u64::from(known.seq().get() <= 20))
    );
}

#[test]
fn b20_what_a_runner_did_not_start_does_not_count_as_delivered() {
    let world = World::threaded();
    let stream = world.stream("s");
    stream.publish_batch((0..10).map(|_| ("s.a", ""))).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let (started, starts) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let runner = consumer
        .run_with(RunOptions::new(1).batch(10), move |message| {
            started.send(message.seq().get()).ok();
            gate.lock().unwrap().recv().ok();
            Ok::<(), String>(())
        })
        .unwrap();
    assert_eq!(starts.recv().unwrap(), 1);
    let stopping = std::thread::spawn(move || runner.stop());
    drop(go);
    let report = stopping.join().unwrap().unwrap();
    assert_eq!(report.acked + report.released, 10);
    let again = take(&consumer, 20);
    assert_eq!(again.len() as u64, report.released);
    assert!(again.iter().all(|message| message.deliveries() == 1));
    assert_eq!(info(&consumer).deliveries, 10);
}
