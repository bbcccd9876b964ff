//! Fetching: what is asked for, and the batch that comes back.

use crate::clock::Timestamp;
use crate::config::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX};
use crate::consumer::ConsumerRoot;
use crate::engine::{Ask, Fetched, Holder, Patience};
use crate::error::{AckError, FetchError, Refusal};
use crate::message::Message;
use crate::seq::Seq;
use crate::state::{Capacity, Nothing, Precedence};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// What a fetch asks for: how many messages, how many bytes, how long to wait.
///
/// A number turns into one: `consumer.fetch(100)`.
///
/// # Examples
///
/// ```
/// use riverbed::Fetch;
/// use std::time::Duration;
///
/// let patient = Fetch::new(100).max_wait(Duration::from_secs(30)).max_bytes(1 << 20);
/// let at_once = Fetch::new(100).no_wait();
/// # let _ = (patient, at_once);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Fetch {
    messages: usize,
    bytes: u64,
    patience: Patience,
    pub(crate) precedence: Precedence,
}

impl Default for Fetch {
    fn default() -> Self {
        Self::new(1)
    }
}

impl From<usize> for Fetch {
    fn from(messages: usize) -> Self {
        Self::new(messages)
    }
}

impl Fetch {
    /// At most so many messages (1 to 65,536), as soon as there is any; waits up to 5 seconds for it.
    pub fn new(messages: usize) -> Self {
        let patience = Patience::UpTo(Duration::from_secs(5));
        Self {
            messages,
            bytes: BATCH_BYTES_MAX,
            patience,
            precedence: Precedence::default(),
        }
    }

    /// Waits up to this long when there is nothing.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.patience = Patience::UpTo(wait);
        self
    }

    /// Returns at once when there is nothing.
    pub fn no_wait(mut self) -> Self {
        self.patience = Patience::None;
        self
    }

    /// At most so many bytes of subjects, ids, headers and payloads (64 MiB). A first message over it
    /// is an error of its own, and is not counted as delivered.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes.min(BATCH_BYTES_MAX);
        self
    }

    pub(crate) fn forever(mut self) -> Self {
        self.patience = Patience::Forever;
        self
    }

    pub(crate) fn ask(self, holder: Holder) -> Result<Ask, FetchError> {
        if self.messages == 0 || self.messages > BATCH_MESSAGES_MAX {
            return Err(FetchError::TooMany {
                messages: self.messages,
                limit: BATCH_MESSAGES_MAX,
            });
        }
        self.precedence.check()?;
        let capacity = Capacity {
            messages: self.messages,
            bytes: self.bytes,
        };
        Ok(Ask {
            capacity,
            patience: self.patience,
            holder,
            precedence: self.precedence,
        })
    }
}

/// Why a fetch came back empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmptyReason {
    /// Everything that matches was delivered, and nothing is due.
    NoMessages,
    /// Nothing is due before this time: every message left is delayed.
    DelayedUntil(Timestamp),
    /// As many messages are in flight as `max_ack_pending` allows.
    InFlight {
        /// How many.
        messages: u64,
    },
    /// As many bytes are in flight as `max_ack_pending_bytes` allows.
    InFlightBytes {
        /// How many.
        bytes: u64,
    },
    /// A message that was caught in two crashes is handled alone (R18).
    HandledAlone {
        /// The message.
        seq: Seq,
    },
    /// The consumer is paused.
    Paused {
        /// Until when.
        until: Timestamp,
    },
    /// Messages wait, but not so many as the fetch's [`min_pending`](Fetch::min_pending), and not so many are in
    /// flight as its [`min_ack_pending`](Fetch::min_ack_pending).
    BelowMinimum {
        /// How many wait to be delivered.
        pending: u64,
        /// How many are in flight.
        in_flight: u64,
    },
    /// Messages wait, and so does a fetch of an earlier [`priority`](Fetch::priority).
    OthersFirst,
    /// Messages wait, but as much was delivered as the consumer's [`rate_limit`](crate::ConsumerConfig::rate_limit)
    /// or `rate_limit_bytes` allows.
    RateLimited {
        /// When the next message may come.
        until: Timestamp,
    },
    /// The next message is [replayed](crate::ReplayPolicy::Original), and its turn is still to come.
    Replaying {
        /// When it comes.
        until: Timestamp,
    },
    /// As many messages are delayed, parked or refused as a consumer may hold (1,000,000).
    SetAside {
        /// How many.
        messages: u64,
    },
}

impl fmt::Display for EmptyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMessages => f.write_str("there are no messages to deliver"),
            Self::DelayedUntil(time) => {
                write!(
                    f,
                    "the next message is delayed until {} µs",
                    time.as_micros()
                )
            }
            Self::InFlight { messages } => {
                write!(
                    f,
                    "{messages} messages are in flight, as many as max_ack_pending allows"
                )
            }
            Self::InFlightBytes { bytes } => {
                write!(
                    f,
                    "{bytes} bytes are in flight, as many as max_ack_pending_bytes allows"
                )
            }
            Self::HandledAlone { seq } => {
                write!(
                    f,
                    "message {seq} was caught in two crashes and is handled alone"
                )
            }
            Self::Paused { until } => {
                write!(f, "the consumer is paused until {} µs", until.as_micros())
            }
            Self::BelowMinimum { pending, in_flight } => {
                write!(
                    f,
                    "{pending} messages wait and {in_flight} are in flight, fewer than the fetch wants before it takes any"
                )
            }
            Self::OthersFirst => f.write_str("a fetch of an earlier priority waits"),
            Self::RateLimited { until } => {
                write!(
                    f,
                    "as much was delivered as the consumer's rate allows until {} µs",
                    until.as_micros()
                )
            }
            Self::Replaying { until } => {
                write!(
                    f,
                    "the next message is replayed at its time, {} µs",
                    until.as_micros()
                )
            }
            Self::SetAside { messages } => {
                write!(
                    f,
                    "{messages} messages are set aside; release, discard or redrive some"
                )
            }
        }
    }
}

impl From<Nothing> for EmptyReason {
    fn from(nothing: Nothing) -> Self {
        match nothing {
            Nothing::Empty {
                delayed_until: None,
            } => Self::NoMessages,
            Nothing::Empty {
                delayed_until: Some(time),
            } => Self::DelayedUntil(Timestamp::from_micros(time)),
            Nothing::InFlight { messages } => Self::InFlight { messages },
            Nothing::InFlightBytes { bytes } => Self::InFlightBytes { bytes },
            Nothing::Alone { seq } => Self::HandledAlone { seq: Seq::new(seq) },
            Nothing::SetAside { messages } => Self::SetAside { messages },
            Nothing::BelowMinimum { pending, in_flight } => {
                Self::BelowMinimum { pending, in_flight }
            }
            Nothing::OthersFirst => Self::OthersFirst,
            Nothing::Replaying { next } => Self::Replaying {
                until: Timestamp::from_micros(next.now),
            },
            Nothing::RateLimited { next } => Self::RateLimited {
                until: Timestamp::from_micros(next.now),
            },
            Nothing::Paused { until } => Self::Paused {
                until: Timestamp::from_micros(until),
            },
        }
    }
}

/// The messages of one fetch. It is a slice of them, and can be iterated by value.
///
/// # Examples
///
/// ```
/// use riverbed::{ConsumerConfig, EmptyReason, Fetch, Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let stream = store.create_stream(StreamConfig::new("jobs"))?;
/// let worker = stream.create_consumer(ConsumerConfig::new("worker"))?;
/// stream.publish_batch([("jobs", "one"), ("jobs", "two")])?;
/// let batch = worker.fetch(10)?;
/// assert_eq!(batch.len(), 2);
/// assert_eq!(batch.ack()?.acked, 2);
/// let empty = worker.fetch(Fetch::new(10).no_wait())?;
/// assert_eq!(empty.empty_reason(), Some(EmptyReason::NoMessages));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    pub(crate) whose: Arc<ConsumerRoot>,
    messages: Vec<Message>,
    nothing: Option<EmptyReason>,
}

/// What a batch ack did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchAck {
    /// How many messages were acked.
    pub acked: usize,
    /// The others: one stale message does not redeliver the rest (R15).
    pub refused: Vec<Refusal>,
}

impl Batch {
    pub(crate) fn new(whose: &Arc<ConsumerRoot>, fetched: Fetched) -> Self {
        let message = |delivered| Message::new(Arc::clone(whose), delivered);
        Self {
            whose: Arc::clone(whose),
            messages: fetched.delivered.into_iter().map(message).collect(),
            nothing: fetched.nothing.map(EmptyReason::from),
        }
    }

    /// Why the batch is empty; `None` when it is not.
    pub fn empty_reason(&self) -> Option<EmptyReason> {
        self.nothing
    }

    /// The name of the consumer that gave it; of an empty one, the consumer whose reason it is.
    pub fn consumer_name(&self) -> &str {
        &self.whose.reference.name
    }

    /// Acks all messages in one commit; those whose delivery is over come back with their reasons.
    ///
    /// # Crash safety
    ///
    /// After `Ok` all acks are on disk, unless the consumer's acks are lazy. A crash before leaves all
    /// of the batch due, or none.
    ///
    /// # Errors
    ///
    /// The consumer is gone, or the store is unavailable.
    pub fn ack(&self) -> Result<BatchAck, AckError> {
        self.whose.ack(&self.messages)
    }
}

impl BatchAck {
    pub(crate) fn of(asked: usize, refused: Vec<Refusal>) -> Self {
        Self {
            acked: asked - refused.len(),
            refused,
        }
    }
}

impl Deref for Batch {
    type Target = [Message];

    fn deref(&self) -> &[Message] {
        &self.messages
    }
}

impl IntoIterator for Batch {
    type Item = Message;
    type IntoIter = std::vec::IntoIter<Message>;

    fn into_iter(self) -> Self::IntoIter {
        self.messages.into_iter()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Message;
    type IntoIter = std::slice::Iter<'a, Message>;

    fn into_iter(self) -> Self::IntoIter {
        self.messages.iter()
    }
}
