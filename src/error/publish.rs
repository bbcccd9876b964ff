//! The error of publishing, which gives the message back.

use super::{RepeatError, Unavailable};
use crate::headers::HeadersError;
use crate::publish::Publish;
use crate::seq::Seq;
use crate::subject::SubjectError;
use thiserror::Error;

/// Why a publish was refused; the messages come back in it.
///
/// # Examples
///
/// ```
/// use riverbed::{PublishErrorKind, Riverbed};
///
/// # let folder = tempfile::tempdir()?;
/// let store = Riverbed::open(folder.path().join("store"))?;
/// let refused = store.publish("nobody.listens", "payload").unwrap_err();
/// assert!(matches!(refused.kind, PublishErrorKind::NoStream { .. }));
/// assert_eq!(refused.messages[0].payload(), b"payload");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
#[error("{kind}")]
#[non_exhaustive]
pub struct PublishError {
    /// What stood in the way.
    #[source]
    pub kind: PublishErrorKind,
    /// What was to be published, in order. Empty only when a pipelined publish was accepted and its
    /// commit failed later.
    pub messages: Vec<Publish>,
}

impl PublishError {
    pub(crate) fn new(kind: impl Into<PublishErrorKind>, messages: Vec<Publish>) -> Self {
        Self {
            kind: kind.into(),
            messages,
        }
    }
}

/// What stood in the way of a publish. But for `Unavailable`, nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishErrorKind {
    /// No stream captures the subject.
    #[error("no stream captures the subject `{subject}`; create one that does")]
    NoStream {
        /// The subject.
        subject: String,
    },
    /// The stream does not capture the subject.
    #[error("the stream `{stream}` does not capture the subject `{subject}`")]
    NotCaptured {
        /// The stream.
        stream: String,
        /// The subject.
        subject: String,
    },
    /// The stream is sealed.
    #[error("the stream `{stream}` is sealed and takes no more messages; publish to another one")]
    Sealed {
        /// The stream.
        stream: String,
    },
    /// The stream is gone.
    #[error("the stream `{stream}` is deleted")]
    StreamGone {
        /// The stream.
        stream: String,
    },
    /// The subject is malformed.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// A header breaks a rule.
    #[error(transparent)]
    Headers(#[from] HeadersError),
    /// The message id is empty or too long.
    #[error("a message id of {bytes} bytes is refused: it has 1 to {limit}")]
    IdLength {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// The message id has a control character, which no header could carry on.
    #[error("the message id {id:?} is refused: it has a control character")]
    IdCharacter {
        /// The id.
        id: String,
    },
    /// The stream remembers no message ids.
    #[error("the stream `{stream}` was created without a dedup window; publish without an id")]
    NoDedup {
        /// The stream.
        stream: String,
    },
    /// The message is larger than the stream takes.
    #[error("a message of {bytes} bytes is over the limit of {limit} of the stream `{stream}`")]
    TooLarge {
        /// Headers and payload.
        bytes: u64,
        /// The stream's limit.
        limit: u64,
        /// The stream.
        stream: String,
    },
    /// The batch is empty or over its bounds.
    #[error(
        "a batch of {messages} messages and {bytes} bytes is refused: it has 1 to {max_messages} messages and at most {max_bytes} bytes"
    )]
    BatchSize {
        /// Its messages.
        messages: usize,
        /// Its bytes.
        bytes: u64,
        /// The most messages.
        max_messages: usize,
        /// The most bytes.
        max_bytes: u64,
    },
    /// The stream is at its limit and discards new messages.
    #[error("the stream `{stream}` is full ({limit}); make room, or publish with wait_for_room")]
    Full {
        /// The stream.
        stream: String,
        /// Which limit.
        limit: String,
    },
    /// A consumer is as far behind as the stream allows, and wants the message.
    #[error(
        "the consumer `{consumer}` of the stream `{stream}` has {lag} messages to do, and max_lag_messages is {limit}; let it catch up, raise that, or publish with wait_for_room"
    )]
    LagExceeded {
        /// The stream.
        stream: String,
        /// The slowest consumer that wants it.
        consumer: String,
        /// How many messages it has to do.
        lag: u64,
        /// `max_lag_messages`.
        limit: u64,
    },
    /// As many messages wait for their time in the stream as may.
    #[error(
        "the stream `{stream}` has {limit} waiting for their time, its limit; cancel some, wait until they are due, or raise scheduled_per_stream or max_bytes"
    )]
    ScheduledFull {
        /// The stream.
        stream: String,
        /// Which limit: messages, or the stream's `max_bytes`, which bounds what waits apart.
        limit: String,
    },
    /// The message has a time to live, and the stream allows none.
    #[error(
        "the stream `{stream}` allows no message a time to live of its own; update it with allow_message_ttl, or publish without ttl"
    )]
    TtlRefused {
        /// The stream.
        stream: String,
    },
    /// The time to live is too short.
    #[error("a time to live of {ttl:?} is refused: it is {least:?} at least")]
    TtlTooShort {
        /// What was asked for.
        ttl: std::time::Duration,
        /// The shortest allowed.
        least: std::time::Duration,
    },
    /// As many messages of the stream have a time to live as may.
    #[error(
        "{limit} messages of the stream `{stream}` have a time to live of their own, its limit; wait until some expire, or raise ttls_per_stream"
    )]
    TtlFull {
        /// The stream.
        stream: String,
        /// The bound.
        limit: u64,
    },
    /// The stream's last sequence is not the expected one.
    #[error("the last sequence of `{stream}` is {actual}, not {expected}")]
    WrongLastSequence {
        /// The stream.
        stream: String,
        /// What was expected.
        expected: Seq,
        /// What it is.
        actual: Seq,
    },
    /// The last message that a subject or filter has is not the expected one.
    #[error(
        "the last sequence on `{subject}` in `{stream}` is {actual}, not {expected} (0 means none)"
    )]
    WrongLastForSubject {
        /// The stream.
        stream: String,
        /// The subject or filter.
        subject: String,
        /// What was expected.
        expected: Seq,
        /// What it is; 0 if there is none.
        actual: Seq,
    },
    /// The stream's last message has another id than the expected one, or none.
    #[error("the last message of `{stream}` has the id {actual:?}, not {expected:?}")]
    WrongLastId {
        /// The stream.
        stream: String,
        /// What was expected.
        expected: String,
        /// What it is; `None` if the message has none, or there is no message.
        actual: Option<String>,
    },
    /// A message of a batch that is not its first expects a last sequence, a last id, or the last of a
    /// filter with wildcards.
    #[error(
        "message {at} of the batch expects a last sequence, a last id, or the last of a filter; only the first message to each stream may"
    )]
    ExpectInBatch {
        /// Its place in the batch, from 0.
        at: usize,
    },
    /// A message of a batch expects the last of a subject that one before it is on.
    #[error(
        "message {at} of the batch expects the last sequence on `{subject}`, and a message before it is on that subject; expect it of that one"
    )]
    ExpectOwn {
        /// Its place in the batch, from 0.
        at: usize,
        /// The subject.
        subject: String,
    },
    /// The message is published for later, and with a setting that only one for now may have.
    #[error(
        "message {at} is published for later (after, at, every, cron) and has {setting}, and a message for later neither replaces others nor expects anything of a subject or an id; leave one of the two out, or publish it when it is time"
    )]
    NotForLater {
        /// Its place in the batch, from 0.
        at: usize,
        /// The setter of `Publish` that can't be combined with `after`, `at`, `every` or `cron`.
        setting: &'static str,
    },
    /// The message can't be published again and again as it says.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The message is a rollup, and its stream denies purges.
    #[error("the stream `{stream}` denies purges, and so it takes no message that replaces others")]
    RollupDenied {
        /// The stream.
        stream: String,
    },
    /// The rollups of one batch replace more messages than one commit removes.
    #[error(
        "the rollups replace {messages} messages of the stream `{stream}`, and at most {limit} go at once; purge their subjects before, or publish fewer in a batch"
    )]
    RollupTooLarge {
        /// The stream.
        stream: String,
        /// How many they would replace.
        messages: u64,
        /// The most.
        limit: u64,
    },
    /// The stream remembers as many message ids as it may.
    #[error(
        "the stream `{stream}` remembers {limit} message ids, its limit; raise dedup_ids, shorten dedup_window, or wait"
    )]
    DedupFull {
        /// The stream.
        stream: String,
        /// The bound.
        limit: u64,
    },
    /// The stream tracks as many subjects as it may.
    #[error(
        "the stream `{stream}` has {limit} distinct subjects, its limit; purge some, or raise subjects_per_stream"
    )]
    SubjectsFull {
        /// The stream.
        stream: String,
        /// The bound.
        limit: u64,
    },
    /// The store is at its limit.
    #[error(
        "the store is full: {used} of {limit} bytes are in use and {reserve} are kept for acks, purges and dead letters; purge or delete messages, raise max_store_bytes, or publish with wait_for_room"
    )]
    StoreFull {
        /// Bytes in use, those on their way to the disk included.
        used: u64,
        /// `max_store_bytes`.
        limit: u64,
        /// What of it was not to be had.
        reserve: u64,
    },
    /// The store itself.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
