//! The redb tables: their names, their keys, and the place that a row's checksum is bound to.

use redb::TableDefinition;

use crate::changes::{RowKey, Table};
use crate::format::checksum::unseal;

/// The key of every row: id, then part, in the order of their numbers.
pub(super) type RowTableKey = (u32, u64);
/// A table of sealed rows.
pub(super) type RowTable = TableDefinition<'static, RowTableKey, &'static [u8]>;

/// Every kind of row; all of their tables are made when the store is.
pub(super) const ALL: [Table; 15] = [
    Table::Meta,
    Table::StreamConfig,
    Table::StreamState,
    Table::Holes,
    Table::Subjects,
    Table::Dedup,
    Table::ConsumerConfig,
    Table::ConsumerState,
    Table::Exceptions,
    Table::Drops,
    Table::Scheduled,
    Table::ScheduledIndex,
    Table::Expiries,
    Table::Removals,
    Table::Losses,
];

/// The redb table that holds one kind of row.
pub(super) const fn rows(table: Table) -> RowTable {
    TableDefinition::new(name(table))
}

const fn name(table: Table) -> &'static str {
    match table {
        Table::Meta => "meta",
        Table::StreamConfig => "stream_config",
        Table::StreamState => "stream_state",
        Table::Holes => "holes",
        Table::Subjects => "subjects",
        Table::Dedup => "dedup",
        Table::ConsumerConfig => "consumer_config",
        Table::ConsumerState => "consumer_state",
        Table::Exceptions => "exceptions",
        Table::Drops => "drops",
        Table::Scheduled => "scheduled",
        Table::ScheduledIndex => "scheduled_index",
        Table::Expiries => "expiries",
        Table::Removals => "removals",
        Table::Losses => "losses",
    }
}

/// The name of the table that holds a stream's blocks.
pub(super) fn blocks_name(stream: u32) -> String {
    format!("stream.{stream}")
}

/// Whether a table holds a stream's blocks.
pub(super) fn is_blocks_name(name: &str) -> bool {
    name.strip_prefix("stream.")
        .is_some_and(|id| id.parse::<u32>().is_ok())
}

/// The name of the table of summaries.
const SUMMARIES_NAME: &str = "summaries";

/// The summaries of blocks, by stream and first sequence, sealed as rows are. Every row of it follows from a
/// block: nothing else says what is in it, and it need not be there.
pub(super) const SUMMARIES: RowTable = TableDefinition::new(SUMMARIES_NAME);

/// The place of a summary, as its checksum sees it. Rows of other tables have the numbers of their tables
/// where this has an `S`, and blocks have a `B`.
pub(super) fn summary_place(stream: u32, first_seq: u64) -> [u8; 13] {
    place_of(b'S', stream, first_seq)
}

/// The place of a summary, for people.
pub(super) fn summary_name(stream: u32, first_seq: u64) -> String {
    format!("row ({stream}, {first_seq}) of table {SUMMARIES_NAME}")
}

/// Whether what a table holds is verified value by value, and can be done without: damage to a leaf of it stops
/// nothing but what it holds.
pub(super) fn is_verified_by_itself(name: &str) -> bool {
    is_blocks_name(name) || name == SUMMARIES_NAME
}

/// The table of a stream's blocks, by their first sequence.
pub(super) fn blocks(name: &str) -> TableDefinition<'_, u64, &'static [u8]> {
    TableDefinition::new(name)
}

/// The place of a row, as its checksum sees it: tag of the table, id, part.
pub(super) fn place(key: RowKey) -> [u8; 13] {
    place_of(key.table as u8, key.id, key.part)
}

fn place_of(tag: u8, id: u32, part: u64) -> [u8; 13] {
    let mut place = [0; 13];
    let (first, rest) = place.split_at_mut(1);
    let (id_at, part_at) = rest.split_at_mut(4);
    first.copy_from_slice(&[tag]);
    id_at.copy_from_slice(&id.to_le_bytes());
    part_at.copy_from_slice(&part.to_le_bytes());
    place
}

/// The name of the row that a raw key and value are, if they are not what was written there; `None`
/// for tables that are not ours.
pub(super) fn damaged_row(store: u64, table: &str, key: &[u8], sealed: &[u8]) -> Option<String> {
    if table == SUMMARIES_NAME {
        let (stream, first_seq) = parts_of(key)?;
        let whole = unseal(store, &summary_place(stream, first_seq), sealed).is_some();
        return (!whole).then(|| summary_name(stream, first_seq));
    }
    let table = ALL.into_iter().find(|known| name(*known) == table)?;
    let key = row_key(table, key)?;
    unseal(store, &place(key), sealed)
        .is_none()
        .then(|| row_name(key))
}

/// The key and the value of a row of this table, if a raw key and value are one.
pub(super) fn row_of<'a>(
    store: u64,
    table: Table,
    key: &[u8],
    sealed: &'a [u8],
) -> Option<(RowKey, &'a [u8])> {
    let key = row_key(table, key)?;
    Some((key, unseal(store, &place(key), sealed)?))
}

fn row_key(table: Table, key: &[u8]) -> Option<RowKey> {
    let (id, part) = parts_of(key)?;
    Some(RowKey::new(table, id, part))
}

fn parts_of(key: &[u8]) -> Option<(u32, u64)> {
    let (id, part) = key.split_first_chunk()?;
    let part = part.first_chunk()?;
    Some((u32::from_le_bytes(*id), u64::from_le_bytes(*part)))
}

/// The place of a row, for people.
pub(super) fn row_name(key: RowKey) -> String {
    format!(
        "row ({}, {}) of table {}",
        key.id,
        key.part,
        name(key.table)
    )
}

/// The place of a block, for people.
pub(super) fn block_name(stream: u32, first_seq: u64) -> String {
    format!("block {first_seq} of table {}", blocks_name(stream))
}

#[cfg(test)]
mod tests {
    use super::{ALL, name, place};
    use crate::changes::{RowKey, Table};
    use std::collections::BTreeSet;

    #[test]
    fn every_table_has_its_own_name_and_tag() {
        let names: BTreeSet<_> = ALL.into_iter().map(name).collect();
        assert_eq!(names.len(), ALL.len());
        let tags: Vec<_> = ALL.into_iter().map(|table| table as usize).collect();
        assert_eq!(tags, (1..=ALL.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_place_is_frozen() {
        let place = place(RowKey::new(Table::Holes, 0x0102, 0x0304));
        assert_eq!(place, [4, 2, 1, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0]);
    }
}
