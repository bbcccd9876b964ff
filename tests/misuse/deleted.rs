//! Streams and consumers that are deleted under those who use them.

use crate::world::{stream_and_consumer, threaded};
use riverbed::{AckError, ConsumerConfig, Fetch, FetchError, PublishErrorKind, StreamConfig};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn a_stream_deleted_and_made_anew_while_it_is_published_to_tells_every_publisher() {
    let store = threaded();
    stream_and_consumer(&store);
    let over = AtomicBool::new(false);
    let stored = thread::scope(|scope| {
        let publisher = || {
            let (mut stored, mut stream) = (Vec::new(), store.stream("s"));
            while !over.load(Ordering::Relaxed) {
                let Ok(known) = &stream else {
                    // It does not exist at the moment.
                    stream = store.stream("s");
                    continue;
                };
                match known.publish("s", "x").map_err(|why| why.kind) {
                    Ok(ack) => stored.push(ack.seq.get()),
                    // A handle is of the stream that it was made for, not of the next of that name.
                    Err(PublishErrorKind::StreamGone { .. }) => stream = store.stream("s"),
                    Err(why) => panic!("{why}"),
                }
            }
            stored
        };
        let publishers = [scope.spawn(publisher), scope.spawn(publisher)];
        for _ in 0..20 {
            store.delete_stream("s").unwrap();
            store.create_stream(StreamConfig::new("s")).unwrap();
            while store.stream("s").unwrap().info().unwrap().messages == 0 {
                thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
        publishers.map(|publisher| publisher.join().unwrap())
    });
    assert!(stored.iter().all(|own| !own.is_empty()));
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    store.close().unwrap();
}

#[test]
fn a_consumer_deleted_while_it_is_fetched_from_tells_fetchers_and_holders() {
    let store = threaded();
    let (stream, consumer) = stream_and_consumer(&store);
    stream.publish_batch((0..100).map(|_| ("s", ""))).unwrap();
    thread::scope(|scope| {
        let fetcher = || loop {
            match consumer.fetch(Fetch::new(3).no_wait()) {
                Ok(batch) => match batch.ack() {
                    Ok(_) => {}
                    Err(AckError::ConsumerGone { .. }) => return,
                    Err(why) => panic!("{why}"),
                },
                Err(FetchError::ConsumerGone { .. }) => return,
                Err(why) => panic!("{why}"),
            }
        };
        let fetchers = [scope.spawn(fetcher), scope.spawn(fetcher)];
        stream.delete_consumer("c").unwrap();
        // The next of that name is another one: it begins anew, and the old handles stay as they are.
        let next = stream.create_consumer(ConsumerConfig::new("c")).unwrap();
        assert_eq!(next.fetch(Fetch::new(200).no_wait()).unwrap().len(), 100);
        for fetcher in fetchers {
            fetcher.join().unwrap();
        }
    });
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    store.close().unwrap();
}
