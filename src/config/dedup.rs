//! How long message ids are remembered.

use super::retention::Retention;
use super::stream::{StreamConfig, at_least_one};
use crate::error::InvalidSetting;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// From when on a message id is remembered for the dedup window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DedupMode {
    /// From the first publish with it. A duplicate changes nothing.
    #[default]
    Fixed,
    /// From the last publish with it: a duplicate renews the id, and so is a write. It is remembered for the
    /// window at least, and for an eighth longer at most. Ids that are renewed over and over take up to ten
    /// times the memory.
    Sliding,
}

/// Until when a message id is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DedupRelease {
    /// Until the dedup window has passed, whatever becomes of the message.
    #[default]
    Window,
    /// Until consumers are done with the message and it leaves its stream, and for the dedup window at most.
    Finished,
}

impl StreamConfig {
    /// Sets how long a message id is remembered.
    pub fn dedup_window(mut self, window: Duration) -> Self {
        self.dedup_window = Some(window);
        self
    }

    /// Switches deduplication off.
    pub fn without_dedup(mut self) -> Self {
        self.dedup_window = None;
        self
    }

    /// Sets how many message ids are remembered at once.
    pub fn dedup_ids(mut self, ids: u64) -> Self {
        self.dedup_ids = ids;
        self
    }

    /// Chooses whether a duplicate renews its id.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{DedupMode, StreamConfig};
    /// use std::time::Duration;
    ///
    /// let config = StreamConfig::new("uploads")
    ///     .dedup_window(Duration::from_secs(60))
    ///     .dedup_mode(DedupMode::Sliding);
    /// assert_eq!(config.dedup_mode, DedupMode::Sliding);
    /// ```
    pub fn dedup_mode(mut self, mode: DedupMode) -> Self {
        self.dedup_mode = mode;
        self
    }

    /// Chooses whether the id of a message is free again when consumers are done with it.
    ///
    /// With [`DedupRelease::Finished`] a job that is published again while it is queued or worked on is a
    /// duplicate, and a new job once it is done. The id is released in the commit in which the message leaves
    /// because consumers are done with it: by an ack, a dead letter, a drop or a discard. So it takes a
    /// [`retention`](Self::retention) by which that happens. A parked message is not finished, and keeps its id.
    ///
    /// What leaves in any other way nobody has done, and its id stays for the window: what a limit, its age, a
    /// purge, a delete or a rollup took, what no consumer wanted or a [reset](crate::Consumer::reset) passed over, and
    /// a message for later that was cancelled. A publish that is tried again does not bring such a message back. So it is
    /// with a message for later that was sent before this was set, and, where a consumer was reset, with what was before its
    /// place then and leaves because another consumer is deleted.
    ///
    /// An id is remembered for the window at most: for jobs that are unique as long as they are there, choose a
    /// window longer than any of them waits. That of a message for later is counted anew from when it is sent,
    /// if it was still remembered then.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, DedupRelease, Publish, Retention, Riverbed, StreamConfig};
    /// use std::time::Duration;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let config = StreamConfig::new("reports")
    ///     .retention(Retention::WorkQueue)
    ///     .dedup_window(Duration::from_secs(24 * 3600))
    ///     .dedup_release(DedupRelease::Finished);
    /// let reports = store.create_stream(config)?;
    /// let worker = reports.create_consumer(ConsumerConfig::new("worker"))?;
    /// let ask = || reports.publish_message(Publish::new("reports", "").id("user 7"));
    /// assert_eq!(ask()?.seq, 1);
    /// assert!(ask()?.duplicate);
    /// worker.fetch(1)?.ack()?;
    /// assert_eq!(ask()?.seq, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dedup_release(mut self, release: DedupRelease) -> Self {
        self.dedup_release = release;
        self
    }

    /// Refuses windows that can't be, and settings that mean nothing beside the others.
    pub(super) fn validate_dedup(&self) -> Result<(), InvalidSetting> {
        at_least_one("dedup_ids", Some(self.dedup_ids))?;
        let refused = |setting, why| Err(InvalidSetting::new(setting, why));
        let releases = self.dedup_release == DedupRelease::Finished;
        if releases && self.retention == Retention::Limits {
            let why = "the stream's `retention` is Limits, where no message leaves because consumers are done with it; set Retention::WorkQueue or Retention::Interest, or leave dedup_release out";
            return refused("dedup_release", why);
        }
        let Some(window) = self.dedup_window else {
            if releases {
                let why = "there is no `dedup_window` for which ids would be remembered; set dedup_window, or leave dedup_release out";
                return refused("dedup_release", why);
            }
            if self.dedup_mode == DedupMode::Sliding {
                let why = "there is no window to slide; set dedup_window, or leave dedup_mode out";
                return refused("dedup_mode", why);
            }
            return Ok(());
        };
        if window < Duration::from_millis(100) {
            let why = "it is shorter than 100 ms; use without_dedup to switch it off";
            return refused("dedup_window", why);
        }
        if self.max_age.is_some_and(|age| window > age) {
            let why = "it is longer than max_age; shorten it to max_age or less";
            return refused("dedup_window", why);
        }
        Ok(())
    }
}
