//! Real files: creation, reopening, the lock, and files that are not ours.

use std::fs;
use std::path::Path;
use std::sync::Barrier;

use super::super::header::{Header, VERSION};
use super::{OPTIONS, apply, put, row};
use crate::changes::Table;
use crate::disk::FileDisk;
use crate::store::{OpenError, Store, StoreError};

fn open(path: &Path) -> Result<Store, OpenError> {
    Store::open(&FileDisk, path, &OPTIONS)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_store_is_made_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.riverbed");
    let store = open(&path).unwrap();
    let id = store.id();
    apply(&store, vec![put(Table::Meta, 0, 1, b"one")]).unwrap();
    drop(store);
    assert_eq!(names(dir.path()), ["q.riverbed"]);
    let store = open(&path).unwrap();
    assert_eq!((store.id(), store.created_ms()), (id, OPTIONS.now_ms));
    assert_eq!(row(&store, Table::Meta, 0, 1).unwrap(), b"one");
    assert_eq!(
        store.file_len().unwrap(),
        fs::metadata(&path).unwrap().len()
    );
    assert!(store.stored_bytes().unwrap() > 0);
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.riverbed");
    let _store = open(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

type IsExpected = fn(&OpenError) -> bool;

#[test]
fn a_file_that_is_not_ours_keeps_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other");
    let plain = dir.path().join("plain.redb");
    drop(redb::Database::create(&plain).unwrap());
    let mut newer = Header {
        version: VERSION + 1,
        store: 1,
        created: 1,
    }
    .encode()
    .to_vec();
    newer.extend_from_slice(&[5; 8192]);
    let ours = Header {
        version: VERSION,
        store: 1,
        created: 1,
    }
    .encode()
    .to_vec();
    let mut overwritten = [&ours[..], &[0; 8192]].concat();
    overwritten[20] ^= 1;
    let cases: [(Vec<u8>, IsExpected); 7] = [
        (b"dear diary".to_vec(), |e| {
            matches!(e, OpenError::NotAStore { .. })
        }),
        (vec![], |e| matches!(e, OpenError::NotAStore { .. })),
        (fs::read(&plain).unwrap(), |e| {
            matches!(e, OpenError::NotAStore { .. })
        }),
        (newer, |e| {
            matches!(e, OpenError::NewerFormat { found: 2, .. })
        }),
        (ours[..1000].to_vec(), |e| {
            matches!(e, OpenError::Damaged { .. })
        }),
        (ours, |e| matches!(e, OpenError::Damaged { .. })),
        (overwritten, |e| matches!(e, OpenError::Damaged { .. })),
    ];
    for (bytes, is_expected) in cases {
        fs::write(&path, &bytes).unwrap();
        let error = open(&path).unwrap_err();
        assert!(is_expected(&error), "{error}");
        assert!(error.to_string().contains("other"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{error}");
    }
    assert_eq!(names(dir.path()).len(), 2);
}

#[test]
fn a_directory_and_a_missing_directory_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
    let error = open(&dir.path().join("no/q.riverbed")).unwrap_err();
    assert!(matches!(error, OpenError::NoDirectory { .. }), "{error:?}");
}

#[test]
fn a_second_opener_is_refused_until_the_first_closes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.riverbed");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::AlreadyOpen { .. })));
    first.close().unwrap();
    let second = open(&path).unwrap();
    // The closed handle lives on, and neither works nor takes the other's lock away.
    assert!(matches!(apply(&first, vec![]), Err(StoreError::Closed)));
    assert!(matches!(first.read(|_| Ok(())), Err(StoreError::Closed)));
    assert!(matches!(first.file_len(), Err(StoreError::Closed)));
    first.close().unwrap();
    drop(first);
    assert!(matches!(open(&path), Err(OpenError::AlreadyOpen { .. })));
    drop(second);
    open(&path).unwrap();
}

#[test]
fn a_leaked_store_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.riverbed");
    let store = open(&path).unwrap();
    store.leak();
    assert!(matches!(store.read(|_| Ok(())), Err(StoreError::Closed)));
    assert!(matches!(store.close(), Err(StoreError::Closed)));
    drop(store);
    assert!(matches!(open(&path), Err(OpenError::AlreadyOpen { .. })));
}

#[test]
fn of_many_creators_one_wins() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.riverbed");
        let (start, end) = (Barrier::new(4), Barrier::new(4));
        let won: usize = std::thread::scope(|scope| {
            let create = || {
                start.wait();
                let store = open(&path);
                end.wait();
                match store {
                    Ok(_) => 1,
                    Err(OpenError::AlreadyOpen { .. }) => 0,
                    Err(error) => panic!("{error:?}"),
                }
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(won, 1);
        open(&path).unwrap();
        assert_eq!(names(dir.path()), ["q.riverbed"]);
    }
}
