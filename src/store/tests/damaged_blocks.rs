//! Damaged and misplaced blocks: every way of reading reports them with their place (R26).

use std::ops::ControlFlow;

use super::damage::flip_in;
use super::{apply, block, block_bytes, open};
use crate::changes::Change;
use crate::disk::MemoryDisk;
use crate::format::Block;
use crate::store::{Reader, Store, StoreError};

/// The payload of the block at 20.
const MIDDLE: &[u8] = b"a payload to be found";

/// A store whose stream 1 has blocks at 10, 20 and 30.
fn three(disk: &MemoryDisk) -> Store {
    let store = open(disk).unwrap();
    let blocks = [(10, &b"first"[..]), (20, MIDDLE), (30, b"last")];
    let blocks = blocks.map(|(seq, payload)| block(&store, 1, seq, payload));
    apply(&store, blocks.to_vec()).unwrap();
    store
}

/// Stores bytes as they are where the block at 20 should be.
fn put_bytes(store: &Store, bytes: Vec<u8>) {
    let change = Change::Block {
        stream: 1,
        first_seq: 20,
        bytes,
    };
    apply(store, vec![change]).unwrap();
}

fn place_of<T>(result: Result<T, StoreError>) -> Option<String> {
    match result {
        Ok(_) => None,
        Err(StoreError::Damaged { place }) => Some(place),
        Err(error) => panic!("{error:?}"),
    }
}

type Visitor<'a> = &'a mut dyn FnMut(&Block<'_>) -> Result<ControlFlow<()>, StoreError>;

/// The blocks that a walk shows, and the damaged place that it ends with.
fn walk(
    store: &Store,
    walk: impl FnOnce(&Reader, Visitor<'_>) -> Result<(), StoreError>,
) -> (Vec<u64>, Option<String>) {
    let mut seen = vec![];
    let mut visit = |block: &Block<'_>| {
        seen.push(block.first_seq());
        Ok(ControlFlow::Continue(()))
    };
    let result = store.read(|reader| walk(reader, &mut visit));
    (seen, place_of(result))
}

/// Where each way of reading finds damage; all of them must agree that it is the block at 20, and
/// that the blocks on both its sides are whole.
fn damage(store: &Store) -> Option<String> {
    let at = |seq| place_of(store.read(|reader| reader.block_at(1, seq)));
    let from = |seq| walk(store, |reader, visit| reader.blocks_from(1, seq, visit));
    let back = |seq| walk(store, |reader, visit| reader.blocks_back(1, seq, visit));
    let place = at(20);
    assert_eq!([at(10), at(19), at(30)], [None, None, None]);
    assert_eq!(at(29), place);
    let (before, behind, both) = match &place {
        Some(_) => (vec![10], vec![30], [vec![], vec![]]),
        None => (
            vec![10, 20, 30],
            vec![30, 20, 10],
            [vec![20, 30], vec![20, 10]],
        ),
    };
    let [onward, backward] = both;
    assert_eq!(from(0), (before, place.clone()));
    assert_eq!(back(u64::MAX), (behind, place.clone()));
    for seq in [20, 29] {
        assert_eq!(from(seq), (onward.clone(), place.clone()));
        assert_eq!(back(seq), (backward.clone(), place.clone()));
    }
    // What does not come near it is not disturbed, and neither is what reads keys alone.
    assert_eq!(from(30), (vec![30], None));
    assert_eq!(back(19), (vec![10], None));
    let starts = store.read(|reader| reader.block_starts(1, 99, 9)).unwrap();
    assert_eq!(starts, [10, 20, 30]);
    place
}

#[test]
fn a_block_with_a_flipped_bit_on_disk_is_named_and_not_believed() {
    let disk = MemoryDisk::new();
    let store = three(&disk);
    assert_eq!(damage(&store), None);
    store.close().unwrap();
    flip_in(&disk, MIDDLE);
    let store = open(&disk).unwrap();
    assert_eq!(
        damage(&store).unwrap(),
        "block 20 of table stream.1: the block's checksum does not match its bytes"
    );
}

#[test]
fn no_byte_of_a_block_can_be_flipped_or_cut_off_unnoticed() {
    let store = three(&MemoryDisk::new());
    let good = block_bytes(store.id(), 1, 20, MIDDLE);
    for at in 0..good.len() {
        for mask in [0x01, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= mask;
            put_bytes(&store, bytes);
            let place = damage(&store).unwrap_or_else(|| panic!("byte {at} ^ {mask}"));
            assert!(place.starts_with("block 20 of table stream.1: "), "{place}");
        }
        put_bytes(&store, good[..at].to_vec());
        let place = damage(&store).unwrap_or_else(|| panic!("{at} bytes"));
        assert!(place.starts_with("block 20 of table stream.1: "), "{place}");
    }
    put_bytes(&store, [&good[..], &[0]].concat());
    assert!(damage(&store).unwrap().contains("declares"));
    // None of this stopped the store: the block can be put back, and reads.
    put_bytes(&store, good);
    assert_eq!(damage(&store), None);
}

#[test]
fn a_block_of_another_sequence_stream_or_store_is_named_and_not_believed() {
    let store = three(&MemoryDisk::new());
    let ours = store.id();
    let theirs = open(&MemoryDisk::new()).unwrap().id();
    let cases = [
        (
            block_bytes(ours, 1, 30, b"last"),
            "the block starts at sequence 30, not at 20".to_owned(),
        ),
        (
            block_bytes(ours, 1, 19, MIDDLE),
            "the block starts at sequence 19, not at 20".to_owned(),
        ),
        (
            block_bytes(ours, 2, 20, MIDDLE),
            "the block belongs to stream 2, not to 1".to_owned(),
        ),
        (
            block_bytes(theirs, 1, 20, MIDDLE),
            format!("the block belongs to store {theirs:#018x}, not to {ours:#018x}"),
        ),
    ];
    for (bytes, why) in cases {
        put_bytes(&store, bytes);
        let place = damage(&store).unwrap();
        assert_eq!(place, format!("block 20 of table stream.1: {why}"));
    }
}

#[test]
fn a_block_whose_header_was_rewritten_to_fit_its_place_is_not_believed() {
    let store = three(&MemoryDisk::new());
    let good = block_bytes(store.id(), 1, 20, MIDDLE);
    let theirs = store.id() ^ 1;
    for (id, stream, seq) in [(store.id(), 1, 30), (store.id(), 2, 20), (theirs, 1, 20)] {
        let mut bytes = block_bytes(id, stream, seq, MIDDLE);
        // Magic, version, store, stream and first sequence.
        bytes[..28].copy_from_slice(&good[..28]);
        put_bytes(&store, bytes);
        assert_eq!(
            damage(&store).unwrap(),
            "block 20 of table stream.1: the block's checksum does not match its bytes"
        );
    }
}

#[test]
fn a_damaged_block_at_either_end_is_named() {
    let store = three(&MemoryDisk::new());
    let first = |store: &Store| place_of(store.read(|reader| reader.first_block(1)));
    let last = |store: &Store| place_of(store.read(|reader| reader.last_block(1)));
    put_bytes(&store, block_bytes(store.id(), 1, 21, MIDDLE));
    assert_eq!((first(&store), last(&store)), (None, None));
    let place = "block 20 of table stream.1: the block starts at sequence 21, not at 20";
    let drop = |at| {
        vec![Change::DropBlocks {
            stream: 1,
            from: at,
            to: at,
        }]
    };
    apply(&store, drop(10)).unwrap();
    assert_eq!(
        (first(&store).as_deref(), last(&store)),
        (Some(place), None)
    );
    apply(&store, drop(30)).unwrap();
    assert_eq!(last(&store).as_deref(), Some(place));
}
