//! What a consumer knows of delivered messages beyond "in flight, first attempt".
//!
//! A message that was delivered once and is out with a worker needs no entry: it is a member of the
//! pending set and nothing more. Entries are stored in chunks of 256 sequences, so that one message
//! that changes does not rewrite the others'.

use crate::changes::{Change, RowKey, Table};
use crate::format::rows::{EntriesRow, EntryRow, Place, encode_row};
use std::collections::{BTreeMap, BTreeSet};

/// Sequences in a chunk, as a shift.
const CHUNK_SHIFT: u32 = 8;

/// A message that was just delivered for the first time.
pub(crate) const FIRST: EntryRow = EntryRow {
    place: Place::InFlight,
    attempts: 1,
    failures: 0,
    crashes: 0,
};

/// A message that is due and was not delivered yet, or whose deliveries are counted anew.
pub(crate) const UNDELIVERED: EntryRow = EntryRow {
    place: Place::Due,
    attempts: 0,
    failures: 0,
    crashes: 0,
};

#[derive(Debug, Default)]
pub(crate) struct Entries {
    by_seq: BTreeMap<u64, EntryRow>,
    dirty: BTreeSet<u64>,
}

impl Entries {
    /// The entry, or what a message without one is.
    pub(crate) fn get(&self, seq: u64) -> &EntryRow {
        self.by_seq.get(&seq).unwrap_or(&FIRST)
    }

    /// The entry to change, made when there is none.
    pub(crate) fn change(&mut self, seq: u64) -> &mut EntryRow {
        self.dirty.insert(seq >> CHUNK_SHIFT);
        self.by_seq.entry(seq).or_insert(FIRST)
    }

    /// A delayed message whose time has come is due. The stored entry says the same by its time, so
    /// there is nothing to write.
    pub(crate) fn set_due_quietly(&mut self, seq: u64) {
        self.by_seq.entry(seq).or_insert(FIRST).place = Place::Due;
    }

    pub(crate) fn remove(&mut self, seq: u64) {
        if self.by_seq.remove(&seq).is_some() {
            self.dirty.insert(seq >> CHUNK_SHIFT);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &EntryRow)> {
        self.by_seq.iter().map(|(seq, entry)| (*seq, entry))
    }

    /// The rows that changed since the last call.
    pub(crate) fn take_changes(&mut self, consumer: u32, changes: &mut Vec<Change>) {
        for chunk in std::mem::take(&mut self.dirty) {
            let key = RowKey::new(Table::Exceptions, consumer, chunk);
            let first = chunk << CHUNK_SHIFT;
            let seqs = first..=first | ((1 << CHUNK_SHIFT) - 1);
            let entries = self
                .by_seq
                .range(seqs)
                .map(|(seq, entry)| (*seq, entry.clone()));
            let row = EntriesRow {
                entries: entries.collect(),
            };
            changes.push(if row.entries.is_empty() {
                Change::Delete { key }
            } else {
                Change::Put {
                    key,
                    value: encode_row(&row),
                }
            });
        }
    }

    /// Takes a stored row in.
    pub(crate) fn restore(&mut self, row: EntriesRow) {
        self.by_seq.extend(row.entries);
    }
}
