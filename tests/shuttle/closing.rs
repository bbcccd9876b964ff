//! Closing while others are at it (R10), and the end of a store that nobody closes (R6).

use crate::world::{LONG, World, explore, one, payloads};
use riverbed::{
    AckError, Discard, FetchError, Publish, PublishErrorKind, StreamConfig, Unavailable,
};
use shuttle::thread;

#[test]
fn r10_close_gives_publishers_their_real_answers() {
    explore(|| {
        let world = World::new();
        let (stream, _) = world.stream_and_consumer();
        let publishers: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|name| {
                let stream = stream.clone();
                thread::spawn(move || match stream.publish("s", name) {
                    Ok(_) => Some(name.to_owned()),
                    Err(why) => {
                        let closed = PublishErrorKind::Unavailable(Unavailable::Closed);
                        assert_eq!(why.kind, closed);
                        None
                    }
                })
            })
            .collect();
        world.store.close().unwrap();
        let stored = publishers.into_iter().filter_map(|own| own.join().unwrap());
        let mut stored: Vec<String> = stored.collect();
        stored.sort_unstable();
        let world = world.reopened();
        assert_eq!(payloads(&world.store.stream("s").unwrap()), stored);
        world.end();
    });
}

#[test]
fn r10_close_wakes_fetches_and_publishers_that_wait() {
    explore(|| {
        let world = World::new();
        let config = StreamConfig::new("s").max_messages(1).discard(Discard::New);
        let stream = world.store.create_stream(config).unwrap();
        let consumer = stream
            .create_consumer(riverbed::ConsumerConfig::new("c"))
            .unwrap();
        stream.publish("s", "x").unwrap();
        // In flight, so that the others find nothing.
        let held = consumer.fetch(one()).unwrap();
        let fetchers: Vec<_> = (0..2)
            .map(|_| {
                let consumer = consumer.clone();
                thread::spawn(move || consumer.fetch(one()).map(|batch| batch.len()))
            })
            .collect();
        let publisher = {
            let stream = stream.clone();
            let message = Publish::new("s", "y").wait_for_room(LONG);
            thread::spawn(move || stream.publish_message(message).unwrap_err())
        };
        world.store.close().unwrap();
        for fetcher in fetchers {
            let closed = FetchError::Unavailable(Unavailable::Closed);
            assert_eq!(fetcher.join().unwrap(), Err(closed));
        }
        let refused = publisher.join().unwrap();
        let closed = PublishErrorKind::Unavailable(Unavailable::Closed);
        assert_eq!(
            (refused.kind, refused.messages[0].payload()),
            (closed, &b"y"[..])
        );
        let late = held[0].ack();
        assert_eq!(late, Err(AckError::Unavailable(Unavailable::Closed)));
        let world = world.reopened();
        let consumer = world.store.stream("s").unwrap().consumer("c").unwrap();
        let known = consumer.info().unwrap();
        assert_eq!((known.due, known.in_flight, known.failures), (1, 0, 0));
        world.end();
    });
}

#[test]
fn r10_an_ack_that_crosses_with_the_close_is_stored_or_refused() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        stream.publish("s", "x").unwrap();
        let batch = consumer.fetch(one()).unwrap();
        let acker = thread::spawn(move || batch[0].ack());
        world.store.close().unwrap();
        let stored = match acker.join().unwrap() {
            Ok(()) => 1,
            Err(AckError::Unavailable(Unavailable::Closed)) => 0,
            // The close gave the lease back first.
            Err(why) => panic!("{why}"),
        };
        let world = world.reopened();
        let consumer = world.store.stream("s").unwrap().consumer("c").unwrap();
        let known = consumer.info().unwrap();
        assert_eq!((known.acked, known.due), (stored, 1 - stored));
        world.end();
    });
}

#[test]
fn two_threads_may_close_at_once() {
    explore(|| {
        let world = World::new();
        let (stream, _) = world.stream_and_consumer();
        stream.publish_async(("s", "x")).unwrap();
        let other = {
            let store = world.store.clone();
            thread::spawn(move || store.close())
        };
        world.store.close().unwrap();
        let world = world.reopened();
        assert_eq!(payloads(&world.store.stream("s").unwrap()), ["x"]);
        other.join().unwrap().unwrap();
        world.end();
    });
}

#[test]
fn r6_the_last_handle_closes_the_store_and_ends_its_threads() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        stream.publish_async(("s", "x")).unwrap();
        let World { clock, disk, store } = world;
        let other = thread::spawn(move || drop(consumer));
        drop(stream);
        drop(store);
        other.join().unwrap();
        // The file is free as soon as the last handle is gone. If the threads lived on, this test would
        // never end.
        let builder = riverbed::Riverbed::builder().clock(clock.clock());
        let store = builder
            .disk(std::sync::Arc::new(disk.clone()))
            .open("/store")
            .unwrap();
        assert_eq!(payloads(&store.stream("s").unwrap()), ["x"]);
        World { clock, disk, store }.end();
    });
}

#[test]
fn the_idle_commit_crosses_with_work_and_with_the_close() {
    explore(|| {
        let world = World::new();
        let (stream, _) = world.stream_and_consumer();
        let publisher = thread::spawn(move || stream.publish("s", "x").map(drop).is_ok());
        let clock = world.clock.clone();
        let time = thread::spawn(move || clock.advance(std::time::Duration::from_secs(2)));
        world.store.close().unwrap();
        time.join().unwrap();
        let stored = usize::from(publisher.join().unwrap());
        let world = world.reopened();
        let stream = world.store.stream("s").unwrap();
        assert_eq!(payloads(&stream).len(), stored);
        world.end();
    });
}
