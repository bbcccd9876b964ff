//! What a consumer knows of delivered messages beyond "in flight, first attempt".
//!
//! A message that was delivered once and is out with a worker needs no entry: it is a member of the
//! pending set and nothing more. Entries are stored in chunks of 256 sequences, so that one message
//! that changes does not rewrite the others'.

use crate::changes::{Change, RowKey, Table};
use crate::format::rows::{EntriesRow, EntryRow, Place, encode_row};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

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
    counts: Counts,
}

/// What infos say of all entries, counted as they change: there may be a million, and whoever asks holds the lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Delivered more than once.
    pub(crate) redelivered: u64,
    /// To be delivered alone.
    pub(crate) suspects: u64,
}

impl Counts {
    fn of(entry: &EntryRow) -> Self {
        Self {
            redelivered: u64::from(entry.attempts > 1),
            suspects: u64::from(entry.crashes >= 2),
        }
    }

    fn replace(&mut self, before: Self, after: Self) {
        self.redelivered = self.redelivered + after.redelivered - before.redelivered;
        self.suspects = self.suspects + after.suspects - before.suspects;
    }
}

/// An entry that is being changed; it is counted when that is over.
#[derive(Debug)]
pub(crate) struct Changed<'a> {
    entry: &'a mut EntryRow,
    counts: &'a mut Counts,
    before: Counts,
}

impl Deref for Changed<'_> {
    type Target = EntryRow;

    fn deref(&self) -> &EntryRow {
        self.entry
    }
}

impl DerefMut for Changed<'_> {
    fn deref_mut(&mut self) -> &mut EntryRow {
        self.entry
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        self.counts.replace(self.before, Counts::of(self.entry));
    }
}

impl Entries {
    /// The entry, or what a message without one is.
    pub(crate) fn get(&self, seq: u64) -> &EntryRow {
        self.by_seq.get(&seq).unwrap_or(&FIRST)
    }

    /// The entry to change, made when there is none.
    pub(crate) fn change(&mut self, seq: u64) -> Changed<'_> {
        self.dirty.insert(seq >> CHUNK_SHIFT);
        let entry = self.by_seq.entry(seq).or_insert(FIRST);
        Changed {
            before: Counts::of(entry),
            entry,
            counts: &mut self.counts,
        }
    }

    pub(crate) const fn counts(&self) -> Counts {
        self.counts
    }

    /// A delayed message whose time has come is due. The stored entry says the same by its time, so
    /// there is nothing to write.
    pub(crate) fn set_due_quietly(&mut self, seq: u64) {
        self.by_seq.entry(seq).or_insert(FIRST).place = Place::Due;
    }

    /// The same, counted anew.
    pub(super) fn count(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in self.by_seq.values() {
            counts.replace(Counts::default(), Counts::of(entry));
        }
        counts
    }

    pub(crate) fn remove(&mut self, seq: u64) {
        if let Some(entry) = self.by_seq.remove(&seq) {
            self.counts.replace(Counts::of(&entry), Counts::default());
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
        for (seq, entry) in row.entries {
            let after = Counts::of(&entry);
            let before = self.by_seq.insert(seq, entry);
            let before = before.as_ref().map(Counts::of).unwrap_or_default();
            self.counts.replace(before, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Entries};
    use crate::format::rows::{EntriesRow, Place};

    #[test]
    fn what_is_counted_is_what_there_is() {
        let mut entries = Entries::default();
        let counts = |redelivered, suspects| Counts {
            redelivered,
            suspects,
        };
        entries.change(1).attempts += 1;
        entries.change(1).attempts += 1;
        entries.change(2).place = Place::Due;
        entries.change(3).crashes = 2;
        assert_eq!(entries.counts(), counts(1, 1));
        let all = entries.iter().map(|(seq, entry)| (seq, entry.clone()));
        let row = EntriesRow {
            entries: all.collect(),
        };
        let mut restored = Entries::default();
        restored.restore(row.clone());
        restored.restore(row);
        assert_eq!(restored.counts(), counts(1, 1));
        entries.remove(1);
        entries.remove(9);
        entries.set_due_quietly(4);
        assert_eq!(entries.counts(), counts(0, 1));
        entries.change(3).crashes = 0;
        assert_eq!(entries.counts(), counts(0, 0));
    }
}
