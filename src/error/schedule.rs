//! The errors of what is published for later.

use super::Unavailable;
use std::time::Duration;
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

/// Why a message can't be published [again and again](crate::Repeat).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RepeatError {
    /// The interval is too short.
    #[error("a message every {every:?} is refused: {least:?} is the shortest interval")]
    TooOften {
        /// What was asked for.
        every: Duration,
        /// The shortest allowed.
        least: Duration,
    },
    /// The cron expression is wrong.
    #[error("the cron expression `{expression}` is wrong at byte {place}: {why}")]
    Cron {
        /// The expression.
        expression: String,
        /// Where, in bytes from 0.
        place: usize,
        /// Why.
        why: String,
    },
    /// The cron expression names no time that ever comes.
    #[error("the cron expression `{expression}` names a time that never comes; say another day")]
    NeverDue {
        /// The expression.
        expression: String,
    },
}
