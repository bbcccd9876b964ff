//! The journal: what it makes durable, what redb gets of it, and what damage of it comes to.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};

use super::{OPTIONS, apply, block_bytes, bytes_of, content, path, put};
use crate::changes::{Change, Changes, Table};
use crate::disk::{Disk, MemoryDisk};
use crate::format::grow;
use crate::store::ahead::journal_path;
use crate::store::{Commit, JournalOptions, OpenError, Store, StoreError, StoreOptions, Syncing};

pub(super) const SEGMENT: u64 = 16 << 10;

pub(super) fn journaled(disk: &MemoryDisk) -> Result<Store, OpenError> {
    journaled_by(disk, SEGMENT)
}

fn journaled_by(disk: &MemoryDisk, segment_bytes: u64) -> Result<Store, OpenError> {
    open_beside(disk, Arc::new(disk.clone()), segment_bytes, Syncing::Each)
}

/// A store whose journal is on a disk of its own.
pub(super) fn open_beside(
    disk: &MemoryDisk,
    beside: Arc<dyn Disk>,
    segment_bytes: u64,
    syncing: Syncing,
) -> Result<Store, OpenError> {
    let journal = JournalOptions {
        disk: beside,
        segment_bytes,
        identity: None,
        syncing,
    };
    let options = StoreOptions {
        journal: Some(journal),
        ..OPTIONS
    };
    Store::open(disk, path(), &options)
}

pub(super) fn file() -> PathBuf {
    journal_path(path())
}

fn small(n: u64) -> Vec<Change> {
    vec![put(Table::ConsumerState, 1, n, &n.to_le_bytes())]
}

/// A store that has a journal, with so many groups in it.
pub(super) fn with_groups(disk: &MemoryDisk, groups: u64) -> Store {
    let store = journaled(disk).unwrap();
    // The first few go without one, and it is made aside.
    for n in 0..4 {
        assert!(!store.wants_checkpoint());
        apply(&store, vec![put(Table::ConsumerState, 2, n, b"x")]).unwrap();
    }
    assert!(store.wants_checkpoint());
    store.checkpoint().unwrap();
    // The first that could go to it does not.
    for n in 4..6 {
        apply(&store, vec![put(Table::ConsumerState, 2, n, b"x")]).unwrap();
    }
    assert!(disk.exists(&file()).unwrap());
    for n in 0..groups {
        apply(&store, small(n)).unwrap();
    }
    store
}

/// How many of the groups are there.
pub(super) fn groups(store: &Store) -> u64 {
    let content = content(store).unwrap();
    let ours = content.rows.iter();
    let ours = ours.filter(|(key, _)| key.table == Table::ConsumerState && key.id == 1);
    let parts: Vec<u64> = ours.map(|(key, _)| key.part).collect();
    assert_eq!(parts, (0..parts.len() as u64).collect::<Vec<_>>());
    parts.len() as u64
}

fn overwrite(disk: &MemoryDisk, bytes: &[u8]) {
    let journal = disk.open(&file()).unwrap();
    journal.write_at(0, bytes).unwrap();
    journal.sync().unwrap();
}

#[test]
fn a_group_is_one_write_and_one_sync() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 0);
    for n in 0..20 {
        let before = disk.operations();
        apply(&store, small(n)).unwrap();
        assert_eq!(disk.operations() - before, 2);
    }
    assert_eq!(groups(&store), 20);
}

#[test]
fn what_is_in_the_journal_survives_a_power_cut_and_comes_to_redb_at_opening() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 30);
    for seed in 0..20 {
        let image = disk.crash_image(seed);
        let again = journaled(&image).unwrap();
        assert_eq!(groups(&again), 30, "seed {seed}");
        // Without a journal as well.
        drop(again);
        assert_eq!(groups(&super::open(&image).unwrap()), 30);
        assert!(!image.exists(&file()).unwrap());
    }
    drop(store);
}

#[test]
fn a_closed_store_is_one_file() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 30);
    store.close().unwrap();
    assert!(!disk.exists(&file()).unwrap());
    assert_eq!(groups(&super::open(&disk).unwrap()), 30);
}

#[test]
fn a_leftover_goes_and_a_foreign_file_stays() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 3);
    let ours = bytes_of(&disk, &file());
    store.close().unwrap();
    let journal = disk.create(&file()).unwrap();
    journal.write_at(0, &ours).unwrap();
    drop(super::open(&disk).unwrap());
    assert!(!disk.exists(&file()).unwrap());
    disk.create(&file()).unwrap().write_at(0, b"mine").unwrap();
    drop(super::open(&disk).unwrap());
    assert_eq!(bytes_of(&disk, &file()), b"mine");
    // Nor is it replaced: there is no journal then.
    let store = journaled(&disk).unwrap();
    for n in 0..40 {
        apply(&store, small(n)).unwrap();
        store.checkpoint().unwrap();
    }
    store.close().unwrap();
    assert_eq!(bytes_of(&disk, &file()), b"mine");
    assert_eq!(groups(&super::open(&disk).unwrap()), 40);
    // One that a crash kept from getting its head is.
    disk.remove(&file()).unwrap();
    disk.create(&file())
        .unwrap()
        .write_at(0, &[0; 9_000])
        .unwrap();
    let store = with_groups(&disk, 0);
    assert!(bytes_of(&disk, &file()).starts_with(b"RvJournl"));
    drop(store);
}

#[test]
fn laps_go_on_for_ever() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 2_000);
    assert_eq!(groups(&store), 2_000);
    assert_eq!(groups(&journaled(&disk.crash_image(1)).unwrap()), 2_000);
}

#[test]
fn a_large_group_goes_to_redb_behind_what_came_before() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 3);
    let large = vec![7; SEGMENT as usize];
    apply(&store, vec![put(Table::Holes, 1, 1, &large)]).unwrap();
    apply(&store, small(3)).unwrap();
    let again = journaled(&disk.crash_image(3)).unwrap();
    assert_eq!(groups(&again), 4);
    assert_eq!(super::row(&again, Table::Holes, 1, 1).unwrap(), large);
}

#[test]
fn a_missing_journal_is_never_passed_over() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 3);
    let image = disk.kill_image();
    drop(store);
    image.remove(&file()).unwrap();
    for opened in [journaled(&image), super::open(&image)] {
        let why = opened.unwrap_err().to_string();
        assert!(why.contains("journal") && why.contains("missing"), "{why}");
    }
}

#[test]
fn another_journal_is_refused() {
    let (disk, other) = (MemoryDisk::new(), MemoryDisk::new());
    let (store, foreign) = (with_groups(&disk, 3), with_groups(&other, 3));
    let image = disk.kill_image();
    overwrite(&image, &bytes_of(&other, &file()));
    let why = journaled(&image).unwrap_err().to_string();
    assert!(why.contains("another store's"), "{why}");
    drop((store, foreign));
}

/// The bytes of the journal that are not zero, behind its head: where its records are.
pub(super) fn written(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let used = bytes.iter().enumerate().skip(4096);
    used.filter(|(_, byte)| **byte != 0)
        .map(|(at, _)| at)
        .collect::<Vec<_>>()
        .into_iter()
}

#[test]
fn damage_before_the_last_record_is_told_and_of_the_last_is_a_torn_one() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 6);
    let image = disk.kill_image();
    drop(store);
    let whole = bytes_of(&image, &file());
    let last = written(&whole).last().unwrap();
    let last_record = (4096..=last)
        .rev()
        .find(|at| whole[*at..].starts_with(b"RvJr"))
        .unwrap();
    let (mut refused, mut torn) = (0, 0);
    for at in written(&whole) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        overwrite(&image, &damaged);
        match journaled(&image.kill_image()) {
            Ok(store) => {
                assert!(at >= last_record, "byte {at} of a synced record");
                assert_eq!(groups(&store), 5);
                torn += 1;
            }
            Err(why) => {
                assert!(at < last_record, "{why}");
                assert!(why.to_string().contains("journal"), "{why}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100 && torn > 20, "{refused} refused, {torn} torn");
}

#[test]
fn every_crash_in_the_middle_leaves_all_that_was_acknowledged() {
    let count = {
        let disk = MemoryDisk::new();
        let store = with_groups(&disk, 0);
        let before = disk.operations();
        history(&store).unwrap();
        disk.operations() - before
    };
    for at in 0..count {
        let disk = MemoryDisk::new();
        let store = with_groups(&disk, 0);
        disk.fail_from(disk.operations() + at);
        let done = history(&store).unwrap_err();
        for seed in 0..3 {
            let image = disk.crash_image(seed);
            image.stop_failing();
            let found = groups(&journaled(&image).unwrap());
            assert!(
                (done..=done + 1).contains(&found),
                "cut {at}: {found} of {done}"
            );
        }
    }
}

/// Small and large groups, and checkpoints; how many were acknowledged when it failed.
fn history(store: &Store) -> Result<(), u64> {
    for n in 0..24 {
        let mut changes = small(n);
        if n % 7 == 6 {
            changes.push(put(Table::Holes, 1, n, &[1; SEGMENT as usize]));
        }
        apply(store, changes).map_err(|_| n)?;
        if n % 5 == 4 {
            store.checkpoint().map_err(|_| n + 1)?;
        }
        if n % 11 == 10 {
            let idle = store.apply(&Changes::default(), Commit::QuickRepair);
            idle.map_err(|_| n + 1)?;
        }
    }
    Ok(())
}

#[test]
fn what_was_added_to_a_block_that_is_damaged_since_is_not_lost_with_it() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 0);
    let mut whole = block_bytes(store.id(), 1, 20, b"before");
    let mut damaged = whole.clone();
    damaged[60] ^= 1;
    let change = Change::Block {
        stream: 1,
        first_seq: 20,
        bytes: damaged,
    };
    apply(&store, vec![change]).unwrap();
    store.checkpoint().unwrap();
    // The process still has it as it was.
    for seq in [21, 22] {
        let added = block_bytes(store.id(), 1, seq, b"behind");
        whole = grow(&whole, &added).unwrap();
        let change = Change::Grow {
            stream: 1,
            first_seq: 20,
            added,
            whole: Some(whole.clone()),
        };
        apply(&store, vec![change]).unwrap();
    }
    let again = journaled(&disk.kill_image()).unwrap();
    let at = |seq| again.read(|reader| reader.block_at(1, seq));
    assert!(matches!(at(20), Err(StoreError::Damaged { .. })));
    for seq in [21, 22] {
        let behind = block_bytes(store.id(), 1, seq, b"behind");
        assert_eq!(at(seq).unwrap(), Some((seq, behind)));
    }
}

#[test]
fn blocks_in_memory_are_bounded_whatever_the_journal_has_room_for() {
    let disk = MemoryDisk::new();
    let store = journaled_by(&disk, 256 << 10).unwrap();
    for n in 0..6 {
        apply(&store, small(n)).unwrap();
        store.checkpoint().unwrap();
    }
    let mut most = 0;
    for stream in 1..2_000 {
        // As large as a block that grows can be, of which the journal has little.
        let whole = block_bytes(store.id(), stream, 1, &[7; 16_000]);
        let change = Change::Grow {
            stream,
            first_seq: 1,
            added: Vec::new(),
            whole: Some(whole),
        };
        apply(&store, vec![change]).unwrap();
        most = most.max(store.used_bytes() - store.used.load(Ordering::Relaxed));
    }
    assert!(most > 7 << 20, "{most} bytes in memory");
    assert!(most < 9 << 20, "{most} bytes in memory");
}

#[test]
fn a_close_beside_the_group_that_tells_redb_of_the_journal_leaves_a_store_that_opens() {
    for round in 0..300 {
        let disk = MemoryDisk::new();
        let store = journaled(&disk).unwrap();
        for n in 0..4 {
            apply(&store, vec![put(Table::ConsumerState, 2, n, b"x")]).unwrap();
        }
        store.checkpoint().unwrap();
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                // It may find the store closed.
                let _: Result<(), StoreError> =
                    apply(&store, vec![put(Table::ConsumerState, 2, 4, b"x")]);
            });
            barrier.wait();
            for _ in 0..round % 64 {
                std::hint::spin_loop();
            }
            store.close().unwrap();
        });
        assert!(!disk.exists(&file()).unwrap(), "round {round}");
        drop(journaled(&disk).unwrap());
    }
}

#[test]
fn groups_that_change_nothing_fill_laps_like_others() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 3);
    store.checkpoint().unwrap();
    let nothing = || Change::DeleteParts {
        table: Table::Holes,
        id: 1,
        from: 2,
        to: 1,
    };
    for n in 0..1_000 {
        apply(&store, vec![nothing()]).unwrap();
        if n % 300 == 299 {
            let large = vec![7; SEGMENT as usize];
            apply(&store, vec![put(Table::Holes, 1, n, &large)]).unwrap();
        }
    }
    apply(&store, small(3)).unwrap();
    assert_eq!(groups(&journaled(&disk.crash_image(5)).unwrap()), 4);
}
