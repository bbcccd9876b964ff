//! A store that its journal keeps from opening: the user reads which file it is, what happened and what to
//! do, and both files stay as they were, to the byte.

use super::journal::{file, groups, journaled, with_groups, written};
use super::{apply, bytes_of, path, put};
use crate::changes::Table;
use crate::disk::{Disk, MemoryDisk};
use crate::store::OpenError;
use crate::store::header::HEADER_LEN;

/// A disk with a store's file and what may be its journal.
fn disk_of(store: &[u8], journal: Option<&[u8]>) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let files = [(path(), Some(store)), (&*file(), journal)];
    for (path, bytes) in files {
        if let Some(bytes) = bytes {
            disk.create(path).unwrap().write_at(0, bytes).unwrap();
        }
    }
    disk
}

/// The two files of a store that was killed with so many groups in its journal.
fn killed(groups: u64) -> (Vec<u8>, Vec<u8>) {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, groups);
    let image = disk.kill_image();
    drop(store);
    (bytes_of(&image, path()), bytes_of(&image, &file()))
}

/// Asserts that it is refused, with these words, and that nothing changes.
fn refused(store: &[u8], journal: Option<&[u8]>, words: &str) {
    for with_journal in [true, false] {
        let disk = disk_of(store, journal);
        for _ in 0..2 {
            let opened = if with_journal {
                journaled(&disk)
            } else {
                super::open(&disk)
            };
            let error = opened.unwrap_err();
            assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
            let why = error.to_string();
            for said in [words, "/data/q.riverbed.journal'", "restore", "salvage"] {
                assert!(why.contains(said), "{said:?} is not in: {why}");
            }
            assert!(why.contains("neither file was changed"), "{why}");
            assert!(bytes_of(&disk, path()) == store, "the store's file: {why}");
            let now = disk
                .exists(&file())
                .unwrap()
                .then(|| bytes_of(&disk, &file()));
            assert!(now.as_deref() == journal, "the journal: {why}");
        }
    }
}

#[test]
fn a_refusal_says_what_to_do_and_changes_neither_file() {
    let (store, journal) = killed(6);
    refused(&store, None, "is missing");
    let (_, other) = killed(6);
    refused(&store, Some(&other), "is another store's");
    refused(&store, Some(&journal[..20_000]), "ends after 20000 of");
    refused(&store, Some(&[]), "does not begin as a journal does");
    for at in 0..48 {
        let mut damaged = journal.clone();
        damaged[at] ^= 0x40;
        refused(&store, Some(&damaged), "can't be used");
    }
    let at = written(&journal).nth(100).unwrap();
    let mut damaged = journal.clone();
    damaged[at] ^= 0x40;
    refused(&store, Some(&damaged), "is damaged: record ");
    // And with both files as they were, it opens.
    assert_eq!(
        groups(&journaled(&disk_of(&store, Some(&journal))).unwrap()),
        6
    );
}

#[test]
fn the_journal_of_another_time_is_refused() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 3);
    let image = disk.kill_image();
    store.close().unwrap();
    let again = journaled(&disk).unwrap();
    for n in 0..7 {
        apply(&again, vec![put(Table::Holes, 1, n, b"x")]).unwrap();
        if again.wants_checkpoint() {
            again.checkpoint().unwrap();
        }
    }
    let later = bytes_of(&disk, &file());
    drop(again);
    let store = bytes_of(&image, path());
    refused(&store, Some(&later), "is another one of this store");
}

#[test]
fn a_closed_copy_beside_the_journal_of_a_later_time_is_refused() {
    for journals_before in 0..2 {
        let disk = MemoryDisk::new();
        if journals_before > 0 {
            with_groups(&disk, 3).close().unwrap();
        } else {
            super::open(&disk).unwrap().close().unwrap();
        }
        let closed = bytes_of(&disk, path());
        let store = with_groups(&disk, 3);
        let later = bytes_of(&disk, &file());
        drop(store);
        refused(&closed, Some(&later), "is newer than the store's own file");
    }
}

#[test]
fn a_store_file_that_is_older_than_its_journal_is_refused() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 3);
    let older = bytes_of(&disk.kill_image(), path());
    let mut laps = 0;
    for n in 3..2_000 {
        apply(
            &store,
            vec![put(Table::ConsumerState, 1, n, &n.to_le_bytes())],
        )
        .unwrap();
        if n % 40 == 0 {
            store.checkpoint().unwrap();
            laps += 1;
            let journal = bytes_of(&disk.kill_image(), &file());
            if laps >= 3 {
                refused(&older, Some(&journal), "is newer than the store's own file");
            }
        }
    }
    assert!(laps > 10);
}

#[test]
fn what_damage_of_the_last_commit_takes_from_the_database_is_in_the_journal_or_told() {
    for count in [0, 6, 150] {
        let (store, journal) = killed(count);
        let mut opened = 0;
        // The header of the database: which commit is in force, and where it begins.
        for at in (0..320).step_by(3) {
            let mut damaged = store.clone();
            damaged[HEADER_LEN as usize + at] ^= 0x11;
            let disk = disk_of(&damaged, Some(&journal));
            match journaled(&disk) {
                Ok(store) => {
                    assert_eq!(groups(&store), count, "byte {at}");
                    opened += 1;
                }
                Err(why) => {
                    assert!(matches!(why, OpenError::Damaged { .. }), "byte {at}: {why}");
                    assert!(bytes_of(&disk, &file()) == journal, "byte {at}: {why}");
                }
            }
        }
        assert!(opened > 20, "{opened}");
    }
}
