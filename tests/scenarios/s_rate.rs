//! How fast a consumer delivers: limits by messages and by bytes.

use crate::helpers::*;
use riverbed::{
    AckPolicy, Consumer, ConsumerConfig, ConsumerError, EmptyReason, Fetch, Rate, Riverbed,
    RunOptions,
};
use std::thread;
use std::time::Duration;

/// How long it says that the next message takes.
fn wait(world: &World, consumer: &Consumer) -> Option<Duration> {
    match nothing(consumer) {
        EmptyReason::RateLimited { until } => Some(until.since(world.clock.clock().now())),
        _ => None,
    }
}

fn clean(store: &Riverbed) {
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

fn config(rate: Rate) -> ConsumerConfig {
    ConsumerConfig::new("c").rate_limit(rate)
}

fn got(consumer: &Consumer, n: usize) -> Vec<u64> {
    seqs(&take(consumer, n))
}

#[test]
fn messages_come_at_the_rate_in_order_and_none_is_lost() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, config(Rate::per_second(4).burst(3)));
    assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
    publish(&stream, "s.a", 9);
    assert_eq!(got(&consumer, 10), [1, 2, 3]);
    assert_eq!(wait(&world, &consumer), Some(millis(250)));
    world.pass(millis(249));
    assert_eq!(wait(&world, &consumer), Some(millis(1)));
    world.pass(millis(1));
    assert_eq!(got(&consumer, 10), [4]);
    world.pass(millis(600));
    assert_eq!(got(&consumer, 10), [5, 6]);
    // What was not used adds up, but only to the burst.
    world.pass(secs(9));
    assert_eq!(got(&consumer, 10), [7, 8, 9]);
    assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
    assert_eq!(info(&consumer).lost, 0);
    clean(&world.store);
}

#[test]
fn redeliveries_count_and_come_first() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, config(Rate::per_second(2).burst(1)));
    publish(&stream, "s.a", 2);
    take_one(&consumer).nak_now().unwrap();
    assert_eq!(wait(&world, &consumer), Some(millis(500)));
    world.pass(millis(500));
    let again = take_one(&consumer);
    assert_eq!((again.seq().get(), again.deliveries()), (1, 2));
    again.ack().unwrap();
    assert_eq!(wait(&world, &consumer), Some(millis(500)));
    world.pass(millis(500));
    assert_eq!(got(&consumer, 9), [2]);
    clean(&world.store);
}

#[test]
fn a_message_larger_than_what_is_left_comes_and_is_paid_for_afterwards() {
    let world = World::new();
    let stream = world.stream("s");
    let bytes = Rate::per_second(100).burst(20);
    let consumer = create(&stream, ConsumerConfig::new("c").rate_limit_bytes(bytes));
    for len in [10, 50, 1] {
        stream.publish("s.a", vec![b'x'; len]).unwrap();
    }
    // The subject counts, too: 13 and 53 bytes.
    assert_eq!(got(&consumer, 9), [1, 2]);
    assert_eq!(wait(&world, &consumer), Some(millis(470)));
    world.pass(millis(470));
    assert_eq!(got(&consumer, 9), [3]);
    clean(&world.store);
}

#[test]
fn only_what_matches_is_waited_for_and_where_nothing_does_that_is_said() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, config(Rate::per_second(1)).filter("s.a"));
    publish(&stream, "s.a", 1);
    publish(&stream, "s.b", 5);
    assert_eq!(got(&consumer, 9), [1]);
    assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
    publish(&stream, "s.a", 1);
    assert_eq!(wait(&world, &consumer), Some(secs(1)));
    world.pass(secs(1));
    assert_eq!(got(&consumer, 9), [7]);
    clean(&world.store);
}

#[test]
fn a_fetch_that_waits_for_the_rate_goes_on_by_itself() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, config(Rate::per_second(1).burst(1)));
    publish(&stream, "s.a", 1);
    assert_eq!(got(&consumer, 1), [1]);
    let waiters: Vec<_> = (1..=3)
        .map(|place| {
            let own = consumer.clone();
            let waiter = thread::spawn(move || {
                let fetch = Fetch::new(5).max_wait(secs(500));
                seqs(&own.fetch(fetch).unwrap())
            });
            while info(&consumer).waiting < place {
                thread::yield_now();
            }
            waiter
        })
        .collect();
    // What is published may not come yet, neither by its own commit nor by a look after it.
    publish(&stream, "s.a", 4);
    for left in (0..3).rev() {
        let before = info(&consumer).deliveries;
        world.clock.advance(millis(999));
        world.store.sync().unwrap();
        assert_eq!(info(&consumer).deliveries, before);
        world.clock.advance(millis(1));
        while info(&consumer).deliveries == before || info(&consumer).waiting > left {
            thread::yield_now();
        }
        assert_eq!(info(&consumer).deliveries, before + 1);
    }
    let mut all = Vec::new();
    for waiter in waiters {
        all.extend(waiter.join().unwrap());
    }
    assert_eq!(all, [2, 3, 4]);
    clean(&world.store);
}

#[test]
fn a_fetch_that_runs_out_of_patience_says_when_the_next_may_come() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, config(Rate::new(1, secs(60))));
    publish(&stream, "s.a", 2);
    assert_eq!(got(&consumer, 1), [1]);
    let due = world.clock.clock().now().plus(secs(60));
    let own = consumer.clone();
    let fetch = Fetch::new(1).max_wait(secs(5));
    let waiter = thread::spawn(move || own.fetch(fetch).unwrap().empty_reason());
    while info(&consumer).waiting == 0 {
        thread::yield_now();
    }
    world.clock.advance(secs(5));
    let reason = waiter.join().unwrap();
    assert_eq!(reason, Some(EmptyReason::RateLimited { until: due }));
    clean(&world.store);
}

#[test]
fn a_runner_keeps_the_rate_and_a_close_ends_its_wait() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, config(Rate::per_second(5).burst(2)));
    publish(&stream, "s.a", 9);
    let handle = |_: &riverbed::Message| Ok::<(), String>(());
    let runner = consumer.run_with(RunOptions::new(3), handle).unwrap();
    let acked = |least| {
        while info(&consumer).acked < least {
            thread::yield_now();
        }
        info(&consumer).acked
    };
    assert_eq!(acked(2), 2);
    world.clock.advance(millis(200));
    assert_eq!(acked(3), 3);
    runner.stop().unwrap();
    clean(&world.store);
    world.store.close().unwrap();
}

#[test]
fn an_update_may_change_the_rate_and_wakes_who_waits() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, config(Rate::new(1, secs(3600))));
    publish(&stream, "s.a", 3);
    assert_eq!(got(&consumer, 9), [1]);
    let own = consumer.clone();
    let fetch = Fetch::new(1).max_wait(secs(500));
    let waiter = thread::spawn(move || seqs(&own.fetch(fetch).unwrap()));
    while info(&consumer).waiting == 0 {
        thread::yield_now();
    }
    // A new rate gives no burst.
    let faster = config(Rate::per_second(2).burst(9));
    stream.update_consumer(faster.clone()).unwrap();
    assert_eq!(wait(&world, &consumer), Some(millis(500)));
    world.clock.advance(millis(500));
    assert_eq!(waiter.join().unwrap(), [2]);
    // The same rate is not a new one.
    world.clock.advance(millis(300));
    stream.update_consumer(faster.max_deliver(9)).unwrap();
    assert_eq!(wait(&world, &consumer), Some(millis(200)));
    stream.update_consumer(ConsumerConfig::new("c")).unwrap();
    assert_eq!(got(&consumer, 9), [3]);
    clean(&world.store);
}

#[test]
fn a_restart_is_no_way_around_the_limit() {
    let mut world = World::new();
    let stream = world.stream("s");
    let rate = Rate::per_second(2).burst(2);
    create(&stream, config(rate).ack_policy(AckPolicy::None));
    publish(&stream, "s.a", 9);
    assert_eq!(got(&world.consumer("s", "c"), 9), [1, 2]);
    for (way, next) in [(0, 3), (1, 4), (0, 5)] {
        world = if way == 0 {
            world.reopened()
        } else {
            world.killed()
        };
        let consumer = world.consumer("s", "c");
        assert_eq!(info(&consumer).config.rate_limit, Some(rate));
        assert_eq!(wait(&world, &consumer), Some(millis(500)));
        world.pass(millis(500));
        assert_eq!(got(&consumer, 9), [next]);
    }
    clean(&world.store);
}

#[test]
fn rates_that_make_no_sense_are_refused() {
    let world = World::new();
    let stream = world.stream("s");
    let day = secs(24 * 3600);
    for (rate, said) in [
        (Rate::per_second(0), "use `pause_until`"),
        (Rate::per_second(5).burst(0), "1 delivers evenly"),
        (
            Rate::new(1, Duration::from_micros(999)),
            "shorter than 1 ms",
        ),
        (Rate::new(1, day + millis(1)), "longer than 24 h"),
    ] {
        let plain = || ConsumerConfig::new("c");
        for (setting, config) in [
            ("rate_limit", plain().rate_limit(rate)),
            ("rate_limit_bytes", plain().rate_limit_bytes(rate)),
        ] {
            let refused = stream.create_consumer(config).unwrap_err();
            let ConsumerError::Invalid(why) = &refused else {
                panic!("{refused:?}");
            };
            assert_eq!(why.setting, setting);
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }
    create(&stream, config(Rate::new(u64::MAX, day).burst(u64::MAX)));
    let other = stream.create_consumer(config(Rate::per_second(1)));
    assert!(matches!(
        other,
        Err(ConsumerError::Exists {
            setting: "rate_limit",
            ..
        })
    ));
    clean(&world.store);
}
