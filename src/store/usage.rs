//! `Usage`: the bytes of the pages that a store's blocks take, counted as they come and go.
//!
//! redb can say what it holds only by reading all of it, and the length of its file says little: it
//! grows by doubling, sparsely, and never shrinks by itself. So each transaction that changes blocks
//! also stores their new sum. One that frees a block of a damaged length has them counted anew.

use redb::{ReadTransaction, ReadableTable, TableHandle, WriteTransaction};

use super::error::StoreError;
use super::tables::{self, RowTableKey};
use crate::changes::{RowKey, Table};
use crate::format::checksum::{CHECKSUM_LEN, seal, unseal};
use crate::format::{Block, page_bytes};

/// Where the sum is stored: in front of the streams' counters, which every transaction that changes
/// blocks writes as well. In a table of its own it would cost each of them one more page. No stream
/// has the id 0.
pub(super) const KEY: RowKey = RowKey::new(Table::StreamState, 0, 0);

/// How one transaction changes the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UsageChange {
    added: u64,
    freed: u64,
    unsure: bool,
}

impl UsageChange {
    pub(super) fn add(&mut self, block_len: usize) {
        self.added += page_bytes(block_len);
    }

    pub(super) fn free(&mut self, block: &[u8]) {
        self.freed += page_bytes(block.len());
        let is_whole = Block::declared_len(block).is_ok_and(|len| len == block.len());
        self.unsure |= !is_whole;
    }

    /// Whether a block was freed that is not as long as it says: what it took is not known.
    pub(super) fn is_unsure(self) -> bool {
        self.unsure
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
    count_tables(txn.list_tables()?, |name| {
        count_blocks(&txn.open_table(tables::blocks(name))?)
    })
}

/// The same as of a transaction that is under way, none of whose tables of blocks may be open.
pub(super) fn count_staged(txn: &WriteTransaction) -> Result<u64, StoreError> {
    count_tables(txn.list_tables()?, |name| {
        count_blocks(&txn.open_table(tables::blocks(name))?)
    })
}

fn count_tables(
    handles: impl Iterator<Item = impl TableHandle>,
    count: impl Fn(&str) -> Result<u64, StoreError>,
) -> Result<u64, StoreError> {
    let mut used = 0;
    for handle in handles {
        if tables::is_blocks_name(handle.name()) {
            used += count(handle.name())?;
        }
    }
    Ok(used)
}

fn count_blocks(blocks: &impl ReadableTable<u64, &'static [u8]>) -> Result<u64, StoreError> {
    blocks.iter()?.try_fold(0, |used, entry| {
        Ok(used + page_bytes(entry?.1.value().len()))
    })
}

#[cfg(test)]
mod tests {
    use super::UsageChange;
    use crate::format::{BlockBuilder, RecordInput};
    use crate::headers::Headers;

    fn block() -> Vec<u8> {
        let record = RecordInput {
            time: 1,
            subject: "s",
            id: None,
            headers: &Headers::new(),
            payload: &[7; 500],
        };
        let mut builder = BlockBuilder::new(5, 6, 1);
        builder.push(&record).unwrap();
        builder.encode()
    }

    #[test]
    fn a_grown_tail_in_its_page_changes_nothing() {
        let block = block();
        let mut change = UsageChange::default();
        change.free(&block);
        change.add(3_000);
        assert!(change.is_none());
        assert!(!change.is_unsure());
        change.add(5_000);
        assert_eq!(change.after(4_096), 4_096 + 8_192);
    }

    #[test]
    fn what_a_block_of_another_length_took_is_not_known() {
        let mut block = block();
        block.push(0);
        let mut change = UsageChange::default();
        change.free(&block);
        assert!(change.is_unsure());
    }
}
