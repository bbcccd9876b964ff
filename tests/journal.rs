//! The journal beside the file of an open store, as somebody meets it who closes, moves, kills and damages stores.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use riverbed::disk::{Disk, MemoryDisk};
use riverbed::{ManualClock, OpenError, Riverbed, StreamConfig};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const JOURNAL: &str = "/store.journal";

fn open(disk: &MemoryDisk, clock: &ManualClock) -> Result<Riverbed, OpenError> {
    Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .clock(clock.clock())
        .without_threads()
        .open("/store")
}

fn work(store: &Riverbed, messages: usize) {
    for n in 0..messages {
        store.publish("log", format!("message {n}")).unwrap();
        store.drive().unwrap();
    }
}

fn bytes_of(disk: &MemoryDisk, path: &str) -> Vec<u8> {
    let file = disk.open(Path::new(path)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn flip_all(bytes: &mut [u8], needle: &[u8]) -> usize {
    let places: Vec<usize> = (0..bytes.len() - needle.len())
        .filter(|at| &bytes[*at..*at + needle.len()] == needle)
        .collect();
    for at in &places {
        bytes[*at] ^= 1;
    }
    places.len()
}

#[test]
fn a_damaged_block_that_was_to_grow_stops_nothing_but_its_messages() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock).unwrap();
    store.create_stream(StreamConfig::new("log")).unwrap();
    store.create_stream(StreamConfig::new("other")).unwrap();
    work(&store, 10);
    store.publish("other", "of another stream").unwrap();
    store.publish("log", "to be damaged on the disk").unwrap();
    // Idle: the database has all of it, with quick repair.
    clock.advance(Duration::from_secs(2));
    store.drive().unwrap();
    let with_it = disk.kill_image();
    store.publish("log", "one more").unwrap();
    let left = disk.kill_image();
    for (image, behind) in [(with_it, 0), (left, 1)] {
        let mut bytes = bytes_of(&image, "/store");
        assert!(flip_all(&mut bytes, b"to be damaged on the disk") > 0);
        image
            .open(Path::new("/store"))
            .unwrap()
            .write_at(0, &bytes)
            .unwrap();
        let store = open(&image, &clock).unwrap();
        let stream = store.stream("log").unwrap();
        let readable = stream.range(..).flatten().count();
        assert!(readable <= 10 + behind, "{readable}");
        let last = stream.info().unwrap().last_seq;
        assert_eq!(stream.get(last).is_ok(), behind == 1);
        assert_eq!(
            store.stream("other").unwrap().range(..).flatten().count(),
            1
        );
        store.exclude_damaged().unwrap();
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn a_healthy_stream_that_is_published_to_is_not_called_damaged() {
    let store = Riverbed::builder().disk(Arc::new(MemoryDisk::new()));
    let store = store.open("/store").unwrap();
    let log = StreamConfig::new("log").max_messages(3_000);
    let stream = store.create_stream(log).unwrap();
    for _ in 0..30 {
        stream
            .publish_batch((0..100).map(|_| ("log", vec![7; 1_000])))
            .unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                stream.publish("log", vec![7; 1_000]).unwrap();
            }
        });
        let tries = (0..60).map(|_| store.exclude_damaged().unwrap());
        let wrong = tries.flat_map(|came_to| {
            let excluded = came_to.excluded.into_iter().map(|gone| format!("{gone:?}"));
            let refused = came_to
                .refused
                .into_iter()
                .map(|refused| format!("{refused:?}"));
            // That it is never at rest may be.
            let refused = refused.filter(|why| !why.contains("NeverAtRest"));
            excluded.chain(refused).collect::<Vec<_>>()
        });
        let wrong: Vec<String> = wrong.collect();
        done.store(true, Ordering::Relaxed);
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

#[test]
fn a_store_that_was_closed_has_no_journal() {
    for n in 0..300 {
        let disk = MemoryDisk::new();
        let store = Riverbed::builder()
            .journal_segment(16 << 10)
            .disk(Arc::new(disk.clone()))
            .open("/store")
            .unwrap();
        store.create_stream(StreamConfig::new("log")).unwrap();
        for _ in 0..2 {
            store.publish("log", "x").unwrap();
        }
        for _ in 0..n % 200 {
            std::hint::spin_loop();
        }
        store.close().unwrap();
        assert!(!disk.exists(Path::new(JOURNAL)).unwrap(), "round {n}");
    }
}
