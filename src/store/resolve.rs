//! Blocks that grow: a journal has only what was added, redb and readers get the whole.

use super::error::StoreError;
use super::overlay::{Overlay, Said};
use super::reader::Reader;
use super::tables;
use crate::changes::{Change, Changes};
use crate::format::grow;

/// Takes in a group that was read back, behind those before it.
pub(super) fn absorb(
    overlay: &mut Overlay,
    reader: &Reader,
    group: Changes,
) -> Result<(), StoreError> {
    for mut change in group.changes {
        supply(overlay, reader, &mut change)?;
        overlay.take(&change);
    }
    Ok(())
}

/// Gives a block that grows what its encoding leaves out. What no group before had, redb has.
pub(super) fn supply(
    overlay: &Overlay,
    reader: &Reader,
    change: &mut Change,
) -> Result<(), StoreError> {
    let Change::Grow {
        stream,
        first_seq,
        added,
        whole,
    } = change
    else {
        return Ok(());
    };
    let damaged = |why: String| StoreError::Damaged {
        place: format!("{}: {why}", tables::block_name(*stream, *first_seq)),
    };
    let before = match overlay.block(*stream, *first_seq) {
        Said::Value(bytes) => Some(bytes.to_vec()),
        Said::Gone => None,
        Said::Nothing => {
            let found = reader.block_at(*stream, *first_seq)?;
            found
                .filter(|(found, _)| found == first_seq)
                .map(|(_, bytes)| bytes)
        }
    };
    let before = before.ok_or_else(|| damaged("it is gone, and was to grow".to_owned()))?;
    *whole = Some(grow(&before, added).map_err(|why| damaged(why.to_string()))?);
    Ok(())
}
