//! L: leases, clocks that jump, and the consumer that nobody serves.

use crate::helpers::*;
use riverbed::{ConsumerConfig, EmptyReason, Event, StreamConfig};

#[test]
fn l12_the_messages_of_a_batch_share_the_moment_their_leases_began() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(5)));
    let batch = take(&consumer, 3);
    world.pass(secs(4));
    batch[1].in_progress().unwrap();
    world.pass(secs(1));
    assert_eq!(seqs(&take(&consumer, 3)), [1, 3]);
    assert!(is_stale(&batch[2].ack()));
    batch[1].ack().unwrap();
}

#[test]
fn l12b_a_runner_keeps_the_leases_of_all_it_holds() {
    let world = World::threaded();
    let stream = world.stream("s");
    stream.publish_batch((0..3).map(|_| ("s.a", ""))).unwrap();
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").ack_wait(secs(5)).max_deliver(1),
    );
    let clock = world.clock.clone();
    let (done, seen) = std::sync::mpsc::channel();
    let options = riverbed::RunOptions::new(1).batch(3);
    let runner = consumer
        .run_with(options, move |message| {
            clock.advance(secs(60));
            done.send((message.seq().get(), message.deliveries()))
        })
        .unwrap();
    let handled: Vec<_> = (0..3).map(|_| seen.recv().unwrap()).collect();
    assert_eq!(handled, [(1, 1), (2, 1), (3, 1)]);
    let report = runner.stop().unwrap();
    assert_eq!((report.acked, report.failed, report.settled), (3, 0, 0));
    assert_eq!((info(&consumer).acked, info(&consumer).parked), (3, 0));
}

#[test]
fn l14_a_calendar_that_goes_back_takes_nothing_back() {
    let world = World::new();
    let config = StreamConfig::new("s").max_age(secs(60));
    let stream = world.store.create_stream(config).unwrap();
    publish(&stream, "s", 2);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(10)));
    let taken = take(&consumer, 2);
    taken[0].nak_after(secs(5)).unwrap();
    let before = stream.get(1.into()).unwrap().unwrap().timestamp();
    world
        .clock
        .set_calendar(riverbed::Timestamp::from_micros(1_000_000));
    stream.publish("s", "").unwrap();
    assert!(stream.get(3.into()).unwrap().unwrap().timestamp() >= before);
    // Delays, leases and ages go on with the time that passes.
    world.pass(secs(5));
    assert_eq!(seqs(&take(&consumer, 3)), [1, 3]);
    world.pass(secs(5));
    assert_eq!(seqs(&take(&consumer, 3)), [2]);
    world.pass(secs(50));
    assert_eq!(stored(&stream), Vec::<u64>::new());
}

#[test]
fn l14b_a_calendar_that_jumps_ahead_costs_one_redelivery_each_at_most() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(10)));
    let taken = take(&consumer, 3);
    taken[0].nak_after(secs(3600)).unwrap();
    let tomorrow = world.clock.clock().now().plus(secs(24 * 3600));
    world.clock.set_calendar(tomorrow);
    world.store.drive().unwrap();
    // The delay is calendar time and over; leases are not.
    let again = take(&consumer, 3);
    assert_eq!((seqs(&again), deliveries(&again)), (vec![1], vec![2]));
    world.pass(secs(24 * 3600));
    for _ in 0..3 {
        world.store.drive().unwrap();
    }
    let again = take(&consumer, 5);
    assert_eq!(
        (seqs(&again), deliveries(&again)),
        (vec![1, 2, 3], vec![3, 2, 2])
    );
}

#[test]
fn l14c_time_goes_on_from_what_is_stored_when_the_store_opens_in_the_past() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let sent = stream.get(1.into()).unwrap().unwrap().timestamp();
    world.store.close().unwrap();
    world
        .clock
        .set_calendar(riverbed::Timestamp::from_micros(5));
    let world = World::on(world.disk, world.clock);
    let stream = world.store.stream("s").unwrap();
    stream.publish("s.a", "").unwrap();
    assert!(stream.get(2.into()).unwrap().unwrap().timestamp() >= sent);
}

#[test]
fn a_delay_survives_a_restart_and_runs_on_while_the_store_is_closed() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    take_one(&consumer).nak_after(secs(60)).unwrap();
    let world = world.killed();
    let until = world.clock.clock().now().plus(secs(60));
    assert_eq!(
        nothing(&world.consumer("s", "c")),
        EmptyReason::DelayedUntil(until)
    );
    world.clock.advance(secs(59));
    let world = world.reopened();
    nothing(&world.consumer("s", "c"));
    world.clock.advance(secs(1));
    assert_eq!(take_one(&world.consumer("s", "c")).deliveries(), 2);
}

#[test]
fn a_consumer_that_nobody_serves_is_announced_once() {
    let world = World::new();
    let events = world.store.events(10);
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    world.pass(secs(301));
    assert!(events.is_empty(), "it has nothing to deliver");
    publish(&stream, "s.a", 1);
    for _ in 0..3 {
        world.pass(secs(301));
    }
    assert!(
        matches!(events.try_recv().unwrap(), Event::ConsumerIdle { stream, consumer, .. }
        if stream == "s" && consumer == "c")
    );
    assert!(events.is_empty());
    take_one(&consumer).nak_now().unwrap();
    world.pass(secs(301));
    assert!(matches!(
        events.try_recv().unwrap(),
        Event::ConsumerIdle { .. }
    ));
}
