//! Compaction: the file gives back what it does not need.

use super::Engine;
use super::commit::Turnkeeper;
use super::group::Turn;
use super::reports::{Compactor, Reports};
use crate::error::Unavailable;
use crate::info::{Compaction, CompactionProgress};
use crate::store::{StoreError, Watch};
use std::sync::Arc;

impl Engine {
    /// Compacts on a thread of its own, while this one reports: without a lock, so that whoever is told may do
    /// what it wants, also wait for the compaction, or panic (R7).
    pub(crate) fn compact_with(
        self: &Arc<Self>,
        mut report: impl FnMut(CompactionProgress),
    ) -> Result<Compaction, Unavailable> {
        self.check_process()?;
        let reports = Arc::new(Reports::default());
        let (engine, watch) = (Arc::clone(self), Arc::<Reports>::clone(&reports));
        let compactor = Compactor::start(&reports, move || engine.compact(Some(watch)));
        let Ok(compactor) = compactor else {
            // The process has no thread left: what was asked for is done all the same.
            return self.compact(None);
        };
        while let Some(progress) = reports.next() {
            report(progress);
        }
        compactor.end()
    }

    /// Moves what is stored to the front of the file and gives back the rest.
    pub(crate) fn compact(&self, watch: Option<Arc<dyn Watch>>) -> Result<Compaction, Unavailable> {
        self.check_process()?;
        self.free_all()?;
        // Nobody commits meanwhile; whoever wants to waits for its turn.
        let turn = self.take_turn()?;
        // A turn that was handed over is that of a group, which nobody else would commit.
        let sealed = match self.commit_open() {
            Ok(sealed) => sealed,
            Err(why) => return Err(self.give_up(turn, why)),
        };
        if let Err(why) = self.enter().map(drop) {
            // It closes.
            turn.pass(Ok(sealed));
            return Err(why);
        }
        match self.store.compact(watch) {
            Ok(compaction) => {
                turn.pass(Ok(sealed));
                Ok(compaction)
            }
            Err(why) => Err(self.give_up(turn, why)),
        }
    }

    /// What was purged or deleted may not be freed yet. A damaged block stops no compaction.
    fn free_all(&self) -> Result<(), Unavailable> {
        loop {
            match self.free_some() {
                Ok(true) => {}
                Ok(false) | Err(Unavailable::Damaged { .. }) => return Ok(()),
                Err(why) => return Err(why),
            }
        }
    }

    fn give_up(&self, turn: Turnkeeper<'_>, why: StoreError) -> Unavailable {
        let told = match &why {
            StoreError::Closed => Unavailable::Closed,
            why => self.poison(why).unknown(),
        };
        turn.pass(Err(why));
        told
    }

    /// Waits until it is this caller's turn to commit. Whoever has it must commit the open group.
    fn take_turn(&self) -> Result<Turnkeeper<'_>, Unavailable> {
        loop {
            let slot = {
                let mut core = self.enter()?;
                if !core.leading {
                    core.leading = true;
                    return Ok(Turnkeeper::of(self));
                }
                let group = core.state.group;
                core.slot(group)
            };
            match slot.wait() {
                Turn::Lead => return Ok(Turnkeeper::of(self)),
                // Whatever became of the others' group.
                Turn::Done(_) => {}
            }
        }
    }
}
