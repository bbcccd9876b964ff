//! Tests of the store: files, rows and blocks, failures, and crashes at every operation.

mod blocks;
mod crash;
mod create;
mod damage;
mod damaged_blocks;
mod faults;
mod files;
mod journal;
mod journal_leftover;
mod journal_refused;
mod journal_views;
mod page_cache;
mod race;
mod rows;
mod summaries;
mod unsynced;

use std::ops::ControlFlow;
use std::path::Path;

use super::{Commit, OpenError, Store, StoreError, StoreOptions, tables};
use crate::changes::{Change, Changes, RowKey, Table};
use crate::disk::{Disk, MemoryDisk};
use crate::format::{BlockBuilder, RecordInput};
use crate::headers::Headers;

const OPTIONS: StoreOptions = StoreOptions {
    cache_bytes: 1 << 20,
    now_ms: 1_000,
    identity: None,
    journal: None,
};

/// Where the tests on a simulated disk keep their store.
fn path() -> &'static Path {
    Path::new("/data/q.riverbed")
}

fn open(disk: &dyn Disk) -> Result<Store, OpenError> {
    Store::open(disk, path(), &OPTIONS)
}

fn put(table: Table, id: u32, part: u64, value: &[u8]) -> Change {
    Change::Put {
        key: RowKey::new(table, id, part),
        value: value.to_vec(),
    }
}

/// The bytes of a block that belongs at a place: one record with this payload.
fn block_bytes(store: u64, stream: u32, first_seq: u64, payload: &[u8]) -> Vec<u8> {
    let mut builder = BlockBuilder::new(store, stream, first_seq);
    let record = RecordInput {
        time: 1_000,
        subject: "a.b",
        id: None,
        headers: &Headers::new(),
        payload,
    };
    builder.push(&record).unwrap();
    builder.finish()
}

fn block(store: &Store, stream: u32, first_seq: u64, payload: &[u8]) -> Change {
    Change::Block {
        stream,
        first_seq,
        bytes: block_bytes(store.id(), stream, first_seq, payload),
    }
}

fn apply(store: &Store, changes: Vec<Change>) -> Result<(), StoreError> {
    store.apply(&Changes { group: 1, changes }, Commit::Durable)
}

fn row(store: &Store, table: Table, id: u32, part: u64) -> Option<Vec<u8>> {
    store
        .read(|reader| reader.row(RowKey::new(table, id, part)))
        .unwrap()
}

/// Everything that a store holds: its rows, and the blocks of the streams below 4.
#[derive(Debug, PartialEq)]
struct Content {
    rows: Vec<(RowKey, Vec<u8>)>,
    blocks: Vec<(u32, u64, Vec<u8>)>,
}

fn content(store: &Store) -> Result<Content, StoreError> {
    store.read(|reader| {
        let mut content = Content {
            rows: vec![],
            blocks: vec![],
        };
        for table in tables::ALL {
            reader.rows(table, None, 0, |key, value| {
                content.rows.push((key, value.to_vec()));
                ControlFlow::Continue(())
            })?;
        }
        for stream in 0..4 {
            reader.blocks_from(stream, 0, |block| {
                // What a builder makes of the records that were read, to the byte.
                let bytes = BlockBuilder::resume(block).unwrap().finish();
                content.blocks.push((stream, block.first_seq(), bytes));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(content)
    })
}

/// The bytes of a file on a simulated disk.
fn bytes_of(disk: &MemoryDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}
