//! `max_store_bytes`: publishers are refused in time, and what frees space always works.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, Limits, OpenError, Publish, PublishErrorKind, Purge, Riverbed, Stream,
};
use std::sync::Arc;

const MAX: u64 = 4 << 20;
const RESERVE: u64 = 1 << 20;

fn limits(max: u64, reserve: u64) -> Limits {
    let mut limits = Limits::default();
    limits.max_store_bytes = Some(max);
    limits.store_reserve_bytes = reserve;
    limits
}

fn limited(world: World, threads: bool) -> World {
    world.store.close().unwrap();
    let World { clock, disk, .. } = world;
    let builder = Riverbed::builder()
        .clock(clock.clock())
        .disk(Arc::new(disk.clone()))
        .limits(limits(MAX, RESERVE));
    let builder = if threads {
        builder
    } else {
        builder.without_threads()
    };
    let store = builder.open("/store").unwrap();
    World { clock, disk, store }
}

/// Publishes until the store is full; returns how many were stored.
fn fill(stream: &Stream, subject: &str, size: usize) -> u64 {
    for stored in 0.. {
        let batch = (0..16).map(|_| Publish::new(subject, vec![b'x'; size]));
        let Err(refused) = stream.publish_batch(batch) else {
            continue;
        };
        let PublishErrorKind::StoreFull {
            used,
            limit,
            reserve,
        } = refused.kind
        else {
            panic!("{refused:?}");
        };
        assert_eq!((limit, reserve, refused.messages.len()), (MAX, RESERVE, 16));
        assert!(
            used <= MAX - RESERVE && used > MAX - RESERVE - 16 * 70_000,
            "{used}"
        );
        return stored * 16;
    }
    unreachable!()
}

#[test]
fn a_full_store_refuses_publishers_and_gives_the_messages_back() {
    let world = limited(World::new(), false);
    let stream = world.stream("s");
    let stored = fill(&stream, "s.a", 1_000);
    assert!(stored > 2_500, "{stored}");
    assert_eq!(stream.info().unwrap().messages, stored);
    let used = world.store.info().unwrap().used_bytes;
    assert!(used <= MAX - RESERVE, "{used}");
    assert_eq!(world.store.check().unwrap(), [""; 0]);
    let world = limited(world, false);
    assert_eq!(world.store.info().unwrap().used_bytes, used);
    let stream = world.store.stream("s").unwrap();
    let again = stream.publish("s.a", vec![b'x'; 100_000]).unwrap_err();
    assert!(matches!(again.kind, PublishErrorKind::StoreFull { .. }));
    assert_eq!(world.store.check().unwrap(), [""; 0]);
}

#[test]
fn a_full_store_acks_moves_dead_letters_and_purges() {
    let world = limited(World::new(), false);
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").max_deliver(1).dead_letter("dead");
    let consumer = create(&stream, config);
    let stored = fill(&stream, "s.a", 1_000);
    let messages = take(&consumer, 200);
    for message in &messages[..100] {
        message.ack().unwrap();
    }
    for message in &messages[100..] {
        message.nak().unwrap();
    }
    let known = info(&consumer);
    assert_eq!((known.acked, known.dead_lettered), (100, 100));
    let purged = stream
        .purge(Purge::default().up_to((stored / 2).into()))
        .unwrap();
    assert_eq!(purged, stored / 2 - 1);
    world.pass(secs(1));
    stream.publish("s.a", vec![b'x'; 1_000]).unwrap();
    assert_eq!(world.store.check().unwrap(), [""; 0]);
}

#[test]
fn dead_letters_that_find_no_room_in_the_whole_store_stay_until_some_is_made() {
    let world = limited(World::new(), false);
    let stream = world.stream("s");
    let other = world.stream("o");
    let config = ConsumerConfig::new("c").max_deliver(1).dead_letter("dead");
    let consumer = create(&stream, config);
    for _ in 0..30 {
        stream.publish("s.a", vec![b'x'; 60_000]).unwrap();
    }
    fill(&other, "o.a", 1_000);
    // 30 pages of 64 KiB do not fit in a reserve of 1 MiB.
    for message in take(&consumer, 30) {
        message.nak().unwrap();
    }
    let known = info(&consumer);
    assert_eq!(known.refused + known.dead_lettered, 30);
    assert!(known.refused > 10 && known.dead_lettered > 10, "{known:?}");
    assert!(world.store.info().unwrap().used_bytes <= MAX);
    other.purge(Purge::default()).unwrap();
    world.pass(secs(1));
    world.pass(secs(1));
    let known = info(&consumer);
    assert_eq!((known.refused, known.dead_lettered), (0, 30));
    assert_eq!(world.store.check().unwrap(), [""; 0]);
}

#[test]
fn a_publisher_may_wait_for_room_in_the_store() {
    let world = limited(World::new(), true);
    let (stream, other) = (world.stream("s"), world.stream("o"));
    fill(&other, "o.a", 1_000);
    let waiting = std::thread::spawn(move || {
        let message = Publish::new("s.a", vec![b'x'; 50_000]);
        stream.publish_message(message.wait_for_room(secs(3_600)))
    });
    // Whether it waits already or comes later: it gets its room.
    other.purge(Purge::default()).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap().seq, 1);
}

#[test]
fn limits_of_the_store_that_conflict_are_named() {
    for (max, reserve, word) in [
        (MAX, 1000, "store_reserve_bytes is 1000"),
        (MAX, MAX, "less than twice store_reserve_bytes"),
        (0, RESERVE, "max_store_bytes is 0"),
    ] {
        let disk = riverbed::disk::MemoryDisk::new();
        let builder = Riverbed::builder()
            .disk(Arc::new(disk.clone()))
            .limits(limits(max, reserve));
        let refused = builder.open("/store").unwrap_err();
        assert!(matches!(refused, OpenError::Limits { .. }));
        assert!(refused.to_string().contains(word), "{refused}");
        assert_eq!(disk.operations(), 0);
    }
}

#[test]
fn a_deleted_stream_gives_its_room_back() {
    let world = limited(World::new(), false);
    let stream = world.stream("s");
    fill(&stream, "s.a", 5_000);
    world.store.delete_stream("s").unwrap();
    for _ in 0..20 {
        world.pass(secs(1));
    }
    assert_eq!(world.store.info().unwrap().used_bytes, 0);
    assert_eq!(world.store.check().unwrap(), [""; 0]);
}
