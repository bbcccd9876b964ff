//! Commits that are written to the operating system and synced a little later (J12).

use super::Engine;
use crate::config::Durability;
use crate::error::Unavailable;
use crate::store::StoreError;

impl Engine {
    /// A group was written: if it is not synced, that is due some time after the first of those it joins.
    pub(super) fn schedule_sync(&self) {
        let Durability::Written { synced_within } = self.durability else {
            return;
        };
        if !self.store.has_unsynced() {
            return;
        }
        let mut due = self.sync_due.lock();
        if due.is_none() {
            *due = Some(self.clock.mono().plus(synced_within));
            self.checkpointer.raise();
        }
    }

    /// Syncs what was written, if its time has come.
    pub(crate) fn sync_if_due(&self) -> Result<(), Unavailable> {
        {
            let mut due = self.sync_due.lock();
            if due.is_none_or(|due| due > self.clock.mono()) {
                return Ok(());
            }
            // A group that is written from here on is due anew.
            *due = None;
        }
        self.sync_written()
    }

    /// Makes durable all that was answered so far, lazy acks too.
    pub(crate) fn sync(&self) -> Result<(), Unavailable> {
        let group = self.enter()?.newest_group();
        self.wait(group)?;
        *self.sync_due.lock() = None;
        self.sync_written()
    }

    fn sync_written(&self) -> Result<(), Unavailable> {
        match self.store.sync() {
            Ok(()) => Ok(()),
            Err(StoreError::Closed) => Err(Unavailable::Closed),
            Err(why) => Err(self.poison(&why).unknown()),
        }
    }
}
