//! Space that comes back while a store is open, and readers beside those who replace.

use crate::helpers::*;
use riverbed::{Publish, Rollup, Seq};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn used(world: &World) -> u64 {
    world.store.info().unwrap().used_bytes
}

#[test]
fn what_rollups_replaced_is_freed_while_the_store_is_open() {
    let world = World::new();
    let stream = world.stream("s");
    for key in 0..3_000 {
        let message = Publish::new(format!("s.{}", key % 2), vec![7; 8 << 10]);
        stream
            .publish_message(message.rollup(Rollup::Subject))
            .unwrap();
        if key % 100 == 0 {
            world.store.drive().unwrap();
        }
    }
    world.store.drive().unwrap();
    assert_eq!(stored(&stream), [2_999, 3_000]);
    let used = used(&world);
    assert!(used < 12 << 20, "{used} bytes for two messages");
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stored(&stream), [2_999, 3_000]);
    assert_eq!(stream.publish("s.0", "").unwrap().seq, 3_001);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn what_deletes_from_the_end_left_is_freed_too() {
    let world = World::new();
    let stream = world.stream("s");
    for _ in 0..1_500 {
        stream.publish("s.a", vec![7; 8 << 10]).unwrap();
    }
    for seq in (1..1_500).rev() {
        stream.delete(Seq::new(seq)).unwrap();
    }
    world.store.drive().unwrap();
    stream.publish("s.a", "last").unwrap();
    stream.delete(Seq::new(1_500)).unwrap();
    world.store.drive().unwrap();
    assert_eq!(stored(&stream), [1_501]);
    let used = used(&world);
    assert!(used < 8 << 20, "{used} bytes for one message");
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_subject_that_is_replaced_all_the_time_is_never_seen_empty() {
    let world = World::threaded();
    let stream = world.stream("s");
    stream.publish("s.a", "0").unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stream, over) = (stream.clone(), Arc::clone(&over));
        std::thread::spawn(move || {
            for number in 0..300 {
                let message = Publish::new("s.a", number.to_string()).rollup(Rollup::Subject);
                stream.publish_message(message).unwrap();
            }
            over.store(true, Ordering::Relaxed);
        })
    };
    while !over.load(Ordering::Relaxed) {
        let last = stream.last_for_subject("s.a").unwrap();
        assert!(last.is_some());
    }
    writer.join().unwrap();
}
