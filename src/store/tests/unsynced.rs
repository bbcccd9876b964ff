//! A journal whose records are synced later: what a power cut may leave of it.

use std::sync::Arc;

use super::journal::groups;
use super::{OPTIONS, apply, path, put};
use crate::changes::{Change, Table};
use crate::disk::MemoryDisk;
use crate::store::ahead::Then;
use crate::store::{JournalOptions, OpenError, Store, StoreOptions, Syncing};

fn open(disk: &MemoryDisk) -> Result<Store, OpenError> {
    let journal = JournalOptions {
        disk: Arc::new(disk.clone()),
        segment_bytes: 16 << 10,
        identity: None,
        syncing: Syncing::Later,
    };
    let options = StoreOptions {
        journal: Some(journal),
        ..OPTIONS
    };
    Store::open(disk, path(), &options)
}

/// A group with bytes enough for a power cut to tear them.
fn group(n: u64) -> Vec<Change> {
    vec![put(Table::ConsumerState, 1, n, &[n as u8; 700])]
}

/// A store with so many groups that are synced, and more that are not.
fn with_groups(disk: &MemoryDisk, synced: u64, unsynced: u64) -> Store {
    let store = open(disk).unwrap();
    for n in 0..4 {
        apply(&store, vec![put(Table::ConsumerState, 2, n, b"x")]).unwrap();
    }
    store.checkpoint().unwrap();
    for n in 4..6 {
        apply(&store, vec![put(Table::ConsumerState, 2, n, b"x")]).unwrap();
    }
    assert!(store.has_journal());
    for n in 0..synced {
        apply(&store, group(n)).unwrap();
    }
    store.sync().unwrap();
    for n in synced..synced + unsynced {
        apply(&store, group(n)).unwrap();
    }
    store
}

#[test]
fn a_power_cut_leaves_a_beginning_of_the_groups() {
    let disk = MemoryDisk::new();
    let _store = with_groups(&disk, 3, 6);
    let mut counts = Vec::new();
    for seed in 0..200 {
        let left = groups(&open(&disk.crash_image(seed)).unwrap());
        assert!((3..=9).contains(&left), "{left} of seed {seed}");
        counts.push(left);
    }
    // Whole records behind a torn one were met, and are not taken for damage.
    assert!(
        counts.contains(&3) && counts.iter().any(|left| (4..9).contains(left)),
        "{counts:?}"
    );
}

#[test]
fn a_lap_is_synced_before_the_next_one_is_written() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 2, 5);
    let _frozen = store.ahead.freeze(Then::GoOn).unwrap();
    // redb does not have them yet, and publishers go on.
    for n in 7..10 {
        apply(&store, group(n)).unwrap();
    }
    for seed in 0..200 {
        let left = groups(&open(&disk.crash_image(seed)).unwrap());
        assert!((7..=10).contains(&left), "{left} of seed {seed}");
    }
}

#[test]
fn a_power_cut_while_what_was_left_unsynced_is_brought_to_redb_loses_no_older_group() {
    let disk = MemoryDisk::new();
    let _store = with_groups(&disk, 3, 6);
    let killed = || disk.kill_image();
    for at in 0.. {
        let image = killed();
        image.fail_from(at);
        let opened = open(&image);
        let done = opened.is_ok();
        drop(opened);
        for seed in [0, 1, at + 2, at + 500] {
            let store = open(&image.crash_image(seed));
            let left = groups(&store.unwrap_or_else(|why| panic!("cut at {at}: {why}")));
            assert!(
                (3..=9).contains(&left),
                "{left} after a cut at {at}, seed {seed}"
            );
            assert!(!done || left == 9, "{left} of a store that was open");
        }
        if done {
            break;
        }
    }
}

#[test]
fn a_sync_runs_beside_groups_that_are_written() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 1, 1);
    std::thread::scope(|scope| {
        scope.spawn(|| (2..80).for_each(|n| apply(&store, group(n)).unwrap()));
        for _ in 0..20 {
            store.sync().unwrap();
            store.checkpoint().unwrap();
        }
    });
    assert_eq!(groups(&store), 80);
    store.sync().unwrap();
    assert!(!store.has_unsynced());
    assert_eq!(groups(&open(&disk.crash_image(0)).unwrap()), 80);
}
