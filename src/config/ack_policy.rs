//! What an ack says of other messages, or whether there are acks at all.

use super::consumer::{ACK_WAIT, MAX_ACK_PENDING, MAX_ACK_PENDING_BYTES};
use super::{AckDurability, ConsumerConfig, OnExhausted};
use crate::error::InvalidSetting;
use serde::{Deserialize, Serialize};

/// What an ack finishes; fixed when the consumer is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AckPolicy {
    /// The one message.
    #[default]
    Explicit,
    /// The message and everything below it that the consumer was given and has not finished: in flight
    /// with whomever, due or delayed. Parked messages stay, and so does what waits for its dead-letter
    /// stream. The other verdicts are about the one message.
    All,
    /// Nothing is to be acked: a delivery is finished when it is counted, before it is handed out. So a
    /// message is delivered at most once, and a crash, or a worker that stops in between, loses what was
    /// counted and not yet handled. An ack of such a delivery is `Ok` and does nothing; any other verdict
    /// answers `Gone`.
    None,
}

impl ConsumerConfig {
    /// Sets what an ack finishes.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{AckPolicy, ConsumerConfig, Fetch, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let stream = store.create_stream(StreamConfig::new("readings"))?;
    /// let config = ConsumerConfig::new("totals").ack_policy(AckPolicy::All);
    /// let totals = stream.create_consumer(config)?;
    /// stream.publish_batch([("readings", "1"), ("readings", "2"), ("readings", "3")])?;
    /// let batch = totals.fetch(3)?;
    /// batch[2].ack()?;
    /// assert_eq!(totals.info()?.acked, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ack_policy(mut self, policy: AckPolicy) -> Self {
        self.ack_policy = policy;
        self
    }

    /// Refuses what only means something where deliveries can fail or are in flight.
    pub(super) fn refuse_without_acks(&self) -> Result<(), InvalidSetting> {
        if self.ack_policy != AckPolicy::None {
            return Ok(());
        }
        let settings = [
            ("max_deliver", self.max_deliver.is_none()),
            ("backoff", self.backoff.is_empty()),
            ("dead_letter", self.dead_letter_stream().is_none()),
            ("on_exhausted", self.on_exhausted == OnExhausted::Park),
            ("ack_wait", self.ack_wait == ACK_WAIT),
            ("max_ack_pending", self.max_ack_pending == MAX_ACK_PENDING),
            (
                "max_ack_pending_bytes",
                self.max_ack_pending_bytes == MAX_ACK_PENDING_BYTES,
            ),
            ("sample_acks", self.sample_acks.is_none()),
            ("lazy_acks", self.ack_durability == AckDurability::Durable),
        ];
        match settings.into_iter().find(|(_, left_out)| !left_out) {
            Some((setting, _)) => Err(InvalidSetting::new(
                setting,
                format!(
                    "with `ack_policy` `None` a delivery is finished when it is counted; leave `{setting}` out, or \
                     take `AckPolicy::Explicit`"
                ),
            )),
            None => Ok(()),
        }
    }
}
