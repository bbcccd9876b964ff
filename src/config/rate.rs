//! How fast a consumer delivers.

use super::ConsumerConfig;
use super::consumer::in_day;
use crate::error::InvalidSetting;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// So many messages or bytes in so long.
///
/// # Examples
///
/// ```
/// use riverbed::Rate;
/// use std::time::Duration;
///
/// let calls = Rate::per_second(50);
/// assert_eq!((calls.amount, calls.burst), (50, 50));
/// let evenly = Rate::new(600, Duration::from_secs(60)).burst(1);
/// # let _ = evenly;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rate {
    /// How many (at least 1).
    pub amount: u64,
    /// In how long (1 ms to 24 h).
    pub per: Duration,
    /// How many may come at once after a pause (at least 1): as many as `amount`, unless it is set.
    pub burst: u64,
}

impl Rate {
    /// So many in so long; after a pause as many may come at once.
    pub const fn new(amount: u64, per: Duration) -> Self {
        let burst = amount;
        Self { amount, per, burst }
    }

    /// So many in a second.
    pub const fn per_second(amount: u64) -> Self {
        Self::new(amount, Duration::from_secs(1))
    }

    /// Sets how many may come at once after a pause; with 1 they come evenly.
    pub const fn burst(mut self, burst: u64) -> Self {
        self.burst = burst;
        self
    }

    fn check(&self, setting: &'static str) -> Result<(), InvalidSetting> {
        in_day(setting, self.per)?;
        let why = match (self.amount, self.burst) {
            (0, _) => {
                "its amount is 0; to deliver nothing for a while, use `pause_until` or `Consumer::pause`"
            }
            (_, 0) => "its burst is 0, so that nothing could ever come; 1 delivers evenly",
            _ => return Ok(()),
        };
        Err(InvalidSetting::new(setting, why))
    }
}

impl ConsumerConfig {
    /// Limits how many messages are delivered in a time, whoever fetches them, redeliveries included: what
    /// stands behind the workers is spared. A fetch beyond the rate waits until the next message may
    /// come, as it would if there were none, or says [`RateLimited`](crate::EmptyReason::RateLimited).
    /// Nothing is lost, and the order stays.
    ///
    /// When the store is opened, and when an update changes the rate, nothing of the burst is left, so that
    /// neither can be used to get around the limit. What does not count as a delivery, because it was not handed
    /// over or its runner stopped before it was started, uses nothing up.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, EmptyReason, Fetch, Rate, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let stream = store.create_stream(StreamConfig::new("mail"))?;
    /// let hourly = Rate::new(2, std::time::Duration::from_secs(3600));
    /// let sender = stream.create_consumer(ConsumerConfig::new("sender").rate_limit(hourly))?;
    /// stream.publish_batch([("mail", "1"), ("mail", "2"), ("mail", "3")])?;
    /// assert_eq!(sender.fetch(10)?.len(), 2);
    /// let later = sender.fetch(Fetch::new(10).no_wait())?;
    /// assert!(matches!(later.empty_reason(), Some(EmptyReason::RateLimited { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rate_limit(mut self, messages: Rate) -> Self {
        self.rate_limit = Some(messages);
        self
    }

    /// The same for their bytes: subjects, ids, headers and payloads, also of a consumer that wants
    /// [headers only](Self::headers_only). A message may come as soon as any byte may; if it is larger than
    /// what is left, what it takes too much is missing afterwards.
    pub fn rate_limit_bytes(mut self, bytes: Rate) -> Self {
        self.rate_limit_bytes = Some(bytes);
        self
    }

    pub(super) fn check_rates(&self) -> Result<(), InvalidSetting> {
        for (setting, rate) in [
            ("rate_limit", self.rate_limit),
            ("rate_limit_bytes", self.rate_limit_bytes),
        ] {
            rate.map_or(Ok(()), |rate| rate.check(setting))?;
        }
        Ok(())
    }
}
