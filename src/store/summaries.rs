//! The summaries of blocks in rows of their own: passing over blocks without reading them.
//!
//! A row is written, and goes, in the transaction that writes its block or drops it. Nothing depends on one being
//! there: what no row speaks of, and what a damaged one said, is asked of the block.

use std::collections::BTreeSet;

use redb::ReadOnlyTable;

use super::error::StoreError;
use super::reader::{Reader, present};
use super::tables::{self, RowTableKey};
use crate::format::checksum::{seal, unseal};
use crate::format::{Block, SummaryRow};

/// The sealed row of a block that was put at this place, if it is to have one.
pub(super) fn row(store: u64, stream: u32, first_seq: u64, block: &[u8]) -> Option<Vec<u8>> {
    let row = SummaryRow::encode(block, stream, first_seq)?;
    Some(seal(store, &tables::summary_place(stream, first_seq), row))
}

#[cfg(test)]
impl super::Store {
    /// Has redb say something else of a block, or nothing, under a good checksum.
    pub(crate) fn tamper_summary(&self, stream: u32, first_seq: u64, row: Option<Vec<u8>>) {
        let place = tables::summary_place(stream, first_seq);
        let sealed = row.map(|row| seal(self.id(), &place, row));
        let tampered = self.with(|opened| {
            let txn = opened.database.begin_write()?;
            let mut table = txn.open_table(tables::SUMMARIES)?;
            match &sealed {
                Some(sealed) => drop(table.insert((stream, first_seq), sealed.as_slice())?),
                None => drop(table.remove((stream, first_seq))?),
            }
            drop(table);
            Ok(txn.commit()?)
        });
        assert!(tampered.is_ok(), "{tampered:?}");
    }
}

impl Reader {
    /// Passes over blocks that have nothing but subjects that are not wanted, from a sequence on; the answer is
    /// the first sequence whose block must be read. `budget` is how many blocks may be passed over.
    pub(crate) fn pass_over(
        &self,
        stream: u32,
        from: u64,
        budget: &mut usize,
        wants: impl Fn(&str) -> bool,
    ) -> Result<u64, StoreError> {
        let Some(table) = self.summaries()? else {
            return Ok(from);
        };
        let covering = table.range((stream, 0)..=(stream, from))?.next_back();
        let Some((first, _)) = covering.transpose()? else {
            return Ok(from);
        };
        let mut next = from;
        for entry in table.range(first.value()..=(stream, u64::MAX))? {
            let (key, sealed) = entry?;
            let (_, first_seq) = key.value();
            let Some(row) = self.summary(stream, first_seq, sealed.value()) else {
                break;
            };
            // Rows without a gap between them have all the messages; any other block may have what is wanted.
            let covers = first_seq <= next && next <= row.last_seq();
            if !covers || *budget == 0 || row.subjects().any(&wants) {
                break;
            }
            *budget -= 1;
            next = row.last_seq().saturating_add(1);
        }
        Ok(next)
    }

    /// What is wrong with the row of this block, which was verified; the table says it for people.
    pub(crate) fn wrong_summary(&self, block: &Block<'_>) -> Result<Option<String>, StoreError> {
        let Some(table) = self.summaries()? else {
            return Ok(None);
        };
        let (stream, first_seq) = (block.stream(), block.first_seq());
        let Some(sealed) = table.get((stream, first_seq))? else {
            return Ok(None);
        };
        let name = tables::summary_name(stream, first_seq);
        let place = tables::summary_place(stream, first_seq);
        let Some(row) = unseal(self.store_id(), &place, sealed.value()) else {
            return Ok(Some(format!(
                "{name} is damaged; its block is read instead"
            )));
        };
        let right = SummaryRow::encode_of(block).is_some_and(|right| right == row);
        Ok((!right).then(|| format!("{name} does not say what its block has")))
    }

    /// The summaries of blocks that are not there; `seen` are known to be.
    pub(crate) fn lone_summaries(
        &self,
        seen: &BTreeSet<(u32, u64)>,
    ) -> Result<Vec<String>, StoreError> {
        let Some(table) = self.summaries()? else {
            return Ok(Vec::new());
        };
        let mut lone = Vec::new();
        for entry in table.range((0, 0)..=(u32::MAX, u64::MAX))? {
            let (stream, first_seq) = entry?.0.value();
            if !seen.contains(&(stream, first_seq)) && !self.has_block(stream, first_seq)? {
                let name = tables::summary_name(stream, first_seq);
                lone.push(format!("{name} is of no block"));
            }
        }
        Ok(lone)
    }

    #[cfg(test)]
    /// The places of all summaries.
    pub(crate) fn summary_places(&self) -> Result<Vec<(u32, u64)>, StoreError> {
        let Some(table) = self.summaries()? else {
            return Ok(Vec::new());
        };
        let all = table.range((0, 0)..=(u32::MAX, u64::MAX))?;
        all.map(|entry| Ok(entry?.0.value())).collect()
    }

    fn summary<'a>(&self, stream: u32, first_seq: u64, sealed: &'a [u8]) -> Option<SummaryRow<'a>> {
        let place = tables::summary_place(stream, first_seq);
        SummaryRow::decode(unseal(self.store_id(), &place, sealed)?, first_seq)
    }

    /// A store that has had no block of some size has none.
    fn summaries(&self) -> Result<Option<ReadOnlyTable<RowTableKey, &'static [u8]>>, StoreError> {
        present(self.txn().open_table(tables::SUMMARIES))
    }
}
