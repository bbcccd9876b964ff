//! `Reader`: what a store holds, as of one moment.

use std::ops::ControlFlow;

#[cfg(test)]
use redb::ReadableTableMetadata;
use redb::{AccessGuard, ReadOnlyTable, ReadTransaction, ReadableTable, TableError};

use super::error::StoreError;
use super::tables::{self, RowTableKey};
use super::usage;
use crate::changes::{RowKey, Table};
use crate::format::Block;
use crate::format::checksum::unseal;

/// A view of one durable state. Everything read through it is verified first (R26).
///
/// It lives only as long as the closure of `Store::read`: an open read transaction makes the file
/// grow without bound.
#[derive(Debug)]
pub(crate) struct Reader {
    txn: ReadTransaction,
    store: u64,
}

type Rows = ReadOnlyTable<RowTableKey, &'static [u8]>;
type Blocks = ReadOnlyTable<u64, &'static [u8]>;
type BlockEntry<'a> = (AccessGuard<'a, u64>, AccessGuard<'a, &'static [u8]>);

impl Reader {
    pub(super) const fn new(txn: ReadTransaction, store: u64) -> Self {
        Self { txn, store }
    }

    /// The value of one row.
    pub(crate) fn row(&self, key: RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(table) = self.rows_of(key.table)? else {
            return Ok(None);
        };
        let Some(sealed) = table.get((key.id, key.part))? else {
            return Ok(None);
        };
        Ok(Some(self.unseal(key, sealed.value())?.to_vec()))
    }

    /// Shows rows of a table in the order of their keys: those of `id` with a part of `from_part`
    /// or more; without an id all of them, beginning at `(0, from_part)`.
    pub(crate) fn rows(
        &self,
        table: Table,
        id: Option<u32>,
        from_part: u64,
        mut visitor: impl FnMut(RowKey, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let Some(rows) = self.rows_of(table)? else {
            return Ok(());
        };
        let first = (id.unwrap_or(0), from_part);
        let last = (id.unwrap_or(u32::MAX), u64::MAX);
        for entry in rows.range(first..=last)? {
            let (at, sealed) = entry?;
            let (id, part) = at.value();
            let key = RowKey::new(table, id, part);
            if key == usage::KEY {
                continue;
            }
            if visitor(key, self.unseal(key, sealed.value())?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The block that covers `seq`: the one with the greatest first sequence up to it. Whether it
    /// reaches as far as `seq` is for the caller to see.
    pub(crate) fn block_at(
        &self,
        stream: u32,
        seq: u64,
    ) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let Some(table) = self.blocks_of(stream)? else {
            return Ok(None);
        };
        let entry = table.range(..=seq)?.next_back().transpose()?;
        self.copy(stream, entry)
    }

    #[cfg(test)]
    /// The stream's block with the least first sequence.
    pub(crate) fn first_block(&self, stream: u32) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let Some(table) = self.blocks_of(stream)? else {
            return Ok(None);
        };
        self.copy(stream, table.first()?)
    }

    /// The stream's block with the greatest first sequence.
    pub(crate) fn last_block(&self, stream: u32) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let Some(table) = self.blocks_of(stream)? else {
            return Ok(None);
        };
        self.copy(stream, table.last()?)
    }

    /// The first sequences of at most `limit` blocks that start below `below`, ascending.
    pub(crate) fn block_starts(
        &self,
        stream: u32,
        below: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let Some(table) = self.blocks_of(stream)? else {
            return Ok(Vec::new());
        };
        let starts = table.range(..below)?.take(limit);
        starts.map(|entry| Ok(entry?.0.value())).collect()
    }

    /// Shows blocks in ascending order, beginning with the one that covers `seq`, or else the next.
    pub(crate) fn blocks_from(
        &self,
        stream: u32,
        seq: u64,
        visitor: impl FnMut(&Block<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let Some(table) = self.blocks_of(stream)? else {
            return Ok(());
        };
        let covering = table.range(..=seq)?.next_back().transpose()?;
        let first = covering.map_or(seq, |(first_seq, _)| first_seq.value());
        self.visit(stream, table.range(first..)?, visitor)
    }

    /// Shows blocks in descending order, beginning with the one that covers `seq`.
    pub(crate) fn blocks_back(
        &self,
        stream: u32,
        seq: u64,
        visitor: impl FnMut(&Block<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let Some(table) = self.blocks_of(stream)? else {
            return Ok(());
        };
        self.visit(stream, table.range(..=seq)?.rev(), visitor)
    }

    #[cfg(test)]
    /// The bytes that all tables hold, keys and redb's own included. redb reads every page to
    /// say so: it is for a report on demand, and never for a limit.
    pub(super) fn stored_bytes(&self) -> Result<u64, StoreError> {
        self.txn.list_tables()?.try_fold(0, |sum, handle| {
            let stats = self.txn.open_untyped_table(handle)?.stats()?;
            Ok(sum + stats.stored_bytes() + stats.metadata_bytes())
        })
    }

    /// The bytes of the pages that all blocks take, recomputed; it reads all of them.
    pub(crate) fn count_used_bytes(&self) -> Result<u64, StoreError> {
        usage::count(&self.txn)
    }

    /// The same as it is stored.
    pub(super) fn used_bytes(&self) -> Result<u64, StoreError> {
        usage::load(&self.txn, self.store)
    }

    fn visit<'a>(
        &self,
        stream: u32,
        blocks: impl Iterator<Item = Result<BlockEntry<'a>, redb::StorageError>>,
        mut visitor: impl FnMut(&Block<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        for entry in blocks {
            let (first_seq, bytes) = entry?;
            if visitor(&self.block(stream, first_seq.value(), bytes.value())?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn copy(
        &self,
        stream: u32,
        entry: Option<BlockEntry<'_>>,
    ) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let Some((first_seq, bytes)) = entry else {
            return Ok(None);
        };
        self.block(stream, first_seq.value(), bytes.value())?;
        Ok(Some((first_seq.value(), bytes.value().to_vec())))
    }

    /// The block that stands at a place, verified by its own checksum to belong there.
    fn block<'b>(
        &self,
        stream: u32,
        first_seq: u64,
        bytes: &'b [u8],
    ) -> Result<Block<'b>, StoreError> {
        Block::open(bytes, self.store, stream, first_seq).map_err(|why| StoreError::Damaged {
            place: format!("{}: {why}", tables::block_name(stream, first_seq)),
        })
    }

    fn unseal<'a>(&self, key: RowKey, sealed: &'a [u8]) -> Result<&'a [u8], StoreError> {
        unseal(self.store, &tables::place(key), sealed).ok_or_else(|| StoreError::Damaged {
            place: tables::row_name(key),
        })
    }

    fn rows_of(&self, table: Table) -> Result<Option<Rows>, StoreError> {
        present(self.txn.open_table(tables::rows(table)))
    }

    fn blocks_of(&self, stream: u32) -> Result<Option<Blocks>, StoreError> {
        let name = tables::blocks_name(stream);
        present(self.txn.open_table(tables::blocks(&name)))
    }
}

/// A table that was never written is empty.
fn present<T>(table: Result<T, TableError>) -> Result<Option<T>, StoreError> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
