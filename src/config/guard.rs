//! What a stream is guarded against: its number of consumers, and what may no longer be done to it.

use super::StreamConfig;
use crate::error::InvalidSetting;
use crate::seq::Seq;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The highest sequence that a stream may begin with: as many again are left to count on.
const FIRST_SEQUENCE_MAX: u64 = u64::MAX / 2;

/// Something that a stream denies for good, once its configuration says so.
///
/// Limits still remove messages, and the whole stream can still be deleted.
///
/// # Examples
///
/// ```
/// use riverbed::{Deny, PurgeError, Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let config = StreamConfig::new("ledger").deny(Deny::Delete).deny(Deny::Purge);
/// let ledger = store.create_stream(config)?;
/// let entry = ledger.publish("ledger", "17 for 4")?;
/// assert!(matches!(ledger.delete(entry.seq), Err(PurgeError::Denied { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Deny {
    /// Deleting one message, which a redrive of a dead letter does, too.
    Delete,
    /// Purging.
    Purge,
}

impl fmt::Display for Deny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delete => "deletes",
            Self::Purge => "purges",
        })
    }
}

/// Whether a stream still changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Access {
    /// It takes messages, and its limits, purges and deletes remove them.
    #[default]
    Open,
    /// It takes no message, and loses none to a limit, a purge or a delete, for good. Consumers go on.
    Sealed,
}

impl StreamConfig {
    /// Begins the stream with this sequence instead of 1. It can't be changed afterwards.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Riverbed, Seq, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let config = StreamConfig::new("orders").first_sequence(Seq::new(10_000));
    /// let orders = store.create_stream(config)?;
    /// assert_eq!(orders.publish("orders", "the first one here")?.seq, 10_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn first_sequence(mut self, seq: impl Into<Seq>) -> Self {
        self.first_sequence = seq.into();
        self
    }

    /// Limits the number of consumers that may be created. An update that lowers it removes none.
    pub fn max_consumers(mut self, consumers: u64) -> Self {
        self.max_consumers = Some(consumers);
        self
    }

    /// Denies something for good: an update that leaves it out is refused.
    pub fn deny(mut self, what: Deny) -> Self {
        self.deny.insert(what);
        self
    }

    /// Seals the stream for good, in an update: it takes no more messages, and limits, purges and
    /// deletes no longer remove any. Its other settings may still be changed, and it can be deleted.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{PublishErrorKind, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let config = StreamConfig::new("year-2025");
    /// let year = store.create_stream(config.clone())?;
    /// year.publish("year-2025", "the last one")?;
    /// store.update_stream(config.sealed())?;
    /// let refused = year.publish("year-2025", "too late").unwrap_err();
    /// assert!(matches!(refused.kind, PublishErrorKind::Sealed { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sealed(mut self) -> Self {
        self.access = Access::Sealed;
        self
    }

    /// Whether nothing may be added or removed any more.
    pub(crate) fn is_sealed(&self) -> bool {
        self.access == Access::Sealed
    }

    pub(super) fn validate_first_sequence(&self) -> Result<(), InvalidSetting> {
        match self.first_sequence.get() {
            1..=FIRST_SEQUENCE_MAX => Ok(()),
            other => {
                let why = format!("{other} is not from 1 to {FIRST_SEQUENCE_MAX}");
                Err(InvalidSetting::new("first_sequence", why))
            }
        }
    }
}
