//! Checking what is remembered of what left.

use crate::changes::Table;
use crate::format::rows::{RemovalsRow, decode_row};
use crate::state::{Memory, StreamAudit};
use crate::store::{Reader, StoreError};
use std::ops::ControlFlow;

/// The rows of a stream and its consumers say what is remembered.
pub(super) fn check_removals(
    reader: &Reader,
    audit: &StreamAudit,
    wrong: &mut Vec<String>,
) -> Result<(), StoreError> {
    if rows(reader, Table::Removals, audit.id)? != audit.removed {
        let name = &audit.name;
        wrong.push(format!("stream `{name}`: what left is stored otherwise"));
    }
    for consumer in &audit.consumers {
        if rows(reader, Table::Losses, consumer.id)? != consumer.lost {
            let name = &consumer.name;
            wrong.push(format!(
                "consumer `{name}`: what it lost is stored otherwise"
            ));
        }
    }
    Ok(())
}

fn rows(reader: &Reader, table: Table, id: u32) -> Result<Memory, StoreError> {
    let (mut found, mut failed) = (Memory::default(), None);
    reader.rows(table, Some(id), 0, |key, value| {
        match decode_row::<RemovalsRow>(value) {
            Ok(row) => {
                found.forgotten = found.forgotten.max(row.forgotten);
                found.rows.insert(key.part, row.ranges);
            }
            Err(why) => {
                let place = format!("row ({id}, {}) of {table:?}: {why}", key.part);
                failed.get_or_insert(StoreError::Damaged { place });
            }
        }
        ControlFlow::Continue(())
    })?;
    failed.map_or(Ok(found), Err)
}

/// The sequences that are said to have left: ranges apart from each other, in order.
pub(super) fn left(audit: &StreamAudit) -> Vec<(u64, u64)> {
    let ranges = audit.removed.rows.values().flatten();
    let mut ranges: Vec<(u64, u64)> = ranges.map(|known| (known.first, known.last)).collect();
    ranges.sort_unstable();
    let mut apart: Vec<(u64, u64)> = Vec::new();
    for (first, last) in ranges {
        match apart.last_mut() {
            Some(known) if known.1 >= first => known.1 = known.1.max(last),
            _ => apart.push((first, last)),
        }
    }
    apart
}

/// Whether a sequence is in one of such ranges.
pub(super) fn has_left(left: &[(u64, u64)], seq: u64) -> bool {
    let at = left.partition_point(|(_, last)| *last < seq);
    left.get(at).is_some_and(|(first, _)| *first <= seq)
}
