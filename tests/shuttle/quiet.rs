//! Nobody spins: when there is nothing to do, every thread sleeps. Shuttle calls that a deadlock, and it is
//! what these tests expect; a thread that goes on looking would take more steps than a run may have.

use crate::world::{World, once, one};
use riverbed::Fetch;
use shuttle::sync::mpsc;
use shuttle::thread;
use std::time::Duration;

/// Waits for what never comes.
fn wait_for_ever(_world: &World) {
    let (_kept, never) = mpsc::channel::<()>();
    never.recv().unwrap();
}

#[test]
#[should_panic(expected = "deadlock")]
fn an_idle_store_sleeps_before_and_after_its_idle_commit() {
    once(|| {
        let world = World::new();
        let (stream, _consumer) = world.stream_and_consumer();
        stream.publish_async(("s", "x")).unwrap();
        world.clock.advance(Duration::from_secs(2));
        wait_for_ever(&world);
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_waiting_fetch_sleeps_behind_a_deleted_head() {
    once(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        stream.publish_batch([("s", "1"), ("s", "2")]).unwrap();
        stream.delete(1.into()).unwrap();
        // The only message left is with somebody.
        let held = consumer.fetch(Fetch::new(2).no_wait()).unwrap();
        assert_eq!(held.len(), 1);
        stream.delete(2.into()).unwrap();
        let own = consumer.clone();
        let _waiting = thread::spawn(move || own.fetch(one()).map(drop));
        wait_for_ever(&world);
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn the_threads_of_a_store_that_failed_end_and_nobody_looks_at_it_again() {
    once(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        world.disk.fail_from(world.disk.operations());
        assert!(stream.publish("s", "x").is_err());
        assert!(consumer.fetch(one()).is_err());
        wait_for_ever(&world);
    });
}
