//! Blocks that grow: a journal has only what was added, redb and readers get the whole.

use super::error::StoreError;
use super::overlay::{Overlay, Said};
use super::reader::Reader;
use super::tables;
use crate::changes::{Change, Changes};
use crate::format::{Block, grow};

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

/// Gives a block that grows what its encoding leaves out. What no group before had, redb has. Where that is
/// damaged, what was added becomes a block of its own: it lost nothing, and must not be lost with the rest.
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
    let before = match before(overlay, reader, (*stream, *first_seq)) {
        Err(StoreError::Damaged { .. }) => {
            let block = Block::open_any(added).map_err(|why| damaged(why.to_string()))?;
            *change = Change::Block {
                stream: *stream,
                first_seq: block.first_seq(),
                bytes: std::mem::take(added),
            };
            return Ok(());
        }
        before => before?.ok_or_else(|| damaged("it is gone, and was to grow".to_owned()))?,
    };
    *whole = Some(grow(&before, added).map_err(|why| damaged(why.to_string()))?);
    Ok(())
}

/// The block that begins at a sequence, as the groups before leave it.
fn before(
    overlay: &Overlay,
    reader: &Reader,
    (stream, first_seq): (u32, u64),
) -> Result<Option<Vec<u8>>, StoreError> {
    match overlay.block(stream, first_seq) {
        Said::Value(bytes) => Ok(Some(bytes.to_vec())),
        Said::Gone => Ok(None),
        Said::Nothing => {
            let found = reader.block_at(stream, first_seq)?;
            let found = found.filter(|(found, _)| *found == first_seq);
            Ok(found.map(|(_, bytes)| bytes))
        }
    }
}
