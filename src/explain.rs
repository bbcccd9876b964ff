//! Explanations: what became of one sequence, as far as stored facts say it.

use crate::clock::Timestamp;
use crate::event::{DeadReason, Removal};
use crate::seq::Seq;
use std::collections::BTreeMap;
use std::fmt;

/// What became of one sequence of a stream: see [`Stream::explain`](crate::Stream::explain).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The stream.
    pub stream: String,
    /// The sequence.
    pub seq: Seq,
    /// What became of the message in its stream.
    pub message: MessageFate,
    /// What became of it for each consumer, by name.
    pub consumers: BTreeMap<String, ConsumerFate>,
}

/// What became of one sequence for one consumer: see [`Consumer::explain`](crate::Consumer::explain).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerExplanation {
    /// The stream.
    pub stream: String,
    /// The consumer.
    pub consumer: String,
    /// The sequence.
    pub seq: Seq,
    /// What became of the message in its stream.
    pub message: MessageFate,
    /// What became of it for the consumer.
    pub fate: ConsumerFate,
}

/// What became of a sequence in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageFate {
    /// No message has it: it is below the stream's first sequence.
    NeverStored,
    /// No message has it yet: it is above the stream's last one.
    NotYetStored,
    /// It is stored.
    Stored {
        /// Its subject.
        subject: String,
        /// When it was published.
        published: Timestamp,
    },
    /// It was stored, and left between two times, for this reason.
    Removed {
        /// Why.
        by: Removal,
        /// Not before this.
        since: Timestamp,
        /// Not after this.
        until: Timestamp,
    },
    /// It was stored and is not any more; why is forgotten. A stream remembers the newest 512 ranges of
    /// sequences that left.
    Forgotten {
        /// It left at this time or before, if that much is known.
        until: Option<Timestamp>,
    },
}

/// What became of a sequence for one consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerFate {
    /// No message has it, or none yet.
    NoMessage,
    /// It does not match the consumer's filters.
    NotMatched,
    /// It is before the consumer's start.
    BeforeStart,
    /// It had left the stream before the consumer was created.
    BeforeCreated,
    /// It waits to be delivered, for the first time or again.
    Waiting {
        /// How often it was delivered.
        deliveries: u64,
    },
    /// A worker has it.
    InFlight {
        /// Which delivery of it that is.
        delivery: u64,
        /// When it was handed over; nothing, while it is on its way.
        since: Option<Timestamp>,
        /// When its lease ends; nothing, while it is on its way, and for a
        /// [runner](crate::Consumer::run), which holds it as long as it lives.
        until: Option<Timestamp>,
    },
    /// It is to be delivered again, not before a time.
    Delayed {
        /// That time.
        until: Timestamp,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// It was given up, and the dead-letter stream refuses it until there is room.
    Refused {
        /// The dead-letter stream.
        to: String,
        /// Why it was given up.
        reason: DeadReason,
    },
    /// It was set aside.
    Parked {
        /// When.
        since: Timestamp,
        /// Why.
        reason: DeadReason,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// A limit, a purge or a delete took it before the consumer had finished it, between two times.
    Lost {
        /// Which.
        by: Removal,
        /// Not before this.
        since: Timestamp,
        /// Not after this.
        until: Timestamp,
    },
    /// It was given up, and a copy is in a dead-letter stream.
    DeadLettered {
        /// The dead-letter stream.
        to: String,
        /// The copy's sequence there.
        to_seq: Seq,
    },
    /// It was acked; with [`AckPolicy::None`](crate::AckPolicy::None), delivered.
    Acked,
    /// It is finished: acked, dropped or terminated, or dead-lettered without a copy that was found. Which of
    /// these is not kept.
    Finished,
    /// The consumer is past it: it finished it, or never wanted it. To tell these apart takes the message's
    /// subject, which left with it, or, where only the last message of each subject was to be delivered, what was
    /// the last one at the start. Also what was behind a consumer, or was passed over, when it was
    /// [reset](crate::Consumer::reset), and what was behind it when it was given other filters.
    Passed,
    /// What is still stored does not say it.
    Unknown,
}

impl fmt::Display for Explanation {
    /// One line for the message, and one for each consumer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "message {} of `{}`: {}",
            self.seq, self.stream, self.message
        )?;
        for (name, fate) in &self.consumers {
            write!(f, "\n  consumer `{name}`: {fate}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ConsumerExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, seq, .. } = self;
        write!(f, "message {seq} of `{stream}`: {}", self.message)?;
        write!(f, "\n  consumer `{}`: {}", self.consumer, self.fate)
    }
}

impl fmt::Display for MessageFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverStored => f.write_str("never stored"),
            Self::NotYetStored => f.write_str("not yet stored"),
            Self::Stored { subject, published } => {
                write!(f, "stored on `{subject}`, published at {published}")
            }
            Self::Removed { by, since, until } => removed(f, "removed", *by, (*since, *until)),
            Self::Forgotten { until: None } => f.write_str("removed, why is forgotten"),
            Self::Forgotten { until: Some(until) } => {
                write!(f, "removed at {until} or before, why is forgotten")
            }
        }
    }
}

impl fmt::Display for ConsumerFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMessage => f.write_str("no message"),
            Self::NotMatched => f.write_str("not matched by its filters"),
            Self::BeforeStart => f.write_str("before its start"),
            Self::BeforeCreated => f.write_str("removed before it was created"),
            Self::Waiting { deliveries: 0 } => f.write_str("waiting, never delivered"),
            Self::Waiting { deliveries } => write!(f, "waiting after {deliveries} deliveries"),
            Self::InFlight {
                delivery,
                since,
                until,
            } => {
                write!(f, "in flight, delivery {delivery}")?;
                if let Some(since) = since {
                    write!(f, ", since {since}")?;
                }
                match until {
                    Some(until) => write!(f, ", until {until}"),
                    None => Ok(()),
                }
            }
            Self::Delayed { until, deliveries } => {
                write!(f, "delayed until {until}, after {deliveries} deliveries")
            }
            Self::Refused { to, reason } => {
                write!(f, "given up ({}), refused by `{to}`", reason.as_str())
            }
            Self::Parked {
                since,
                reason,
                deliveries,
            } => {
                let reason = reason.as_str();
                write!(
                    f,
                    "parked ({reason}) at {since}, after {deliveries} deliveries"
                )
            }
            Self::Lost { by, since, until } => removed(f, "lost", *by, (*since, *until)),
            Self::DeadLettered { to, to_seq } => {
                write!(f, "dead-lettered, message {to_seq} of `{to}`")
            }
            Self::Acked => f.write_str("acked"),
            Self::Finished => f.write_str("finished, how is not kept"),
            Self::Passed => {
                f.write_str("passed: finished, passed over by a reset, or never wanted")
            }
            Self::Unknown => f.write_str("forgotten"),
        }
    }
}

fn removed(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    by: Removal,
    (since, until): (Timestamp, Timestamp),
) -> fmt::Result {
    if since == until {
        write!(f, "{what} by {by:?} at {since}")
    } else {
        write!(f, "{what} by {by:?} between {since} and {until}")
    }
}
