//! Limits of a whole store, and the fixed bounds of the format.

/// Largest message: headers and payload together.
pub(crate) const MESSAGE_BYTES_MAX: u64 = 8 << 20;
/// Largest message id.
pub(crate) const MESSAGE_ID_BYTES_MAX: usize = 1024;
/// Most messages in an atomic batch, and in a fetch.
pub(crate) const BATCH_MESSAGES_MAX: usize = 65_536;
/// Most bytes in an atomic batch, and in a fetch.
pub(crate) const BATCH_BYTES_MAX: u64 = 64 << 20;
/// Most subjects of one stream, and most filters of one consumer.
pub(crate) const SUBJECTS_MAX: usize = 256;
/// Longest reason of a `term` that is kept.
pub(crate) const REASON_BYTES_MAX: usize = 1024;
/// Delayed, parked and refused messages that one consumer may hold.
pub(crate) const SET_ASIDE_MAX: u64 = 1_000_000;

/// Limits of a store that its builder sets.
///
/// # Examples
///
/// ```
/// let limits = riverbed::Limits::default();
/// assert_eq!(limits.group_bytes, 4 << 20);
/// assert_eq!(limits.pipeline_bytes, 16 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of messages after which a commit group takes no more callers (4 MiB). One atomic batch
    /// may exceed it.
    pub group_bytes: u64,
    /// Bytes of pipelined publishes that may be on their way to the disk (16 MiB); the next one waits.
    pub pipeline_bytes: u64,
    /// Distinct subjects that are tracked for one stream (1,000,000); a publish on one more is refused.
    pub subjects_per_stream: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            group_bytes: 4 << 20,
            pipeline_bytes: 16 << 20,
            subjects_per_stream: 1_000_000,
        }
    }
}
