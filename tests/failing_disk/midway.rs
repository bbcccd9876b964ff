//! Failures in the middle of what takes several commits: what was already done is not denied.

use crate::world::payload;
use riverbed::disk::{Disk, DiskFault, MemoryDisk};
use riverbed::{
    AckAndFetchError, ConsumerConfig, Fetch, FetchError, ManualClock, OpenError, Purge, PurgeError,
    Riverbed, Seq, StreamConfig, Unavailable,
};
use std::path::Path;
use std::sync::Arc;

/// One thing that goes wrong, `n` operations of its kind from now.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    NoPower,
    Refused,
    Full,
    LostSync,
    BadSync,
    BadRead,
}

const TROUBLES: [Trouble; 6] = [
    Trouble::NoPower,
    Trouble::Refused,
    Trouble::Full,
    Trouble::LostSync,
    Trouble::BadSync,
    Trouble::BadRead,
];

impl Trouble {
    fn strike(self, disk: &MemoryDisk, n: u64) {
        let at = disk.operations() + n;
        match self {
            Self::NoPower => disk.fail_from(at),
            Self::Refused => disk.fault_at(at, DiskFault::Refused),
            Self::Full => disk.fault_at(at, DiskFault::Full),
            Self::LostSync => disk.fault_sync_after(n, DiskFault::LostSync { seed: n }),
            Self::BadSync => disk.fault_sync_after(n, DiskFault::Refused),
            Self::BadRead => disk.fail_read_after(n),
        }
    }
}

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

/// Messages of two subjects, in several blocks.
fn two_subjects(clock: &ManualClock) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let store = open_on(&disk, clock, 1 << 20).unwrap();
    let config = StreamConfig::new("s").subjects(["s.*"]);
    let stream = store.create_stream(config).unwrap();
    for number in 1..=4 {
        let subject = ["s.even", "s.odd"][number as usize % 2];
        stream.publish(subject, payload(number)).unwrap();
    }
    store.close().unwrap();
    disk
}

#[test]
fn r2_a_purge_that_fails_after_its_cut_does_not_say_that_nothing_was_done() {
    let clock = ManualClock::new();
    let before = two_subjects(&clock);
    let (mut unknown, mut done) = (0, 0);
    for trouble in TROUBLES {
        for n in 0.. {
            let disk = before.kill_image();
            let store = open_on(&disk, &clock, 0).unwrap();
            let stream = store.stream("s").unwrap();
            trouble.strike(&disk, n);
            let purged = stream.purge(Purge::all().filter("s.even"));
            let met = disk.faults_met() > 0;
            disk.stop_failing();
            drop((store, stream));
            let store = open_on(&disk, &clock, 0).unwrap();
            let stream = store.stream("s").unwrap();
            let gone = stream.get(Seq::new(2)).unwrap().is_none();
            match purged {
                Ok(count) => {
                    assert!(gone && count == 2, "{trouble:?} {n}: {count}");
                    if !met {
                        break;
                    }
                }
                Err(PurgeError::Unavailable(Unavailable::Poisoned { .. })) => {
                    assert!(!gone, "{trouble:?} {n}: it said that nothing was done");
                }
                Err(_) => {
                    unknown += 1;
                    done += usize::from(gone);
                }
            }
        }
    }
    assert!(unknown > done && done > 0, "{done} of {unknown}");
}

/// A store whose opening reads after its commit, and then has nothing to change: it looks for blocks to
/// free.
fn with_a_purged_stream(clock: &ManualClock) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let store = open_on(&disk, clock, 1 << 20).unwrap();
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    for number in 1..=4 {
        stream.publish("s", payload(number)).unwrap();
    }
    stream.purge(Purge::all()).unwrap();
    store.drive().unwrap();
    store.close().unwrap();
    disk
}

#[test]
fn g12_a_store_whose_opening_met_a_failure_is_not_handed_out_stopped() {
    let clock = ManualClock::new();
    let before = with_a_purged_stream(&clock);
    let mut refused = 0;
    for trouble in TROUBLES {
        for n in 0.. {
            let disk = before.kill_image();
            trouble.strike(&disk, n);
            let opened = open_on(&disk, &clock, 0);
            let met = disk.faults_met() > 0;
            disk.stop_failing();
            let Ok(store) = opened else {
                refused += 1;
                continue;
            };
            let works = store.streams().map(drop);
            assert_eq!(works, Ok(()), "{trouble:?} {n}");
            let published = store.stream("s").unwrap().publish("s", "works");
            assert!(published.is_ok(), "{trouble:?} {n}: {published:?}");
            if !met {
                break;
            }
        }
    }
    assert!(refused > 0);
}
