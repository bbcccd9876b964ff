//! How far a consumer may fall behind before publishers are held back.

use super::stream::{StreamConfig, at_least_one};
use crate::error::InvalidSetting;

impl StreamConfig {
    /// Bounds how far the slowest consumer may fall behind: a publish that would leave a consumer more than
    /// so many messages to do is refused with
    /// [`LagExceeded`](crate::PublishErrorKind::LagExceeded), which names the consumer, or waits if it says
    /// [`wait_for_room`](crate::Publish::wait_for_room). It goes on as soon as the consumer is done with
    /// enough of them, loses them, or is deleted.
    ///
    /// What a consumer has to do is what it wants and is not finished: what was never delivered, is in flight,
    /// due or delayed. What it parked, or its dead-letter stream refused, was given up and does not count. A
    /// paused consumer counts, and so holds publishers up; an
    /// [ephemeral](crate::ConsumerConfig::inactive_threshold) one does not, because whoever comes and goes is
    /// not to stop others. A consumer that starts with more than this behind holds publishers up until it has
    /// caught up: let it start later, or raise the bound.
    ///
    /// Only publishers are held back. What the store itself moves is appended whatever the lag: dead letters,
    /// redrives, and messages for later, which were judged when they were accepted. A duplicate is answered as
    /// one. A worker that publishes into the stream it works on waits for itself: give it no patience.
    ///
    /// Consumers without filters, or whose filters have no wildcards, cost nothing; others are counted over the
    /// subjects that they match once they may have reached the bound.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, PublishErrorKind, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let jobs = store.create_stream(StreamConfig::new("jobs").max_lag_messages(2))?;
    /// let worker = jobs.create_consumer(ConsumerConfig::new("worker"))?;
    /// jobs.publish_batch([("jobs", "one"), ("jobs", "two")])?;
    /// let refused = jobs.publish("jobs", "three").unwrap_err();
    /// assert!(matches!(refused.kind, PublishErrorKind::LagExceeded { lag: 2, .. }));
    /// worker.fetch(1)?.ack()?;
    /// assert_eq!(jobs.publish("jobs", "three")?.seq, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_lag_messages(mut self, messages: u64) -> Self {
        self.max_lag_messages = Some(messages);
        self
    }

    pub(super) fn validate_lag(&self) -> Result<(), InvalidSetting> {
        let setting = "max_lag_messages";
        at_least_one(setting, self.max_lag_messages)?;
        match (self.max_lag_messages, self.max_messages) {
            (Some(lag), Some(most)) if lag > most => {
                let why = format!(
                    "{lag} is more than `max_messages`, {most}, and no consumer can be behind by more than is stored; lower it to that, or leave it out"
                );
                Err(InvalidSetting::new(setting, why))
            }
            _ => Ok(()),
        }
    }
}
