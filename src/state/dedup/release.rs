//! Ids that are released before their window has passed.
//!
//! An id that is remembered stands in one row and no other, and a row where it no longer stands is written without
//! it: so nothing is left of it that could come back. The way there, from what has the id to its row, is kept in
//! some 30 bytes an id.

use super::Dedup;
use crate::format::rows::DedupId;
use std::collections::{BTreeMap, VecDeque};

impl Dedup {
    /// From now on ids can be released. What is remembered is written anew, each id once.
    pub(crate) fn keep_places(&mut self) {
        if self.places.is_some() {
            return;
        }
        self.end_row();
        self.places = Some(BTreeMap::new());
        let rows = std::mem::take(&mut self.rows);
        // Rows that were to be deleted too.
        let dirty = std::mem::take(&mut self.dirty);
        let last = rows.keys().next_back().max(dirty.last()).copied();
        self.dropped_to = self.dropped_to.max(last);
        for id in rows.into_values().flatten() {
            if self.ids.get(&id.hash) == Some(&(id.seq, id.time)) {
                self.push(id);
            }
        }
    }

    /// Ids are remembered for their window again.
    pub(crate) fn let_places_go(&mut self) {
        self.places = None;
    }

    /// Forgets the id of a message for good, if it is remembered; says whether it was.
    pub(crate) fn release(&mut self, seq: u64) -> bool {
        let Some(id) = self.take_entry(seq) else {
            return false;
        };
        self.ids.remove(&id.hash);
        true
    }

    /// Takes the entry that says what has an id out of its row, where that is kept.
    pub(super) fn take_entry(&mut self, place: u64) -> Option<DedupId> {
        let number = self.places.as_mut()?.remove(&place)?;
        if number == self.next_row {
            return take(&mut self.fresh, place);
        }
        let row = self.rows.get_mut(&number)?;
        let taken = take(row, place);
        if row.is_empty() {
            self.rows.remove(&number);
        } else if row.len() < row.capacity() / 2 {
            row.shrink_to_fit();
        }
        self.dirty.insert(number);
        taken
    }

    pub(super) fn places_add_up(&self) -> bool {
        let Some(places) = &self.places else {
            return true;
        };
        let says = |row: Option<&VecDeque<DedupId>>, place: &u64| {
            row.is_some_and(|row| {
                row.iter().any(|id| {
                    id.seq == *place && self.ids.get(&id.hash) == Some(&(id.seq, id.time))
                })
            })
        };
        let found = |(place, number): (&u64, &u64)| {
            let row = self.rows.get(number);
            says(row.or(Some(&self.fresh)), place)
        };
        places.len() == self.ids.len() && places.iter().all(found)
    }
}

/// The last one counts: one before it was past its window.
fn take(row: &mut VecDeque<DedupId>, place: u64) -> Option<DedupId> {
    let at = row.iter().rposition(|id| id.seq == place)?;
    row.remove(at)
}
