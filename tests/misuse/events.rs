//! A subscriber that never reads.

use crate::world::threaded;
use riverbed::{ConsumerConfig, Fetch, OnExhausted, StreamConfig};

#[test]
fn g9_a_subscriber_that_never_reads_holds_up_nobody_and_takes_no_memory() {
    const MESSAGES: u64 = 1_000;
    let store = threaded();
    let (deaf, hearing) = (store.events(3), store.events(MESSAGES as usize));
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    let config = ConsumerConfig::new("c")
        .max_deliver(1)
        .on_exhausted(OnExhausted::Drop);
    let consumer = stream.create_consumer(config).unwrap();
    stream
        .publish_batch((0..MESSAGES).map(|_| ("s", "")))
        .unwrap();
    // Each nak drops its message, and each is announced.
    for message in consumer
        .fetch(Fetch::new(MESSAGES as usize).no_wait())
        .unwrap()
    {
        message.nak().unwrap();
    }
    assert_eq!(
        hearing.iter().take(MESSAGES as usize).count() as u64,
        MESSAGES
    );
    assert_eq!(deaf.len(), 3, "it holds no more than it asked for");
    assert_eq!(store.info().unwrap().events_missed, MESSAGES - 3);
    store.close().unwrap();
    assert_eq!(deaf.iter().count(), 3, "what it had stays, then it ends");
}
