//! Running commits: one at a time, by a caller that needs it or by the committer (R6).

use super::core::Committer;
use super::group::Turn;
use super::{Engine, Entered, Threads};
use crate::changes::Changes;
use crate::error::Unavailable;
use crate::state::{Need, Sealed};
use crate::store::{Commit, StoreError};
use crate::sync::{atomic::Ordering, spin};
use std::time::Duration;

/// How long a leader waits for those who were in the last group to come back. Measured: the gain ends
/// well below this, and a lone caller never waits.
const GATHER: Duration = Duration::from_micros(60);

impl Engine {
    /// Waits until a group is durable; runs the commit if nobody does.
    pub(crate) fn wait(&self, group: u64) -> Result<(), Unavailable> {
        self.check_process()?;
        loop {
            let slot = {
                let mut core = self.core.lock();
                let nothing_open = group == core.state.group && !core.state.has_work();
                if core.durable >= group || (nothing_open && !core.leading) {
                    return Ok(());
                }
                if let Some(failure) = core.poisoned() {
                    return Err(failure.unknown());
                }
                if core.closed {
                    return Err(Unavailable::Closed);
                }
                if self.held.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if core.leading {
                    let slot = core.slot(group);
                    if group == core.state.group {
                        self.joined.fetch_add(1, Ordering::Relaxed);
                    }
                    Some(slot)
                } else {
                    core.leading = true;
                    self.joined.fetch_add(1, Ordering::Relaxed);
                    None
                }
            };
            match slot.map(|slot| slot.wait()) {
                Some(Turn::Done(outcome)) => return outcome,
                Some(Turn::Lead) | None => self.lead(),
            }
        }
    }

    /// From now on calls leave what they stage in the open group, and answer at once, so that a test
    /// without threads gets the work of several callers into one commit.
    pub(crate) fn hold_group(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// Commits what was held; only now the answers given since are true (R1).
    pub(crate) fn commit_held(&self) -> Result<(), Unavailable> {
        self.held.store(false, Ordering::Relaxed);
        let group = self.enter()?.newest_group();
        self.wait(group)
    }

    /// Commits the open group, when it is this thread's turn; then passes the turn on.
    pub(crate) fn lead(&self) {
        let turn = Turnkeeper::of(self);
        self.gather();
        let outcome = self.commit_open();
        turn.pass(outcome);
    }

    /// Waits for the callers that the last group just released, as long as they can be on their way.
    fn gather(&self) {
        let expected = self.core.lock().waiting.last_group;
        if expected < 2 {
            return;
        }
        spin(GATHER, || self.joined.load(Ordering::Relaxed) >= expected);
    }

    pub(super) fn commit_open(&self) -> Result<Option<Sealed>, StoreError> {
        let Some(sealed) = self.seal()? else {
            return Ok(None);
        };
        let sealed = self.write(sealed)?;
        Ok(Some(sealed))
    }

    /// Brings the open group within its limits, serves who waits for its messages, and takes it out.
    fn seal(&self) -> Result<Option<Sealed>, StoreError> {
        let mut budget = TRIMMED_MAX;
        loop {
            let Ok(mut core) = self.enter_closing() else {
                return Err(StoreError::Closed);
            };
            if !core.state.has_work() {
                return Ok(None);
            }
            match core.state.enforce_limits(&mut budget) {
                Ok(_) => {
                    core.serve_waiting();
                    if core.state.has_finished() {
                        // What is finished by being delivered leaves in the same commit, too.
                        continue;
                    }
                    let joined = self.joined.swap(0, Ordering::Relaxed);
                    core.waiting.last_group = joined;
                    core.state.watch(self.clock.mono());
                    return Ok(Some(core.state.seal()));
                }
                Err(need) => {
                    drop(core);
                    self.load_need(&need)?;
                }
            }
        }
    }

    /// Cuts the group's messages into blocks and applies it in one transaction.
    fn write(&self, mut sealed: Sealed) -> Result<Sealed, StoreError> {
        let mut changes = Changes {
            group: sealed.group,
            changes: std::mem::take(&mut sealed.rows),
        };
        self.cut_blocks(&sealed, &mut changes)?;
        #[cfg(test)]
        self.store.apply(
            &super::tests::through_bytes(&self.store, &changes),
            Commit::Durable,
        )?;
        self.store.apply(&changes, Commit::Durable)?;
        if self.store.wants_checkpoint() {
            self.checkpointer.raise();
        }
        self.schedule_sync();
        Ok(sealed)
    }

    /// Brings the database what the journal has, if there is much of it.
    pub(crate) fn checkpoint(&self) -> Result<(), Unavailable> {
        if self.store.wants_checkpoint() {
            self.checkpoint_all()
        } else {
            Ok(())
        }
    }

    /// Brings the database all that the journal has.
    pub(crate) fn checkpoint_all(&self) -> Result<(), Unavailable> {
        match self.store.checkpoint() {
            Ok(()) | Err(StoreError::Closed) => Ok(()),
            // What was acknowledged is in the journal, and whoever asks may have stored something.
            Err(why) => Err(self.poison(&why).unknown()),
        }
    }

    fn load_need(&self, need: &Need) -> Result<(), StoreError> {
        match self.load_or_mark(need) {
            Ok(_) => Ok(()),
            Err(Unavailable::Closed) => Err(StoreError::Closed),
            Err(why) => Err(StoreError::Poisoned {
                first: why.to_string(),
                full: matches!(why, Unavailable::DiskFull { .. }),
            }),
        }
    }
}

/// Messages that limits may remove in one group (R9); the sweeper goes on with the rest.
const TRIMMED_MAX: usize = 16_384;

/// Messages of a group that are worth waking another thread for to free them.
const FREED_ELSEWHERE: usize = 512;

/// Whoever leads must pass the turn on, also when it panics (R7).
pub(super) struct Turnkeeper<'a> {
    engine: &'a Engine,
    passed: bool,
}

impl<'a> Turnkeeper<'a> {
    /// Of whoever leads by now.
    pub(super) const fn of(engine: &'a Engine) -> Self {
        Self {
            engine,
            passed: false,
        }
    }

    pub(super) fn pass(mut self, outcome: Result<Option<Sealed>, StoreError>) {
        self.passed = true;
        match outcome {
            Ok(sealed) => self.engine.committed(sealed),
            Err(StoreError::Closed) => self.engine.core.lock().abandon(),
            Err(why) => drop(self.engine.poison(&why)),
        }
    }
}

impl Drop for Turnkeeper<'_> {
    fn drop(&mut self) {
        if !self.passed {
            self.engine
                .poison("a thread panicked while it ran a commit");
        }
    }
}

impl Engine {
    /// Ends a turn in which no group was committed.
    pub(crate) fn pass_turn(&self) {
        self.committed(None);
    }

    /// The group is durable: answers may go out, and the next group gets its turn.
    fn committed(&self, mut sealed: Option<Sealed>) {
        let mut core = Entered::new(self);
        if let Some(sealed) = &mut sealed {
            core.state.complete(sealed, self.store.used_bytes());
            core.durable = sealed.group;
            core.pipelined.remove(&sealed.group);
            let events = std::mem::take(&mut sealed.events);
            core.announce(events);
            core.busy_at = Some(self.clock.mono());
            if let Some(slot) = core.slots.remove(&sealed.group) {
                slot.finish(Ok(()));
            }
            core.wake_after_commit(sealed);
        }
        let wake_committer = core.pass_turn();
        let is_idle = !core.leading;
        drop(core);
        // The caller need not wait until thousands of messages are freed, while nobody else does: the
        // committer does it. One group at most lies there.
        let is_large = |sealed: &Sealed| sealed.messages() >= FREED_ELSEWHERE;
        let hand_over =
            is_idle && self.threads == Threads::Own && sealed.as_ref().is_some_and(is_large);
        if hand_over {
            let mut spent = self.spent.lock();
            if spent.is_none() {
                *spent = sealed.take();
            }
        }
        if wake_committer || hand_over {
            self.committer.raise();
        }
        // Whatever is left of the group's messages is freed here, without the state's lock.
        drop(sealed);
    }
}

impl super::core::Core {
    /// Lets the next group be committed; says whether the committer is to look.
    fn pass_turn(&mut self) -> bool {
        if !self.state.has_work() {
            self.leading = false;
            if let Some(slot) = self.slots.remove(&self.state.group) {
                // There is nothing to wait for.
                slot.finish(Ok(()));
            }
            return self.busy_at.is_some() && self.committer == Committer::Rests;
        }
        if let Some(slot) = self.slots.get(&self.state.group) {
            // Somebody of the next group takes the turn: no thread is woken in vain.
            slot.hand_lead();
            return false;
        }
        self.leading = false;
        true
    }
}
