//! `Group`: the changes of one commit group on their way into one write transaction.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem::ManuallyDrop;

use redb::{Database, Durability, Table as RedbTable, WriteTransaction};

use super::error::StoreError;
use super::summaries;
use super::tables::{self, RowTableKey};
use super::usage::{self, UsageChange};
use crate::changes::{Change, RowKey, Table};
use crate::format::checksum::{CHECKSUM_LEN, seal};

/// How a group is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Durable when it returns, with one sync.
    Durable,
    /// Durable, and a kill right after it costs the next open nothing: redb writes down what it
    /// would otherwise learn by reading the whole file. Twice the price, so it is for an idle store.
    QuickRepair,
}

/// Applies the changes in their order, in one transaction; `Ok` means durable. Blocks took `used` bytes
/// before; the answer is what they take now.
pub(super) fn apply(
    database: &Database,
    store: u64,
    used: u64,
    changes: [&[Change]; 2],
    commit: Commit,
) -> Result<u64, StoreError> {
    if changes.iter().all(|part| part.is_empty()) && commit == Commit::Durable {
        return Ok(used);
    }
    // Neither the transaction nor its tables are dropped while a panic goes by: their own clean-up
    // would panic again on the locks that the first one poisoned, and that ends the process.
    let mut txn = ManuallyDrop::new(database.begin_write()?);
    let staged = stage(&mut txn, store, used, changes, commit);
    let txn = ManuallyDrop::into_inner(txn);
    let used = staged?;
    txn.commit()?;
    Ok(used)
}

/// Puts the changes into the transaction, with the bytes that blocks take then.
fn stage(
    txn: &mut WriteTransaction,
    store: u64,
    used: u64,
    changes: [&[Change]; 2],
    commit: Commit,
) -> Result<u64, StoreError> {
    durable(txn, commit)?;
    let mut group = ManuallyDrop::new(Group {
        txn,
        store,
        rows: BTreeMap::new(),
        blocks: BTreeMap::new(),
        summaries: None,
        usage: UsageChange::default(),
    });
    let applied = changes
        .into_iter()
        .flatten()
        .try_for_each(|change| group.apply(change))
        .and_then(|()| group.save_usage(used));
    drop(ManuallyDrop::into_inner(group));
    applied
}

fn durable(txn: &mut WriteTransaction, commit: Commit) -> Result<(), StoreError> {
    txn.set_durability(Durability::Immediate)
        .map_err(|error| StoreError::Io(std::io::Error::other(error.to_string())))?;
    txn.set_quick_repair(commit == Commit::QuickRepair);
    Ok(())
}

/// Makes the tables of all rows, in a new store.
pub(super) fn create_tables(database: &Database) -> Result<(), StoreError> {
    let mut txn = database.begin_write()?;
    durable(&mut txn, Commit::Durable)?;
    for table in tables::ALL {
        txn.open_table(tables::rows(table))?;
    }
    txn.commit()?;
    Ok(())
}

/// The tables that the group has touched so far. Each is opened once: a commit costs what it
/// touches, and an idle stream is not touched.
struct Group<'txn> {
    txn: &'txn WriteTransaction,
    store: u64,
    rows: BTreeMap<Table, RedbTable<'txn, RowTableKey, &'static [u8]>>,
    blocks: BTreeMap<u32, RedbTable<'txn, u64, &'static [u8]>>,
    summaries: Option<RedbTable<'txn, RowTableKey, &'static [u8]>>,
    usage: UsageChange,
}

impl<'txn> Group<'txn> {
    fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Put { key, value } => self.put(*key, value)?,
            Change::Delete { key } => {
                self.rows(key.table)?.remove((key.id, key.part))?;
            }
            Change::DeleteParts {
                table,
                id,
                from,
                to,
            } if from <= to => {
                self.rows(*table)?
                    .retain_in((*id, *from)..=(*id, *to), |_, _| false)?;
            }
            Change::Block {
                stream,
                first_seq,
                bytes,
            }
            | Change::Grow {
                stream,
                first_seq,
                whole: Some(bytes),
                ..
            } => self.put_block(*stream, *first_seq, bytes)?,
            Change::DropBlocks { stream, from, to } if from <= to => {
                self.drop_blocks(*stream, *from, *to)?;
            }
            Change::Grow {
                stream, first_seq, ..
            } => {
                // Whoever decodes supplies it; what was said to be stored must not be left out.
                return Err(StoreError::Damaged {
                    place: format!(
                        "{}: it was to grow",
                        tables::block_name(*stream, *first_seq)
                    ),
                });
            }
            // An empty range; redb would have to be asked what it makes of one.
            Change::DeleteParts { .. } | Change::DropBlocks { .. } => {}
            Change::DropStream { stream } => self.drop_stream(*stream)?,
        }
        Ok(())
    }

    fn put(&mut self, key: RowKey, value: &[u8]) -> Result<(), StoreError> {
        let mut sealed = Vec::with_capacity(value.len() + CHECKSUM_LEN);
        sealed.extend_from_slice(value);
        let sealed = seal(self.store, &tables::place(key), sealed);
        self.rows(key.table)?
            .insert((key.id, key.part), sealed.as_slice())?;
        Ok(())
    }

    fn put_block(&mut self, stream: u32, first_seq: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let mut usage = self.usage;
        let replaced = self.blocks(stream)?.insert(first_seq, bytes)?;
        let is_new = replaced.is_none();
        if let Some(replaced) = &replaced {
            usage.free(replaced.value());
        }
        drop(replaced);
        self.usage = usage;
        self.usage.add(bytes.len());
        let key = (stream, first_seq);
        if let Some(row) = summaries::row(self.store, stream, first_seq, bytes) {
            self.summaries()?.insert(key, row.as_slice())?;
        } else if !is_new {
            // What was there may have had one.
            self.summaries()?.remove(key)?;
        }
        Ok(())
    }

    fn drop_blocks(&mut self, stream: u32, from: u64, to: u64) -> Result<(), StoreError> {
        self.summaries()?
            .retain_in((stream, from)..=(stream, to), |_, _| false)?;
        let mut usage = self.usage;
        self.blocks(stream)?.retain_in(from..=to, |_, block| {
            usage.free(block);
            false
        })?;
        self.usage = usage;
        Ok(())
    }

    /// Stores the bytes that blocks take, if they changed.
    fn save_usage(&mut self, before: u64) -> Result<u64, StoreError> {
        let used = if self.usage.is_unsure() {
            // redb opens no table twice.
            self.blocks.clear();
            usage::count_staged(self.txn)?
        } else if self.usage.is_none() {
            return Ok(before);
        } else {
            self.usage.after(before)
        };
        let key = usage::KEY;
        let row = usage::row(self.store, used);
        self.rows(key.table)?
            .insert((key.id, key.part), row.as_slice())?;
        Ok(used)
    }

    fn drop_stream(&mut self, stream: u32) -> Result<(), StoreError> {
        // Almost always it is empty by now; what is left must be counted before it goes.
        self.drop_blocks(stream, 0, u64::MAX)?;
        // redb deletes no table that is open.
        self.blocks.remove(&stream);
        let name = tables::blocks_name(stream);
        // That there is none is fine: applying twice is applying once.
        self.txn.delete_table(tables::blocks(&name))?;
        Ok(())
    }

    fn rows(
        &mut self,
        table: Table,
    ) -> Result<&mut RedbTable<'txn, RowTableKey, &'static [u8]>, StoreError> {
        match self.rows.entry(table) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(self.txn.open_table(tables::rows(table))?)),
        }
    }

    fn summaries(
        &mut self,
    ) -> Result<&mut RedbTable<'txn, RowTableKey, &'static [u8]>, StoreError> {
        match &mut self.summaries {
            Some(open) => Ok(open),
            closed => Ok(closed.insert(self.txn.open_table(tables::SUMMARIES)?)),
        }
    }

    fn blocks(
        &mut self,
        stream: u32,
    ) -> Result<&mut RedbTable<'txn, u64, &'static [u8]>, StoreError> {
        match self.blocks.entry(stream) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(place) => {
                let name = tables::blocks_name(stream);
                Ok(place.insert(self.txn.open_table(tables::blocks(&name))?))
            }
        }
    }
}
