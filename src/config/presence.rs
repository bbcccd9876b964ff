//! What a delivery carries, and whether a consumer is at work: pauses and inactivity.

use super::ConsumerConfig;
use crate::clock::Timestamp;
use crate::error::InvalidSetting;
use std::time::Duration;

/// The longest inactivity that can be set.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

impl ConsumerConfig {
    /// Delivers messages without their payloads; [`Message::payload_len`](crate::Message::payload_len)
    /// says how long each is, and [`Stream::get`](crate::Stream::get) reads it. Bounds in bytes still
    /// count the whole message, and a dead letter has its payload.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let stream = store.create_stream(StreamConfig::new("files"))?;
    /// let index = stream.create_consumer(ConsumerConfig::new("index").headers_only())?;
    /// stream.publish("files", "a long document")?;
    /// let batch = index.fetch(1)?;
    /// assert_eq!((batch[0].payload(), batch[0].payload_len()), (&b""[..], 15));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn headers_only(mut self) -> Self {
        self.headers_only = true;
        self
    }

    /// Creates the consumer paused until this time; see [`Consumer::pause`](crate::Consumer::pause). An
    /// update of the configuration never changes a pause.
    pub fn pause_until(mut self, until: Timestamp) -> Self {
        self.pause_until = Some(until);
        self
    }

    /// Makes the consumer ephemeral: it is deleted when for so long (1 ms to 365 days) nobody fetched from
    /// it, waited on it, settled or held a message of it. That is announced
    /// ([`Event::ConsumerExpired`](crate::Event::ConsumerExpired)).
    ///
    /// A restart does not delete it: inactivity counts anew from each opening of the store.
    pub fn inactive_threshold(mut self, after: Duration) -> Self {
        self.inactive_threshold = Some(after);
        self
    }

    pub(super) fn check_inactivity(&self) -> Result<(), InvalidSetting> {
        let setting = "inactive_threshold";
        match self.inactive_threshold {
            Some(after) if after < Duration::from_millis(1) => {
                Err(InvalidSetting::new(setting, "it is shorter than 1 ms"))
            }
            Some(after) if after > YEAR => {
                Err(InvalidSetting::new(setting, "it is longer than 365 days"))
            }
            _ => Ok(()),
        }
    }
}
