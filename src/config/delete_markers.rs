//! Subject delete markers: what a subject leaves when its last message is too old.

use super::StreamConfig;
use super::message_ttl::MessageTtl;
use super::retention::Retention;
use crate::error::InvalidSetting;
use std::time::Duration;

/// The shortest life of a marker.
const TTL_MIN: Duration = Duration::from_millis(100);

impl StreamConfig {
    /// Leaves a marker when [`max_age`](Self::max_age), or its own [time to live](crate::Publish::ttl), removes
    /// the last message of a subject, and has the marker live so long: a message on that subject without a
    /// payload, with the header `Riverbed-Marker-Reason` (`max_age` or `message_ttl`). So whoever keeps a copy
    /// of the last message of each subject hears that one is gone. At least 100 ms, and at most `max_age`.
    ///
    /// The marker is stored in the commit that removes the message, as the stream's newest message, and
    /// consumers get it like any other. It has a place even in a full stream that discards new messages, so that
    /// such a stream may have more bytes than `max_bytes` by its markers. When it expires it leaves none, and
    /// nor does what is removed by a limit, a delete, a purge, a rollup or damage. A stream with another
    /// [`retention`](Self::retention) than [`Retention::Limits`] has no markers.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ManualClock, Riverbed, Seq, StreamConfig};
    /// use std::time::Duration;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let clock = ManualClock::new();
    /// let builder = Riverbed::builder().clock(clock.clock()).without_threads();
    /// let store = builder.open(folder.path().join("store"))?;
    /// let config = StreamConfig::new("sessions")
    ///     .max_age(Duration::from_secs(60))
    ///     .subject_delete_marker_ttl(Duration::from_secs(5));
    /// let sessions = store.create_stream(config)?;
    /// sessions.publish("sessions", "alive")?;
    /// clock.advance(Duration::from_secs(60));
    /// store.drive()?;
    /// let marker = sessions.last_for_subject("sessions")?;
    /// let marker = marker.ok_or("there is a marker")?;
    /// assert_eq!(marker.seq(), Seq::new(2));
    /// assert_eq!(marker.headers().get("Riverbed-Marker-Reason"), Some("max_age"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subject_delete_marker_ttl(mut self, ttl: Duration) -> Self {
        self.subject_delete_marker_ttl = Some(ttl);
        self
    }

    /// Refuses markers that could not be, or that nobody would read.
    pub(super) fn validate_markers(&self) -> Result<(), InvalidSetting> {
        let Some(ttl) = self.subject_delete_marker_ttl else {
            return Ok(());
        };
        let refused = |why| Err(InvalidSetting::new("subject_delete_marker_ttl", why));
        if ttl < TTL_MIN {
            return refused("it is shorter than 100 ms; leave it out for no markers");
        }
        if self.max_age.is_some_and(|age| ttl > age) {
            return refused(
                "it is longer than `max_age`, which would take markers before; shorten it to max_age or less",
            );
        }
        if self.retention != Retention::Limits {
            return refused(
                "with another `retention` than Limits a message is for the consumers that settle it, and a marker would be one more; leave one of the two out",
            );
        }
        if self.max_age.is_none() && self.message_ttl == MessageTtl::Refused {
            return refused(
                "nothing expires without `max_age` and `allow_message_ttl`; set one of them, or leave it out",
            );
        }
        Ok(())
    }
}
