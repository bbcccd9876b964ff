//! `Removals`: what left, when and why, for as long as it is remembered.
//!
//! Sequences that leave one after another for the same reason are one range. Ranges are kept in rows of a few, so
//! that a commit rewrites the newest row and no other; beyond a bound the oldest row is forgotten.

use super::stored::Fact;
use crate::changes::{Change, RowKey, Table};
use crate::event::Removal;
use crate::format::rows::{Extent, RemovalRow, RemovalsRow, encode_row};
use std::collections::{BTreeMap, BTreeSet};

/// Ranges in a row.
const ROW_MAX: usize = 8;

/// Ranges remembered.
pub(crate) const RANGES_MAX: usize = 512;

/// How long (in microseconds) a range goes on, so that its times say something.
const SPAN_MAX: u64 = 600_000_000;

#[derive(Debug)]
pub(crate) struct Removals {
    /// Where the rows are.
    table: Table,
    rows: BTreeMap<u64, Vec<RemovalRow>>,
    /// The number of the row that ranges are added to, whether it is there or not.
    tail: u64,
    /// The highest sequence of a range that was forgotten, 0 for none.
    forgotten: u64,
    dirty: BTreeSet<u64>,
    /// The rows that were given out to be stored.
    stored: BTreeSet<u64>,
}

/// What is remembered, and up to where something is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) forgotten: u64,
    pub(crate) rows: BTreeMap<u64, Vec<RemovalRow>>,
}

/// What is remembered of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// It left with this range, which is in the row with this number.
    Left(RemovalRow, u64),
    /// It left with this range, or was gone before.
    LeftOrGone(RemovalRow, u64),
    /// It did not leave.
    Nothing,
    /// Nothing, but what may have been known of it is forgotten.
    Forgotten,
}

impl Removals {
    pub(crate) fn new(table: Table) -> Self {
        Self {
            table,
            rows: BTreeMap::new(),
            tail: 1,
            forgotten: 0,
            dirty: BTreeSet::new(),
            stored: BTreeSet::new(),
        }
    }

    /// Takes a stored row in. What comes is added to a row of its own.
    pub(crate) fn restore(&mut self, number: u64, row: RemovalsRow) {
        self.tail = self.tail.max(number.saturating_add(1));
        self.forgotten = self.forgotten.max(row.forgotten);
        self.rows.insert(number, row.ranges);
        self.stored.insert(number);
    }

    /// Notes messages that leave, in the order of sequences, whatever lies between them.
    pub(crate) fn note(&mut self, gone: &[Fact], by: Removal, now: u64) {
        self.note_seqs(gone.iter().map(|fact| fact.seq), by, now);
    }

    /// The same of their sequences.
    pub(crate) fn note_seqs(&mut self, seqs: impl IntoIterator<Item = u64>, by: Removal, now: u64) {
        let mut run: Option<(u64, u64)> = None;
        for seq in seqs {
            run = match run {
                Some((first, last)) if last + 1 == seq => Some((first, seq)),
                done => {
                    if let Some((first, last)) = done {
                        self.add(range(first, last, by, Extent::All, now));
                    }
                    Some((seq, seq))
                }
            };
        }
        if let Some((first, last)) = run {
            self.add(range(first, last, by, Extent::All, now));
        }
    }

    /// Notes that all leaves that is left from one sequence to another; what is below left before.
    pub(crate) fn note_head(&mut self, first: u64, last: u64, by: Removal, now: u64) {
        let tail = self.rows.entry(self.tail).or_default();
        let rests = tail.iter_mut().filter(|known| known.extent == Extent::Rest);
        // Between the two nothing but single messages left, and those are noted by themselves.
        if let Some(known) = rests.max_by_key(|known| known.last)
            && known.last < first
            && goes_on(known, by, now)
        {
            (known.last, known.until) = (last, now);
            self.dirty.insert(self.tail);
            return;
        }
        self.note_rest(first, last, by, now);
    }

    /// Notes that something leaves from one sequence to another, if it did not leave before; which of them is not
    /// known.
    pub(crate) fn note_rest(&mut self, first: u64, last: u64, by: Removal, now: u64) {
        self.add(range(first, last, by, Extent::Rest, now));
    }

    /// From now on ranges are added to a new row; returns its number. What leaves from now on is in it or in
    /// one that follows, and what left before is not.
    pub(crate) fn mark(&mut self) -> u64 {
        if self.rows.get(&self.tail).is_some_and(|row| !row.is_empty()) {
            self.tail += 1;
        }
        self.tail
    }

    fn add(&mut self, new: RemovalRow) {
        let full = |row: &Vec<RemovalRow>| row.len() >= ROW_MAX;
        if !self.extend(new) {
            if self.rows.get(&self.tail).is_some_and(full) {
                self.tail += 1;
            }
            self.rows.entry(self.tail).or_default().push(new);
        }
        self.dirty.insert(self.tail);
        while self.rows.values().map(Vec::len).sum::<usize>() > RANGES_MAX {
            let Some((number, row)) = self.rows.pop_first() else {
                break;
            };
            let highest = row.iter().map(|known| known.last).max();
            self.forgotten = self.forgotten.max(highest.unwrap_or_default());
            // One that came and went in the same group was never stored.
            if self.stored.contains(&number) {
                self.dirty.insert(number);
            } else {
                self.dirty.remove(&number);
            }
        }
    }

    /// Lets a range of the newest row go on with one that borders on it, and joins it with the next.
    fn extend(&mut self, new: RemovalRow) -> bool {
        let Some(tail) = self.rows.get_mut(&self.tail) else {
            return false;
        };
        let borders = |known: &RemovalRow, first: u64, last: u64| {
            known.last.checked_add(1) == Some(first) || last.checked_add(1) == Some(known.first)
        };
        let joins = |known: &RemovalRow, new: &RemovalRow| {
            known.extent == new.extent
                && borders(known, new.first, new.last)
                && goes_on(known, new.by, new.until)
        };
        let Some(at) = tail.iter().position(|known| joins(known, &new)) else {
            return false;
        };
        let mut joined = tail.swap_remove(at).with(&new);
        if let Some(at) = tail.iter().position(|known| joins(known, &joined)) {
            joined = tail.swap_remove(at).with(&joined);
        }
        tail.push(joined);
        true
    }

    /// What is remembered of a sequence.
    pub(crate) fn find(&self, seq: u64) -> Remembered {
        let rows = self.rows.iter();
        let all = rows.flat_map(|(number, row)| row.iter().map(move |known| (known, *number)));
        let mut found = all.filter(|(known, _)| (known.first..=known.last).contains(&seq));
        let all = found.clone().find(|(known, _)| known.extent == Extent::All);
        match all.or_else(|| found.next()) {
            Some((known, row)) if known.extent == Extent::All || seq > self.forgotten => {
                Remembered::Left(*known, row)
            }
            Some((known, row)) => Remembered::LeftOrGone(*known, row),
            None if seq <= self.forgotten => Remembered::Forgotten,
            None => Remembered::Nothing,
        }
    }

    /// All of it, as it is stored.
    pub(crate) fn memory(&self) -> Memory {
        let rows = self.rows.iter().filter(|(_, row)| !row.is_empty());
        Memory {
            forgotten: self.forgotten,
            rows: rows.map(|(number, row)| (*number, row.clone())).collect(),
        }
    }

    /// Whether ranges of single messages are apart from each other, and nothing is in them that is still there.
    pub(crate) fn adds_up(&self, last: u64, there: impl Fn(u64, u64) -> bool) -> bool {
        let ranges = || self.rows.values().flatten();
        let mut single: Vec<(u64, u64)> = ranges()
            .filter(|known| known.extent == Extent::All)
            .map(|known| (known.first, known.last))
            .collect();
        single.sort_unstable();
        let apart = |pair: &[(u64, u64)]| matches!(pair, [(_, end), (start, _)] if end < start);
        single.windows(2).all(apart)
            && ranges().all(|known| {
                let orderly = known.first <= known.last && known.last <= last;
                orderly && known.since <= known.until && !there(known.first, known.last)
            })
    }

    /// The rows that changed since the last call.
    pub(crate) fn take_changes(&mut self, id: u32, changes: &mut Vec<Change>) {
        for number in std::mem::take(&mut self.dirty) {
            let key = RowKey::new(self.table, id, number);
            changes.push(if let Some(ranges) = self.rows.get(&number) {
                let row = RemovalsRow {
                    forgotten: self.forgotten,
                    ranges: ranges.clone(),
                };
                let value = encode_row(&row);
                self.stored.insert(number);
                Change::Put { key, value }
            } else {
                self.stored.remove(&number);
                Change::Delete { key }
            });
        }
    }
}

fn range(first: u64, last: u64, by: Removal, extent: Extent, now: u64) -> RemovalRow {
    RemovalRow {
        first,
        last,
        by,
        extent,
        since: now,
        until: now,
    }
}

/// Whether what leaves now, for this reason, is in a range's time.
fn goes_on(known: &RemovalRow, by: Removal, now: u64) -> bool {
    known.by == by && now.saturating_sub(known.since) <= SPAN_MAX
}

impl RemovalRow {
    /// Both.
    fn with(&self, other: &Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            since: self.since.min(other.since),
            until: self.until.max(other.until),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, RANGES_MAX, ROW_MAX, Remembered, Removals, SPAN_MAX, range};
    use crate::changes::{Change, Table};
    use crate::event::Removal;
    use crate::format::rows::{RemovalsRow, decode_row};

    const BY: Removal = Removal::Delete;

    fn log() -> Removals {
        Removals::new(Table::Removals)
    }

    /// The log as its rows say.
    fn restored(log: &mut Removals, rows: &mut Vec<(u64, RemovalsRow)>) -> Removals {
        let mut changes = Vec::new();
        log.take_changes(7, &mut changes);
        for change in changes {
            match change {
                Change::Put { key, value } => {
                    rows.retain(|(number, _)| *number != key.part);
                    rows.push((key.part, decode_row(&value).unwrap()));
                }
                Change::Delete { key } => rows.retain(|(number, _)| *number != key.part),
                other => panic!("{other:?}"),
            }
        }
        let mut restored = Removals::new(Table::Removals);
        for (number, row) in rows.iter() {
            restored.restore(*number, row.clone());
        }
        restored
    }

    #[test]
    fn neighbours_are_one_range_in_whatever_order_they_leave() {
        let mut log = log();
        for seq in [4, 2, 1, 3, 9] {
            log.note_seqs([seq], BY, seq);
        }
        let ranges: Vec<_> = log.memory().rows.into_values().flatten().collect();
        assert_eq!(ranges.len(), 2);
        let Remembered::Left(found, _) = log.find(3) else {
            panic!("{:?}", log.find(3))
        };
        assert_eq!(
            (found.first, found.last, found.since, found.until),
            (1, 4, 1, 4)
        );
        assert_eq!(log.find(5), Remembered::Nothing);
        // Another reason, or much later, is another range.
        log.note_seqs([5], Removal::Rollup, 9);
        log.note_seqs([10], BY, 10 + SPAN_MAX);
        assert_eq!(log.memory().rows.into_values().flatten().count(), 4);
        assert!(log.adds_up(10, |_, _| false));
        assert!(!log.adds_up(9, |_, _| false));
    }

    #[test]
    fn what_single_messages_left_by_goes_before_what_took_the_rest() {
        let mut log = log();
        log.note_head(1, 5, Removal::MaxAge, 1);
        log.note_seqs([7], BY, 2);
        log.note_head(6, 9, Removal::MaxAge, 3);
        let found = range(7, 7, BY, Extent::All, 2);
        assert_eq!(log.find(7), Remembered::Left(found, 1));
        let mut rest = range(1, 9, Removal::MaxAge, Extent::Rest, 1);
        rest.until = 3;
        assert_eq!(log.find(8), Remembered::Left(rest, 1));
    }

    #[test]
    fn a_mark_tells_what_left_before_from_what_leaves_after() {
        let mut log = log();
        assert_eq!(log.mark(), 1);
        log.note_seqs([1], BY, 1);
        let mark = log.mark();
        assert_eq!(log.mark(), mark);
        log.note_seqs([2], BY, 1);
        assert!(matches!(log.find(1), Remembered::Left(_, row) if row < mark));
        assert!(matches!(log.find(2), Remembered::Left(_, row) if row == mark));
        assert_eq!(restored(&mut log, &mut Vec::new()).mark(), mark + 1);
    }

    #[test]
    fn the_oldest_is_forgotten_and_that_is_known_also_of_what_is_restored() {
        let (mut log, mut rows) = (log(), Vec::new());
        let most = 3 * RANGES_MAX as u64;
        for seq in 1..=most {
            log.note_seqs([2 * seq], BY, seq);
            if seq % 100 == 0 {
                restored(&mut log, &mut rows);
            }
        }
        let mut unseen = self::log();
        unseen.note_seqs((1..=most).map(|seq| 2 * seq), BY, 1);
        let mut changes = Vec::new();
        unseen.take_changes(7, &mut changes);
        assert_eq!(
            changes.len(),
            RANGES_MAX / ROW_MAX,
            "only rows that are kept"
        );
        log.note_head(1, 2 * most + 1, Removal::Purge, most);
        for log in [restored(&mut log, &mut rows), log] {
            let kept: usize = log.memory().rows.values().map(Vec::len).sum();
            assert!(kept > RANGES_MAX - ROW_MAX && kept <= RANGES_MAX, "{kept}");
            assert!(matches!(log.find(2), Remembered::LeftOrGone(..)));
            assert!(matches!(log.find(2 * most), Remembered::Left(found, _) if found.by == BY));
            let rest = log.find(2 * most - 1);
            assert!(matches!(rest, Remembered::Left(found, _) if found.by == Removal::Purge));
        }
    }
}
