//! Errors of putting consumers in lanes.

use super::Unavailable;
use thiserror::Error;

/// Why consumers can't be lanes. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LanesError {
    /// None, or too many.
    #[error("{lanes} lanes are refused: there are 1 to {limit}, the urgent one first")]
    Number {
        /// How many were given.
        lanes: usize,
        /// The most.
        limit: usize,
    },
    /// One consumer in two lanes.
    #[error(
        "the consumer `{consumer}` of the stream `{stream}` is in two lanes; leave it out of one of them"
    )]
    Twice {
        /// Its stream.
        stream: String,
        /// The consumer.
        consumer: String,
    },
    /// The handle is of another store, or of this one before it was opened again.
    #[error(
        "the consumer `{consumer}` is of another store, or of an earlier opening of this one: take its handle from this store"
    )]
    Foreign {
        /// The consumer.
        consumer: String,
    },
    /// Two lanes of one stream want the same messages.
    #[error(
        "`{first_filter}` of the consumer `{first}` and `{second_filter}` of the consumer `{second}` can match the same subject, so that a message of the stream `{stream}` would come in both lanes: choose filters that don't overlap"
    )]
    Overlap {
        /// Their stream.
        stream: String,
        /// The earlier lane.
        first: String,
        /// A filter of it, `>` where it has none.
        first_filter: String,
        /// The later lane.
        second: String,
        /// A filter of it, `>` where it has none.
        second_filter: String,
    },
    /// A consumer, or its stream, is gone.
    #[error("the consumer `{consumer}` is deleted")]
    ConsumerGone {
        /// The consumer.
        consumer: String,
    },
    /// The store itself.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
