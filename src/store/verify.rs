//! Whether a block's bytes belong where they were found. Replaced at integration.

/// Verifies a block against the store, the stream and the sequence that it was read under.
///
/// Blocks carry their own checksum; the log format knows it, and this is where it is asked.
pub(super) fn verify_block(_store: u64, _stream: u32, _first_seq: u64, _bytes: &[u8]) -> bool {
    true
}
