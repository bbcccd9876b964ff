//! Runners: workers that handle, panic, and are stopped.

use crate::world::{World, explore};
use riverbed::{CloseError, RunOptions};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::sync::{Mutex, mpsc};
use shuttle::thread;
use std::sync::Arc;

/// A panic that no hook reports.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("as it should"))
}

#[test]
fn a_handler_that_panics_fails_its_attempt_and_nothing_else() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let (done, finished) = mpsc::channel();
        let done = Mutex::new(done);
        let panicked = AtomicBool::new(false);
        let handler = move |message: &riverbed::Message| {
            if message.seq() == 2 && !panicked.swap(true, Ordering::SeqCst) {
                panic_quietly();
            }
            done.lock().unwrap().send(message.seq().get())
        };
        let runner = consumer
            .run_with(RunOptions::new(2).batch(2), handler)
            .unwrap();
        stream.publish_batch((0..3).map(|_| ("s", ""))).unwrap();
        let mut seen: Vec<u64> = (0..3).map(|_| finished.recv().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
        let report = runner.stop().unwrap();
        assert_eq!((report.acked, report.failed, report.panicked), (3, 0, 1));
        let known = consumer.info().unwrap();
        assert_eq!((known.acked, known.failures, known.in_flight), (3, 1, 0));
        world.end();
    });
}

#[test]
fn a_runner_that_is_stopped_leaves_every_message_acked_or_due_again() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let runner = consumer
            .run_with(RunOptions::new(2).batch(2), |_| Ok::<(), String>(()))
            .unwrap();
        let publisher = {
            let stream = stream.clone();
            thread::spawn(move || {
                stream.publish_batch([("s", ""), ("s", "")]).unwrap();
                stream.publish("s", "").unwrap();
            })
        };
        let report = runner.stop().unwrap();
        publisher.join().unwrap();
        let known = consumer.info().unwrap();
        assert_eq!(
            (known.acked, known.in_flight, known.failures),
            (report.acked, 0, 0)
        );
        assert_eq!(known.acked + known.pending + known.due, 3);
        world.end();
    });
}

#[test]
fn r10_a_store_closes_under_a_runner_at_work() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        stream.publish_batch((0..3).map(|_| ("s", ""))).unwrap();
        let store = Arc::new(Mutex::new(Some(world.store.clone())));
        let own = Arc::clone(&store);
        let handler = move |_: &riverbed::Message| {
            let store = own.lock().unwrap().take();
            match store.map(|store| store.close()) {
                None | Some(Err(CloseError::FromHandler)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        };
        let runner = consumer
            .run_with(RunOptions::new(2).batch(2), handler)
            .unwrap();
        world.store.close().unwrap();
        let report = runner.stop().unwrap();
        assert_eq!(report.failed, 0);
        let world = world.reopened();
        let consumer = world.store.stream("s").unwrap().consumer("c").unwrap();
        let known = consumer.info().unwrap();
        // An ack that the close overtook was not counted by the runner, and its message is due.
        assert_eq!(known.acked, report.acked);
        assert_eq!(known.acked + known.pending + known.due, 3);
        assert_eq!(known.failures, 0);
        world.end();
    });
}
