//! Creation: crashes at every operation, and what they leave (R24).

use std::path::Path;

use super::super::header::{HEADER_LEN, Header};
use super::{apply, bytes_of, open, path, put, row};
use crate::changes::Table;
use crate::disk::{Disk, MemoryDisk};
use crate::store::OpenError;

fn temporary() -> &'static Path {
    Path::new("/data/.q.riverbed.creating")
}

/// How many operations a creation takes.
fn operations() -> u64 {
    let disk = MemoryDisk::new();
    let _store = open(&disk).unwrap();
    disk.operations()
}

/// The disk after a creation that lost power at operation `at`.
fn interrupted(at: u64) -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.fail_from(at);
    open(&disk).unwrap_err();
    disk
}

#[test]
fn a_power_cut_during_creation_leaves_a_path_that_opens() {
    for at in 0..operations() {
        let disk = interrupted(at);
        for seed in 0..8 {
            let after = disk.crash_image(seed);
            let store = open(&after).unwrap_or_else(|error| panic!("{at} {seed}: {error}"));
            apply(&store, vec![put(Table::Meta, 0, 1, b"works")]).unwrap();
            assert!(!after.exists(temporary()).unwrap());
            // What is acknowledged after a crash survives the next one, its name included.
            let again = open(&after.crash_image(0)).unwrap();
            assert_eq!(
                row(&again, Table::Meta, 0, 1).unwrap(),
                b"works",
                "{at} {seed}"
            );
        }
    }
}

#[test]
fn a_kill_during_creation_leaves_a_path_that_opens_and_lasts() {
    for at in 0..operations() {
        let after = interrupted(at).kill_image();
        let store = open(&after).unwrap();
        apply(&store, vec![put(Table::Meta, 0, 1, b"works")]).unwrap();
        let cut = open(&after.crash_image(0)).unwrap();
        assert_eq!(row(&cut, Table::Meta, 0, 1).unwrap(), b"works", "{at}");
    }
}

#[test]
fn a_power_cut_while_a_leftover_is_taken_over_leaves_a_path_that_opens() {
    let end = operations();
    // At the end of a creation its leftover becomes complete.
    for at in end - 5..end {
        for then in 0..6 {
            let after = interrupted(at).kill_image();
            after.fail_from(then);
            drop(open(&after));
            for seed in 0..6 {
                let opened = open(&after.crash_image(seed));
                opened.unwrap_or_else(|error| panic!("{at} {then} {seed}: {error}"));
            }
        }
    }
}

#[test]
fn a_created_store_is_durable_when_it_is_handed_over() {
    let disk = MemoryDisk::new();
    let id = open(&disk).unwrap().id();
    assert_eq!(open(&disk.crash_image(0)).unwrap().id(), id);
}

#[test]
fn a_complete_leftover_gets_its_name_and_is_never_emptied() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    apply(&store, vec![put(Table::Meta, 0, 1, b"kept")]).unwrap();
    let id = store.id();
    drop(store);
    disk.rename(path(), temporary()).unwrap();
    let store = open(&disk).unwrap();
    assert_eq!(store.id(), id);
    assert_eq!(row(&store, Table::Meta, 0, 1).unwrap(), b"kept");
}

#[test]
fn litter_under_the_temporary_name_is_used_up() {
    let disk = MemoryDisk::new();
    disk.create(temporary())
        .unwrap()
        .write_at(0, &[7; 9000])
        .unwrap();
    let store = open(&disk).unwrap();
    assert!(!disk.exists(temporary()).unwrap());
    let file = disk.open(path()).unwrap();
    assert_eq!(Header::read(&*file, path()).unwrap().store, store.id());
    assert_eq!(
        bytes_of(&disk, path())[64..HEADER_LEN as usize - 8],
        [0; 4096 - 72]
    );
}

#[test]
fn a_live_creator_is_not_disturbed() {
    let disk = MemoryDisk::new();
    let creator = disk.create(temporary()).unwrap();
    creator.write_at(0, b"half done").unwrap();
    assert!(creator.try_lock().unwrap());
    assert!(matches!(open(&disk), Err(OpenError::AlreadyOpen { .. })));
    assert_eq!(bytes_of(&disk, temporary()), b"half done");
}

#[test]
fn a_failed_creation_leaves_no_litter() {
    let disk = MemoryDisk::new();
    disk.set_capacity(Some(100));
    assert!(matches!(open(&disk), Err(OpenError::DiskFull { .. })));
    assert!(!disk.exists(temporary()).unwrap());
    assert!(!disk.exists(path()).unwrap());
}
