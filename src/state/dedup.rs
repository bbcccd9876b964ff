//! The message ids that a stream remembers (G8, R22).
//!
//! Ids are 128-bit keyed hashes, appended to the store a row a group and dropped by whole rows when
//! the window has passed. In memory they are a map, bounded by the stream's `dedup_ids`.

use crate::changes::{Change, RowKey, Table};
use crate::format::rows::{DedupId, DedupRow, encode_row};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;

/// Ids in one row: a group of ever so many makes several, so that no row grows without bound.
const IDS_PER_ROW: usize = 65_536;

#[derive(Debug, Default)]
pub(crate) struct Dedup {
    /// By hash: the message's sequence and when the id was remembered.
    ids: HashMap<u128, (u64, u64)>,
    /// Rows by age; the first is the oldest.
    rows: VecDeque<Row>,
    /// Ids of the open group, not yet in a row.
    fresh: Vec<DedupId>,
    next_row: u64,
    dropped_to: Option<u64>,
    /// The oldest row holds ids that are forgotten for good, and is to be written without them.
    rewrites_oldest: bool,
}

/// A stored row: its number, the newest time in it, and its ids with their own times.
#[derive(Debug)]
struct Row {
    number: u64,
    ids: VecDeque<DedupId>,
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
        self.ids.insert(hash, (seq, time));
        self.fresh.push(DedupId { hash, seq, time });
    }

    /// Remembers an id anew that is known, if that was before `before`; says whether it did.
    pub(crate) fn renew(&mut self, hash: u128, before: u64, time: u64) -> bool {
        let known = self.ids.get_mut(&hash).filter(|(_, at)| *at <= before);
        let Some((seq, at)) = known else {
            return false;
        };
        *at = time;
        let seq = *seq;
        self.fresh.push(DedupId { hash, seq, time });
        true
    }

    /// The time of the oldest id remembered.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let stored = self.rows.front().and_then(|row| row.ids.front());
        stored.or(self.fresh.first()).map(|id| id.time)
    }

    /// Forgets at most `limit` ids from `until` and before, and says whether more are left to forget.
    pub(crate) fn forget(&mut self, until: u64, limit: usize) -> bool {
        for _ in 0..limit {
            let Some(row) = self.rows.front_mut() else {
                return self.forget_fresh(until);
            };
            match row.ids.front() {
                Some(id) if id.time <= until => {
                    forget_one(&mut self.ids, id);
                    row.ids.pop_front();
                }
                Some(_) => return false,
                None => {
                    self.dropped_to = Some(row.number);
                    self.rows.pop_front();
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
        self.rewrites_oldest = !self.rows.is_empty();
    }

    fn forget_fresh(&mut self, until: u64) -> bool {
        let ids = &mut self.ids;
        self.fresh.retain(|id| {
            let keep = id.time > until;
            if !keep {
                forget_one(ids, id);
            }
            keep
        });
        false
    }

    /// The rows that changed since the last call.
    pub(crate) fn take_changes(&mut self, stream: u32, changes: &mut Vec<Change>) {
        if let Some(to) = self.dropped_to.take() {
            changes.push(Change::DeleteParts {
                table: Table::Dedup,
                id: stream,
                from: 0,
                to,
            });
        }
        if std::mem::take(&mut self.rewrites_oldest)
            && let Some(oldest) = self.rows.front()
        {
            let ids = oldest.ids.iter().copied().collect();
            changes.push(Change::Put {
                key: RowKey::new(Table::Dedup, stream, oldest.number),
                value: encode_row(&DedupRow { ids }),
            });
        }
        let fresh = std::mem::take(&mut self.fresh);
        for ids in fresh.chunks(IDS_PER_ROW) {
            let row = DedupRow { ids: ids.to_vec() };
            let key = RowKey::new(Table::Dedup, stream, self.next_row);
            changes.push(Change::Put {
                key,
                value: encode_row(&row),
            });
            self.rows.push_back(Row {
                number: self.next_row,
                ids: row.ids.into(),
            });
            self.next_row += 1;
        }
    }

    /// Takes a stored row in; rows come in the order of their numbers.
    pub(crate) fn restore(&mut self, number: u64, row: DedupRow) {
        self.ids
            .extend(row.ids.iter().map(|id| (id.hash, (id.seq, id.time))));
        self.rows.push_back(Row {
            number,
            ids: row.ids.into(),
        });
    }

    pub(crate) fn restore_next(&mut self, next: u64) {
        self.next_row = next;
    }
}

/// Forgets an id unless it was remembered again since.
fn forget_one(ids: &mut HashMap<u128, (u64, u64)>, id: &DedupId) {
    if ids.get(&id.hash) == Some(&(id.seq, id.time)) {
        ids.remove(&id.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::{Dedup, hash_id};

    #[test]
    fn ids_are_forgotten_by_age_and_rows_go_when_they_are_empty() {
        let mut dedup = Dedup::default();
        let mut changes = Vec::new();
        dedup.remember(1, 10, 100);
        dedup.remember(2, 11, 200);
        dedup.take_changes(7, &mut changes);
        dedup.remember(3, 12, 300);
        dedup.take_changes(7, &mut changes);
        assert_eq!(changes.len(), 2);
        assert_eq!(dedup.oldest(), Some(100));
        assert!(!dedup.forget(200, 100));
        assert_eq!(
            (dedup.find(1, 0), dedup.find(2, 0), dedup.find(3, 0)),
            (None, None, Some(12))
        );
        changes.clear();
        dedup.take_changes(7, &mut changes);
        assert_eq!(changes.len(), 1, "the first row is dropped");
        assert_eq!(dedup.len(), 1);
    }

    #[test]
    fn the_hash_depends_on_the_secret() {
        assert_eq!(hash_id([1; 16], "a"), hash_id([1; 16], "a"));
        assert_ne!(hash_id([1; 16], "a"), hash_id([2; 16], "a"));
    }
}
