//! `Exclusions`: what a store goes on without, and what it could not be told to go on without.

use crate::seq::Seq;
use thiserror::Error;

/// What [`Riverbed::exclude_damaged`](crate::Riverbed::exclude_damaged) came to. Both lists are in the
/// order in which the streams were created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exclusions {
    /// The messages that the store goes on without. That is durable, whatever else was refused.
    pub excluded: Vec<Excluded>,
    /// The streams that stay as they are.
    pub refused: Vec<NotExcluded>,
}

impl Exclusions {
    /// Whether nothing was damaged.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// let store = riverbed::Riverbed::open(folder.path().join("store"))?;
    /// assert!(store.exclude_damaged()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.excluded.is_empty() && self.refused.is_empty()
    }
}

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

/// A stream in which nothing was excluded, although something is or may be damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotExcluded {
    /// The stream.
    pub stream: String,
    /// Why not.
    pub why: ExclusionError,
}

/// Why a stream's damaged messages were not excluded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExclusionError {
    /// More than blocks of messages is damaged, so that what is lost can't be told from what is not.
    #[error("more than messages is damaged, at {place}; save them with riverbed::salvage")]
    Damaged {
        /// Which row, block or key.
        place: String,
    },
    /// Others changed the store all the time, so that the stream could not be looked through.
    #[error("the store was never at rest; exclude when it is quiet")]
    NeverAtRest,
}
