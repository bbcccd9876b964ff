//! Settling against time, against purges and against the next fetch.

use crate::world::{World, explore, one};
use riverbed::{AckError, ConsumerConfig, Fetch, Purge, Refusal, StreamConfig};
use shuttle::thread;
use std::time::Duration;

#[test]
fn g6_an_ack_that_races_with_its_lease_ends_the_message_or_is_refused() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        stream.publish("s", "x").unwrap();
        let batch = consumer.fetch(one()).unwrap();
        let clock = world.clock.clone();
        let time = thread::spawn(move || clock.advance(Duration::from_secs(31)));
        match batch[0].ack() {
            Ok(()) => time.join().unwrap(),
            Err(AckError::Refused(Refusal::Stale { .. })) => {
                time.join().unwrap();
                let again = consumer.fetch(one()).unwrap();
                assert_eq!((again.len(), again[0].deliveries()), (1, 2));
                again[0].ack().unwrap();
            }
            Err(why) => panic!("{why}"),
        }
        let known = consumer.info().unwrap();
        assert_eq!((known.acked, known.in_flight, known.due), (1, 0, 0));
        assert_eq!(known.deliveries, known.failures + 1);
        world.end();
    });
}

#[test]
fn g5_an_ack_that_races_with_the_last_lease_leaves_the_message_in_one_place() {
    explore(|| {
        let world = World::new();
        let stream = world.store.create_stream(StreamConfig::new("s")).unwrap();
        let config = ConsumerConfig::new("c").max_deliver(1).dead_letter("dead");
        let consumer = stream.create_consumer(config).unwrap();
        stream.publish("s", "x").unwrap();
        let batch = consumer.fetch(one()).unwrap();
        let dead = world.store.stream("dead").unwrap();
        let reader = dead.create_consumer(ConsumerConfig::new("reader")).unwrap();
        let clock = world.clock.clone();
        let time = thread::spawn(move || clock.advance(Duration::from_secs(31)));
        let acked = batch[0].ack().is_ok();
        time.join().unwrap();
        if !acked {
            assert_eq!(reader.fetch(one()).unwrap().ack().unwrap().acked, 1);
        }
        let known = consumer.info().unwrap();
        let letters = dead.info().unwrap().messages;
        assert_eq!(
            (known.acked, known.dead_lettered),
            (u64::from(acked), letters)
        );
        assert_eq!(known.acked + letters, 1);
        world.end();
    });
}

#[test]
fn r15_two_workers_that_ack_and_fetch_share_all_messages() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        stream.publish_batch((0..4).map(|_| ("s", ""))).unwrap();
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let consumer = consumer.clone();
                thread::spawn(move || {
                    let fetch = Fetch::new(1).no_wait();
                    let mut batch = consumer.fetch(fetch).unwrap();
                    let mut handled = 0;
                    while !batch.is_empty() {
                        handled += batch.len();
                        let (acked, next) = consumer.ack_and_fetch(&batch, fetch).unwrap();
                        assert!(acked.refused.is_empty());
                        batch = next;
                    }
                    handled
                })
            })
            .collect();
        let handled: usize = workers.into_iter().map(|own| own.join().unwrap()).sum();
        let known = consumer.info().unwrap();
        assert_eq!((handled, known.acked, known.deliveries), (4, 4, 4));
        assert_eq!(known.ack_floor.get(), 4);
        world.end();
    });
}

#[test]
fn g11_a_purge_that_races_with_a_fetch_loses_nothing_uncounted() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        stream.publish_batch((0..3).map(|_| ("s", ""))).unwrap();
        let purge = {
            let stream = stream.clone();
            thread::spawn(move || stream.purge(Purge::all().up_to(3.into())).unwrap())
        };
        let batch = consumer.fetch(Fetch::new(2).no_wait()).unwrap();
        let acks = batch.ack().unwrap();
        assert_eq!(purge.join().unwrap(), 2);
        let known = consumer.info().unwrap();
        assert_eq!(known.acked, acks.acked as u64);
        assert_eq!(known.acked + known.lost + known.pending, 3);
        assert_eq!((known.in_flight, known.due), (0, 0));
        assert_eq!(stream.info().unwrap().messages, 1);
        world.end();
    });
}

#[test]
fn g11_a_purge_that_races_with_a_waiting_fetch_and_its_publisher_hangs_nobody() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let publisher = {
            let stream = stream.clone();
            thread::spawn(move || {
                stream.publish("s", "a").unwrap();
                stream.publish("s", "b").unwrap();
            })
        };
        let purge = {
            let stream = stream.clone();
            thread::spawn(move || stream.purge(Purge::all()).unwrap())
        };
        // Whatever the purge takes, one more comes after it.
        let fetcher = {
            let consumer = consumer.clone();
            thread::spawn(move || consumer.fetch(one()).unwrap().ack().unwrap().acked as u64)
        };
        publisher.join().unwrap();
        purge.join().unwrap();
        stream.publish("s", "c").unwrap();
        fetcher.join().unwrap();
        let known = consumer.info().unwrap();
        assert_eq!(known.acked + known.lost + known.pending, 3);
        assert_eq!((known.in_flight, known.due), (0, 0));
        world.end();
    });
}

#[test]
fn a_nak_wakes_a_fetch_that_waits() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        stream.publish("s", "x").unwrap();
        let first = consumer.fetch(one()).unwrap();
        let waiter = {
            let consumer = consumer.clone();
            thread::spawn(move || {
                let again = consumer.fetch(one()).unwrap();
                assert_eq!((again.len(), again[0].deliveries()), (1, 2));
                again[0].ack().unwrap();
            })
        };
        first[0].nak_now().unwrap();
        waiter.join().unwrap();
        assert_eq!(consumer.info().unwrap().acked, 1);
        world.end();
    });
}

#[test]
fn lazy_acks_are_stored_when_the_store_is_closed() {
    explore(|| {
        let world = World::new();
        let stream = world.store.create_stream(StreamConfig::new("s")).unwrap();
        let config = ConsumerConfig::new("c").lazy_acks();
        let consumer = stream.create_consumer(config).unwrap();
        stream.publish_batch([("s", ""), ("s", "")]).unwrap();
        let batch = consumer.fetch(Fetch::new(2).no_wait()).unwrap();
        let second = batch[1].clone();
        let other = thread::spawn(move || second.ack().unwrap());
        batch[0].ack().unwrap();
        other.join().unwrap();
        world.store.close().unwrap();
        let world = world.reopened();
        let consumer = world.store.stream("s").unwrap().consumer("c").unwrap();
        let known = consumer.info().unwrap();
        assert_eq!((known.acked, known.due, known.pending), (2, 0, 0));
        world.end();
    });
}
