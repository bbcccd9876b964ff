//! `Room`: how much the whole store may still take.

use crate::config::Limits;
use crate::error::PublishErrorKind;
use crate::format::page_bytes;

/// About what a record costs beside the message's own bytes: times, lengths, its place in the block.
const RECORD_COST: u64 = 24;
/// Messages from this size on fill pages of their own, and pay for what they leave empty.
const ALONE: u64 = 2_000;

/// The store's bound, and what is used of it.
///
/// What is on disk is known to the byte. What is on its way there is estimated, at no less than a
/// group of small messages takes; the reserve absorbs the rest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    limit: Option<u64>,
    reserve: u64,
    /// On disk.
    used: u64,
    /// In the group that is being committed.
    sealed: u64,
    /// In the open group.
    staged: u64,
    /// Messages that wait for their time.
    aside: u64,
    /// Grows when bytes are freed: whoever waits for room looks again.
    pub(crate) freed: u64,
    /// What was refused fits when no more than this is taken; of the refused, the one that fits first.
    fits_at: Option<u64>,
}

impl Room {
    pub(crate) fn new(limits: &Limits, used: u64) -> Self {
        Self {
            limit: limits.max_store_bytes,
            reserve: limits.store_reserve_bytes,
            used,
            ..Self::default()
        }
    }

    fn taken(&self) -> u64 {
        self.used + self.sealed + self.staged + self.aside
    }

    /// Whether publishers may store `bytes` more: the reserve is not theirs.
    pub(crate) fn for_publish(&mut self, bytes: u64) -> Result<(), PublishErrorKind> {
        self.check(bytes, self.reserve)
    }

    /// Whether the store itself may, to move a message.
    pub(crate) fn for_move(&mut self, bytes: u64) -> Result<(), PublishErrorKind> {
        self.check(bytes, 0)
    }

    fn check(&mut self, bytes: u64, reserve: u64) -> Result<(), PublishErrorKind> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        let bound = limit.saturating_sub(reserve);
        if bytes == 0 || self.taken() + bytes <= bound {
            return Ok(());
        }
        // What is larger than the bound never fits.
        self.fits_at = self.fits_at.max(bound.checked_sub(bytes));
        Err(PublishErrorKind::StoreFull {
            used: self.taken(),
            limit,
            reserve,
        })
    }

    /// Messages joined the open group.
    pub(crate) fn stage(&mut self, bytes: u64) {
        self.staged += bytes;
    }

    /// A message waits for its time.
    pub(crate) fn set_aside(&mut self, bytes: u64) {
        self.aside += bytes;
    }

    /// Its time has come: it is to be stored like any other.
    pub(crate) fn take_back(&mut self, bytes: u64) {
        self.aside = self.aside.saturating_sub(bytes);
    }

    /// It will never be stored.
    pub(crate) fn free_aside(&mut self, bytes: u64) {
        self.take_back(bytes);
        self.freed += u64::from(self.limit.is_some());
    }

    /// The open group is on its way to the disk.
    pub(crate) fn seal(&mut self) {
        self.sealed = std::mem::take(&mut self.staged);
    }

    /// It is there, and this is what the store uses now.
    pub(crate) fn complete(&mut self, used: u64) {
        let freed = used < self.used && self.limit.is_some();
        (self.used, self.sealed) = (used, 0);
        // Also when nothing was freed, but what was on its way took less than was estimated.
        if freed || self.fits_at.is_some_and(|at| self.taken() <= at) {
            self.freed += 1;
            self.fits_at = None;
        }
    }
}

/// What a message of `size` bytes will take on disk, about.
pub(crate) fn disk_bytes(size: u64) -> u64 {
    let record = size + RECORD_COST;
    if record < ALONE {
        record
    } else {
        // The largest block takes several of these; the next page size is what the last one costs.
        usize::try_from(record).map_or(u64::MAX, page_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Room, disk_bytes};
    use crate::config::Limits;

    fn room(used: u64) -> Room {
        let limits = Limits {
            max_store_bytes: Some(10_000),
            store_reserve_bytes: 1_000,
            ..Limits::default()
        };
        Room::new(&limits, used)
    }

    #[test]
    fn the_reserve_is_for_the_store_alone() {
        let mut room = room(8_500);
        assert!(room.for_publish(500).is_ok());
        assert!(room.for_publish(501).is_err());
        assert!(room.for_move(1_500).is_ok());
        assert!(room.for_move(1_501).is_err());
        assert!(room.for_publish(0).is_ok());
    }

    #[test]
    fn what_waits_for_its_time_counts() {
        let mut room = room(0);
        room.set_aside(8_000);
        assert!(room.for_publish(1_001).is_err());
        room.take_back(4_000);
        assert!(room.for_publish(1_001).is_ok());
        assert_eq!(room.freed, 0, "it is to be stored now");
        room.free_aside(4_000);
        assert_eq!(room.freed, 1);
    }

    #[test]
    fn what_is_on_its_way_counts() {
        let mut room = room(0);
        room.stage(4_000);
        room.seal();
        room.stage(4_000);
        assert!(room.for_publish(1_001).is_err());
        room.complete(100);
        assert_eq!(room.freed, 1, "what was refused fits");
        assert!(room.for_publish(4_900).is_ok());
        room.complete(50);
        assert_eq!(room.freed, 2);
    }

    #[test]
    fn who_was_refused_for_an_estimate_looks_again_when_less_was_taken() {
        let mut room = room(0);
        room.stage(8_000);
        room.for_publish(2_000).unwrap_err();
        room.for_publish(9_001).unwrap_err();
        room.seal();
        room.stage(4_000);
        room.complete(4_096);
        assert_eq!(room.freed, 0, "4,000 are still on their way");
        room.seal();
        room.complete(6_000);
        assert_eq!(room.freed, 1);
        room.seal();
        room.complete(6_100);
        assert_eq!(room.freed, 1, "nobody was refused");
    }

    #[test]
    fn a_large_message_pays_for_its_pages() {
        assert_eq!(disk_bytes(100), 124);
        assert_eq!(disk_bytes(2_100), 4_096);
        assert_eq!(disk_bytes(66_000), 131_072);
    }
}
