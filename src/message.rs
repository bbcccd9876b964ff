//! Messages: as they are delivered, and as they are read.

use crate::clock::Timestamp;
use crate::consumer::ConsumerRoot;
use crate::engine::Delivered;
use crate::error::AckError;
use crate::headers::Headers;
use crate::seq::Seq;
use crate::state::{Stored, Token, Verdict};
use std::sync::Arc;
use std::time::Duration;

/// Delays longer than this are refused.
const DELAY_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// One delivery of a message to a worker.
///
/// It is settled by [`ack`](Self::ack), a nak or [`term`](Self::term); one that is not becomes due
/// again when its lease lapses, after the consumer's `ack_wait`. Dropping it settles nothing.
///
/// Settling is fenced: it works for the current delivery only (G6). Once a message was delivered again,
/// the old delivery answers `Stale`; once its consumer is done with it, `Gone`; neither changes
/// anything.
///
/// # Examples
///
/// ```
/// use riverbed::{AckError, ConsumerConfig, Refusal, Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let stream = store.create_stream(StreamConfig::new("jobs"))?;
/// let worker = stream.create_consumer(ConsumerConfig::new("worker"))?;
/// stream.publish("jobs", "work")?;
/// let message = worker.fetch(1)?.into_iter().next().ok_or("nothing")?;
/// message.ack()?;
/// assert!(matches!(message.ack(), Err(AckError::Refused(Refusal::Gone { .. }))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Message {
    whose: Arc<ConsumerRoot>,
    delivered: Delivered,
}

impl Message {
    pub(crate) fn new(whose: Arc<ConsumerRoot>, delivered: Delivered) -> Self {
        Self { whose, delivered }
    }

    pub(crate) fn token(&self) -> Token {
        self.delivered.token
    }

    pub(crate) fn is_of(&self, whose: &Arc<ConsumerRoot>) -> bool {
        Arc::ptr_eq(&self.whose.root, &whose.root) && self.whose.reference.id == whose.reference.id
    }

    /// The name of the stream that it is from.
    pub fn stream_name(&self) -> &str {
        &self.whose.stream_name
    }

    /// The name of the consumer that delivered it.
    pub fn consumer_name(&self) -> &str {
        &self.whose.reference.name
    }

    /// The payload; empty where the consumer wants headers only.
    pub fn payload(&self) -> &[u8] {
        &self.delivered.stored.payload
    }

    /// How long the payload is that was published, also where it is not delivered.
    pub fn payload_len(&self) -> usize {
        self.delivered.payload_len
    }

    /// The subject it was published on.
    pub fn subject(&self) -> &str {
        &self.delivered.stored.subject
    }

    /// Its headers.
    pub fn headers(&self) -> &Headers {
        &self.delivered.stored.headers
    }

    /// The id it was published with.
    pub fn id(&self) -> Option<&str> {
        self.delivered.stored.id.as_deref()
    }

    /// Its sequence in the stream.
    pub fn seq(&self) -> Seq {
        Seq::new(self.delivered.stored.seq)
    }

    /// When it was published.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_micros(self.delivered.stored.time)
    }

    /// How often it was delivered to this consumer, this delivery included.
    pub fn deliveries(&self) -> u64 {
        self.delivered.attempts
    }

    /// How many of its deliveries failed: naks, lapsed leases, and crashes of the process while it was
    /// handled alone. This is what `max_deliver` limits (R18).
    pub fn failures(&self) -> u64 {
        self.delivered.failures
    }

    /// How many of its deliveries a crash cut off while others were in flight too.
    pub fn crashes(&self) -> u64 {
        self.delivered.crashes
    }

    /// The delivery's serial: it grows with each delivery of the consumer and is never reused (R13).
    pub fn serial(&self) -> u64 {
        self.delivered.token.serial
    }

    /// Says that the message is done. `Ok` means that this is on disk, unless the consumer's acks are
    /// lazy.
    ///
    /// # Crash safety
    ///
    /// After `Ok` the message is never delivered to this consumer again. A crash before leaves it due.
    ///
    /// # Errors
    ///
    /// [`AckError::Refused`] when this delivery is over; the store is unavailable.
    pub fn ack(&self) -> Result<(), AckError> {
        self.settle(&Verdict::Ack)
    }

    /// Says that the attempt failed: the message is delivered again after the consumer's backoff, or at
    /// once where there is none, behind what is due already.
    ///
    /// # Crash safety
    ///
    /// After `Ok` the failure is counted and the delay stored; both survive a crash.
    ///
    /// # Errors
    ///
    /// As for [`ack`](Self::ack).
    pub fn nak(&self) -> Result<(), AckError> {
        self.settle(&Verdict::Nak)
    }

    /// Says that the attempt failed, and when to try again.
    ///
    /// # Crash safety
    ///
    /// As for [`nak`](Self::nak).
    ///
    /// # Errors
    ///
    /// As for [`ack`](Self::ack); [`AckError::DelayTooLong`] above a year.
    pub fn nak_after(&self, delay: Duration) -> Result<(), AckError> {
        if delay > DELAY_MAX {
            let (asked_secs, limit_secs) = (delay.as_secs(), DELAY_MAX.as_secs());
            return Err(AckError::DelayTooLong {
                asked_secs,
                limit_secs,
            });
        }
        self.settle(&Verdict::NakAfter(delay))
    }

    /// Says that the attempt failed and to try again at once, whatever the backoff says.
    ///
    /// # Crash safety
    ///
    /// As for [`nak`](Self::nak).
    ///
    /// # Errors
    ///
    /// As for [`ack`](Self::ack).
    pub fn nak_now(&self) -> Result<(), AckError> {
        self.settle(&Verdict::NakAfter(Duration::ZERO))
    }

    /// Says that the message can never be handled. With a dead-letter stream it goes there with the
    /// reason (cut at 1 KiB), otherwise the consumer is done with it; either way it is announced.
    ///
    /// # Crash safety
    ///
    /// One transaction: at every moment the message is either still due or a dead letter (G5).
    ///
    /// # Errors
    ///
    /// As for [`ack`](Self::ack).
    pub fn term(&self, reason: impl Into<String>) -> Result<(), AckError> {
        self.settle(&Verdict::Term(reason.into()))
    }

    /// Says that the work goes on: the lease starts anew, and nothing is counted.
    ///
    /// # Crash safety
    ///
    /// Nothing is written; a crash ends every lease.
    ///
    /// # Errors
    ///
    /// As for [`ack`](Self::ack).
    pub fn in_progress(&self) -> Result<(), AckError> {
        self.settle(&Verdict::InProgress)
    }

    fn settle(&self, verdict: &Verdict) -> Result<(), AckError> {
        self.whose
            .root
            .engine
            .settle(&self.whose.reference, self.delivered.token, verdict)
    }
}

/// A message that was read without consuming it.
///
/// # Examples
///
/// ```
/// use riverbed::{Riverbed, Seq, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let stream = store.create_stream(StreamConfig::new("notes"))?;
/// stream.publish("notes", "remember")?;
/// let note = stream.get(Seq::new(1))?.ok_or("not there")?;
/// assert_eq!(note.payload(), b"remember");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    stored: Arc<Stored>,
}

impl StoredMessage {
    pub(crate) fn new(stored: Arc<Stored>) -> Self {
        Self { stored }
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.stored.payload
    }

    /// The subject it was published on.
    pub fn subject(&self) -> &str {
        &self.stored.subject
    }

    /// Its headers.
    pub fn headers(&self) -> &Headers {
        &self.stored.headers
    }

    /// The id it was published with.
    pub fn id(&self) -> Option<&str> {
        self.stored.id.as_deref()
    }

    /// Its sequence in the stream.
    pub fn seq(&self) -> Seq {
        Seq::new(self.stored.seq)
    }

    /// When it was published.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_micros(self.stored.time)
    }

    pub(crate) fn stored(&self) -> &Stored {
        &self.stored
    }
}
