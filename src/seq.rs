//! Sequences: where a message stands in its stream.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The position of a message in its stream.
///
/// Sequences start at 1, only grow, and are never reused: not after a delete, a purge or a restart
/// (G7). 0 stands before the first message, which is what an empty stream reports as its last one.
///
/// # Examples
///
/// ```
/// use riverbed::Seq;
///
/// let seq = Seq::new(41);
/// assert_eq!(seq.next(), Seq::new(42));
/// assert_eq!(seq.get(), 41);
/// assert_eq!(seq.to_string(), "41");
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Seq(u64);

impl Seq {
    /// Makes a sequence from its number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The sequence as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sequence that follows.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for Seq {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<Seq> for u64 {
    fn from(seq: Seq) -> Self {
        seq.0
    }
}

impl PartialEq<u64> for Seq {
    fn eq(&self, other: &u64) -> bool {
        self.0 == *other
    }
}
