//! E: how a fetch is answered.

use crate::helpers::*;
use riverbed::{ConsumerConfig, EmptyReason, Fetch, FetchError, Publish, Seq};

#[test]
fn e1_an_empty_stream_answers_at_once_or_when_the_wait_is_over() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
    let waiter = {
        let consumer = consumer.clone();
        std::thread::spawn(move || consumer.fetch(Fetch::new(1).max_wait(millis(250))).unwrap())
    };
    while info(&consumer).waiting == 0 {
        std::thread::yield_now();
    }
    world.clock.advance(millis(249));
    assert_eq!(info(&consumer).waiting, 1);
    world.clock.advance(millis(1));
    let batch = waiter.join().unwrap();
    assert_eq!(
        (batch.len(), batch.empty_reason()),
        (0, Some(EmptyReason::NoMessages))
    );
    stream.publish_batch((0..20).map(|_| ("s.a", ""))).unwrap();
    assert_eq!(
        consumer
            .fetch(Fetch::new(20).max_wait(secs(500)))
            .unwrap()
            .len(),
        20
    );
}

#[test]
fn e2_a_batch_larger_than_what_is_there_gets_what_is_there() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 5);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    assert_eq!(take(&consumer, 10).len(), 5);
}

#[test]
fn e4_a_first_message_over_max_bytes_is_said_and_not_counted() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", vec![0; 100]).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").max_ack_pending(1));
    let small = Fetch::new(1).no_wait().max_bytes(102);
    let refused = consumer.fetch(small).unwrap_err();
    assert_eq!(
        refused,
        FetchError::TooBig {
            consumer: "c".to_owned(),
            seq: Seq::new(1),
            bytes: 103,
            limit: 102
        }
    );
    assert_eq!(
        (info(&consumer).in_flight, info(&consumer).deliveries),
        (0, 0)
    );
    let message = take_one(&consumer);
    assert_eq!(message.deliveries(), 1);
    message.nak().unwrap();
    assert!(matches!(
        consumer.fetch(small),
        Err(FetchError::TooBig { .. })
    ));
    assert_eq!(take_one(&consumer).deliveries(), 2);
}

#[test]
fn e5_a_fetch_stops_at_its_bytes_or_at_its_messages() {
    let world = World::new();
    let stream = world.stream("s");
    for _ in 0..20 {
        stream.publish("s.a", vec![0; 97]).unwrap();
    }
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let by_bytes = consumer
        .fetch(Fetch::new(1000).no_wait().max_bytes(400))
        .unwrap();
    assert_eq!(seqs(&by_bytes), [1, 2, 3, 4]);
    let by_bytes = consumer
        .fetch(Fetch::new(1000).no_wait().max_bytes(499))
        .unwrap();
    assert_eq!(seqs(&by_bytes), [5, 6, 7, 8]);
    let by_number = consumer
        .fetch(Fetch::new(2).no_wait().max_bytes(4000))
        .unwrap();
    assert_eq!(seqs(&by_number), [9, 10]);
}

#[test]
fn e5b_the_bytes_of_a_message_are_those_of_all_its_parts() {
    let world = World::new();
    let stream = world.stream("s");
    let message = Publish::new("s.abc", "12345")
        .header("name", "value")
        .id("id");
    stream.publish_message(message).unwrap();
    let bytes = 5 + 5 + 9 + 2;
    assert_eq!(stream.info().unwrap().bytes, bytes);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let refused = consumer
        .fetch(Fetch::new(1).no_wait().max_bytes(bytes - 1))
        .unwrap_err();
    assert_eq!(
        refused,
        FetchError::TooBig {
            consumer: "c".to_owned(),
            seq: Seq::new(1),
            bytes,
            limit: bytes - 1
        }
    );
    assert_eq!(
        consumer
            .fetch(Fetch::new(1).no_wait().max_bytes(bytes))
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn e7_waiting_fetches_are_served_in_their_order() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let waiters: Vec<_> = (1..=10)
        .map(|place| {
            let own = consumer.clone();
            let ask = Fetch::new(1).max_wait(secs(500));
            let waiter = std::thread::spawn(move || seqs(&own.fetch(ask).unwrap()));
            while info(&consumer).waiting < place {
                std::thread::yield_now();
            }
            waiter
        })
        .collect();
    for _ in 0..10 {
        stream.publish("s.a", "").unwrap();
    }
    let got: Vec<_> = waiters
        .into_iter()
        .flat_map(|waiter| waiter.join().unwrap())
        .collect();
    assert_eq!(got, (1..=10).collect::<Vec<u64>>());
}

#[test]
fn e8_e11_waits_end_in_the_order_of_their_deadlines_and_leave_no_trace() {
    let world = World::threaded();
    let consumer = create(&world.stream("s"), ConsumerConfig::new("c"));
    let (ended, ends) = std::sync::mpsc::channel();
    let waits = [200, 100, 25, 75];
    let waiters: Vec<_> = (waits.iter().zip(1..))
        .map(|(wait, place)| {
            let (own, ended, wait) = (consumer.clone(), ended.clone(), *wait);
            let waiter = std::thread::spawn(move || {
                assert!(
                    own.fetch(Fetch::new(1).max_wait(millis(wait)))
                        .unwrap()
                        .is_empty()
                );
                ended.send(wait).unwrap();
            });
            while info(&consumer).waiting < place {
                std::thread::yield_now();
            }
            waiter
        })
        .collect();
    for (step, wait) in [(25, 25), (50, 75), (25, 100), (100, 200)] {
        world.clock.advance(millis(step));
        assert_eq!(ends.recv().unwrap(), wait);
        assert!(ends.try_recv().is_err());
    }
    for waiter in waiters {
        waiter.join().unwrap();
    }

    assert_eq!(info(&consumer).waiting, 0);
}

#[test]
fn e10_a_fetch_of_nothing_or_of_too_much_is_refused() {
    let world = World::new();
    let consumer = create(&world.stream("s"), ConsumerConfig::new("c"));
    for messages in [0, 65_537] {
        let refused = consumer.fetch(messages).unwrap_err();
        assert_eq!(
            refused,
            FetchError::TooMany {
                messages,
                limit: 65_536
            }
        );
    }
}

#[test]
fn l16_an_empty_fetch_says_why() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c").max_ack_pending(2));
    assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
    publish(&stream, "s.a", 3);
    let taken = take(&consumer, 2);
    assert_eq!(nothing(&consumer), EmptyReason::InFlight { messages: 2 });
    let until = world.clock.clock().now().plus(secs(5));
    taken[0].nak_after(secs(5)).unwrap();
    taken[1].nak_after(secs(9)).unwrap();
    take_one(&consumer).ack().unwrap();
    assert_eq!(nothing(&consumer), EmptyReason::DelayedUntil(until));
}

#[test]
fn a_fetch_wakes_up_when_a_delay_is_over_or_a_lease_lapses() {
    let world = World::threaded();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(20)));
    let taken = take(&consumer, 2);
    taken[1].nak_after(secs(10)).unwrap();
    for (seq, passes) in [(2, 10), (1, 10)] {
        let own = consumer.clone();
        let waiter = std::thread::spawn(move || {
            seqs(&own.fetch(Fetch::new(1).max_wait(secs(500))).unwrap())
        });
        while info(&consumer).waiting == 0 {
            std::thread::yield_now();
        }
        world.clock.advance(secs(passes));
        assert_eq!(waiter.join().unwrap(), [seq]);
    }
}

#[test]
fn ack_and_fetch_settles_one_batch_and_takes_the_next() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 6);
    let consumer = create(
        &stream,
        ConsumerConfig::new("c")
            .max_ack_pending(2)
            .ack_wait(secs(1)),
    );
    let first = take(&consumer, 2);
    let (acked, second) = consumer
        .ack_and_fetch(&first, Fetch::new(2).no_wait())
        .unwrap();
    assert_eq!((acked.acked, seqs(&second)), (2, vec![3, 4]));
    world.pass(secs(1));
    // R15: what is stale comes back with its reason, and the fetch goes ahead all the same.
    let (acked, again) = consumer
        .ack_and_fetch(&second, Fetch::new(2).no_wait())
        .unwrap();
    assert_eq!((acked.acked, acked.refused.len()), (0, 2));
    assert_eq!(seqs(&again), [3, 4]);
}

#[test]
fn the_iterator_delivers_until_the_store_is_closed() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let mut seen = Vec::new();
    for message in consumer.messages() {
        let message = message.unwrap();
        seen.push(message.seq().get());
        message.ack().unwrap();
        if seen.len() == 3 {
            world.store.close().unwrap();
        }
    }
    assert_eq!(seen, [1, 2, 3]);
}
