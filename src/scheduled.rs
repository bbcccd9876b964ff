//! `ScheduledMessage`: what was published for later, listed and cancelled.

use crate::clock::Timestamp;
use crate::error::{ReadError, ScheduleError};
use crate::format::rows::ScheduledRow;
use crate::headers::Headers;
use crate::repeat::Repeat;
use crate::stream::Stream;

/// A message that waits for its time; see [`Publish::after`](crate::Publish::after).
///
/// # Examples
///
/// ```
/// use riverbed::{Publish, Riverbed, StreamConfig, Timestamp};
/// use std::time::Duration;
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let mails = store.create_stream(StreamConfig::new("mails"))?;
/// let tomorrow = Timestamp::now().plus(Duration::from_secs(86_400));
/// mails.publish_message(Publish::new("mails", "Have you seen this?").at(tomorrow))?;
///
/// let waiting = mails.scheduled(0, 100)?;
/// assert_eq!((waiting[0].number, waiting[0].due), (1, tomorrow));
/// mails.cancel_scheduled(waiting[0].number)?;
/// assert_eq!(mails.scheduled(0, 100)?, []);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduledMessage {
    /// Its number: from 1, growing, and never used again in its stream.
    pub number: u64,
    /// When it is due; of one that comes again, the next time.
    pub due: Timestamp,
    /// How it comes again, if it does.
    pub repeat: Option<Repeat>,
    /// Its subject.
    pub subject: String,
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The id it was published with.
    pub id: Option<String>,
}

impl ScheduledMessage {
    fn new(number: u64, row: ScheduledRow) -> Self {
        Self {
            number,
            due: Timestamp::from_micros(row.due),
            repeat: row.repeat,
            subject: row.subject,
            headers: row.headers.into_iter().collect(),
            payload: row.payload.0,
            id: row.id,
        }
    }
}

impl Stream {
    /// The messages that wait for their time, from a number on and in the order of their numbers, at most
    /// `limit` of them and no more than some 16 MiB: the last number plus one is where to go on.
    ///
    /// # Errors
    ///
    /// The stream is gone, or the store is unavailable.
    pub fn scheduled(&self, from: u64, limit: usize) -> Result<Vec<ScheduledMessage>, ReadError> {
        let (id, name) = (self.id, self.name());
        let found = self.root.engine.scheduled(id, name, from, limit)?;
        let message = |(number, row)| ScheduledMessage::new(number, row);
        Ok(found.into_iter().map(message).collect())
    }

    /// Takes a message back before it is due, or ends one that comes again and again. Its id, if it had one, stays remembered for the stream's
    /// dedup window.
    ///
    /// # Crash safety
    ///
    /// After `Ok` it will never be in the stream, also after a crash; before, it waits or is gone.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::NotScheduled`]: no message waits under this number, because it was sent or
    /// cancelled, or there never was one; the stream is gone; the store is unavailable.
    pub fn cancel_scheduled(&self, number: u64) -> Result<(), ScheduleError> {
        let (id, name) = (self.id, self.name());
        self.root.engine.cancel_scheduled(id, name, number)
    }
}
