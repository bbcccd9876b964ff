//! Damage that only the first sweep meets, while the store opens.

use crate::seed::{bytes_of, clock, disk_of, open, path};
use crate::watched::PAGE;
use riverbed::disk::MemoryDisk;
use riverbed::{ConsumerConfig, Fetch, OpenError, StreamConfig};
use std::time::Duration;

#[test]
fn a_damaged_page_that_opening_stops_at_is_named_to_whoever_opens() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let store = open(disk.clone(), path(), &clock).unwrap();
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    let config = ConsumerConfig::new("c").max_deliver(1).dead_letter("dead");
    let consumer = stream.create_consumer(config).unwrap();
    stream.publish("s", "what dies alone").unwrap();
    let held = consumer.fetch(Fetch::new(1).no_wait()).unwrap();
    assert_eq!(held.len(), 1);
    // Idle, so that redb has nothing to repair; then the process dies, and the message with it.
    clock.advance(Duration::from_secs(2));
    store.drive().unwrap();
    let mut bytes = bytes_of(&disk.kill_image());
    let needle = b"what dies alone";
    for at in 0..bytes.len() - needle.len() {
        if bytes[at..].starts_with(needle) {
            bytes[at / PAGE as usize * PAGE as usize] ^= 0xff;
        }
    }
    for _ in 0..2 {
        let why = open(disk_of(&bytes), path(), &clock).expect_err("it would be of no use");
        let OpenError::Damaged { what, .. } = why else {
            panic!("{why:?}");
        };
        assert!(what.contains("in table stream.1"), "{what}");
    }
}
