//! Which of several workers gets the next message: priorities and overflow.

use crate::helpers::*;
use riverbed::{
    AckPolicy, Consumer, ConsumerConfig, EmptyReason, Fetch, FetchError, RunError, RunOptions,
};
use std::thread;

/// A fetch that waits, joined by now to those that wait.
fn waiting(consumer: &Consumer, fetch: Fetch, place: u64) -> thread::JoinHandle<Vec<u64>> {
    let own = consumer.clone();
    let fetch = fetch.max_wait(secs(500));
    let waiter = thread::spawn(move || seqs(&own.fetch(fetch).unwrap()));
    while info(consumer).waiting < place {
        thread::yield_now();
    }
    waiter
}

fn reason(consumer: &Consumer, fetch: Fetch) -> Option<EmptyReason> {
    consumer.fetch(fetch.no_wait()).unwrap().empty_reason()
}

fn clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn e13_the_fetch_of_the_earliest_priority_is_served_first() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let waiters: Vec<_> = [3, 1, 2, 1]
        .into_iter()
        .zip(1..)
        .map(|(priority, place)| waiting(&consumer, Fetch::new(1).priority(priority), place))
        .collect();
    for left in (0..4).rev() {
        stream.publish("s.a", "").unwrap();
        while info(&consumer).waiting > left {
            thread::yield_now();
        }
    }
    let got = waiters
        .into_iter()
        .flat_map(|waiter| waiter.join().unwrap());
    assert_eq!(got.collect::<Vec<_>>(), [4, 1, 3, 2]);
    clean(&world);
}

#[test]
fn who_comes_later_leaves_the_messages_to_an_earlier_priority_that_waits() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c").max_ack_pending(1));
    publish(&stream, "s.a", 3);
    let first = take_one(&consumer);
    let earlier = waiting(&consumer, Fetch::new(1).priority(1), 1);
    // There is room now, and whoever made it comes back at once.
    let (_, empty) = consumer
        .ack_and_fetch(&[first], Fetch::new(1).priority(2).no_wait())
        .unwrap();
    let reason = empty.empty_reason().unwrap();
    let in_flight = EmptyReason::InFlight { messages: 1 };
    assert!(
        [EmptyReason::OthersFirst, in_flight].contains(&reason),
        "{reason:?}"
    );
    assert_eq!(earlier.join().unwrap(), [2]);
    clean(&world);
}

#[test]
fn helpers_get_messages_only_when_enough_wait_or_are_in_flight() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c").filter("s.*"));
    let helper = Fetch::new(1).min_pending(3).min_ack_pending(2);
    assert_eq!(reason(&consumer, helper), Some(EmptyReason::NoMessages));
    publish(&stream, "s.a", 2);
    let below = |pending, in_flight| Some(EmptyReason::BelowMinimum { pending, in_flight });
    assert_eq!(reason(&consumer, helper), below(2, 0));
    // Others are not concerned.
    let held = take(&consumer, 1);
    assert_eq!(reason(&consumer, helper), below(1, 1));
    stream.publish("s.a", "").unwrap();
    // What is due again waits, too.
    held[0].nak().unwrap();
    assert_eq!(consumer.fetch(helper.no_wait()).unwrap()[0].seq(), 1);
    assert_eq!(reason(&consumer, helper), below(2, 1));
    take_one(&consumer);
    // Two are in flight, and that is enough.
    assert_eq!(reason(&consumer, helper), None);
    let world = world.reopened();
    let consumer = world.consumer("s", "c");
    assert_eq!(reason(&consumer, Fetch::new(9).min_pending(4)), below(3, 0));
    assert_eq!(reason(&consumer, helper), None);
    clean(&world);
}

#[test]
fn a_waiting_helper_wakes_up_when_there_is_enough_and_others_pass_it_by() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let helper = waiting(&consumer, Fetch::new(9).min_pending(2), 1);
    let busy = waiting(&consumer, Fetch::new(9).min_ack_pending(1), 2);
    let other = waiting(&consumer, Fetch::new(1).priority(9), 3);
    stream.publish("s.a", "").unwrap();
    assert_eq!(other.join().unwrap(), [1]);
    // Something is in flight now.
    stream.publish("s.a", "").unwrap();
    assert_eq!(busy.join().unwrap(), [2]);
    stream.publish("s.a", "").unwrap();
    assert_eq!(info(&consumer).waiting, 1);
    stream.publish("s.a", "").unwrap();
    assert_eq!(helper.join().unwrap(), [3, 4]);
    clean(&world);
}

#[test]
fn helpers_that_run_leave_the_work_to_others_until_it_piles_up() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let options = RunOptions::new(2).priority(5).min_pending(3);
    let handle = |_: &riverbed::Message| Ok::<(), String>(());
    let runner = consumer.run_with(options, handle).unwrap();
    publish(&stream, "s.a", 2);
    assert_eq!(info(&consumer).deliveries, 0);
    stream.publish("s.a", "").unwrap();
    while info(&consumer).acked == 0 {
        thread::yield_now();
    }
    runner.stop().unwrap();
    assert_eq!(info(&consumer).acked, 1, "two are no pile");
    clean(&world);
}

#[test]
fn precedence_that_makes_no_sense_is_refused() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c").max_ack_pending(3));
    let refused = |consumer: &Consumer, fetch: Fetch| match consumer.fetch(fetch.no_wait()) {
        Err(FetchError::Precedence { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&consumer, Fetch::new(1).priority(10)), "priority");
    assert_eq!(
        refused(&consumer, Fetch::new(1).min_pending(0)),
        "min_pending"
    );
    let never = Fetch::new(1).min_ack_pending(0);
    assert_eq!(refused(&consumer, never), "min_ack_pending");
    let never = Fetch::new(1).min_ack_pending(3);
    assert_eq!(refused(&consumer, never), "min_ack_pending");
    // One of two is enough.
    reason(&consumer, never.min_pending(1)).unwrap();
    let without = ConsumerConfig::new("without").ack_policy(AckPolicy::None);
    let without = create(&stream, without);
    assert_eq!(
        refused(&without, Fetch::new(1).min_ack_pending(1)),
        "min_ack_pending"
    );
    let handle = |_: &riverbed::Message| Ok::<(), String>(());
    let refused = consumer.run_with(RunOptions::new(1).priority(99), handle);
    assert!(matches!(
        refused,
        Err(RunError::Fetch(FetchError::Precedence { .. }))
    ));
    clean(&world);
}
