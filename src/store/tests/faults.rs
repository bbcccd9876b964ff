//! Failing disks: the first error is the last thing an open store does (G12).

use super::{apply, block, content, open, put, row};
use crate::changes::Table;
use crate::disk::MemoryDisk;
use crate::store::StoreError;

#[test]
fn after_an_error_everything_is_refused_until_a_reopen() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    apply(&store, vec![put(Table::Meta, 0, 1, b"kept")]).unwrap();
    disk.fail_from(disk.operations() + 3);
    let error = apply(&store, vec![put(Table::Meta, 0, 2, b"lost")]).unwrap_err();
    assert!(matches!(error, StoreError::Io(_)), "{error:?}");
    disk.stop_failing();
    let operations = disk.operations();
    let refused = apply(&store, vec![put(Table::Meta, 0, 3, b"late")]).unwrap_err();
    assert!(
        matches!(refused, StoreError::Poisoned { .. }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("lost power"), "{refused}");
    assert!(matches!(
        store.read(|_| Ok(())),
        Err(StoreError::Poisoned { .. })
    ));
    assert!(matches!(store.close(), Err(StoreError::Io(_))));
    // A failed sync is not tried again, and nothing else is written either (R8).
    assert_eq!(disk.operations(), operations);
    let store = open(&disk).unwrap();
    assert_eq!(row(&store, Table::Meta, 0, 1).unwrap(), b"kept");
    assert_eq!(row(&store, Table::Meta, 0, 3), None);
}

#[test]
fn a_full_disk_says_so_and_loses_nothing() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    apply(&store, vec![put(Table::Meta, 0, 1, b"kept")]).unwrap();
    let before = content(&store).unwrap();
    disk.set_capacity(Some(store.file_len().unwrap()));
    let full = apply(&store, vec![block(&store, 1, 1, &vec![1; 8 << 20])]).unwrap_err();
    assert!(matches!(full, StoreError::Full(_)), "{full:?}");
    assert!(matches!(store.close(), Err(StoreError::Full(_))));
    let store = open(&disk).unwrap();
    assert_eq!(content(&store).unwrap(), before);
    apply(&store, vec![put(Table::Meta, 0, 2, b"small")]).unwrap();
}

#[test]
fn an_error_of_the_last_writes_is_reported_by_close() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    apply(&store, vec![put(Table::Meta, 0, 1, b"kept")]).unwrap();
    disk.fail_from(disk.operations());
    assert!(matches!(store.close(), Err(StoreError::Io(_))));
    disk.stop_failing();
    assert_eq!(
        row(&open(&disk).unwrap(), Table::Meta, 0, 1).unwrap(),
        b"kept"
    );
}

#[test]
fn a_panic_while_reading_ends_the_store_and_not_the_process() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    let panicked = store.read(|_| -> Result<(), _> { panic!("a page that makes no sense") });
    let place = panicked.unwrap_err().to_string();
    assert!(place.contains("a page that makes no sense"), "{place}");
    assert!(matches!(
        apply(&store, vec![]),
        Err(StoreError::Poisoned { .. })
    ));
    drop(store);
    open(&disk).unwrap();
}
