//! Purges that meet damage: they say so, go on when it is excluded, and a purge of everything needs no
//! bytes.

use crate::exclude::flip_all;
use crate::seed::{bytes_of, clock, disk_of, open, path};
use riverbed::disk::MemoryDisk;
use riverbed::{Purge, PurgeError, Riverbed, StreamConfig, Unavailable};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A closed store with ten messages each of `s.a` and `s.b` in blocks of their own; one of `s.b` is
/// damaged.
fn hurt() -> Vec<u8> {
    let disk = MemoryDisk::new();
    let store = open(disk.clone(), path(), &clock()).unwrap();
    let config = StreamConfig::new("s").subjects(["s.>"]);
    let stream = store.create_stream(config).unwrap();
    for n in 0..20 {
        let mut payload = format!("number {n}.").into_bytes();
        payload.resize(30_000, b'x');
        let subject = if n % 2 == 0 { "s.a" } else { "s.b" };
        stream.publish(subject, payload).unwrap();
    }
    store.close().unwrap();
    let mut bytes = bytes_of(&disk);
    flip_all(&mut bytes, b"number 7.");
    bytes
}

fn is_damage(purged: &Result<u64, PurgeError>) -> bool {
    matches!(
        purged,
        Err(PurgeError::Unavailable(Unavailable::Damaged { .. }))
    )
}

#[test]
fn a_purge_that_damage_stopped_goes_on_when_it_is_excluded() {
    let store = Riverbed::builder()
        .disk(Arc::new(disk_of(&hurt())))
        .open(path())
        .unwrap();
    let stream = store.stream("s").unwrap();
    assert!(is_damage(&stream.purge(Purge::all().filter("s.a"))));
    assert_eq!(store.exclude_damaged().unwrap().excluded.len(), 1);
    let began = Instant::now();
    while stream.info().unwrap().messages > 9 {
        assert!(began.elapsed() < Duration::from_secs(10), "nobody goes on");
        std::thread::yield_now();
    }
    assert_eq!(stream.info().unwrap().messages, 9);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn everything_is_purged_whatever_another_purge_could_not_read() {
    let disk = disk_of(&hurt());
    let store = open(disk.clone(), path(), &clock()).unwrap();
    let stream = store.stream("s").unwrap();
    assert!(is_damage(&stream.purge(Purge::all().filter("s.a"))));
    assert!(is_damage(&stream.purge(Purge::all().filter("s.b"))));
    let left = stream.info().unwrap().messages;
    assert_eq!(stream.purge(Purge::all()).unwrap(), left);
    // Nothing is held against the stream: what follows is purged by subject again.
    stream.publish_batch([("s.a", "1"), ("s.b", "2")]).unwrap();
    assert_eq!(stream.purge(Purge::all().filter("s.a")).unwrap(), 1);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    store.close().unwrap();
    let store = open(disk, path(), &clock()).unwrap();
    assert_eq!(store.stream("s").unwrap().info().unwrap().messages, 1);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}
