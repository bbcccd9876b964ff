//! Blocks: found by sequence, walked both ways, dropped.

use std::ops::ControlFlow;

use super::{apply, block, block_bytes, open};
use crate::changes::{Change, Changes};
use crate::disk::MemoryDisk;
use crate::format::Block;
use crate::store::{Commit, Reader, Store, StoreError};

/// A store whose stream 1 has blocks at 10, 20 and 30.
fn three() -> Store {
    let store = open(&MemoryDisk::new()).unwrap();
    let blocks = [20_u64, 10, 30].map(|seq| block(&store, 1, seq, &seq.to_le_bytes()));
    apply(&store, blocks.to_vec()).unwrap();
    store
}

type Visitor<'a> = &'a mut dyn FnMut(&Block<'_>) -> Result<ControlFlow<()>, StoreError>;

fn walk(
    store: &Store,
    walk: impl FnOnce(&Reader, Visitor<'_>) -> Result<(), StoreError>,
) -> Vec<u64> {
    let mut seen = vec![];
    let mut visit = |block: &Block<'_>| {
        let seq = block.first_seq();
        assert_eq!(block.record(0).unwrap().payload, seq.to_le_bytes());
        seen.push(seq);
        Ok(ControlFlow::Continue(()))
    };
    store.read(|reader| walk(reader, &mut visit)).unwrap();
    seen
}

#[test]
fn the_block_that_covers_a_sequence_is_found() {
    let store = three();
    let at = |seq| {
        store
            .read(|reader| reader.block_at(1, seq))
            .unwrap()
            .map(|(first, _)| first)
    };
    assert_eq!(
        [9, 10, 19, 20, u64::MAX].map(at),
        [None, Some(10), Some(10), Some(20), Some(30)]
    );
    assert_eq!(
        store
            .read(|reader| reader.first_block(1))
            .unwrap()
            .unwrap()
            .0,
        10
    );
    assert_eq!(
        store
            .read(|reader| reader.last_block(1))
            .unwrap()
            .unwrap()
            .0,
        30
    );
}

#[test]
fn blocks_are_walked_both_ways() {
    let store = three();
    let from = |seq| walk(&store, |reader, visit| reader.blocks_from(1, seq, visit));
    assert_eq!(from(0), [10, 20, 30]);
    assert_eq!(from(25), [20, 30]);
    assert_eq!(from(99), [30]);
    let back = |seq| walk(&store, |reader, visit| reader.blocks_back(1, seq, visit));
    assert_eq!(back(9), []);
    assert_eq!(back(25), [20, 10]);
    assert_eq!(back(u64::MAX), [30, 20, 10]);
}

#[test]
fn the_starts_of_blocks_are_listed_below_a_sequence_and_up_to_a_limit() {
    let store = three();
    apply(&store, vec![block(&store, 2, 15, b"of another stream")]).unwrap();
    let starts = |below, limit| {
        store
            .read(|reader| reader.block_starts(1, below, limit))
            .unwrap()
    };
    assert_eq!(starts(u64::MAX, usize::MAX), [10, 20, 30]);
    assert_eq!(starts(31, 3), [10, 20, 30]);
    assert_eq!(starts(30, 3), [10, 20]);
    assert_eq!(starts(25, 1), [10]);
    assert_eq!(starts(25, 0), []);
    assert_eq!(starts(11, 3), [10]);
    assert_eq!(starts(10, 3), []);
    assert_eq!(starts(0, 3), []);
}

#[test]
fn a_walk_stops_when_told_and_hands_errors_on() {
    let store = three();
    let mut seen = 0;
    let stop = |_: &Block<'_>| {
        seen += 1;
        Ok(ControlFlow::Break(()))
    };
    store.read(|reader| reader.blocks_from(1, 0, stop)).unwrap();
    assert_eq!(seen, 1);
    let fail = |_: &Block<'_>| {
        Err(StoreError::Damaged {
            place: "here".to_owned(),
        })
    };
    let error = store
        .read(|reader| reader.blocks_from(1, 0, fail))
        .unwrap_err();
    assert!(matches!(error, StoreError::Damaged { place } if place == "here"));
    // What a reader finds damaged does not stop the rest.
    apply(&store, vec![block(&store, 1, 40, b"x")]).unwrap();
}

#[test]
fn a_stream_without_a_table_is_empty() {
    let store = open(&MemoryDisk::new()).unwrap();
    assert_eq!(store.read(|reader| reader.block_at(7, 1)).unwrap(), None);
    assert_eq!(store.read(|reader| reader.first_block(7)).unwrap(), None);
    assert_eq!(store.read(|reader| reader.last_block(7)).unwrap(), None);
    assert!(walk(&store, |reader, visit| reader.blocks_from(7, 0, visit)).is_empty());
    assert!(walk(&store, |reader, visit| reader.blocks_back(7, 9, visit)).is_empty());
    let starts = store.read(|reader| reader.block_starts(7, 9, 9)).unwrap();
    assert!(starts.is_empty());
    apply(&store, vec![Change::DropStream { stream: 7 }]).unwrap();
}

#[test]
fn blocks_are_replaced_and_dropped() {
    let store = three();
    apply(
        &store,
        vec![
            block(&store, 1, 30, b"grown"),
            Change::DropBlocks {
                stream: 1,
                from: 0,
                to: 20,
            },
        ],
    )
    .unwrap();
    let only = Some((30, block_bytes(store.id(), 1, 30, b"grown")));
    assert_eq!(store.read(|reader| reader.first_block(1)).unwrap(), only);
    apply(
        &store,
        vec![
            block(&store, 1, 50, b"late"),
            Change::DropStream { stream: 1 },
        ],
    )
    .unwrap();
    assert_eq!(store.read(|reader| reader.last_block(1)).unwrap(), None);
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "with debug assertions redb walks every page when it opens"
)]
fn opening_does_not_read_the_backlog() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    let payload = vec![1; 65_516 - block_bytes(store.id(), 1, 1, b"").len()];
    for seq in 1..=64 {
        assert_eq!(block_bytes(store.id(), 1, seq, &payload).len(), 65_516);
        apply(&store, vec![block(&store, 1, seq, &payload)]).unwrap();
    }
    let read_by_opening = |disk: MemoryDisk| {
        let before = disk.bytes_read();
        let store = open(&disk).unwrap();
        let read = disk.bytes_read() - before;
        assert_eq!(
            store
                .read(|reader| reader.last_block(1))
                .unwrap()
                .unwrap()
                .0,
            64
        );
        read
    };
    let unclean = read_by_opening(disk.kill_image());
    assert!(unclean > 4 << 20, "{unclean}");
    store
        .apply(&Changes::default(), Commit::QuickRepair)
        .unwrap();
    let quick = read_by_opening(disk.kill_image());
    assert!(quick < 256 << 10, "{quick}");
    store.close().unwrap();
    let clean = read_by_opening(disk);
    assert!(clean < 256 << 10, "{clean}");
}
