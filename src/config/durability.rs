//! `Durability`: when what a call answers is on the disk.

use std::ops::RangeInclusive;
use std::time::Duration;

/// When a commit is on the disk; see [`Builder::durability`](crate::Builder::durability).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Before the call returns, synced: it survives a power cut. This is the default, and what every
    /// guarantee and every figure is about unless it says otherwise.
    #[default]
    Synced,
    /// Written to the operating system before the call returns, and synced later.
    Written {
        /// How long after it was written a commit is synced (1 ms to 60 s); a little later where the store is
        /// about to bring its journal to its file.
        synced_within: Duration,
    },
}

/// What `synced_within` may be.
const WITHIN: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

impl Durability {
    /// Commits that are written at once and synced within a time.
    pub const fn written(synced_within: Duration) -> Self {
        Self::Written { synced_within }
    }

    pub(crate) fn validate(self) -> Result<(), String> {
        match self {
            Self::Written { synced_within } if !WITHIN.contains(&synced_within) => Err(format!(
                "commits that are synced within {synced_within:?}; 1 ms to 60 s are allowed, and Durability::Synced \
                 syncs each before it answers"
            )),
            Self::Written { .. } | Self::Synced => Ok(()),
        }
    }
}
