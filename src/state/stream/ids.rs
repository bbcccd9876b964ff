//! The ids that a stream remembers, and for how long.

use super::Stream;
use crate::clock::micros;
use crate::config::{DedupMode, DedupRelease};
use crate::publish::Publish;
use crate::state::dedup::hash_id;
use crate::state::schedule::as_place;

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

    /// Whether the id of a message is free again when consumers are done with it.
    pub(crate) fn releases_ids(&self) -> bool {
        self.config.dedup_release == DedupRelease::Finished
    }

    /// Whether what becomes of a message depends on what the open group finished.
    pub(in crate::state) fn looks_back(&self, message: &Publish) -> bool {
        let releases = || self.releases_ids() && message.id.is_some();
        message.expect.is_some() || message.rollup.is_some() || releases()
    }

    /// Keeps of its ids what its configuration asks for.
    pub(super) fn follow_release(&mut self) {
        match self.config.dedup_release {
            DedupRelease::Window => self.dedup.let_places_go(),
            DedupRelease::Finished => self.dedup.keep_places(),
        }
    }

    /// The hash of the id of a message for later that is sent now, if the id is to lead to the message from now on.
    pub(in crate::state) fn id_of_sent(
        &self,
        secret: [u8; 16],
        id: Option<&str>,
        number: u64,
        now: u64,
    ) -> Option<u128> {
        let hash = hash_id(secret, id.filter(|_| self.releases_ids())?);
        let place = self.duplicate_of(hash, now)?;
        (place == as_place(number)).then_some(hash)
    }
}
