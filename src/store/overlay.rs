//! `Overlay`: what is durable in the journal and not yet in redb, merged in memory.
//!
//! It holds results, as `Changes` does: for each row and block the newest value or that it is gone. A
//! reader looks here first, and in redb only for what is not decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::changes::{Change, Changes, RowKey, Table};
use crate::format::{Block, page_bytes};

/// What an overlay says of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing: what lies below has the word.
    Nothing,
    Gone,
    Value(Arc<[u8]>),
}

/// Keys that are gone, in a table of rows or of blocks.
#[derive(Debug, Default)]
struct Gone(Vec<RangeInclusive<u64>>);

impl Gone {
    fn add(&mut self, range: RangeInclusive<u64>) {
        // One that goes on where another ended, as freed blocks and forgotten ids do, joins it.
        let joined = self.0.iter_mut().find(|known| {
            *range.start() <= known.end().saturating_add(1)
                && *known.start() <= range.end().saturating_add(1)
        });
        match joined {
            Some(known) => {
                *known = *known.start().min(range.start())..=*known.end().max(range.end());
            }
            None => self.0.push(range),
        }
    }

    fn contains(&self, key: u64) -> bool {
        self.around(key).is_some()
    }

    /// The range that a key is in.
    fn around(&self, key: u64) -> Option<RangeInclusive<u64>> {
        self.0.iter().find(|range| range.contains(&key)).cloned()
    }
}

/// Changes of several groups as one.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    rows: BTreeMap<RowKey, Option<Arc<[u8]>>>,
    gone_rows: BTreeMap<(Table, u32), Gone>,
    blocks: BTreeMap<(u32, u64), Arc<[u8]>>,
    gone_blocks: BTreeMap<u32, Gone>,
    dropped: BTreeSet<u32>,
    block_bytes: u64,
}

impl Overlay {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.gone_rows.is_empty()
            && self.blocks.is_empty()
            && self.gone_blocks.is_empty()
            && self.dropped.is_empty()
    }

    /// Bytes of the pages that its blocks will take.
    pub(super) fn block_bytes(&self) -> u64 {
        self.block_bytes
    }

    /// Takes in what a group changed, after all that was taken in before.
    pub(super) fn absorb(&mut self, changes: &Changes) {
        for change in &changes.changes {
            self.take(change);
        }
    }

    pub(super) fn take(&mut self, change: &Change) {
        match change {
            Change::Put { key, value } => self.put_row(*key, Some(value.as_slice().into())),
            Change::Delete { key } => self.put_row(*key, None),
            Change::DeleteParts {
                table,
                id,
                from,
                to,
            } if from <= to => {
                let (low, high) = (
                    RowKey::new(*table, *id, *from),
                    RowKey::new(*table, *id, *to),
                );
                let covered: Vec<RowKey> =
                    self.rows.range(low..=high).map(|(key, _)| *key).collect();
                for key in covered {
                    self.rows.remove(&key);
                }
                self.gone_rows
                    .entry((*table, *id))
                    .or_default()
                    .add(*from..=*to);
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
            } => {
                self.block_bytes += page_bytes(bytes.len());
                let old = self
                    .blocks
                    .insert((*stream, *first_seq), bytes.as_slice().into());
                if let Some(old) = old {
                    self.block_bytes -= page_bytes(old.len());
                }
            }
            Change::DropBlocks { stream, from, to } if from <= to => {
                self.drop_blocks(*stream, *from, *to);
            }
            Change::DeleteParts { .. } | Change::DropBlocks { .. } => {}
            Change::Grow {
                stream,
                first_seq,
                added,
                whole: None,
            } => {
                // Whoever decodes supplies it. What was added is a block, too, and is never left out.
                debug_assert!(
                    false,
                    "block {first_seq} of stream {stream} lacks its whole"
                );
                if let Ok(block) = Block::open_any(added) {
                    self.blocks
                        .insert((*stream, block.first_seq()), added.as_slice().into());
                }
            }
            Change::DropStream { stream } => {
                self.drop_blocks(*stream, 0, u64::MAX);
                self.dropped.insert(*stream);
            }
        }
    }

    fn put_row(&mut self, key: RowKey, value: Option<Arc<[u8]>>) {
        self.rows.insert(key, value);
    }

    fn drop_blocks(&mut self, stream: u32, from: u64, to: u64) {
        let covered = self.blocks.range((stream, from)..=(stream, to));
        let covered: Vec<(u32, u64)> = covered.map(|(key, _)| *key).collect();
        for key in covered {
            if let Some(old) = self.blocks.remove(&key) {
                self.block_bytes -= page_bytes(old.len());
            }
        }
        self.gone_blocks.entry(stream).or_default().add(from..=to);
    }

    pub(super) fn row(&self, key: RowKey) -> Said {
        match self.rows.get(&key) {
            Some(Some(value)) => Said::Value(Arc::clone(value)),
            Some(None) => Said::Gone,
            None if self.is_row_gone(key) => Said::Gone,
            None => Said::Nothing,
        }
    }

    fn is_row_gone(&self, key: RowKey) -> bool {
        let gone = self.gone_rows.get(&(key.table, key.id));
        gone.is_some_and(|gone| gone.contains(key.part))
    }

    /// The keys of the rows of its own between two.
    pub(super) fn row_keys(&self, first: RowKey, last: RowKey) -> impl Iterator<Item = RowKey> {
        self.rows.range(first..=last).map(|(key, _)| *key)
    }

    /// What it says of the block that begins at a sequence.
    pub(super) fn block(&self, stream: u32, first_seq: u64) -> Said {
        match self.blocks.get(&(stream, first_seq)) {
            Some(bytes) => Said::Value(Arc::clone(bytes)),
            None if self.is_block_gone(stream, first_seq) => Said::Gone,
            None => Said::Nothing,
        }
    }

    fn is_block_gone(&self, stream: u32, first_seq: u64) -> bool {
        self.gone_around(stream, first_seq).is_some()
    }

    /// The blocks around one that is gone that are gone with it; its own later ones apart.
    pub(super) fn gone_around(&self, stream: u32, first_seq: u64) -> Option<RangeInclusive<u64>> {
        self.gone_blocks.get(&stream)?.around(first_seq)
    }

    /// Whether it says anything of a stream's blocks.
    pub(super) fn knows_blocks(&self, stream: u32) -> bool {
        let range = (stream, 0)..=(stream, u64::MAX);
        self.gone_blocks.contains_key(&stream) || self.blocks.range(range).next().is_some()
    }

    /// The first sequence of the block of its own that begins last up to a sequence.
    pub(super) fn last_start(&self, stream: u32, to: u64) -> Option<u64> {
        let mut blocks = self.blocks.range((stream, 0)..=(stream, to));
        blocks.next_back().map(|((_, first_seq), _)| *first_seq)
    }

    /// The first sequence of the block of its own that begins first from a sequence on.
    pub(super) fn first_start(&self, stream: u32, from: u64) -> Option<u64> {
        let mut blocks = self.blocks.range((stream, from)..=(stream, u64::MAX));
        blocks.next().map(|((_, first_seq), _)| *first_seq)
    }

    /// The same as changes, for redb: what is gone first, then what there is.
    pub(super) fn to_changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for ((table, id), gone) in &self.gone_rows {
            changes.extend(gone.0.iter().map(|range| Change::DeleteParts {
                table: *table,
                id: *id,
                from: *range.start(),
                to: *range.end(),
            }));
        }
        for (stream, gone) in &self.gone_blocks {
            changes.extend(gone.0.iter().map(|range| Change::DropBlocks {
                stream: *stream,
                from: *range.start(),
                to: *range.end(),
            }));
        }
        let dropped = self.dropped.iter();
        changes.extend(dropped.map(|stream| Change::DropStream { stream: *stream }));
        for (key, value) in &self.rows {
            changes.push(match value {
                Some(value) => Change::Put {
                    key: *key,
                    value: value.to_vec(),
                },
                None => Change::Delete { key: *key },
            });
        }
        for ((stream, first_seq), bytes) in &self.blocks {
            changes.push(Change::Block {
                stream: *stream,
                first_seq: *first_seq,
                bytes: bytes.to_vec(),
            });
        }
        changes
    }
}
