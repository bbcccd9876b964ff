//! Errors of fetching, settling and running workers.

use super::Unavailable;
use crate::seq::Seq;
use thiserror::Error;

/// Why a fetch failed. An empty fetch is no error: the batch says why it is empty.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The consumer, or its stream, is gone.
    #[error("the consumer `{consumer}` is deleted")]
    ConsumerGone {
        /// The consumer.
        consumer: String,
    },
    /// More was asked for than a fetch may hold.
    #[error("a fetch of {messages} messages is refused: it takes 1 to {limit}")]
    TooMany {
        /// What was asked for.
        messages: usize,
        /// The most.
        limit: usize,
    },
    /// A setting that says when the fetch is served makes no sense.
    #[error("{setting} is refused: {why}")]
    Precedence {
        /// Which.
        setting: &'static str,
        /// What it may be.
        why: &'static str,
    },
    /// The next message alone is over the fetch's `max_bytes`. It stays due and its attempts are not
    /// counted.
    #[error(
        "message {seq} of the consumer `{consumer}` has {bytes} bytes, over the fetch's max_bytes of {limit}; raise it"
    )]
    TooBig {
        /// The consumer.
        consumer: String,
        /// The message.
        seq: Seq,
        /// Its size: subject, id, headers and payload.
        bytes: u64,
        /// The fetch's bound.
        limit: u64,
    },
    /// The store itself.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why one delivery could not be settled: the two answers of the fence (G6, R14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The message is not this delivery's any more: its lease lapsed, or it was delivered again.
    #[error(
        "this delivery of message {seq} is over; the message is due again or with someone else"
    )]
    Stale {
        /// The message.
        seq: Seq,
    },
    /// The consumer is done with the message: it was settled, dead-lettered, purged or removed.
    #[error("message {seq} is settled or removed for this consumer")]
    Gone {
        /// The message.
        seq: Seq,
    },
}

/// Why an ack, nak, term or in-progress failed. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AckError {
    /// The fence refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The consumer, or its stream, is gone.
    #[error("the consumer `{consumer}` is deleted")]
    ConsumerGone {
        /// The consumer.
        consumer: String,
    },
    /// The message was delivered by another consumer or another store.
    #[error("message {seq} was not delivered by the consumer `{consumer}` of this store")]
    Foreign {
        /// The message.
        seq: Seq,
        /// The consumer asked.
        consumer: String,
    },
    /// A delay longer than the store takes.
    #[error("a delay of {asked_secs} s is over the limit of {limit_secs} s")]
    DelayTooLong {
        /// What was asked for.
        asked_secs: u64,
        /// The longest.
        limit_secs: u64,
    },
    /// The store itself.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why an ack and fetch failed: whether the acks are done, and what was refused of them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AckAndFetchError {
    /// The bounds of the fetch make no sense. Nothing was acked and nothing fetched.
    #[error("nothing was acked: {0}")]
    Bounds(#[source] FetchError),
    /// Acking failed, and nothing was fetched.
    #[error(transparent)]
    Ack(#[from] AckError),
    /// Fetching failed. The acks are done all the same, those in `refused` apart; only when the store is
    /// unavailable does it show after reopening whether they are stored.
    #[error("fetching failed after the messages were acked, {} of them refused: {why}", refused.len())]
    Fetch {
        /// Why nothing was fetched.
        #[source]
        why: FetchError,
        /// The acks that changed nothing, each with its reason.
        refused: Vec<Refusal>,
    },
}

impl From<Unavailable> for AckAndFetchError {
    fn from(why: Unavailable) -> Self {
        Self::Ack(why.into())
    }
}

/// Why workers stopped, or could not start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RunError {
    /// Too few or too many workers.
    #[error("{workers} workers are refused: a runner has 1 to {limit}")]
    Workers {
        /// What was asked for.
        workers: usize,
        /// The most.
        limit: usize,
    },
    /// The system would not start a thread.
    #[error("a worker thread could not be started ({cause})")]
    Thread {
        /// What the system said.
        cause: String,
    },
    /// Fetching failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A message could not be settled.
    #[error(transparent)]
    Ack(#[from] AckError),
}
