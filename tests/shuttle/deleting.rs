//! What is deleted while it is in use: whoever uses it is told, and nobody hangs.

use crate::world::{World, explore, one};
use riverbed::{AckError, FetchError, PublishErrorKind};
use shuttle::thread;

#[test]
fn a_stream_deleted_while_it_is_published_to_answers_that_it_is_gone() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let publishers: Vec<_> = (0..2)
            .map(|_| {
                let stream = stream.clone();
                thread::spawn(move || match stream.publish("s", "x") {
                    Ok(_) => {}
                    Err(why) => {
                        let gone = matches!(why.kind, PublishErrorKind::StreamGone { .. });
                        assert!(gone, "{:?}", why.kind);
                        assert_eq!(why.messages.len(), 1, "the message comes back");
                    }
                })
            })
            .collect();
        let fetcher = thread::spawn(move || match consumer.fetch(one()) {
            Ok(batch) => {
                assert_eq!(batch.len(), 1);
                match batch[0].ack() {
                    Ok(()) | Err(AckError::ConsumerGone { .. }) => {}
                    Err(why) => panic!("{why}"),
                }
            }
            Err(FetchError::ConsumerGone { .. }) => {}
            Err(why) => panic!("{why}"),
        });
        world.store.delete_stream("s").unwrap();
        for publisher in publishers {
            publisher.join().unwrap();
        }
        fetcher.join().unwrap();
        assert_eq!(world.store.streams().unwrap(), Vec::<String>::new());
        world.end();
    });
}

#[test]
fn a_consumer_deleted_while_it_is_fetched_from_tells_every_fetch() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let fetchers: Vec<_> = (0..2)
            .map(|_| {
                let consumer = consumer.clone();
                thread::spawn(move || consumer.fetch(one()).map(|batch| batch.len()))
            })
            .collect();
        let publisher = {
            let stream = stream.clone();
            thread::spawn(move || stream.publish("s", "x").map(drop))
        };
        stream.delete_consumer("c").unwrap();
        let outcomes: Vec<_> = fetchers
            .into_iter()
            .map(|own| own.join().unwrap())
            .collect();
        let mut delivered = 0;
        for outcome in outcomes {
            match outcome {
                Ok(1) => delivered += 1,
                Err(FetchError::ConsumerGone { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(
            delivered <= 1,
            "one message was delivered {delivered} times"
        );
        publisher.join().unwrap().unwrap();
        assert_eq!(stream.info().unwrap().messages, 1);
        world.end();
    });
}

#[test]
fn of_two_that_create_one_stream_and_its_consumer_both_find_the_same() {
    explore(|| {
        let world = World::new();
        let store = world.store.clone();
        let other = thread::spawn(move || {
            let stream = store
                .create_stream(riverbed::StreamConfig::new("s"))
                .unwrap();
            stream
                .create_consumer(riverbed::ConsumerConfig::new("c"))
                .unwrap();
            stream.publish("s", "a").unwrap();
        });
        let (stream, consumer) = world.stream_and_consumer();
        stream.publish("s", "b").unwrap();
        other.join().unwrap();
        assert_eq!(stream.info().unwrap().consumers, 1);
        assert_eq!(consumer.info().unwrap().pending, 2);
        world.end();
    });
}
