//! Events: to many, bounded, never in the way.

use crate::helpers::*;
use riverbed::{ConsumerConfig, Event, OnExhausted, Purge, Removal};

#[test]
fn every_subscriber_gets_every_event_and_what_is_missed_is_counted() {
    let world = World::new();
    let (wide, narrow) = (world.store.events(100), world.store.events(2));
    let stream = world.stream("s");
    publish(&stream, "s.a", 5);
    let config = ConsumerConfig::new("c")
        .max_deliver(1)
        .on_exhausted(OnExhausted::Drop);
    for message in take(&create(&stream, config), 5) {
        message.nak().unwrap();
    }
    assert_eq!((wide.len(), narrow.len()), (5, 2));
    assert_eq!(world.store.info().unwrap().events_missed, 3);
    let seqs: Vec<u64> = narrow
        .try_iter()
        .map(|event| match event {
            Event::Dropped { whose, .. } => whose.seq.get(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seqs, [1, 2]);
}

#[test]
fn a_subscriber_that_is_gone_misses_nothing() {
    let world = World::new();
    drop(world.store.events(1));
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    create(&stream, ConsumerConfig::new("c"));
    stream.purge(Purge::all()).unwrap();
    assert_eq!(world.store.info().unwrap().events_missed, 0);
}

#[test]
fn an_event_is_true_when_it_is_received() {
    let world = World::new();
    let events = world.store.events(8);
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, ConsumerConfig::new("c").max_deliver(1));
    take_one(&consumer).nak().unwrap();
    assert!(matches!(events.try_recv().unwrap(), Event::Parked { .. }));
    let world = world.killed();
    assert_eq!(info(&world.consumer("s", "c")).parked, 1);
}

#[test]
fn a_failed_commit_announces_nothing_but_that_the_store_stopped() {
    let world = World::new();
    let events = world.store.events(8);
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, ConsumerConfig::new("c").max_deliver(1));
    let message = take_one(&consumer);
    world.disk.fail_from(world.disk.operations() + 1);
    assert!(message.nak().is_err());
    let told: Vec<Event> = events.try_iter().collect();
    assert!(matches!(told[..], [Event::Poisoned { .. }]), "{told:?}");
}

#[test]
fn a_delete_tells_who_had_not_finished_and_nobody_else() {
    let world = World::new();
    let events = world.store.events(8);
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    take_one(&create(&stream, ConsumerConfig::new("done")))
        .ack()
        .unwrap();
    take_one(&create(&stream, ConsumerConfig::new("at-it")));
    create(&stream, ConsumerConfig::new("not-yet"));
    create(&stream, ConsumerConfig::new("elsewhere").filter("s.b"));
    stream.delete(1.into()).unwrap();
    let mut told: Vec<String> = events
        .try_iter()
        .map(|event| match event {
            Event::UnfinishedRemoved {
                consumer,
                messages: 1,
                by: Removal::Delete,
                ..
            } => consumer,
            other => panic!("{other:?}"),
        })
        .collect();
    told.sort();
    assert_eq!(told, ["at-it", "not-yet"]);
}
