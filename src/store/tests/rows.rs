//! Rows: written, replaced, deleted, walked.

use std::ops::ControlFlow;

use super::{apply, content, open, put, row};
use crate::changes::{Change, Changes, RowKey, Table};
use crate::disk::MemoryDisk;
use crate::store::{Commit, Store};

fn parts(store: &Store, id: Option<u32>, from: u64, most: usize) -> Vec<(u32, u64)> {
    let mut seen = vec![];
    let visit = |key: RowKey, _: &[u8]| {
        seen.push((key.id, key.part));
        if seen.len() < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    store
        .read(|reader| reader.rows(Table::Dedup, id, from, visit))
        .unwrap();
    seen
}

#[test]
fn rows_are_put_replaced_and_deleted() {
    let store = open(&MemoryDisk::new()).unwrap();
    assert_eq!(row(&store, Table::Meta, 0, 0), None);
    apply(
        &store,
        vec![put(Table::Meta, 0, 0, b"old"), put(Table::Meta, 0, 0, b"")],
    )
    .unwrap();
    assert_eq!(row(&store, Table::Meta, 0, 0).unwrap(), b"");
    apply(
        &store,
        vec![Change::Delete {
            key: RowKey::new(Table::Meta, 0, 0),
        }],
    )
    .unwrap();
    assert_eq!(row(&store, Table::Meta, 0, 0), None);
}

#[test]
fn rows_are_walked_in_order_and_within_bounds() {
    let store = open(&MemoryDisk::new()).unwrap();
    let rows = [(2, 9), (1, 300), (1, 2), (3, 0)];
    apply(
        &store,
        rows.map(|(id, part)| put(Table::Dedup, id, part, b"x"))
            .to_vec(),
    )
    .unwrap();
    assert_eq!(
        parts(&store, None, 0, 9),
        [(1, 2), (1, 300), (2, 9), (3, 0)]
    );
    assert_eq!(parts(&store, Some(1), 3, 9), [(1, 300)]);
    assert_eq!(parts(&store, Some(1), 0, 1), [(1, 2)]);
    assert_eq!(parts(&store, Some(4), 0, 9), []);
}

#[test]
fn a_range_of_parts_goes_with_both_its_ends() {
    let store = open(&MemoryDisk::new()).unwrap();
    let rows = (0..10).map(|part| put(Table::Dedup, 1, part, b"x"));
    apply(
        &store,
        rows.chain([put(Table::Dedup, 2, 5, b"x")]).collect(),
    )
    .unwrap();
    let range = |from, to| Change::DeleteParts {
        table: Table::Dedup,
        id: 1,
        from,
        to,
    };
    apply(&store, vec![range(0, 2), range(4, 8), range(8, 4)]).unwrap();
    assert_eq!(parts(&store, None, 0, 99), [(1, 3), (1, 9), (2, 5)]);
    apply(&store, vec![range(0, u64::MAX)]).unwrap();
    assert_eq!(parts(&store, None, 0, 99), [(2, 5)]);
}

#[test]
fn a_group_is_all_there_after_a_reopen_and_twice_is_once() {
    let disk = MemoryDisk::new();
    let store = open(&disk).unwrap();
    apply(
        &store,
        vec![
            super::block(&store, 2, 1, b"gone"),
            put(Table::Holes, 1, 1, b"gone"),
        ],
    )
    .unwrap();
    let group = Changes {
        group: 2,
        changes: vec![
            put(Table::Holes, 1, 2, b"here"),
            Change::Delete {
                key: RowKey::new(Table::Holes, 1, 1),
            },
            super::block(&store, 1, 1, b"block"),
            Change::DropBlocks {
                stream: 1,
                from: 5,
                to: 9,
            },
            Change::DropBlocks {
                stream: 2,
                from: 0,
                to: 0,
            },
            Change::DropStream { stream: 2 },
        ],
    };
    store.apply(&group, Commit::Durable).unwrap();
    let once = content(&store).unwrap();
    assert_eq!((once.rows.len(), once.blocks.len()), (1, 1));
    store.apply(&group, Commit::QuickRepair).unwrap();
    assert_eq!(content(&store).unwrap(), once);
    store.close().unwrap();
    assert_eq!(content(&open(&disk).unwrap()).unwrap(), once);
}
