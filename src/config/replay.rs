//! At which pace a consumer gets what was stored before it.

use super::{ConsumerConfig, DeliverPolicy};
use crate::error::InvalidSetting;
use serde::{Deserialize, Serialize};

/// At which pace a consumer gets the messages that were in its stream before it; fixed when it is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ReplayPolicy {
    /// As fast as they are fetched.
    #[default]
    Instant,
    /// As they were published: with the intervals that lay between them. A fetch waits until the next
    /// message's time has come, as it would if there were none, or says
    /// [`Replaying`](crate::EmptyReason::Replaying).
    ///
    /// The first message comes at once, and the others as long after it as they were published after
    /// it; messages that do not match, or were removed, leave longer intervals. What could not be taken in
    /// time, because of `max_ack_pending`, a rate limit or busy workers, comes as soon as it can. When the store
    /// is opened, when the consumer was paused and when it was [reset](crate::Consumer::reset), the
    /// replay goes on with the next message at once, and from there with its intervals.
    ///
    /// Redeliveries come at once, and so does what was published since the consumer was created, or reset:
    /// behind the last message before that.
    Original,
}

impl ConsumerConfig {
    /// Sets at which pace the messages come that are in the stream already.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, EmptyReason, Fetch, ManualClock, ReplayPolicy, Riverbed, StreamConfig};
    /// use std::time::Duration;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let clock = ManualClock::new();
    /// let store = Riverbed::builder().clock(clock.clock()).open(folder.path().join("store"))?;
    /// let prices = store.create_stream(StreamConfig::new("prices"))?;
    /// prices.publish("prices", "17.20")?;
    /// clock.advance(Duration::from_secs(3));
    /// prices.publish("prices", "17.30")?;
    /// let config = ConsumerConfig::new("again").replay(ReplayPolicy::Original);
    /// let again = prices.create_consumer(config)?;
    /// assert_eq!(again.fetch(10)?.len(), 1);
    /// let early = again.fetch(Fetch::new(10).no_wait())?;
    /// assert!(matches!(early.empty_reason(), Some(EmptyReason::Replaying { .. })));
    /// clock.advance(Duration::from_secs(3));
    /// assert_eq!(again.fetch(10)?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replay(mut self, policy: ReplayPolicy) -> Self {
        self.replay = policy;
        self
    }

    /// Refuses a replay of what a consumer is not given, or at once.
    pub(super) fn check_replay(&self) -> Result<(), InvalidSetting> {
        let from = match self.deliver {
            _ if self.replay == ReplayPolicy::Instant => return Ok(()),
            DeliverPolicy::New => "New",
            DeliverPolicy::Last => "Last",
            DeliverPolicy::LastPerSubject => "LastPerSubject",
            _ => return Ok(()),
        };
        Err(InvalidSetting::new(
            "replay",
            format!(
                "with `deliver` {from} there is no past to replay with its intervals; leave `replay` out, or begin with \
                 `All`, `FromSequence` or `FromTime`"
            ),
        ))
    }
}
