//! Bare redb, doing the least that a durable batch costs: ready-made blocks, one row each, one commit.
//!
//! It writes no subjects, times, checksums or offsets, so it is a floor, not a rival.

use redb::{Database, Durability, Error, TableDefinition};
use std::path::Path;

/// The largest block that fills its pages, as riverbed cuts them.
pub(crate) const BLOCK: usize = 65_520;
/// Bytes of the page cache, as riverbed has them by default.
pub(crate) const CACHE: usize = 64 << 20;
pub(crate) const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");

pub(crate) fn create(path: &Path) -> Result<Database, Error> {
    Ok(Database::builder().set_cache_size(CACHE).create(path)?)
}

/// Commits the bytes as blocks, the first of which has the number `next`.
pub(crate) fn commit_blocks(
    database: &Database,
    payloads: &[u8],
    next: &mut u64,
) -> Result<(), Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    let mut table = transaction.open_table(BLOCKS)?;
    for block in payloads.chunks(BLOCK) {
        table.insert(*next, block)?;
        *next += 1;
    }
    drop(table);
    transaction.commit()?;
    Ok(())
}
