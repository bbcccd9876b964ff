//! Errors: one small enum an operation, all convertible into [`Error`].

mod admin;
mod consume;
mod lanes;
mod publish;
mod schedule;

pub use admin::{ConsumerError, InvalidSetting, PurgeError, ReadError, RedriveError, StreamError};
pub use consume::{AckAndFetchError, AckError, FetchError, Refusal, RunError};
pub use lanes::LanesError;
pub use publish::{PublishError, PublishErrorKind};
pub use schedule::{RepeatError, ScheduleError};

use thiserror::Error as ThisError;

/// Why the store itself could not do what was asked. Part of every operation's error.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Unavailable {
    /// The store was closed; open it again.
    #[error("the store is closed; open it again to go on")]
    Closed,
    /// This process is a fork of the one that opened the store (R11).
    #[error("this process was forked from the one that opened the store; open a store of its own")]
    Forked,
    /// An earlier failure stopped the store before this call changed anything (G12).
    #[error(
        "the store stopped after a failure ({cause}); drop it and open it again: nothing of this call was stored"
    )]
    Poisoned {
        /// What failed.
        cause: String,
    },
    /// A commit failed while this call was in it: whether it is stored shows only after reopening
    /// (R2).
    #[error(
        "the commit failed ({cause}); whether this call was stored is known only after the store is opened again"
    )]
    OutcomeUnknown {
        /// What failed.
        cause: String,
    },
    /// The disk has no room for a commit, and this call was in it: whether it is stored shows only
    /// after room was made and the store was opened again (R2). What was acknowledged is stored.
    ///
    /// A store with a journal may meet the full disk between two calls, when it brings its file what the
    /// journal has; then the next call hears of it as [`Poisoned`](Self::Poisoned), with this as the cause.
    #[error(
        "{cause}; make room, drop the store and open it again: what was acknowledged is stored, and whether this call is shows only then"
    )]
    DiskFull {
        /// What the disk said.
        cause: String,
    },
    /// The disk could not be read. The store stops, because the file may be in any state.
    #[error("reading the store failed ({cause}); check the device, then open the store again")]
    Io {
        /// What failed.
        cause: String,
    },
    /// Stored bytes are damaged; they are never delivered (G12).
    #[error(
        "the store is damaged at {place}; restore a copy, or go on without what is damaged (exclude_damaged, salvage)"
    )]
    Damaged {
        /// Which row or block.
        place: String,
    },
}

impl Unavailable {
    /// The same, of a call that had stored something before it met this: the rest is open (R2).
    pub(crate) fn midway(self) -> Self {
        match self {
            Self::Poisoned { cause } => Self::OutcomeUnknown { cause },
            why => why,
        }
    }
}

/// Why closing a store failed; it is closed all the same.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum CloseError {
    /// `close` was called by a handler that the store itself runs (R10).
    #[error("a handler cannot close the store that runs it; stop the runner first, elsewhere")]
    FromHandler,
    /// What was staged could not be made durable, or the file could not be released cleanly.
    #[error("closing the store failed ({cause}); what returned Ok before is stored")]
    Failed {
        /// What failed.
        cause: String,
    },
    /// The store had stopped before.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Any error of riverbed, for callers that do not tell them apart.
///
/// # Examples
///
/// ```
/// use riverbed::{Error, Riverbed, StreamConfig};
///
/// fn prepare(store: &Riverbed) -> Result<(), Error> {
///     store.create_stream(StreamConfig::new("orders"))?;
///     store.publish("orders", "first")?;
///     Ok(())
/// }
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// prepare(&store)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// Opening a store.
    #[error(transparent)]
    Open(#[from] crate::OpenError),
    /// Closing a store.
    #[error(transparent)]
    Close(#[from] CloseError),
    /// Managing a stream.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Managing a consumer.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// Publishing.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Reading without consuming.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Purging or deleting messages.
    #[error(transparent)]
    Purge(#[from] PurgeError),
    /// Fetching.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Settling a delivery.
    #[error(transparent)]
    Ack(#[from] AckError),
    /// Settling a batch and fetching the next one.
    #[error(transparent)]
    AckAndFetch(#[from] AckAndFetchError),
    /// Putting consumers in lanes.
    #[error(transparent)]
    Lanes(#[from] LanesError),
    /// Running workers.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Cancelling what was published for later.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Redriving, releasing or discarding.
    #[error(transparent)]
    Redrive(#[from] RedriveError),
    /// The store itself.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
