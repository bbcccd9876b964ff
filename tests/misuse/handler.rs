//! Handlers that panic where nobody expects it.

use crate::world::{stream_and_consumer, threaded};
use std::fmt;
use std::panic::resume_unwind;
use std::sync::mpsc;

/// A value whose destructor panics, without the hook's noise.
struct Spiteful;

impl Drop for Spiteful {
    fn drop(&mut self) {
        resume_unwind(Box::new("in a destructor"))
    }
}

impl fmt::Display for Spiteful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("spite")
    }
}

#[test]
fn r7_a_handler_whose_error_panics_when_it_is_dropped_fails_its_attempt_and_nothing_else() {
    let store = threaded();
    let (stream, consumer) = stream_and_consumer(&store);
    stream.publish_batch((0..3).map(|_| ("s", ""))).unwrap();
    let (done, finished) = mpsc::channel();
    let runner = consumer
        .run(2, move |message| {
            if message.deliveries() > 1 {
                done.send(message.seq().get()).unwrap();
                return Ok(());
            }
            match message.seq().get() {
                1 => Err(Spiteful),
                2 => resume_unwind(Box::new(Spiteful)),
                _ => resume_unwind(Box::new("once")),
            }
        })
        .unwrap();
    let mut seen: Vec<u64> = finished.iter().take(3).collect();
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3]);
    let report = runner.stop().unwrap();
    assert_eq!((report.acked, report.failed, report.panicked), (3, 0, 3));
    let known = consumer.info().unwrap();
    assert_eq!((known.acked, known.failures, known.in_flight), (3, 3, 0));
    // The store has not noticed.
    stream.publish("s", "").unwrap();
    store.close().unwrap();
}
