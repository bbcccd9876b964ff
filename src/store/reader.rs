//! `Reader`: what a store holds, as of one moment.

use std::ops::ControlFlow;

#[cfg(test)]
use redb::ReadableTableMetadata;
use redb::{AccessGuard, ReadOnlyTable, ReadTransaction, TableError};

use super::error::StoreError;
use super::layers::{Found, Layers};
use super::mark;
use super::overlay::Said;
use super::tables::{self, RowTableKey};
use super::usage;
use crate::changes::{RowKey, Table};
use crate::format::Block;
use crate::format::checksum::unseal;

/// A view of one durable state; what became durable in the journal since may be seen in parts. Everything read
/// through it is verified first (R26).
///
/// It lives only as long as the closure of `Store::read`: an open read transaction makes the file
/// grow without bound.
#[derive(Debug)]
pub(crate) struct Reader {
    txn: ReadTransaction,
    store: u64,
    /// What is durable and not yet in redb.
    layers: Layers,
}

type Rows = ReadOnlyTable<RowTableKey, &'static [u8]>;
type Blocks = ReadOnlyTable<u64, &'static [u8]>;
type BlockEntry<'a> = (AccessGuard<'a, u64>, AccessGuard<'a, &'static [u8]>);

impl Reader {
    pub(super) const fn new(txn: ReadTransaction, store: u64, layers: Layers) -> Self {
        Self { txn, store, layers }
    }

    pub(super) const fn txn(&self) -> &ReadTransaction {
        &self.txn
    }

    pub(super) const fn store_id(&self) -> u64 {
        self.store
    }

    /// Whether redb has a block at this place, whatever it is worth.
    pub(super) fn has_block(&self, stream: u32, first_seq: u64) -> Result<bool, StoreError> {
        let table = self.blocks_of(stream)?;
        let found = table.map(|table| table.get(first_seq).map(|block| block.is_some()));
        Ok(found.transpose()?.unwrap_or_default())
    }

    /// The value of one row.
    pub(crate) fn row(&self, key: RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        match self.layers.row(key) {
            Said::Value(value) => return Ok(Some(value.to_vec())),
            Said::Gone => return Ok(None),
            Said::Nothing => {}
        }
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
        let first = RowKey::new(table, id.unwrap_or(0), from_part);
        let last = RowKey::new(table, id.unwrap_or(u32::MAX), u64::MAX);
        // Those of the overlays are few: what is in redb comes between them in the order of the keys.
        let mut above = self.layers.row_keys(first, last).into_iter().peekable();
        let rows = self.rows_of(table)?;
        let range = (first.id, first.part)..=(last.id, last.part);
        let below = rows.as_ref().map(|rows| rows.range(range)).transpose()?;
        for entry in below.into_iter().flatten() {
            let (at, sealed) = entry?;
            let (id, part) = at.value();
            let key = RowKey::new(table, id, part);
            while let Some(before) = above.next_if(|above| *above < key) {
                if self.show_above(before, &mut visitor).is_break() {
                    return Ok(());
                }
            }
            above.next_if_eq(&key);
            if key == usage::KEY || key == mark::KEY {
                continue;
            }
            let shown = match self.layers.row(key) {
                Said::Value(value) => visitor(key, &value),
                Said::Gone => continue,
                Said::Nothing => visitor(key, self.unseal(key, sealed.value())?),
            };
            if shown.is_break() {
                return Ok(());
            }
        }
        for key in above {
            if self.show_above(key, &mut visitor).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Shows a row that only overlays know, if it is not gone.
    fn show_above(
        &self,
        key: RowKey,
        visitor: &mut impl FnMut(RowKey, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.layers.row(key) {
            Said::Value(value) => visitor(key, &value),
            Said::Gone | Said::Nothing => ControlFlow::Continue(()),
        }
    }

    /// The block that covers `seq`: the one with the greatest first sequence up to it. Whether it
    /// reaches as far as `seq` is for the caller to see.
    pub(crate) fn block_at(
        &self,
        stream: u32,
        seq: u64,
    ) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let Some(table) = self.blocks_of(stream)? else {
            return self.floor_above(stream, seq);
        };
        if self.layers.know_nothing_of(stream) {
            let entry = table.range(..=seq)?.next_back().transpose()?;
            return self.copy(stream, entry);
        }
        let found = self
            .layers
            .floor(stream, seq, |to| last_start(&table, to))?;
        self.copy_found(stream, &table, found)
    }

    /// The same in a stream whose blocks are all in overlays.
    fn floor_above(&self, stream: u32, seq: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let nothing_below = |_| Ok::<_, StoreError>(None);
        match self.layers.floor(stream, seq, nothing_below)? {
            Some((first_seq, Found::Here(bytes))) => {
                self.block(stream, first_seq, &bytes)?;
                Ok(Some((first_seq, bytes.to_vec())))
            }
            _ => Ok(None),
        }
    }

    fn copy_found(
        &self,
        stream: u32,
        table: &Blocks,
        found: Option<(u64, Found)>,
    ) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let Some((first_seq, found)) = found else {
            return Ok(None);
        };
        let bytes = match found {
            Found::Here(bytes) => bytes.to_vec(),
            Found::Below => match table.get(first_seq)? {
                Some(bytes) => bytes.value().to_vec(),
                None => return Ok(None),
            },
        };
        self.block(stream, first_seq, &bytes)?;
        Ok(Some((first_seq, bytes)))
    }

    #[cfg(test)]
    /// The stream's block with the least first sequence.
    pub(crate) fn first_block(&self, stream: u32) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        match self.block_starts(stream, u64::MAX, 1)?.first() {
            Some(first_seq) => self.block_at(stream, *first_seq),
            None => Ok(None),
        }
    }

    /// The stream's block with the greatest first sequence.
    pub(crate) fn last_block(&self, stream: u32) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.block_at(stream, u64::MAX)
    }

    /// The first sequences of at most `limit` blocks that start below `below`, ascending.
    pub(crate) fn block_starts(
        &self,
        stream: u32,
        below: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let table = self.blocks_of(stream)?;
        if let Some(table) = table
            .as_ref()
            .filter(|_| self.layers.know_nothing_of(stream))
        {
            let starts = table.range(..below)?.take(limit);
            return starts.map(|entry| Ok(entry?.0.value())).collect();
        }
        let (mut starts, mut from) = (Vec::new(), Some(0));
        while let Some(seq) = from.filter(|_| starts.len() < limit) {
            let beneath = |from| first_start(table.as_ref(), from);
            let found = self.layers.ceiling(stream, seq, beneath)?;
            let Some((start, _)) = found.filter(|(start, _)| *start < below) else {
                break;
            };
            starts.push(start);
            from = start.checked_add(1);
        }
        Ok(starts)
    }

    /// Shows blocks in ascending order, beginning with the one that covers `seq`, or else the next.
    pub(crate) fn blocks_from(
        &self,
        stream: u32,
        seq: u64,
        mut visitor: impl FnMut(&Block<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let table = self.blocks_of(stream)?;
        if let Some(table) = table
            .as_ref()
            .filter(|_| self.layers.know_nothing_of(stream))
        {
            let covering = table.range(..=seq)?.next_back().transpose()?;
            let first = covering.map_or(seq, |(first_seq, _)| first_seq.value());
            return self.visit(stream, table.range(first..)?, visitor);
        }
        let beneath = |to| last_start_of(table.as_ref(), to);
        let covering = self.layers.floor(stream, seq, beneath)?;
        let mut from = Some(covering.map_or(seq, |(first_seq, _)| first_seq));
        while let Some(seq) = from {
            let beneath = |from| first_start(table.as_ref(), from);
            let found = self.layers.ceiling(stream, seq, beneath)?;
            let Some((start, found)) = found else { break };
            if self
                .show_block(stream, table.as_ref(), start, &found, &mut visitor)?
                .is_break()
            {
                break;
            }
            from = start.checked_add(1);
        }
        Ok(())
    }

    fn show_block(
        &self,
        stream: u32,
        table: Option<&Blocks>,
        start: u64,
        found: &Found,
        visitor: &mut impl FnMut(&Block<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<ControlFlow<()>, StoreError> {
        if let Found::Here(bytes) = found {
            return visitor(&self.block(stream, start, bytes)?);
        }
        let stored = table.map(|table| table.get(start)).transpose()?.flatten();
        match stored {
            Some(bytes) => visitor(&self.block(stream, start, bytes.value())?),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    /// Shows blocks in descending order, beginning with the one that covers `seq`.
    pub(crate) fn blocks_back(
        &self,
        stream: u32,
        seq: u64,
        mut visitor: impl FnMut(&Block<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let table = self.blocks_of(stream)?;
        if let Some(table) = table
            .as_ref()
            .filter(|_| self.layers.know_nothing_of(stream))
        {
            return self.visit(stream, table.range(..=seq)?.rev(), visitor);
        }
        let mut to = Some(seq);
        while let Some(seq) = to {
            let beneath = |to| last_start_of(table.as_ref(), to);
            let Some((start, found)) = self.layers.floor(stream, seq, beneath)? else {
                break;
            };
            if self
                .show_block(stream, table.as_ref(), start, &found, &mut visitor)?
                .is_break()
            {
                break;
            }
            to = start.checked_sub(1);
        }
        Ok(())
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

fn last_start(table: &Blocks, to: u64) -> Result<Option<u64>, StoreError> {
    let last = table.range(..=to)?.next_back().transpose()?;
    Ok(last.map(|(first_seq, _)| first_seq.value()))
}

fn last_start_of(table: Option<&Blocks>, to: u64) -> Result<Option<u64>, StoreError> {
    table.map_or(Ok(None), |table| last_start(table, to))
}

fn first_start(table: Option<&Blocks>, from: u64) -> Result<Option<u64>, StoreError> {
    let Some(table) = table else { return Ok(None) };
    let first = table.range(from..)?.next().transpose()?;
    Ok(first.map(|(first_seq, _)| first_seq.value()))
}

/// A table that was never written is empty.
pub(super) fn present<T>(table: Result<T, TableError>) -> Result<Option<T>, StoreError> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
