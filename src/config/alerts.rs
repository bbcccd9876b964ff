//! From when on a store says that something does not go on as it should.

use std::time::Duration;

/// When a store raises an [`Event`](crate::Event) of its own accord, because consumers do not get on: set
/// by [`Builder::alerts`](crate::Builder::alerts), for all streams and consumers.
///
/// Each alert is raised once when it begins, and a second event says when it is over; in between nothing is
/// repeated, however often it is looked. Nothing of it is stored: opening a store looks anew, and whoever
/// [subscribes](crate::Riverbed::events) is first told of the alerts that have begun and are not over.
///
/// # Examples
///
/// ```
/// use riverbed::{Alerts, ConsumerConfig, Event, Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// let mut alerts = Alerts::default();
/// alerts.lag_messages = Some(2);
/// let store = Riverbed::builder().alerts(alerts).open(folder.path().join("store"))?;
/// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
/// let worker = jobs.create_consumer(ConsumerConfig::new("worker"))?;
/// let events = store.events(10);
/// jobs.publish_batch([("jobs", "one"), ("jobs", "two"), ("jobs", "three")])?;
/// assert!(matches!(events.recv()?, Event::ConsumerBehind { lag: 3, .. }));
/// worker.fetch(2)?.ack()?;
/// assert!(matches!(events.recv()?, Event::ConsumerCaughtUp { lag: 1, .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alerts {
    /// A consumer is stuck when it has messages in flight or due again, and has finished none for so many
    /// times the longest time that one attempt may take (10; `None` means that nobody is told), see
    /// [`Event::ConsumerStuck`](crate::Event::ConsumerStuck).
    pub stuck_ack_waits: Option<u32>,
    /// Messages to do from which on a consumer is behind (`None`: nobody is told), see
    /// [`Event::ConsumerBehind`](crate::Event::ConsumerBehind). Over at half as many.
    pub lag_messages: Option<u64>,
    /// Messages from which on a dead-letter stream has piled up (100; `None` means that nobody is told),
    /// see [`Event::DeadLettersPiledUp`](crate::Event::DeadLettersPiledUp). Over at half as many.
    pub dead_letters: Option<u64>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            stuck_ack_waits: Some(10),
            lag_messages: None,
            dead_letters: Some(100),
        }
    }
}

impl Alerts {
    /// After how long without progress a consumer is stuck, whose attempts take so long at most.
    pub(crate) fn stuck_after(&self, attempt: Duration) -> Option<Duration> {
        self.stuck_ack_waits
            .map(|times| attempt.saturating_mul(times))
    }

    /// Says which setting makes no sense.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let zero = [
            ("stuck_ack_waits", self.stuck_ack_waits.map(u64::from)),
            ("lag_messages", self.lag_messages),
            ("dead_letters", self.dead_letters),
        ];
        match zero.iter().find(|(_, value)| *value == Some(0)) {
            Some((setting, _)) => Err(format!(
                "alerts.{setting} is 0; it must be at least 1, or None to have nobody told"
            )),
            None => Ok(()),
        }
    }
}
