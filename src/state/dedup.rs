//! The message ids that a stream remembers (G8, R22).
//!
//! Ids are 128-bit keyed hashes, appended to the store a row a group and dropped by whole rows when
//! the window has passed. In memory they are a map, bounded by the stream's `dedup_ids`.

mod release;

use crate::changes::{Change, RowKey, Table};
use crate::format::rows::{DedupId, DedupRow, encode_row};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hasher;

/// Ids in one row: a group of ever so many makes several, so that no row grows without bound.
const IDS_PER_ROW: usize = 65_536;

/// The same where ids are released one by one, each of which writes its row anew.
const IDS_PER_SMALL_ROW: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Dedup {
    /// By hash: the message's sequence and when the id was remembered.
    ids: HashMap<u128, (u64, u64)>,
    /// Rows by number, and so by age, with their ids in the order of their times.
    rows: BTreeMap<u64, VecDeque<DedupId>>,
    /// The newest ids of the open group, which become the next row.
    fresh: VecDeque<DedupId>,
    next_row: u64,
    dropped_to: Option<u64>,
    /// Rows to be written, or deleted when they are gone.
    dirty: BTreeSet<u64>,
    /// Where ids are released: by what has an id, the number of the row that says so.
    places: Option<BTreeMap<u64, u64>>,
}

/// The keyed hash of a message id (SipHash-1-3 with 128 bits of output), so that no publisher can
/// choose ids that collide.
pub(crate) fn hash_id(secret: [u8; 16], id: &str) -> u128 {
    let mut hasher = SipHasher13::new_with_key(&secret);
    hasher.write(id.as_bytes());
    hasher.finish128().as_u128()
}

impl Dedup {
    pub(crate) fn len(&self) -> u64 {
        self.ids.len() as u64
    }

    /// The sequence of the message that has this id, if it was remembered after `oldest`.
    pub(crate) fn find(&self, hash: u128, oldest: u64) -> Option<u64> {
        self.ids
            .get(&hash)
            .filter(|(_, time)| *time > oldest)
            .map(|(seq, _)| *seq)
    }

    /// Whether rows are to be deleted from the store.
    pub(crate) fn drops_rows(&self) -> bool {
        self.dropped_to.is_some()
    }

    pub(crate) fn next_row(&self) -> u64 {
        self.next_row
    }

    pub(crate) fn remember(&mut self, hash: u128, seq: u64, time: u64) {
        // An id that is past its window but not yet forgotten is simply replaced.
        if let Some((before, _)) = self.ids.insert(hash, (seq, time)) {
            self.take_entry(before);
        }
        self.push(DedupId { hash, seq, time });
    }

    /// Remembers an id anew that is known, if that was before `before`; says whether it did.
    pub(crate) fn renew(&mut self, hash: u128, before: u64, time: u64) -> bool {
        let known = self.ids.get_mut(&hash).filter(|(_, at)| *at <= before);
        let Some((seq, at)) = known else {
            return false;
        };
        *at = time;
        let seq = *seq;
        self.take_entry(seq);
        self.push(DedupId { hash, seq, time });
        true
    }

    /// The time of the oldest id remembered.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let stored = self.rows.values().find_map(VecDeque::front);
        stored.or(self.fresh.front()).map(|id| id.time)
    }

    /// Forgets at most `limit` ids from `until` and before, and says whether more are left to forget.
    pub(crate) fn forget(&mut self, until: u64, limit: usize) -> bool {
        for _ in 0..limit {
            let Some(mut oldest) = self.rows.first_entry() else {
                return self.forget_fresh(until);
            };
            match oldest.get().front().copied() {
                Some(id) if id.time <= until => {
                    oldest.get_mut().pop_front();
                    self.forget_one(&id);
                }
                Some(_) => return false,
                None => {
                    self.dropped_to = Some(*oldest.key());
                    self.dirty.remove(oldest.key());
                    oldest.remove();
                }
            }
        }
        true
    }

    /// Forgets everything from `until` and before so that no longer window brings it back, not even
    /// after the store is opened again.
    pub(crate) fn forget_for_good(&mut self, until: u64) {
        self.forget(until, usize::MAX);
        // Ids are in the order of their times: only the oldest row can be forgotten in part.
        self.dirty.extend(self.rows.keys().next());
    }

    fn forget_fresh(&mut self, until: u64) -> bool {
        while let Some(id) = self.fresh.front().copied().filter(|id| id.time <= until) {
            self.fresh.pop_front();
            self.forget_one(&id);
        }
        false
    }

    /// Forgets an id unless it was remembered again since.
    fn forget_one(&mut self, id: &DedupId) {
        if self.ids.get(&id.hash) == Some(&(id.seq, id.time)) {
            self.ids.remove(&id.hash);
            self.places.as_mut().map(|places| places.remove(&id.seq));
        }
    }

    fn push(&mut self, id: DedupId) {
        self.fresh.push_back(id);
        let most = match &mut self.places {
            Some(places) => {
                places.insert(id.seq, self.next_row);
                IDS_PER_SMALL_ROW
            }
            None => IDS_PER_ROW,
        };
        if self.fresh.len() >= most {
            self.end_row();
        }
    }

    /// What is remembered from now on goes to another row.
    fn end_row(&mut self) {
        if !self.fresh.is_empty() {
            let mut row = std::mem::take(&mut self.fresh);
            row.shrink_to_fit();
            self.rows.insert(self.next_row, row);
            self.dirty.insert(self.next_row);
            self.next_row += 1;
        }
    }

    /// The rows that changed since the last call.
    pub(crate) fn take_changes(&mut self, stream: u32, changes: &mut Vec<Change>) {
        self.end_row();
        if let Some(to) = self.dropped_to.take() {
            changes.push(Change::DeleteParts {
                table: Table::Dedup,
                id: stream,
                from: 0,
                to,
            });
        }
        for number in std::mem::take(&mut self.dirty) {
            let key = RowKey::new(Table::Dedup, stream, number);
            let row = self.rows.get(&number).filter(|ids| !ids.is_empty());
            changes.push(match row.map(|ids| ids.iter().copied().collect()) {
                Some(ids) => Change::Put {
                    key,
                    value: encode_row(&DedupRow { ids }),
                },
                None => Change::Delete { key },
            });
        }
    }

    /// Takes a stored row in; rows come in the order of their numbers.
    pub(crate) fn restore(&mut self, number: u64, row: DedupRow) {
        self.ids.reserve(row.ids.len());
        for id in &row.ids {
            let before = self.ids.insert(id.hash, (id.seq, id.time));
            if let Some(places) = &mut self.places {
                // What is there twice was past its window when it was remembered again.
                before.map(|(seq, _)| places.remove(&seq));
                places.insert(id.seq, number);
            }
        }
        self.rows.insert(number, row.ids.into());
    }

    pub(crate) fn restore_next(&mut self, next: u64) {
        self.next_row = next;
    }

    /// The rows as they are, or are to be, without what is forgotten already; those up to the second are to go.
    pub(crate) fn memory(&self) -> (BTreeMap<u64, Vec<DedupId>>, Option<u64>) {
        let copy = |(number, ids): (&u64, &VecDeque<DedupId>)| {
            let ids = ids.iter().copied();
            (*number, ids.collect())
        };
        (self.rows.iter().map(copy).collect(), self.dropped_to)
    }

    /// Whether every id is said by the last of its entries, and that is found by what has the id.
    pub(crate) fn adds_up(&self) -> bool {
        let entries = self.rows.values().flatten().chain(&self.fresh);
        let ids: HashMap<_, _> = entries.map(|id| (id.hash, (id.seq, id.time))).collect();
        let last = self.rows.keys().next_back();
        ids == self.ids && last.is_none_or(|last| *last < self.next_row) && self.places_add_up()
    }
}

#[cfg(test)]
mod tests;
