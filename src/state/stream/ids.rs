//! The ids that a stream remembers, and for how long.

use super::Stream;
use crate::clock::micros;
use crate::config::DedupMode;

impl Stream {
    /// The sequence of the message that was published with this id within the window.
    pub(in crate::state) fn duplicate_of(&self, hash: u128, now: u64) -> Option<u64> {
        self.dedup.find(hash, self.dedup_horizon(now)?)
    }

    /// Ids remembered at or before this time are forgotten.
    pub(crate) fn dedup_horizon(&self, now: u64) -> Option<u64> {
        let window = micros(self.config.dedup_window?);
        let kept = match self.config.dedup_mode {
            DedupMode::Fixed => window,
            // A duplicate soon after the last one does not renew the id.
            DedupMode::Sliding => window.saturating_add(window / 8),
        };
        // Until the window is longer than the time that has passed nothing is old enough.
        Some(now.max(self.last_time).saturating_sub(kept))
    }

    /// A duplicate came: its id is remembered from now on, where the window slides. Says whether that is
    /// to be written.
    pub(in crate::state) fn renew_id(&mut self, hash: u128, now: u64) -> bool {
        let (DedupMode::Sliding, Some(window)) = (self.config.dedup_mode, self.config.dedup_window)
        else {
            return false;
        };
        let now = now.max(self.last_time);
        let before = now.saturating_sub(micros(window) / 8);
        self.dedup.renew(hash, before, now)
    }
}
