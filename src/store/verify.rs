//! Whether a block's bytes belong where they were found.

use crate::format::Block;

/// Verifies a block against the store, the stream and the sequence that it was read under.
///
/// Blocks carry their own checksum, and the log format knows it.
pub(super) fn verify_block(store: u64, stream: u32, first_seq: u64, bytes: &[u8]) -> bool {
    Block::open(bytes, store, stream, first_seq).is_ok()
}
