//! Dead letters: read with their envelope, and redriven.

use crate::clock::Timestamp;
use crate::error::{ReadError, RedriveError};
use crate::event::DeadReason;
use crate::message::StoredMessage;
use crate::seq::Seq;
use crate::state::{Envelope, RedriveTo};
use crate::stream::{Range, Stream};

/// A message of a dead-letter stream with what its envelope says.
///
/// A dead-letter stream is a stream like any other; the envelope is in the message's headers
/// (`Riverbed-Dead-Stream` and so on), beside its own.
///
/// # Examples
///
/// ```
/// use riverbed::{ConsumerConfig, DeadReason, Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
/// let worker = jobs.create_consumer(ConsumerConfig::new("worker").dead_letter("jobs-dead"))?;
/// jobs.publish("jobs", "broken")?;
/// worker.fetch(1)?[0].term("can't be read")?;
///
/// let dead = store.stream("jobs-dead")?;
/// let letter = dead.dead_letters().next().ok_or("no dead letter")??;
/// assert_eq!(letter.reason, DeadReason::Term("can't be read".into()));
/// assert_eq!((letter.stream.as_str(), letter.consumer.as_str()), ("jobs", "worker"));
/// dead.redrive(letter.message.seq())?;
/// assert_eq!(worker.fetch(1)?[0].payload(), b"broken");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The copy in the dead-letter stream: payload, own headers and envelope.
    pub message: StoredMessage,
    /// The stream it came from.
    pub stream: String,
    /// Its sequence there.
    pub seq: Seq,
    /// Its subject there.
    pub subject: String,
    /// When it was published there.
    pub published: Timestamp,
    /// The consumer that gave it up.
    pub consumer: String,
    /// How often it was delivered.
    pub deliveries: u64,
    /// How many deliveries failed.
    pub failures: u64,
    /// How many deliveries a crash cut off beside others.
    pub crashes: u64,
    /// Why it was given up.
    pub reason: DeadReason,
    /// The id it was published with.
    pub id: Option<String>,
}

impl DeadLetter {
    fn read(message: StoredMessage) -> Option<Self> {
        let envelope = Envelope::read(message.stored()).ok()?;
        Some(Self {
            message,
            stream: envelope.stream,
            seq: Seq::new(envelope.seq),
            subject: envelope.subject,
            published: Timestamp::from_micros(envelope.time),
            consumer: envelope.consumer,
            deliveries: envelope.deliveries,
            failures: envelope.failures,
            crashes: envelope.crashes,
            reason: envelope.reason,
            id: envelope.id,
        })
    }
}

/// The dead letters of a stream in order; made by [`Stream::dead_letters`].
#[derive(Debug)]
pub struct DeadLetters {
    range: Range,
}

impl Iterator for DeadLetters {
    type Item = Result<DeadLetter, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.range.find_map(|read| match read {
            Ok(message) => DeadLetter::read(message).map(Ok),
            Err(why) => Some(Err(why)),
        })
    }
}

impl Stream {
    /// Reads the stream's dead letters in order, without consuming them. Messages without an envelope
    /// are passed over.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters {
            range: self.range(..),
        }
    }

    /// Moves a dead letter back to the stream it came from, for all of that stream's consumers, under a
    /// new sequence and with its old subject. Returns the new sequence.
    ///
    /// Deduplication does not swallow it, and its envelope stays on as headers (R20).
    ///
    /// # Crash safety
    ///
    /// One transaction: at every moment the message is in exactly one of the two streams.
    ///
    /// # Errors
    ///
    /// [`RedriveError`]: it is not there or not a dead letter, its stream is gone, or its stream refuses
    /// it; it then stays where it is.
    pub fn redrive(&self, seq: Seq) -> Result<Seq, RedriveError> {
        self.root.engine.redrive(self.id, seq, RedriveTo::Stream)
    }

    /// Makes the original of a dead letter due again for the one consumer that gave it up, with its
    /// attempts counted anew, and removes the dead letter. Returns the original's sequence.
    ///
    /// # Crash safety
    ///
    /// One transaction: at every moment the message is a dead letter or due.
    ///
    /// # Errors
    ///
    /// [`RedriveError::Gone`] when the original is not stored any more, or its consumer is gone;
    /// otherwise as for [`redrive`](Self::redrive).
    pub fn redrive_to_consumer(&self, seq: Seq) -> Result<Seq, RedriveError> {
        self.root.engine.redrive(self.id, seq, RedriveTo::Consumer)
    }
}
