//! `Usage`: the bytes of the pages that a store's blocks take, counted as they come and go.
//!
//! redb can say what it holds only by reading all of it, and the length of its file says little: it
//! grows by doubling, sparsely, and never shrinks by itself. So each transaction that changes blocks
//! also stores their new sum.

use redb::{ReadTransaction, ReadableTable, TableHandle};

use super::error::StoreError;
use super::tables::{self, RowTableKey};
use crate::changes::{RowKey, Table};
use crate::format::checksum::{CHECKSUM_LEN, seal, unseal};
use crate::format::page_bytes;

/// Where the sum is stored: in front of the streams' counters, which every transaction that changes
/// blocks writes as well. In a table of its own it would cost each of them one more page. No stream
/// has the id 0.
pub(super) const KEY: RowKey = RowKey::new(Table::StreamState, 0, 0);

/// How one transaction changes the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UsageChange {
    added: u64,
    freed: u64,
}

impl UsageChange {
    pub(super) fn add(&mut self, block_len: usize) {
        self.added += page_bytes(block_len);
    }

    pub(super) fn free(&mut self, block_len: usize) {
        self.freed += page_bytes(block_len);
    }

    pub(super) fn is_none(self) -> bool {
        self.added == self.freed
    }

    /// The sum after the transaction.
    pub(super) fn after(self, before: u64) -> u64 {
        debug_assert!(before + self.added >= self.freed, "more freed than stored");
        (before + self.added).saturating_sub(self.freed)
    }
}

/// The row that stores the sum.
pub(super) fn row(store: u64, used: u64) -> Vec<u8> {
    let mut value = Vec::with_capacity(size_of::<u64>() + CHECKSUM_LEN);
    value.extend_from_slice(&used.to_le_bytes());
    seal(store, &tables::place(KEY), value)
}

/// The stored sum; a store that an earlier riverbed wrote has none, and is counted once.
pub(super) fn load(txn: &ReadTransaction, store: u64) -> Result<u64, StoreError> {
    let table = txn.open_table(tables::rows(KEY.table))?;
    let key: RowTableKey = (KEY.id, KEY.part);
    let Some(sealed) = table.get(key)? else {
        return count(txn);
    };
    let damaged = || StoreError::Damaged {
        place: tables::row_name(KEY),
    };
    let value = unseal(store, &tables::place(KEY), sealed.value()).ok_or_else(damaged)?;
    let value = value.try_into().map_err(|_| damaged())?;
    Ok(u64::from_le_bytes(value))
}

/// The sum, recomputed from all blocks.
pub(super) fn count(txn: &ReadTransaction) -> Result<u64, StoreError> {
    let mut used = 0;
    for handle in txn.list_tables()? {
        if !tables::is_blocks_name(handle.name()) {
            continue;
        }
        for entry in txn.open_table(tables::blocks(handle.name()))?.iter()? {
            used += page_bytes(entry?.1.value().len());
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::UsageChange;

    #[test]
    fn a_grown_tail_in_its_page_changes_nothing() {
        let mut change = UsageChange::default();
        change.free(500);
        change.add(3_000);
        assert!(change.is_none());
        change.add(5_000);
        assert_eq!(change.after(4_096), 4_096 + 8_192);
    }
}
