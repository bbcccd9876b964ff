//! Fetches that wait: none misses its wake-up, none gets what another one has.

use crate::world::{World, explore, one};
use riverbed::{Fetch, FetchError, Unavailable};
use shuttle::sync::mpsc;
use shuttle::thread;
use std::time::Duration;

#[test]
fn a_waiting_fetch_gets_what_is_published_before_it_or_after() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let publisher = thread::spawn(move || stream.publish("s", "x").map(|_| ()));
        let batch = consumer.fetch(one()).unwrap();
        assert_eq!((batch.len(), batch[0].payload()), (1, &b"x"[..]));
        batch[0].ack().unwrap();
        publisher.join().unwrap().unwrap();
        let known = consumer.info().unwrap();
        assert_eq!((known.acked, known.deliveries, known.waiting), (1, 1, 0));
        world.end();
    });
}

#[test]
fn a_waiting_fetch_gets_what_is_published_without_waiting() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let publisher = thread::spawn(move || stream.publish_async(("s", "x")).map(drop));
        consumer.fetch(one()).unwrap().ack().unwrap();
        publisher.join().unwrap().unwrap();
        world.end();
    });
}

#[test]
fn of_three_waiting_fetches_two_get_the_two_messages_and_one_waits_for_the_close() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let (done, finished) = mpsc::channel();
        let fetchers: Vec<_> = (0..3)
            .map(|_| {
                let (consumer, done) = (consumer.clone(), done.clone());
                thread::spawn(move || {
                    let fetched = consumer.fetch(one()).map(|batch| {
                        assert!(batch.ack().unwrap().refused.is_empty());
                        let seqs = batch.iter().map(|message| message.seq().get());
                        seqs.collect::<Vec<u64>>()
                    });
                    done.send(fetched).unwrap();
                })
            })
            .collect();
        let publishers: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|name| {
                let stream = stream.clone();
                thread::spawn(move || stream.publish("s", name).map(drop))
            })
            .collect();
        let got = [(); 2].map(|()| finished.recv().unwrap().unwrap());
        assert!(got == [[1], [2]] || got == [[2], [1]], "{got:?}");
        let known = consumer.info().unwrap();
        assert_eq!((known.acked, known.deliveries, known.pending), (2, 2, 0));
        for thread in publishers {
            thread.join().unwrap().unwrap();
        }
        world.store.close().unwrap();
        let closed = FetchError::Unavailable(Unavailable::Closed);
        assert_eq!(finished.recv().unwrap(), Err(closed));
        for thread in fetchers {
            thread.join().unwrap();
        }
    });
}

#[test]
fn g3_a_message_that_crosses_with_the_end_of_a_wait_is_delivered_once_all_the_same() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let publisher = thread::spawn(move || stream.publish("s", "x").map(|_| ()));
        let clock = world.clock.clone();
        let time = thread::spawn(move || clock.advance(Duration::from_secs(1)));
        let brief = Fetch::new(1).max_wait(Duration::from_secs(1));
        let mut batch = consumer.fetch(brief).unwrap();
        if batch.is_empty() {
            batch = consumer.fetch(one()).unwrap();
        }
        assert_eq!((batch.len(), batch[0].deliveries()), (1, 1));
        batch[0].ack().unwrap();
        publisher.join().unwrap().unwrap();
        time.join().unwrap();
        let known = consumer.info().unwrap();
        assert_eq!((known.acked, known.deliveries, known.failures), (1, 1, 0));
        world.end();
    });
}

#[test]
fn a_fetch_whose_wait_ends_hands_its_wake_up_to_the_next_in_line() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let (done, finished) = mpsc::channel();
        let brief = Fetch::new(1).max_wait(Duration::from_secs(1));
        let fetchers: Vec<_> = [("brief", brief), ("patient", one())]
            .into_iter()
            .map(|(name, fetch)| {
                let (consumer, done) = (consumer.clone(), done.clone());
                thread::spawn(move || {
                    let acks = consumer.fetch(fetch).unwrap().ack().unwrap();
                    done.send((name, acks.acked)).unwrap();
                })
            })
            .collect();
        let clock = world.clock.clone();
        let time = thread::spawn(move || clock.advance(Duration::from_secs(1)));
        stream.publish("s", "x").unwrap();
        let first = finished.recv().unwrap();
        // When the brief one ended without it, the message is there for the patient one.
        if first != ("brief", 0) {
            stream.publish("s", "y").unwrap();
        }
        let second = finished.recv().unwrap();
        assert!(first == ("patient", 1) || second == ("patient", 1));
        for thread in fetchers {
            thread.join().unwrap();
        }
        time.join().unwrap();
        let known = consumer.info().unwrap();
        assert_eq!(known.acked as usize, first.1 + second.1);
        assert_eq!((known.in_flight, known.due, known.failures), (0, 0, 0));
        world.end();
    });
}

#[test]
fn what_one_fetch_leaves_wakes_the_next() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let fetchers: Vec<_> = (0..2)
            .map(|_| {
                let consumer = consumer.clone();
                thread::spawn(move || consumer.fetch(one()).unwrap().ack().unwrap().acked)
            })
            .collect();
        stream.publish_batch([("s", "a"), ("s", "b")]).unwrap();
        for fetcher in fetchers {
            assert_eq!(fetcher.join().unwrap(), 1);
        }
        assert_eq!(consumer.info().unwrap().acked, 2);
        world.end();
    });
}
