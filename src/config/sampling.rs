//! Which acks of a consumer are told to subscribers.

use super::ConsumerConfig;
use crate::error::InvalidSetting;

impl ConsumerConfig {
    /// Tells subscribers of so many of 100 acks how long they took
    /// ([`Event::AckSampled`](crate::Event::AckSampled)): 1 to 100 (none, unless it is set).
    ///
    /// The sequence decides whether the ack of a message is told, so that all consumers with the same
    /// percentage tell of the same messages, at every attempt and in every run: those whose XXH3 hash of the
    /// sequence (64 bits, of its eight bytes, the lowest first) is, modulo 100, below the percentage. Told are
    /// the acks of single messages and of batches, also lazy ones and those of runners, once they are
    /// committed. With [`AckPolicy::All`](crate::AckPolicy::All) the message that was acked stands for those below it.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, Event, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let events = store.events(100);
    /// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
    /// let worker = jobs.create_consumer(ConsumerConfig::new("worker").sample_acks(100))?;
    /// jobs.publish("jobs", "resize 17.png")?;
    /// worker.fetch(1)?.ack()?;
    /// let Event::AckSampled { whose, since_delivery, since_publish, .. } = events.recv()? else {
    ///     panic!("every ack is told");
    /// };
    /// assert_eq!((whose.seq.get(), whose.deliveries), (1, 1));
    /// println!("{since_delivery:?} at work, {since_publish:?} in all");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sample_acks(mut self, percent: u8) -> Self {
        self.sample_acks = Some(percent);
        self
    }

    pub(super) fn check_sampling(&self) -> Result<(), InvalidSetting> {
        match self.sample_acks {
            None | Some(1..=100) => Ok(()),
            Some(other) => {
                let why = format!("{other} is not from 1 to 100; leave it out to tell of no ack");
                Err(InvalidSetting::new("sample_acks", why))
            }
        }
    }
}
