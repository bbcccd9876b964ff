//! Replaying at the original pace.

use crate::helpers::*;
use riverbed::{
    Consumer, ConsumerConfig, ConsumerError, DeliverPolicy, EmptyReason, Fetch, Rate, ReplayPolicy,
    Seq, Stream,
};
use std::thread;
use std::time::Duration;

fn config() -> ConsumerConfig {
    ConsumerConfig::new("c").replay(ReplayPolicy::Original)
}

/// How long it says that the next message takes.
fn wait(world: &World, consumer: &Consumer) -> Option<Duration> {
    match nothing(consumer) {
        EmptyReason::Replaying { until } => Some(until.since(world.clock.clock().now())),
        _ => None,
    }
}

fn got(consumer: &Consumer) -> Vec<u64> {
    seqs(&take(consumer, 10))
}

fn clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

/// Messages with these seconds between them, the first at once.
fn recorded(world: &World, gaps: &[u64]) -> Stream {
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    for gap in gaps {
        world.clock.advance(secs(*gap));
        stream.publish("s.a", "").unwrap();
    }
    world.clock.advance(secs(1_000));
    stream
}

#[test]
fn f16_messages_come_with_the_intervals_at_which_they_were_published_and_later_ones_at_once() {
    let world = World::new();
    let stream = recorded(&world, &[2, 0, 3]);
    let consumer = create(&stream, config());
    stream.publish("s.a", "live").unwrap();
    // Whenever that is, the first one begins it.
    world.pass(secs(77));
    assert_eq!(got(&consumer), [1]);
    assert_eq!(wait(&world, &consumer), Some(secs(2)));
    world.pass(millis(1_999));
    assert_eq!(wait(&world, &consumer), Some(millis(1)));
    world.pass(millis(1));
    assert_eq!(got(&consumer), [2, 3]);
    assert_eq!(wait(&world, &consumer), Some(secs(3)));
    // What was published since waits behind the last that was there before.
    world.pass(secs(3));
    assert_eq!(got(&consumer), [4, 5]);
    world.pass(secs(9));
    stream.publish("s.a", "live").unwrap();
    assert_eq!(got(&consumer), [6]);
    clean(&world);
}

#[test]
fn what_came_too_late_is_made_up_for_and_redeliveries_come_at_once() {
    let world = World::new();
    let stream = recorded(&world, &[2, 2, 2]);
    let consumer = create(&stream, config().max_ack_pending(1));
    let first = take_one(&consumer);
    world.pass(secs(3));
    assert_eq!(nothing(&consumer), EmptyReason::InFlight { messages: 1 });
    first.nak_now().unwrap();
    let again = take_one(&consumer);
    assert_eq!((again.seq().get(), again.deliveries()), (1, 2));
    again.ack().unwrap();
    // A second late.
    take_one(&consumer).ack().unwrap();
    assert_eq!(wait(&world, &consumer), Some(secs(1)));
    world.pass(secs(1));
    assert_eq!(got(&consumer), [3]);
    clean(&world);
}

#[test]
fn filters_and_removals_leave_longer_intervals_and_who_waits_for_nothing_is_told() {
    let world = World::new();
    let stream = recorded(&world, &[2, 2, 2]);
    stream.publish("s.b", "").unwrap();
    let consumer = create(&stream, config().filter("s.a"));
    assert_eq!(got(&consumer), [1]);
    stream.delete(Seq::new(2)).unwrap();
    assert_eq!(wait(&world, &consumer), Some(secs(4)));
    stream.delete(Seq::new(3)).unwrap();
    assert_eq!(wait(&world, &consumer), Some(secs(6)));
    stream.delete(Seq::new(4)).unwrap();
    assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
    clean(&world);
}

#[test]
fn a_rate_limit_holds_for_a_replay_too() {
    let world = World::new();
    let stream = recorded(&world, &[1, 1, 5]);
    let slow = Rate::new(1, secs(3));
    let consumer = create(&stream, config().rate_limit(slow));
    assert_eq!(got(&consumer), [1]);
    world.pass(secs(2));
    assert!(matches!(
        nothing(&consumer),
        EmptyReason::RateLimited { .. }
    ));
    world.pass(secs(1));
    assert_eq!(got(&consumer), [2]);
    world.pass(secs(3));
    assert_eq!(got(&consumer), [3]);
    world.pass(millis(500));
    assert!(matches!(
        nothing(&consumer),
        EmptyReason::RateLimited { .. }
    ));
    world.pass(millis(2_500));
    assert_eq!(got(&consumer), [4]);
    clean(&world);
}

#[test]
fn a_fetch_that_waits_for_its_turn_goes_on_by_itself_and_sooner_if_what_it_waits_for_leaves() {
    let world = World::threaded();
    let stream = recorded(&world, &[20, 20]);
    let consumer = create(&stream, config());
    assert_eq!(got(&consumer), [1]);
    let waiting = || {
        let own = consumer.clone();
        let fetch = Fetch::new(5).max_wait(secs(500));
        let waiter = thread::spawn(move || seqs(&own.fetch(fetch).unwrap()));
        while info(&consumer).waiting == 0 {
            thread::yield_now();
        }
        waiter
    };
    let waiter = waiting();
    // Commits in between bring nothing.
    stream.publish("s.a", "live").unwrap();
    world.clock.advance(secs(19));
    world.store.sync().unwrap();
    assert_eq!(info(&consumer).deliveries, 1);
    world.clock.advance(secs(1));
    assert_eq!(waiter.join().unwrap(), [2]);
    let waiter = waiting();
    stream.delete(Seq::new(3)).unwrap();
    assert_eq!(waiter.join().unwrap(), [4]);
    clean(&world);
}

#[test]
fn a_restart_a_pause_and_a_reset_begin_anew_with_the_next_message() {
    let world = World::new();
    let stream = recorded(&world, &[2, 10, 3, 10, 4]);
    let consumer = create(&stream, config());
    stream.publish("s.a", "live").unwrap();
    take_one(&consumer).ack().unwrap();
    world.pass(secs(2));
    take_one(&consumer).ack().unwrap();
    assert_eq!(wait(&world, &consumer), Some(secs(10)));
    let world = world.reopened();
    let consumer = world.consumer("s", "c");
    assert_eq!(info(&consumer).config.replay, ReplayPolicy::Original);
    take_one(&consumer).ack().unwrap();
    assert_eq!(wait(&world, &consumer), Some(secs(3)));
    world.pass(secs(3));
    assert_eq!(got(&consumer), [4]);
    let now = world.clock.clock().now();
    consumer.pause(now.plus(secs(1))).unwrap();
    world.pass(secs(1));
    assert_eq!(got(&consumer), [5]);
    assert_eq!(wait(&world, &consumer), Some(secs(4)));
    // What was delivered and not settled is due at once; where the replay ends is known as before.
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    assert_eq!(got(&consumer), [4, 5, 6, 7]);
    consumer
        .reset(DeliverPolicy::FromSequence(Seq::new(6)))
        .unwrap();
    assert_eq!(got(&consumer), [6]);
    // What is there now is past now.
    assert_eq!(wait(&world, &consumer), Some(secs(1_000)));
    clean(&world);
}

#[test]
fn a_replay_of_nothing_is_refused_and_the_policy_can_not_be_changed() {
    let world = World::new();
    let stream = world.stream("s");
    for deliver in [
        DeliverPolicy::New,
        DeliverPolicy::Last,
        DeliverPolicy::LastPerSubject,
    ] {
        let config = config().filter("s.>").deliver(deliver);
        let refused = stream.create_consumer(config).unwrap_err();
        let ConsumerError::Invalid(why) = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(why.setting, "replay");
        let said = refused.to_string();
        assert!(
            said.contains("`deliver`") && said.contains("FromTime"),
            "{said}"
        );
    }
    create(&stream, config());
    let fixed = |refused: Result<Consumer, ConsumerError>| match refused {
        Err(ConsumerError::Fixed { setting } | ConsumerError::Exists { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        fixed(stream.update_consumer(ConsumerConfig::new("c"))),
        "replay"
    );
    assert_eq!(
        fixed(stream.create_consumer(ConsumerConfig::new("c"))),
        "replay"
    );
    clean(&world);
}

#[test]
fn a_fetch_that_waits_for_its_turn_is_given_what_comes_when_that_is_gone() {
    let world = World::threaded();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    world.clock.advance(secs(3_600));
    publish(&stream, "s.a", 1);
    let config = ConsumerConfig::new("c").filter("s.a");
    let consumer = create(&stream, config.replay(ReplayPolicy::Original));
    take_one(&consumer).ack().unwrap();
    let (sender, fetched) = std::sync::mpsc::channel();
    let waits = consumer.clone();
    let waiting = std::thread::spawn(move || {
        let batch = waits.fetch(Fetch::new(1).max_wait(secs(100_000)));
        sender.send(seqs(&batch.unwrap())).unwrap();
    });
    while info(&consumer).waiting == 0 {
        std::thread::yield_now();
    }
    // An hour early, what it waits for leaves; what comes then is not replayed.
    stream.delete(Seq::new(2)).unwrap();
    publish(&stream, "s.b", 1);
    publish(&stream, "s.a", 1);
    let patience = std::time::Duration::from_secs(60);
    assert_eq!(fetched.recv_timeout(patience).unwrap(), [4]);
    waiting.join().unwrap();
}

#[test]
fn a_pause_until_a_time_that_has_passed_changes_nothing() {
    let world = World::new();
    let stream = recorded(&world, &[60]);
    let consumer = create(&stream, config());
    assert_eq!(got(&consumer), [1]);
    let passed = world.clock.clock().now().plus(secs(5));
    // Nobody calls meanwhile.
    world.clock.advance(secs(10));
    consumer.pause(passed).unwrap();
    assert_eq!(wait(&world, &consumer), Some(secs(50)));
    clean(&world);
}

#[test]
fn what_does_not_match_is_passed_over_once_however_long_the_next_turn_takes() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    publish(&stream, "s.b", 5);
    world.clock.advance(secs(60));
    stream.publish("s.a", "").unwrap();
    let world = world.reopened();
    let consumer = create(&world.store.stream("s").unwrap(), config().filter("s.a"));
    take_one(&consumer).ack().unwrap();
    assert_eq!(wait(&world, &consumer), Some(secs(60)));
    assert_eq!(info(&consumer).delivered, Seq::new(6));
    world.pass(secs(60));
    assert_eq!(got(&consumer), [7]);
    clean(&world);
}
