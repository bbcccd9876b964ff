//! The summaries of blocks in rows of their own: what they let pass over, and what becomes of them.

use super::damage::flip_in;
use super::{apply, block, open};
use crate::changes::Change;
use crate::disk::MemoryDisk;
use crate::format::{Block, BlockBuilder, SummaryRow};
use crate::store::{Reader, Store};

/// The bytes of a block of so many messages of one subject, with payloads of 100 bytes.
fn bytes(store: &Store, first_seq: u64, records: usize, subject: &str) -> Vec<u8> {
    BlockBuilder::filled(store.id(), 1, first_seq, records, &[subject])
}

fn large(store: &Store, first_seq: u64, subject: &str) -> Change {
    Change::Block {
        stream: 1,
        first_seq,
        bytes: bytes(store, first_seq, 100, subject),
    }
}

/// A store whose stream 1 has three blocks of a hundred messages: of `a`, of `b`, and of `a` again.
fn three(disk: &MemoryDisk) -> Store {
    let store = open(disk).unwrap();
    let blocks = [(1, "a"), (101, "b"), (201, "a")];
    let blocks = blocks.map(|(first_seq, subject)| large(&store, first_seq, subject));
    apply(&store, blocks.to_vec()).unwrap();
    store
}

/// Where passing over ends for whoever wants a subject.
fn passed(store: &Store, from: u64, wanted: &str) -> u64 {
    let pass = store.read(|reader| reader.pass_over(1, from, &mut 99, |name| name == wanted));
    pass.unwrap()
}

fn places(store: &Store) -> Vec<(u32, u64)> {
    store.read(Reader::summary_places).unwrap()
}

/// What is said to be wrong with the row of a block.
fn wrong(store: &Store, first_seq: u64) -> Option<String> {
    let wrong = store.read(|reader| {
        let (_, bytes) = reader.block_at(1, first_seq)?.unwrap();
        let block = Block::open(&bytes, store.id(), 1, first_seq).unwrap();
        reader.wrong_summary(&block)
    });
    wrong.unwrap()
}

#[test]
fn blocks_without_what_is_wanted_are_passed_over() {
    let store = three(&MemoryDisk::new());
    assert_eq!(passed(&store, 1, "a"), 1);
    assert_eq!(passed(&store, 1, "b"), 101);
    assert_eq!(passed(&store, 50, "b"), 101);
    assert_eq!(passed(&store, 150, "a"), 201);
    assert_eq!(passed(&store, 1, "c"), 301);
    // Nothing speaks of these.
    assert_eq!(passed(&store, 301, "a"), 301);
    assert_eq!(passed(&store, 999, "a"), 999);
    let pass = |budget| {
        let mut left = budget;
        let next = store.read(|reader| reader.pass_over(1, 1, &mut left, |_| false));
        (next.unwrap(), left)
    };
    assert_eq!((pass(2), pass(4)), ((201, 0), (301, 1)));
    assert_eq!(wrong(&store, 101), None);
}

#[test]
fn nothing_is_passed_over_that_no_row_speaks_of() {
    let store = three(&MemoryDisk::new());
    store.tamper_summary(1, 101, None);
    assert_eq!(passed(&store, 1, "c"), 101);
    assert_eq!(passed(&store, 150, "c"), 150);
    assert_eq!(passed(&store, 201, "c"), 301);
    assert_eq!(wrong(&store, 101), None);
    // The row of what the block was before it grew says nothing of what came since.
    let before = SummaryRow::encode(&bytes(&store, 101, 50, "b"), 1, 101);
    store.tamper_summary(1, 101, before);
    assert_eq!(passed(&store, 1, "c"), 151);
    assert_eq!(passed(&store, 160, "c"), 160);
    let said = "row (1, 101) of table summaries does not say what its block has";
    assert_eq!(wrong(&store, 101).as_deref(), Some(said));
}

#[test]
fn a_row_comes_and_goes_with_its_block() {
    let store = three(&MemoryDisk::new());
    assert_eq!(places(&store), [(1, 1), (1, 101), (1, 201)]);
    // One that is small has none, also where a larger one was.
    apply(&store, vec![block(&store, 1, 201, b"small")]).unwrap();
    assert_eq!(places(&store), [(1, 1), (1, 101)]);
    let longer = Change::Block {
        stream: 1,
        first_seq: 201,
        bytes: bytes(&store, 201, 60, "c"),
    };
    apply(&store, vec![longer]).unwrap();
    assert_eq!(passed(&store, 1, "d"), 261);
    let drop = Change::DropBlocks {
        stream: 1,
        from: 0,
        to: 101,
    };
    apply(&store, vec![drop]).unwrap();
    assert_eq!(places(&store), [(1, 201)]);
    assert_eq!(passed(&store, 1, "d"), 1);
    apply(&store, vec![Change::DropStream { stream: 1 }]).unwrap();
    assert_eq!(places(&store), []);
}

#[test]
fn a_damaged_row_stops_nothing_and_lets_nothing_pass() {
    let disk = MemoryDisk::new();
    let store = three(&disk);
    let row = SummaryRow::encode(&bytes(&store, 101, 100, "b"), 1, 101).unwrap();
    store.close().unwrap();
    flip_in(&disk, &row);
    // In its debug builds redb reads all pages when it opens, and these are let through.
    let store = open(&disk).unwrap();
    assert_eq!(passed(&store, 1, "c"), 101);
    assert_eq!(passed(&store, 150, "c"), 150);
    let said = "row (1, 101) of table summaries is damaged; its block is read instead";
    let damaged = [1, 101, 201].map(|first_seq| wrong(&store, first_seq));
    assert_eq!(damaged[1].as_deref(), Some(said));
    // Written again with its block, it is whole.
    let again = [(1, "a"), (101, "b"), (201, "a")];
    let again = again.map(|(first_seq, subject)| large(&store, first_seq, subject));
    apply(&store, again.to_vec()).unwrap();
    assert_eq!(passed(&store, 1, "c"), 301);
}

#[test]
fn a_row_of_no_block_is_told() {
    let store = three(&MemoryDisk::new());
    let row = SummaryRow::encode(&bytes(&store, 301, 100, "b"), 1, 301);
    store.tamper_summary(1, 301, row);
    let lone = store.read(|reader| reader.lone_summaries(&[(1, 1)].into()));
    let said = "row (1, 301) of table summaries is of no block";
    assert_eq!(lone.unwrap(), [said]);
}
