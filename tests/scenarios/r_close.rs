//! R10: closing, and what handles say afterwards.

use crate::helpers::*;
use riverbed::{
    AckError, ConsumerConfig, ConsumerError, FetchError, OpenError, PublishErrorKind, Purge,
    PurgeError, ReadError, RedriveError, Riverbed, StreamConfig, StreamError, Unavailable,
};
use std::sync::Arc;

#[test]
fn every_call_on_a_closed_store_says_that_it_is_closed() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let batch = consumer.fetch(riverbed::Fetch::new(2).no_wait()).unwrap();
    world.store.close().unwrap();
    let closed = Unavailable::Closed;
    assert_eq!(world.store.streams().unwrap_err(), closed);
    assert_eq!(world.store.info().unwrap_err(), closed);
    assert_eq!(stream.flush().unwrap_err(), closed);
    assert_eq!(
        stream.info().unwrap_err(),
        StreamError::Unavailable(closed.clone())
    );
    assert_eq!(
        world.store.stream("s").unwrap_err(),
        StreamError::Unavailable(closed.clone())
    );
    let made = world
        .store
        .create_stream(StreamConfig::new("x"))
        .unwrap_err();
    assert_eq!(made, StreamError::Unavailable(closed.clone()));
    let refused = stream.publish("s.a", "kept").unwrap_err();
    assert_eq!(refused.kind, PublishErrorKind::Unavailable(closed.clone()));
    assert_eq!(refused.messages[0].payload(), b"kept");
    let refused = stream.publish_async(("s.a", "kept")).unwrap_err();
    assert_eq!(refused.kind, PublishErrorKind::Unavailable(closed.clone()));
    assert_eq!(
        stream.get(1.into()).unwrap_err(),
        ReadError::Unavailable(closed.clone())
    );
    assert_eq!(
        stream.purge(Purge::all()),
        Err(PurgeError::Unavailable(closed.clone()))
    );
    assert_eq!(
        consumer.fetch(1).unwrap_err(),
        FetchError::Unavailable(closed.clone())
    );
    assert_eq!(
        consumer.info().unwrap_err(),
        ConsumerError::Unavailable(closed.clone())
    );
    assert_eq!(batch.ack(), Err(AckError::Unavailable(closed.clone())));
    assert_eq!(
        batch[0].in_progress(),
        Err(AckError::Unavailable(closed.clone()))
    );
    assert_eq!(
        consumer.release(1.into()),
        Err(RedriveError::Unavailable(closed.clone()))
    );
    assert_eq!(
        stream.redrive(1.into()),
        Err(RedriveError::Unavailable(closed))
    );
    assert!(consumer.messages().next().is_none());
    // What was read stays readable.
    assert_eq!(batch[1].payload(), b"2");
}

#[test]
fn closing_frees_the_file_while_handles_live() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    world.store.close().unwrap();
    let again = World::on(world.disk.clone(), world.clock.clone());
    assert_eq!(stored(&again.store.stream("s").unwrap()), [1]);
    // Closing the old one once more does nothing to the new one.
    world.store.close().unwrap();
    drop(stream);
    drop(world);
    again.store.publish("s.a", "").unwrap();
}

#[test]
fn a_store_is_opened_once() {
    let world = World::new();
    world.stream("s");
    let second = || {
        Riverbed::builder()
            .disk(Arc::new(world.disk.clone()))
            .open("/store")
    };
    let refused = second().unwrap_err();
    assert!(
        matches!(refused, OpenError::AlreadyOpen { .. }),
        "{refused:?}"
    );
    world.store.publish("s.a", "").unwrap();
    world.store.close().unwrap();
    second().unwrap();
}

#[test]
fn dropping_the_last_handle_of_any_kind_closes_quietly() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let message = take_one(&consumer);
    let World { clock, disk, store } = world;
    drop((store, stream, consumer));
    message.in_progress().unwrap();
    drop(message);
    let world = World::on(disk, clock);
    // It was released, not lost in a crash.
    assert_eq!(info(&world.consumer("s", "c")).crashes, 0);
    take_one(&world.consumer("s", "c")).ack().unwrap();
}

#[test]
fn closing_commits_what_was_staged() {
    let world = World::new();
    let stream = world.stream("s");
    let handles: Vec<_> = (0..5)
        .map(|n| stream.publish_async(("s.a", n.to_string())).unwrap())
        .collect();
    world.store.close().unwrap();
    for handle in handles {
        handle.wait().unwrap();
    }
    let world = World::on(world.disk, world.clock);
    assert_eq!(stored(&world.store.stream("s").unwrap()).len(), 5);
}

#[test]
fn g12_a_store_that_failed_refuses_work_until_it_is_opened_again() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let message = take_one(&consumer);
    world.disk.fail_from(world.disk.operations() + 1);
    let unknown = publish_kind(stream.publish("s.a", ""));
    assert!(
        matches!(
            unknown,
            PublishErrorKind::Unavailable(Unavailable::OutcomeUnknown { .. })
        ),
        "{unknown:?}"
    );
    world.disk.stop_failing();
    let poisoned = |unavailable: &Unavailable| matches!(unavailable, Unavailable::Poisoned { .. });
    assert!(matches!(message.ack(), Err(AckError::Unavailable(why)) if poisoned(&why)));
    assert!(matches!(consumer.fetch(1), Err(FetchError::Unavailable(why)) if poisoned(&why)));
    assert!(poisoned(&world.store.info().unwrap_err()));
    assert!(world.store.close().is_err());
    let world = World::on(world.disk.kill_image(), world.clock);
    let left = stored(&world.store.stream("s").unwrap());
    assert!(left == [1, 2] || left == [1, 2, 3]);
    assert_eq!(take(&world.consumer("s", "c"), 1)[0].deliveries(), 2);
}
