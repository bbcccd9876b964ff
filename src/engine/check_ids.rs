//! Checking the message ids that streams remember.

use crate::changes::Table;
use crate::format::RecordRef;
use crate::format::rows::{DedupId, DedupRow, decode_row};
use crate::state::{StreamAudit, hash_id};
use crate::store::{Reader, StoreError};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

/// The rows of a stream say what is remembered, behind what is forgotten; what is released is in none.
pub(super) fn check_ids(
    reader: &Reader,
    audit: &StreamAudit,
    wrong: &mut Vec<String>,
) -> Result<(), StoreError> {
    let (mut rows, mut failed) = (BTreeMap::new(), None);
    reader.rows(Table::Dedup, Some(audit.id), 0, |key, value| {
        match decode_row::<DedupRow>(value) {
            Ok(row) => drop(rows.insert(key.part, row.ids)),
            Err(why) => {
                let place = format!("message ids {} of `{}`: {why}", key.part, audit.name);
                failed.get_or_insert(StoreError::Damaged { place });
            }
        }
        ControlFlow::Continue(())
    })?;
    if let Some(why) = failed {
        return Err(why);
    }
    let (known, dropped_to) = &audit.ids;
    rows.retain(|number, _| dropped_to.is_none_or(|to| *number > to));
    // What is forgotten with its window stands there until its row goes.
    let is_over = |id: &DedupId| audit.ids_over.is_none_or(|over| id.time <= over);
    let same = |(number, stored): (&u64, &Vec<DedupId>)| {
        let ids = known.get(number).map_or(&[][..], Vec::as_slice);
        let forgotten = stored.strip_suffix(ids);
        forgotten.is_some_and(|forgotten| forgotten.iter().all(is_over))
    };
    let stored = |(number, ids): (&u64, &Vec<DedupId>)| ids.is_empty() || rows.contains_key(number);
    if !rows.iter().all(same) || !known.iter().all(stored) {
        let name = &audit.name;
        wrong.push(format!(
            "stream `{name}`: its message ids are stored otherwise"
        ));
    }
    Ok(())
}

/// By sequence, the hash of the id that a message is remembered to have.
#[derive(Debug)]
pub(super) struct IdsBySeq(HashMap<u64, u128>);

impl IdsBySeq {
    pub(super) fn of(audit: &StreamAudit) -> Self {
        let ids = audit.ids.0.values().flatten();
        Self(ids.map(|id| (id.seq, id.hash)).collect())
    }

    /// Whether a stored message has another id than is remembered of it.
    pub(super) fn contradicts(&self, audit: &StreamAudit, record: &RecordRef<'_>) -> bool {
        let known = self.0.get(&record.seq);
        known.is_some_and(|known| record.id.map(|id| hash_id(audit.secret, id)) != Some(*known))
    }
}
