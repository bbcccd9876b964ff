//! `Expiries`: when the messages expire that have a time to live of their own.
//!
//! They are stored in rows of 256 neighbours by sequence, and leave them with their messages, so that
//! opening a store looks at no block for them.

use crate::changes::{Change, RowKey, Table};
use crate::format::rows::{ExpiriesRow, encode_row};
use std::collections::{BTreeMap, BTreeSet};

/// Sequences in a row, as a shift.
const CHUNK_SHIFT: u32 = 8;

#[derive(Debug, Default)]
pub(crate) struct Expiries {
    by_seq: BTreeMap<u64, u64>,
    by_time: BTreeSet<(u64, u64)>,
    /// Those of them that are delete markers.
    markers: BTreeSet<u64>,
    dirty: BTreeSet<u64>,
}

impl Expiries {
    pub(crate) fn len(&self) -> u64 {
        self.by_seq.len() as u64
    }

    /// When the next message expires.
    pub(crate) fn next(&self) -> Option<u64> {
        self.by_time.first().map(|(time, _)| *time)
    }

    /// The messages that expire up to a time, the earliest first.
    pub(crate) fn until(&self, time: u64) -> impl Iterator<Item = u64> {
        self.by_time.range(..=(time, u64::MAX)).map(|(_, seq)| *seq)
    }

    /// Sequences with their times, and whether they are markers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, (u64, bool))> {
        let marked = |seq| self.markers.contains(seq);
        let all = self.by_seq.iter();
        all.map(move |(seq, time)| (*seq, (*time, marked(seq))))
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        self.by_seq.contains_key(&seq)
    }

    pub(crate) fn set(&mut self, seq: u64, time: u64) {
        self.dirty.insert(seq >> CHUNK_SHIFT);
        self.by_seq.insert(seq, time);
        self.by_time.insert((time, seq));
    }

    /// A message that was set is a delete marker.
    pub(crate) fn mark(&mut self, seq: u64) {
        self.dirty.insert(seq >> CHUNK_SHIFT);
        self.markers.insert(seq);
    }

    pub(crate) fn is_marker(&self, seq: u64) -> bool {
        self.markers.contains(&seq)
    }

    pub(crate) fn markers(&self) -> u64 {
        self.markers.len() as u64
    }

    /// A message left the stream.
    pub(crate) fn remove(&mut self, seq: u64) {
        if let Some(time) = self.by_seq.remove(&seq) {
            self.dirty.insert(seq >> CHUNK_SHIFT);
            self.by_time.remove(&(time, seq));
            self.markers.remove(&seq);
        }
    }

    /// All of them left.
    pub(crate) fn clear(&mut self) {
        let chunks = self.by_seq.keys().map(|seq| seq >> CHUNK_SHIFT);
        self.dirty.extend(chunks);
        self.by_seq.clear();
        self.by_time.clear();
        self.markers.clear();
    }

    /// Whether both orders hold the same.
    pub(crate) fn adds_up(&self) -> bool {
        let known = |(time, seq): &(u64, u64)| self.by_seq.get(seq) == Some(time);
        let mut markers = self.markers.iter();
        self.by_time.len() == self.by_seq.len()
            && self.by_time.iter().all(known)
            && markers.all(|seq| self.by_seq.contains_key(seq))
    }

    /// The rows that changed since the last call.
    pub(crate) fn take_changes(&mut self, stream: u32, changes: &mut Vec<Change>) {
        for chunk in std::mem::take(&mut self.dirty) {
            let key = RowKey::new(Table::Expiries, stream, chunk);
            let first = chunk << CHUNK_SHIFT;
            let seqs = first..=first | ((1 << CHUNK_SHIFT) - 1);
            let markers: Vec<u64> = self.markers.range(seqs.clone()).copied().collect();
            let entries = self.by_seq.range(seqs).map(|(seq, time)| (*seq, *time));
            let entries: Vec<_> = entries.collect();
            changes.push(if entries.is_empty() {
                Change::Delete { key }
            } else {
                let value = encode_row(&ExpiriesRow { entries, markers });
                Change::Put { key, value }
            });
        }
    }

    /// Takes a stored row in.
    pub(crate) fn restore(&mut self, row: ExpiriesRow) {
        for (seq, time) in row.entries {
            self.by_seq.insert(seq, time);
            self.by_time.insert((time, seq));
        }
        self.markers.extend(row.markers);
    }
}
