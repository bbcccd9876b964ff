//! Compaction: the file gives back what it does not need.

use super::Engine;
use super::commit::Turnkeeper;
use super::group::Turn;
use crate::error::Unavailable;
use crate::info::Compaction;
use crate::store::StoreError;

impl Engine {
    /// Moves what is stored to the front of the file and gives back the rest.
    pub(crate) fn compact(&self) -> Result<Compaction, Unavailable> {
        self.check_process()?;
        // What was purged or deleted may not be freed yet.
        self.sweep_what_is_whole()?;
        // Nobody commits meanwhile; whoever wants to waits for its turn.
        let turn = self.take_turn()?;
        match self.store.compact() {
            Ok(compaction) => {
                turn.pass(Ok(None));
                Ok(compaction)
            }
            Err(StoreError::Closed) => {
                turn.pass(Err(StoreError::Closed));
                Err(Unavailable::Closed)
            }
            Err(why) => {
                let stopped = self.poison(&why).unknown();
                turn.pass(Err(why));
                Err(stopped)
            }
        }
    }

    /// Waits until it is this caller's turn to write.
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
                Turn::Done(outcome) => outcome?,
            }
        }
    }
}
