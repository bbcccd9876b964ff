//! Failures in the middle of what takes several commits: what was already done is not denied.

use crate::world::payload;
use riverbed::disk::{Disk, MemoryDisk};
use riverbed::{
    AckAndFetchError, ConsumerConfig, Fetch, FetchError, ManualClock, OpenError, Riverbed,
    StreamConfig, Unavailable,
};
use std::path::Path;
use std::sync::Arc;

fn open_on(disk: &MemoryDisk, clock: &ManualClock, cache: usize) -> Result<Riverbed, OpenError> {
    let builder = Riverbed::builder().clock(clock.clock()).without_threads();
    let builder = builder.disk(Arc::new(disk.clone()));
    builder.cache_bytes(cache).open("/store")
}

/// The bytes of a message whose payload begins so; flipping them twice mends them.
fn flip(disk: &MemoryDisk, needle: &[u8]) {
    let file = disk.open(Path::new("/store")).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    let flipped: Vec<u8> = needle.iter().map(|byte| byte ^ 0x10).collect();
    for at in 0..bytes.len() - needle.len() {
        let found = &bytes[at..at + needle.len()];
        if found == needle {
            file.write_at(at as u64, &flipped).unwrap();
        } else if found == flipped {
            file.write_at(at as u64, needle).unwrap();
        }
    }
    file.sync().unwrap();
}

#[test]
fn r1_acks_beside_a_fetch_that_meets_damage_are_durable() {
    for seed in 0..8 {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let store = open_on(&disk, &clock, 0).unwrap();
        let stream = store.create_stream(StreamConfig::new("s")).unwrap();
        let consumer = stream.create_consumer(ConsumerConfig::new("c")).unwrap();
        for number in 1..=4 {
            stream.publish("s", payload(number)).unwrap();
        }
        let batch = consumer.fetch(Fetch::new(2).no_wait()).unwrap();
        flip(&disk, b"3 3 3 3 ");
        let why = consumer
            .ack_and_fetch(&batch, Fetch::new(1).no_wait())
            .unwrap_err();
        let AckAndFetchError::Fetch { why, refused } = why else {
            panic!("{why:?}");
        };
        let FetchError::Unavailable(Unavailable::Damaged { .. }) = why else {
            panic!("{why:?}");
        };
        assert_eq!(refused, []);
        // The store goes on, and so nothing else tells that they may not be stored.
        let image = disk.crash_image(seed);
        flip(&image, b"3 3 3 3 ");
        let store = open_on(&image, &clock, 0).unwrap();
        let consumer = store.stream("s").unwrap().consumer("c").unwrap();
        let info = consumer.info().unwrap();
        assert_eq!((info.acked, info.due, info.pending), (2, 0, 2), "{seed}");
    }
}
