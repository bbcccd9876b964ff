//! Errors of managing streams and consumers, of reading and of purging.

use super::Unavailable;
use crate::config::Deny;
use crate::seq::Seq;
use crate::subject::SubjectError;
use std::fmt::Display;
use thiserror::Error;

/// A setting that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the setting `{setting}` is refused: {why}")]
#[non_exhaustive]
pub struct InvalidSetting {
    /// The setting.
    pub setting: &'static str,
    /// The rule that it breaks and what to do.
    pub why: String,
}

impl InvalidSetting {
    pub(crate) fn new(setting: &'static str, why: impl Display) -> Self {
        Self {
            setting,
            why: why.to_string(),
        }
    }
}

/// Why a stream could not be created, found, updated or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A setting breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidSetting),
    /// A stream of this name exists with another configuration.
    #[error("the stream `{name}` exists with another `{setting}`; update it, or use another name")]
    Exists {
        /// The stream's name.
        name: String,
        /// The first setting that differs.
        setting: &'static str,
    },
    /// There is no such stream.
    #[error("there is no stream `{name}`; create it first")]
    NotFound {
        /// The name asked for.
        name: String,
    },
    /// Another stream captures some of the same subjects.
    #[error(
        "`{subject}` and `{taken}` of the stream `{other}` can match the same subject; a subject belongs to one stream"
    )]
    SubjectOverlap {
        /// The subject asked for.
        subject: String,
        /// The other stream's subject.
        taken: String,
        /// The other stream.
        other: String,
    },
    /// Consumers send their dead letters to this stream.
    #[error(
        "the stream `{name}` takes the dead letters of the consumer `{consumer}` on `{source_stream}`; delete or update that consumer first"
    )]
    InUse {
        /// The dead-letter stream.
        name: String,
        /// The consumer that names it.
        consumer: String,
        /// The stream of that consumer.
        source_stream: String,
    },
    /// An update may not change this setting.
    #[error("`{setting}` of the stream `{name}` can't be changed; create another stream with it")]
    Fixed {
        /// The stream's name.
        name: String,
        /// The setting.
        setting: &'static str,
    },
    /// The update would remove messages that the stream stores, at once.
    #[error(
        "the new `{setting}` would remove {} of the stream `{name}` at once; leave it as it is, or use `update_stream_removing`",
        counted(*.messages)
    )]
    WouldRemove {
        /// The stream's name.
        name: String,
        /// The first setting that would.
        setting: &'static str,
        /// How many messages, where that is known without a look at each of them.
        messages: Option<u64>,
    },
    /// The stream has this setting for good, and the update left it out.
    #[error("`{setting}` of the stream `{name}` can't be taken back; keep it in the update")]
    Irrevocable {
        /// The stream's name.
        name: String,
        /// The setting.
        setting: &'static str,
    },
    /// The store itself.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

fn counted(messages: Option<u64>) -> String {
    match messages {
        None => "messages".to_owned(),
        Some(1) => "1 message".to_owned(),
        Some(messages) => format!("{messages} messages"),
    }
}

/// Why a consumer could not be created, found, updated or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// A setting breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidSetting),
    /// A consumer of this name exists with another configuration.
    #[error(
        "the consumer `{name}` exists with another `{setting}`; update it, or use another name"
    )]
    Exists {
        /// The consumer's name.
        name: String,
        /// The first setting that differs.
        setting: &'static str,
    },
    /// There is no such consumer.
    #[error("there is no consumer `{name}` on the stream `{stream}`; create it first")]
    NotFound {
        /// The name asked for.
        name: String,
        /// The stream.
        stream: String,
    },
    /// The stream is gone.
    #[error("the stream `{stream}` is deleted")]
    StreamGone {
        /// The stream.
        stream: String,
    },
    /// An update may not change this setting.
    #[error("`{setting}` of a consumer can't be changed; delete the consumer and create it again")]
    Fixed {
        /// The setting.
        setting: &'static str,
    },
    /// The update would give messages up at once, and no copy of them is kept.
    #[error(
        "the new `{setting}` would drop {} of the consumer `{name}`; leave it as it is, {}, or use `update_consumer_dropping`",
        counted(Some(*.messages)),
        if *.setting == "filters" { "create a consumer for what it leaves out" } else { "name a dead-letter stream" }
    )]
    WouldDrop {
        /// The consumer's name.
        name: String,
        /// The setting that would: `max_deliver`, or else `on_exhausted`; or `filters`, which leave out messages
        /// that leave their stream when nobody wants them.
        setting: &'static str,
        /// How many messages; of `filters` all that are stored on subjects that they leave out.
        messages: u64,
    },
    /// Other filters leave out subjects of what the consumer of a work queue may hold, and another consumer could be
    /// given that as well.
    #[error(
        "the consumer `{name}` holds {}, which another consumer of the work queue could be given once its `filters` leave them out; settle them first",
        counted(Some(*.messages))
    )]
    WouldShare {
        /// The consumer's name.
        name: String,
        /// How many messages it holds, parked ones among them.
        messages: u64,
    },
    /// The stream has as many consumers as it may.
    #[error(
        "the stream `{stream}` has {limit} consumers, its limit; delete one, or raise max_consumers"
    )]
    TooMany {
        /// The stream.
        stream: String,
        /// Its `max_consumers`.
        limit: u64,
    },
    /// More subjects match than a consumer of the last message of each can begin with.
    #[error(
        "{subjects} subjects of the stream `{stream}` match, and a consumer begins with the last message of {limit} at most; narrow its filters"
    )]
    TooManySubjects {
        /// The stream.
        stream: String,
        /// How many match.
        subjects: u64,
        /// The most.
        limit: u64,
    },
    /// Two consumers of a work queue would want the same messages.
    #[error(
        "`{subject}` and `{taken}` of the consumer `{other}` can match the same subject; in the work queue `{stream}` each message is for one consumer: let workers share that consumer, or choose filters that don't overlap"
    )]
    WorkQueueOverlap {
        /// The stream.
        stream: String,
        /// The filter asked for; `>` when there is none.
        subject: String,
        /// The other consumer's filter.
        taken: String,
        /// The other consumer.
        other: String,
    },
    /// The consumer of a work queue was to begin behind messages that nobody else would be given.
    #[error(
        "{messages} messages of the work queue `{stream}` would be passed over and stay for ever; purge what is not to be done, or reset to `DeliverPolicy::All`"
    )]
    WouldSkip {
        /// The stream.
        stream: String,
        /// How many messages.
        messages: u64,
    },
    /// The dead-letter stream can't take this consumer's messages.
    #[error("the stream `{stream}` can't take the dead letters: {why}")]
    DeadLetter {
        /// The dead-letter stream.
        stream: String,
        /// What is in the way.
        why: String,
    },
    /// The store itself.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why reading without consuming failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The stream is gone.
    #[error("the stream `{stream}` is deleted")]
    StreamGone {
        /// The stream.
        stream: String,
    },
    /// The subject or filter is malformed.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The store itself.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a purge or a delete failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// The stream is gone.
    #[error("the stream `{stream}` is deleted")]
    StreamGone {
        /// The stream.
        stream: String,
    },
    /// No message is stored under this sequence.
    #[error("the stream `{stream}` stores no message {seq}")]
    NoMessage {
        /// The stream.
        stream: String,
        /// The sequence asked for.
        seq: Seq,
    },
    /// The stream's configuration denies it.
    #[error("the stream `{stream}` denies {denied}; what it denies can't be taken back")]
    Denied {
        /// The stream.
        stream: String,
        /// What it denies.
        denied: Deny,
    },
    /// The stream is sealed.
    #[error("the stream `{stream}` is sealed and keeps what it has")]
    Sealed {
        /// The stream.
        stream: String,
    },
    /// The filter is malformed.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// Both bounds were given.
    #[error("a purge takes `up_to` or `keep`, not both")]
    TwoBounds,
    /// Too many purges by subject are still at work on the stream.
    #[error(
        "{limit} purges by subject are still at work on the stream `{stream}`; try again when they are done"
    )]
    TooMany {
        /// The stream.
        stream: String,
        /// How many may be.
        limit: usize,
    },
    /// The store itself.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a dead letter was not redriven, or a parked message not released or discarded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RedriveError {
    /// No message is stored under this sequence of the dead-letter stream.
    #[error("the stream `{stream}` stores no message {seq}")]
    NoMessage {
        /// The dead-letter stream.
        stream: String,
        /// The sequence asked for.
        seq: Seq,
    },
    /// The message carries no envelope.
    #[error("message {seq} of `{stream}` is not a dead letter: it has no `{header}` header")]
    NotDeadLetter {
        /// The stream.
        stream: String,
        /// The sequence asked for.
        seq: Seq,
        /// The envelope header that is missing or wrong.
        header: &'static str,
    },
    /// The stream or consumer that it came from is gone, or the original is (R20).
    #[error("{what} is gone; redrive the dead letter to the stream, or publish it yourself")]
    Gone {
        /// What is gone.
        what: String,
    },
    /// The target refuses the message, so it stays where it is.
    #[error("the stream `{stream}` refuses the message: {why}; it stays a dead letter")]
    Refused {
        /// The target.
        stream: String,
        /// Why.
        why: String,
    },
    /// The stream that holds the dead letter keeps it: it is sealed, or denies deletes.
    #[error("the dead letter stays where it is: {why}; publish a copy of it yourself")]
    Kept {
        /// Why.
        why: String,
    },
    /// The message is not parked.
    #[error("message {seq} is not parked in the consumer `{consumer}`")]
    NotParked {
        /// The consumer.
        consumer: String,
        /// The sequence asked for.
        seq: Seq,
    },
    /// The store itself.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
