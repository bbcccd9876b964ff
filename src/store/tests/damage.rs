//! Damaged bytes: reported with their place, never believed, never a panic (R26).

use super::super::header::HEADER_LEN;
use super::{Content, OPTIONS, apply, block, bytes_of, content, open, path, put};
use crate::changes::{RowKey, Table};
use crate::disk::{Disk, MemoryDisk};
use crate::store::{OpenError, StoreError, StoreOptions};

/// A closed store with some rows, and its bytes.
fn closed() -> (MemoryDisk, Vec<u8>) {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    let rows = (0..200).map(|part| put(Table::Dedup, 1, part, &[part as u8; 40]));
    apply(&store, rows.collect()).unwrap();
    apply(
        &store,
        vec![put(Table::StreamConfig, 3, 0, b"a value to be found")],
    )
    .unwrap();
    store.close().unwrap();
    let bytes = bytes_of(&disk, path());
    (disk, bytes)
}

fn flip(disk: &MemoryDisk, at: u64, mask: u8) {
    let file = disk.open(path()).unwrap();
    let mut byte = [0];
    file.read_at(at, &mut byte).unwrap();
    file.write_at(at, &[byte[0] ^ mask]).unwrap();
}

/// Flips a bit in every copy of these bytes in the file.
pub(super) fn flip_in(disk: &MemoryDisk, needle: &[u8]) {
    let bytes = bytes_of(disk, path());
    let windows = bytes.windows(needle.len()).enumerate();
    let found: Vec<_> = windows.filter(|(_, window)| *window == needle).collect();
    assert!(!found.is_empty());
    for (at, _) in found {
        flip(disk, at as u64 + 3, 0x20);
    }
}

#[test]
fn a_damaged_row_is_named_and_not_believed() {
    let (disk, _) = closed();
    flip_in(&disk, b"a value to be found");
    let key = RowKey::new(Table::StreamConfig, 3, 0);
    let found = open(&disk).map(|store| store.read(|reader| reader.row(key)));
    // In its debug builds redb reads all pages when it opens.
    let (Err(OpenError::Damaged { what, .. }) | Ok(Err(StoreError::Damaged { place: what }))) =
        found
    else {
        panic!("{found:?}");
    };
    assert!(
        what.starts_with("row (3, 0) of table stream_config, in the page at byte "),
        "{what}"
    );
}

#[test]
fn a_damaged_key_does_not_hide_its_row() {
    let (disk, bytes) = closed();
    // The row's key lies before its value: 12 bytes of the one key that the leaf has.
    let at = bytes
        .windows(19)
        .rposition(|bytes| bytes == b"a value to be found")
        .unwrap();
    for byte in 1..=12 {
        let disk = disk.kill_image();
        flip(&disk, (at - byte) as u64, 0x01);
        let key = RowKey::new(Table::StreamConfig, 3, 0);
        let found = open(&disk).map(|store| store.read(|reader| reader.row(key)));
        assert!(
            matches!(
                found,
                Err(OpenError::Damaged { .. }) | Ok(Err(StoreError::Damaged { .. }))
            ),
            "{byte}: {found:?}"
        );
    }
}

#[test]
fn a_row_moved_to_another_key_or_store_is_not_believed() {
    let (_, ours) = closed();
    let disk = MemoryDisk::new();
    drop(open(&disk).unwrap());
    let header = bytes_of(&disk, path())[..HEADER_LEN as usize].to_vec();
    let grafted = [&header[..], &ours[HEADER_LEN as usize..]].concat();
    let file = disk.open(path()).unwrap();
    file.set_len(0).unwrap();
    file.write_at(0, &grafted).unwrap();
    let store = open(&disk).unwrap();
    assert!(matches!(content(&store), Err(StoreError::Damaged { .. })));
}

#[test]
fn flipped_bits_in_a_clean_file_never_panic_and_never_change_a_row() {
    let (clean, _) = closed();
    flip_bits(&clean, None);
}

#[test]
fn flipped_bits_in_an_unclean_file_never_panic_and_never_change_a_row() {
    let (disk, _) = closed();
    let store = open(&disk).unwrap();
    let before = content(&store).unwrap();
    apply(&store, vec![put(Table::Dedup, 2, 1, b"the last group")]).unwrap();
    flip_bits(&disk.kill_image(), Some(&before));
}

#[test]
fn the_flags_of_a_closed_file_may_flip_without_a_loss() {
    let (clean, _) = closed();
    let truth = content(&open(&clean.kill_image()).unwrap()).unwrap();
    // Behind the magic number: which commit is in force, whether the file was closed, and how.
    for flags in 1..8 {
        let disk = clean.kill_image();
        flip(&disk, HEADER_LEN + 9, flags);
        let store = open(&disk).unwrap_or_else(|why| panic!("{flags}: {why}"));
        assert!(content(&store).unwrap() == truth, "{flags}");
    }
}

#[test]
fn flipped_bits_in_blocks_never_panic_and_never_change_a_block() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    let blocks = (1..=100).map(|seq| block(&store, 1, seq, &[seq as u8; 40]));
    apply(&store, blocks.collect()).unwrap();
    store.close().unwrap();
    flip_bits(&disk, None);
}

/// Flips bits, one at a time, in all pages, also in those that redb keeps for itself. A file that was
/// not closed may go back to what it was before its last group; one that was closed may not.
fn flip_bits(clean: &MemoryDisk, before: Option<&Content>) {
    let bytes = bytes_of(clean, path());
    let truth = content(&open(&clean.kill_image()).unwrap()).unwrap();
    let used: Vec<u64> = (0..bytes.len() as u64)
        .filter(|at| bytes[*at as usize] != 0)
        .collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut noticed = 0;
    for _ in 0..300 {
        let disk = clean.kill_image();
        let at = used[random.usize(..used.len())];
        flip(&disk, at, 1 << random.u32(..8));
        let result = open(&disk).map(|store| content(&store));
        match result {
            Err(OpenError::Damaged { .. } | OpenError::NotAStore { .. }) | Ok(Err(_)) => {
                noticed += 1;
            }
            Err(OpenError::NewerFormat { .. }) => panic!("{at}: damage taken for a version"),
            Err(error) => panic!("{at}: {error}"),
            Ok(Ok(found)) => {
                assert!(found == truth || before == Some(&found), "{at}");
            }
        }
    }
    // Most bytes that are not zero belong to pages that are no longer in use.
    assert!(noticed > 20, "{noticed}");
}

#[test]
fn a_file_cut_anywhere_is_refused_without_a_panic() {
    let (clean, bytes) = closed();
    for len in (0..bytes.len() as u64).step_by(4096 * 7 + 1) {
        let disk = clean.kill_image();
        disk.open(path()).unwrap().set_len(len).unwrap();
        let options = StoreOptions { ..OPTIONS };
        let opened = crate::store::Store::open(&disk, path(), &options);
        let read = opened.map(|store| content(&store));
        assert!(!matches!(read, Ok(Ok(_))), "{len}");
    }
}
