//! What is about threads, with the store's own.

use crate::helpers::*;
use riverbed::{
    CloseError, ConsumerConfig, Fetch, FetchError, Publish, PublishErrorKind, RunError, Unavailable,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn a_waiting_fetch_is_woken_by_a_publish() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c").filter("s.wanted"));
    let own = consumer.clone();
    let waiter =
        thread::spawn(move || seqs(&own.fetch(Fetch::new(5).max_wait(secs(500))).unwrap()));
    wait_until(|| info(&consumer).waiting == 1);
    stream.publish("s.other", "").unwrap();
    stream.publish("s.wanted", "").unwrap();
    assert_eq!(waiter.join().unwrap(), [2]);
}

#[test]
fn closing_wakes_who_waits_for_messages_and_for_room() {
    let world = World::threaded();
    let config = riverbed::StreamConfig::new("s")
        .max_messages(1)
        .discard(riverbed::Discard::New);
    let stream = world.store.create_stream(config).unwrap();
    stream.publish("s", "").unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c"));
    take_one(&consumer);
    let fetching = {
        let consumer = consumer.clone();
        thread::spawn(move || {
            consumer
                .fetch(Fetch::new(1).max_wait(secs(500)))
                .map(|_| ())
        })
    };
    let publishing = {
        let stream = stream.clone();
        let message = Publish::new("s", "kept").wait_for_room(secs(500));
        thread::spawn(move || stream.publish_message(message))
    };
    wait_until(|| info(&consumer).waiting == 1);
    world.store.close().unwrap();
    let closed = Unavailable::Closed;
    assert_eq!(
        fetching.join().unwrap(),
        Err(FetchError::Unavailable(closed.clone()))
    );
    let refused = publishing.join().unwrap().unwrap_err();
    assert_eq!(refused.kind, PublishErrorKind::Unavailable(closed));
    assert_eq!(refused.messages[0].payload(), b"kept");
}

#[test]
fn deleting_a_consumer_wakes_who_waits_on_it() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let own = consumer.clone();
    let waiter = thread::spawn(move || own.fetch(Fetch::new(1).max_wait(secs(500))).map(|_| ()));
    wait_until(|| info(&consumer).waiting == 1);
    stream.delete_consumer("c").unwrap();
    assert!(matches!(
        waiter.join().unwrap(),
        Err(FetchError::ConsumerGone { .. })
    ));
}

#[test]
fn deleting_a_stream_wakes_who_waits_on_it() {
    let world = World::threaded();
    let config = riverbed::StreamConfig::new("s")
        .max_messages(1)
        .discard(riverbed::Discard::New);
    let stream = world.store.create_stream(config).unwrap();
    stream.publish("s", "").unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").filter("s"));
    take_one(&consumer);
    let own = consumer.clone();
    let fetching = thread::spawn(move || own.fetch(Fetch::new(1).max_wait(secs(500))).map(|_| ()));
    wait_until(|| info(&consumer).waiting == 1);
    let message = Publish::new("s", "").wait_for_room(secs(500));
    let publishing = thread::spawn(move || stream.publish_message(message));
    world.store.delete_stream("s").unwrap();
    assert!(matches!(
        fetching.join().unwrap(),
        Err(FetchError::ConsumerGone { .. })
    ));
    let refused = publish_kind(publishing.join().unwrap());
    assert!(
        matches!(refused, PublishErrorKind::StreamGone { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_runner_acks_what_succeeds_and_naks_errors_and_panics() {
    let world = World::threaded();
    let stream = world.stream("s");
    stream
        .publish_batch((1..=9).map(|n: u64| ("s.a", n.to_string())))
        .unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").max_deliver(2));
    let runner = consumer
        .run(3, |message| match message.seq().get() % 3 {
            0 => Err("it fails"),
            1 if message.seq() == 1 => panic!("it panics, as it should"),
            _ => Ok(()),
        })
        .unwrap();
    wait_until(|| info(&consumer).acked == 5 && info(&consumer).parked == 4);
    let report = runner.stop().unwrap();
    assert_eq!((report.acked, report.failed, report.panicked), (5, 6, 2));
    assert_eq!((report.released, report.settled), (0, 0));
    let parked: Vec<_> = consumer
        .parked(1.into(), 9)
        .unwrap()
        .iter()
        .map(|one| one.message.seq().get())
        .collect();
    assert_eq!(parked, [1, 3, 6, 9]);
}

#[test]
fn a_handler_may_settle_its_message_itself() {
    let world = World::threaded();
    let stream = world.stream("s");
    stream.publish_batch([("s.a", ""), ("s.a", "")]).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let runner = consumer
        .run(1, |message| {
            if message.seq() == 1 {
                message.term("x")
            } else {
                Ok(())
            }
        })
        .unwrap();
    wait_until(|| info(&consumer).acked == 1);
    let report = runner.stop().unwrap();
    assert_eq!((report.acked, report.settled), (1, 1));
    assert_eq!(info(&consumer).dropped, 1);
}

#[test]
fn stopping_finishes_what_is_in_hand_and_releases_the_rest() {
    let world = World::threaded();
    let stream = world.stream("s");
    stream.publish_batch((0..10).map(|_| ("s.a", ""))).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let (started, starts) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let options = riverbed::RunOptions::new(2).batch(5);
    let runner = consumer
        .run_with(options, move |message| {
            started.send(message.seq()).ok();
            gate.lock().unwrap().recv()
        })
        .unwrap();
    let first = [starts.recv().unwrap(), starts.recv().unwrap()];
    assert!(first.contains(&1.into()));
    let stopping = thread::spawn(move || runner.stop().unwrap());
    go.send(()).unwrap();
    go.send(()).unwrap();
    // Whoever was started before the stop was seen gets its go too.
    while !stopping.is_finished() {
        go.send(()).ok();
        thread::yield_now();
    }
    let report = stopping.join().unwrap();
    assert_eq!(report.acked + report.released, 10);
    let known = info(&consumer);
    assert_eq!((known.acked, known.in_flight), (report.acked, 0));
    assert_eq!(known.due + known.pending, report.released);
    assert!(
        take(&consumer, 10)
            .iter()
            .all(|message| message.deliveries() == 1)
    );
}

#[test]
fn a_handler_can_not_close_the_store_that_runs_it() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let (answers, answered) = mpsc::channel();
    let store = world.store.clone();
    let runner = consumer
        .run(1, move |_| {
            answers.send(store.close()).ok();
            Ok::<(), String>(())
        })
        .unwrap();
    stream.publish("s.a", "").unwrap();
    assert_eq!(answered.recv().unwrap(), Err(CloseError::FromHandler));
    wait_until(|| info(&consumer).acked == 1);
    world.store.close().unwrap();
    assert_eq!(runner.stop().unwrap().acked, 1);
}

#[test]
fn a_runner_has_workers_and_a_batch_that_can_be_fetched() {
    let world = World::threaded();
    let consumer = create(&world.stream("s"), ConsumerConfig::new("c"));
    for workers in [0, 1_025] {
        let refused = consumer.run(workers, |_| Ok::<(), String>(())).unwrap_err();
        assert!(matches!(refused, RunError::Workers { .. }));
    }
    let options = riverbed::RunOptions::new(1).batch(0);
    let refused = consumer
        .run_with(options, |_| Ok::<(), String>(()))
        .unwrap_err();
    assert!(matches!(
        refused,
        RunError::Fetch(FetchError::TooMany { .. })
    ));
}

#[test]
fn eight_workers_of_one_consumer_share_without_duplicates() {
    const MESSAGES: u64 = 2_000;
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let seen = Arc::new(Mutex::new(BTreeMap::<u64, u64>::new()));
    let handled = Arc::new(AtomicU64::new(0));
    let runner = {
        let (seen, handled) = (Arc::clone(&seen), Arc::clone(&handled));
        consumer
            .run_with(riverbed::RunOptions::new(8).batch(7), move |message| {
                *seen.lock().unwrap().entry(message.seq().get()).or_default() += 1;
                handled.fetch_add(1, Ordering::Relaxed);
                Ok::<(), String>(())
            })
            .unwrap()
    };
    for _ in 0..MESSAGES / 100 {
        stream.publish_batch((0..100).map(|_| ("s.a", ""))).unwrap();
    }
    wait_until(|| info(&consumer).acked == MESSAGES);
    let report = runner.stop().unwrap();
    assert_eq!(
        (report.acked, handled.load(Ordering::Relaxed)),
        (MESSAGES, MESSAGES)
    );
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len() as u64, MESSAGES);
    assert!(seen.values().all(|times| *times == 1));
    let known = info(&consumer);
    assert_eq!(
        (known.ack_floor.get(), known.deliveries),
        (MESSAGES, MESSAGES)
    );
}

#[test]
fn eight_publishers_of_one_stream_get_every_sequence_once() {
    let world = World::threaded();
    let stream = world.stream("s");
    let publishers: Vec<_> = (0..8)
        .map(|own| {
            let stream = stream.clone();
            thread::spawn(move || {
                let publish = |n: u64| stream.publish(format!("s.{own}"), n.to_string()).unwrap();
                (0..50).map(|n| publish(n).seq.get()).collect::<Vec<u64>>()
            })
        })
        .collect();
    let mut all = Vec::new();
    for publisher in publishers {
        let own = publisher.join().unwrap();
        assert!(own.is_sorted());
        all.extend(own);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=400).collect::<Vec<u64>>());
}
