//! The error of cancelling what was published for later.

use super::Unavailable;
use thiserror::Error;

/// Why a message that was published for later was not cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// No message waits under this number.
    #[error(
        "no message waits under the number {number} in the stream `{stream}`: it was sent or cancelled, or there never was one"
    )]
    NotScheduled {
        /// The stream.
        stream: String,
        /// The number asked for.
        number: u64,
    },
    /// The stream is gone.
    #[error("the stream `{stream}` is deleted")]
    StreamGone {
        /// The stream.
        stream: String,
    },
    /// The store itself.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
