//! Power cuts and kills at every operation of a sequence of groups.

use super::{Content, block, content, open, path, put};
use crate::changes::{Change, Changes, Table};
use crate::disk::{Disk, MemoryDisk};
use crate::store::{Commit, Store};

const GROUPS: u64 = 10;

/// Where the block of a group starts; no block starts at 0.
const fn first_seq(number: u64) -> u64 {
    number * 10 + 1
}

/// A group that puts, replaces, deletes and drops.
fn group(store: &Store, number: u64) -> Changes {
    let payload = vec![number as u8; 3000 * number as usize];
    let mut changes = vec![
        put(Table::StreamState, 1, 0, &number.to_le_bytes()),
        put(Table::Dedup, 1, number, &[number as u8; 300]),
        block(store, 1, first_seq(number), &payload),
        block(store, 2, number + 1, b"of a stream that goes"),
    ];
    if let Some(old) = number.checked_sub(3) {
        changes.push(Change::DeleteParts {
            table: Table::Dedup,
            id: 1,
            from: 0,
            to: old,
        });
        changes.push(Change::DropBlocks {
            stream: 1,
            from: 0,
            to: first_seq(old),
        });
    }
    if number.is_multiple_of(4) {
        changes.push(Change::DropStream { stream: 2 });
    }
    Changes {
        group: number,
        changes,
    }
}

fn commit(number: u64) -> Commit {
    if number % 3 == 2 {
        Commit::QuickRepair
    } else {
        Commit::Durable
    }
}

/// Applies the groups, as far as the disk goes; how many were acknowledged.
fn run(store: &Store) -> usize {
    (0..GROUPS)
        .take_while(|n| store.apply(&group(store, *n), commit(*n)).is_ok())
        .count()
}

/// A disk with a new store, and what the store holds after each number of groups.
fn healthy() -> (MemoryDisk, Vec<Content>) {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    let mut prefixes = vec![content(&store).unwrap()];
    drop(store);
    let base = disk.kill_image();
    let store = open(&disk).unwrap();
    for number in 0..GROUPS {
        store.apply(&group(&store, number), commit(number)).unwrap();
        prefixes.push(content(&store).unwrap());
    }
    (base, prefixes)
}

fn check(after: &MemoryDisk, acknowledged: usize, prefixes: &[Content], what: &str) {
    let store = open(after).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = content(&store).unwrap();
    let prefix = prefixes.iter().position(|prefix| *prefix == found);
    let prefix = prefix.unwrap_or_else(|| panic!("{what}: not a prefix"));
    assert!(
        (acknowledged..=acknowledged + 1).contains(&prefix),
        "{what}: {acknowledged} {prefix}"
    );
    assert_eq!(run(&store), GROUPS as usize, "{what}: works on");
}

#[test]
fn after_a_power_cut_or_a_kill_the_store_is_an_exact_prefix_with_all_that_was_acknowledged() {
    let (base, prefixes) = healthy();
    for at in 0.. {
        let disk = base.kill_image();
        disk.fail_from(at);
        let store = open(&disk);
        let acknowledged = store.as_ref().map_or(0, run);
        for seed in 0..4 {
            let image = disk.crash_image(at * 4 + seed);
            check(
                &image,
                acknowledged,
                &prefixes,
                &format!("operation {at}, seed {seed}"),
            );
        }
        check(
            &disk.kill_image(),
            acknowledged,
            &prefixes,
            &format!("operation {at}, a kill"),
        );
        // Closing is part of it: the last cut comes after the last operation.
        drop(store);
        if disk.operations() <= at {
            break;
        }
    }
}

#[test]
fn a_kill_and_then_a_power_cut_lose_nothing_acknowledged() {
    let (base, prefixes) = healthy();
    let disk = base.kill_image();
    let store = open(&disk).unwrap();
    assert_eq!(run(&store), GROUPS as usize);
    let killed = disk.kill_image();
    let reopened = open(&killed).unwrap();
    assert_eq!(content(&reopened).unwrap(), prefixes[GROUPS as usize]);
    check(
        &killed.crash_image(0),
        GROUPS as usize,
        &prefixes,
        "killed, then cut",
    );
    assert!(killed.exists(path()).unwrap());
}

/// A torn commit is rolled back by the repair of the next opening; when that dies, too, whatever it
/// wrote down must not look like damage.
#[test]
fn a_repair_that_dies_at_any_operation_is_done_again() {
    let (base, prefixes) = healthy();
    let disk = base.kill_image();
    // In the middle of the commit of the fifth group.
    let at = {
        let counted = base.kill_image();
        let store = open(&counted).unwrap();
        for number in 0..4 {
            store
                .apply(&group(&store, number), Commit::Durable)
                .unwrap();
        }
        counted.operations() + 6
    };
    disk.fail_from(at);
    let store = open(&disk).unwrap();
    let acknowledged = (0..GROUPS)
        .take_while(|n| store.apply(&group(&store, *n), Commit::Durable).is_ok())
        .count();
    assert_eq!(acknowledged, 4);
    for torn in 0..8 {
        for at in 0.. {
            let image = disk.crash_image(torn);
            image.fail_from(at);
            let opened = open(&image).is_ok();
            for seed in 0..3 {
                let what = format!("torn {torn}, cut at {at}, seed {seed}");
                let left = image.crash_image(at * 3 + seed);
                let store = open(&left).unwrap_or_else(|error| panic!("{what}: {error}"));
                let found = content(&store).unwrap();
                let prefix = prefixes.iter().position(|prefix| *prefix == found);
                assert!(
                    prefix.is_some_and(|n| n == 4 || n == 5),
                    "{what}: {prefix:?}"
                );
            }
            if opened && image.operations() <= at {
                break;
            }
        }
    }
}
