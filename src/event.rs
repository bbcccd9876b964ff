//! Events: what the store tells subscribers about messages that did not end in an ack.

use crate::seq::Seq;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Why the store removed messages.
// Stored by place: a new reason goes to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Removal {
    /// The stream's `max_messages`.
    MaxMessages,
    /// The stream's `max_bytes`.
    MaxBytes,
    /// The stream's `max_age`.
    MaxAge,
    /// The stream's `max_messages_per_subject`.
    MaxMessagesPerSubject,
    /// The message's own time to live.
    MessageTtl,
    /// A purge.
    Purge,
    /// A delete of one message.
    Delete,
    /// The stream's [`Retention`](crate::Retention): every consumer that wanted them was done with them.
    Retention,
    /// A message that [replaces](crate::Publish::rollup) earlier ones.
    Rollup,
    /// Their bytes were damaged, and [`Riverbed::exclude_damaged`](crate::Riverbed::exclude_damaged)
    /// was asked to go on without them.
    Damage,
}

/// Why a message's deliveries ended without an ack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadReason {
    /// As many attempts failed as the consumer allows.
    MaxDeliver,
    /// A handler terminated it, with this reason.
    Term(String),
}

impl DeadReason {
    /// The word that the envelope's reason header carries: `max_deliver` or `term`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::MaxDeliver => "max_deliver",
            Self::Term(_) => "term",
        }
    }
}

/// One message of one consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Whose {
    /// The stream.
    pub stream: String,
    /// The consumer.
    pub consumer: String,
    /// The message.
    pub seq: Seq,
    /// How often it was delivered to that consumer.
    pub deliveries: u64,
}

/// Something that an operator may want to know. Sent after the commit that made it true (R1).
///
/// # Examples
///
/// ```
/// use riverbed::{ConsumerConfig, Event, Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// let store = Riverbed::open(folder.path().join("store"))?;
/// let events = store.events(100);
/// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
/// let worker = jobs.create_consumer(ConsumerConfig::new("worker").dead_letter("jobs-dead"))?;
/// jobs.publish("jobs", "broken")?;
/// worker.fetch(1)?[0].term("can't be read")?;
/// assert!(matches!(events.recv()?, Event::DeadLettered { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message was copied to a dead-letter stream, and its consumer is done with it.
    DeadLettered {
        /// Which message.
        whose: Whose,
        /// Why.
        reason: DeadReason,
        /// The dead-letter stream.
        to: String,
        /// Its sequence there.
        to_seq: Seq,
    },
    /// A message was parked.
    Parked {
        /// Which message.
        whose: Whose,
        /// Why.
        reason: DeadReason,
    },
    /// A message was given up without a copy: dropped, or terminated where no dead-letter stream is
    /// named.
    Dropped {
        /// Which message.
        whose: Whose,
        /// Why.
        reason: DeadReason,
    },
    /// A dead-letter stream refused a message; it stays and is tried again when there is room. Told once
    /// for each message while the store is open. What opening itself finds refused is told to nobody,
    /// because nobody can have subscribed: [`ConsumerInfo::refused`](crate::ConsumerInfo::refused) counts it.
    DeadLetterRefused {
        /// Which message.
        whose: Whose,
        /// The dead-letter stream.
        to: String,
        /// What it said.
        why: String,
    },
    /// A message that was published for later is due, and its stream refuses it; it waits until the stream
    /// takes it. Told once for each message while the store is open, like
    /// [`DeadLetterRefused`](Self::DeadLetterRefused), and for a stream without room only of the first
    /// one: those behind it wait for their turn.
    ScheduledRefused {
        /// The stream.
        stream: String,
        /// The message's number.
        number: u64,
        /// What the stream said.
        why: String,
    },
    /// A limit, a purge or a delete took messages that a consumer had not finished (G11).
    UnfinishedRemoved {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// How many.
        messages: u64,
        /// The lowest of them.
        first: Seq,
        /// The highest of them.
        last: Seq,
        /// Which limit.
        by: Removal,
    },
    /// A consumer has messages to deliver, none in flight, and nobody has fetched for a while.
    ConsumerIdle {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// For how long.
        idle: Duration,
    },
    /// A consumer has messages in flight or due again, and has finished none for as long as
    /// [`Alerts::stuck_ack_waits`](crate::Alerts::stuck_ack_waits) says: its workers hang, or fail at
    /// everything. An extension of a lease is no progress. A paused consumer is not stuck, nor is one that
    /// holds only what is delayed, parked or refused, though the time that it spent so counts. Whether anybody fetches
    /// makes no difference: what it was given is not done ([`ConsumerIdle`](Self::ConsumerIdle) tells of what it was not given).
    ConsumerStuck {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// Messages that it was given and has not finished.
        unfinished: u64,
        /// For how long at least.
        after: Duration,
    },
    /// A consumer that was stuck finished a message, holds none any more, or was deleted.
    ConsumerUnstuck {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
    },
    /// A consumer has more messages to do than [`Alerts::lag_messages`](crate::Alerts::lag_messages).
    ConsumerBehind {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// How many: never delivered, in flight, due or delayed.
        lag: u64,
        /// The bound.
        bound: u64,
    },
    /// A consumer that was behind has half as many to do as the bound or fewer, or was deleted.
    ConsumerCaughtUp {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// How many are left.
        lag: u64,
    },
    /// A stream that takes dead letters has as many messages as
    /// [`Alerts::dead_letters`](crate::Alerts::dead_letters), or twice as many as when that was last told.
    DeadLettersPiledUp {
        /// The dead-letter stream.
        stream: String,
        /// How many messages it has.
        messages: u64,
    },
    /// A stream whose dead letters had piled up has half as many as the bound or fewer, takes none any more,
    /// or was deleted.
    DeadLettersCleared {
        /// The dead-letter stream.
        stream: String,
        /// How many are left.
        messages: u64,
    },
    /// Nobody was at work with an ephemeral consumer for as long as it says, and it is deleted.
    ConsumerExpired {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// Its `inactive_threshold`.
        inactive: Duration,
    },
    /// A message was acked, and is one of those of which its consumer's
    /// [`sample_acks`](crate::ConsumerConfig::sample_acks) tells how long that took.
    AckSampled {
        /// Which message.
        whose: Whose,
        /// From when its last delivery was handed out.
        since_delivery: Duration,
        /// From when it was published.
        since_publish: Duration,
    },
    /// A consumer was set to another place; see [`Consumer::reset`](crate::Consumer::reset).
    ConsumerReset {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
        /// Where it goes on.
        next: Seq,
        /// Messages that it had not finished and will not be given.
        skipped: u64,
    },
    /// The store stopped; reopen it (G12).
    Poisoned {
        /// What failed.
        cause: String,
    },
}
