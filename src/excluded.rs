//! `Excluded`: messages that a store went on without.

use crate::seq::Seq;

/// Damaged messages of a stream, one behind the other, that a store was told to go on without; see
/// [`Riverbed::exclude_damaged`](crate::Riverbed::exclude_damaged).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Excluded {
    /// The stream.
    pub stream: String,
    /// The first sequence that could not be read.
    pub first: Seq,
    /// The last one. Some between them may have been deleted before.
    pub last: Seq,
}
