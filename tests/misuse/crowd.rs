//! More waiting callers than anybody has workers.

use crate::world::{LONG, threaded};
use riverbed::{ConsumerConfig, Fetch, FetchError, StreamConfig, Unavailable};
use std::sync::mpsc;
use std::thread;

/// Fetches that wait; each has a thread of its own.
const FETCHERS: usize = 10_000;

/// Messages published; the other fetches wait until the close.
const MESSAGES: usize = 5_000;

#[test]
fn ten_thousand_waiting_fetches_get_a_message_each_or_the_close() {
    let store = threaded();
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    let config = ConsumerConfig::new("c").max_ack_pending(FETCHERS as u64);
    let consumer = stream.create_consumer(config.ack_wait(LONG)).unwrap();
    let (done, finished) = mpsc::channel();
    for _ in 0..FETCHERS {
        let (consumer, done) = (consumer.clone(), done.clone());
        let fetcher = move || {
            let fetched = consumer.fetch(Fetch::new(1).max_wait(LONG));
            let seqs =
                fetched.map(|batch| batch.iter().map(|one| one.seq().get()).collect::<Vec<_>>());
            done.send(seqs).unwrap();
        };
        thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(fetcher)
            .unwrap();
    }
    while consumer.info().unwrap().waiting < FETCHERS as u64 {
        thread::yield_now();
    }
    stream
        .publish_batch((0..MESSAGES).map(|_| ("s", "")))
        .unwrap();
    let got = (0..MESSAGES).map(|_| finished.recv().unwrap().unwrap());
    let mut got: Vec<u64> = got.flatten().collect();
    got.sort_unstable();
    assert_eq!(got, (1..=MESSAGES as u64).collect::<Vec<_>>());
    let known = consumer.info().unwrap();
    assert_eq!(known.deliveries, MESSAGES as u64);
    assert_eq!(known.waiting, (FETCHERS - MESSAGES) as u64);
    store.close().unwrap();
    for _ in MESSAGES..FETCHERS {
        let closed = FetchError::Unavailable(Unavailable::Closed);
        assert_eq!(finished.recv().unwrap(), Err(closed));
    }
}
