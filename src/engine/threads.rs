//! The engine's threads, thin shells around it (R6).

use super::Engine;
use super::core::Committer;
use crate::changes::Changes;
use crate::clock::Woken;
use crate::error::Unavailable;
use crate::store::{Commit, StoreError};
use crate::sync::thread;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// After so much silence one empty commit makes the next opening fast, also after a crash.
const IDLE: Duration = Duration::from_secs(1);

/// Starts the sweeper, the committer and, for a store with a journal, the checkpointer. All end when the
/// store closes or stops.
pub(crate) fn start(engine: &Arc<Engine>) -> io::Result<()> {
    let sweeper = Arc::clone(engine);
    thread::Builder::new()
        .name("riverbed-sweeper".into())
        .spawn(move || guarded(&sweeper, Engine::run_sweeper))?;
    let committer = Arc::clone(engine);
    let started = thread::Builder::new()
        .name("riverbed-commit".into())
        .spawn(move || guarded(&committer, Engine::run_committer));
    let started = started.and_then(|_| {
        if !engine.store.keeps_journal() {
            return Ok(());
        }
        let checkpointer = Arc::clone(engine);
        let builder = thread::Builder::new().name("riverbed-journal".into());
        let started = builder.spawn(move || guarded(&checkpointer, Engine::run_checkpointer));
        started.map(drop)
    });
    if started.is_err() {
        engine.close_quietly();
    }
    started
}

/// Runs a thread's work; a panic in it stops the store instead of leaving it half alive (G12, R7).
fn guarded(engine: &Engine, work: fn(&Engine)) {
    struct Poison<'a>(&'a Engine);
    impl Drop for Poison<'_> {
        fn drop(&mut self) {
            if thread::panicking() {
                self.0.poison("a thread of the store panicked");
            }
        }
    }
    let poison = Poison(engine);
    work(engine);
    drop(poison);
}

impl Engine {
    fn run_sweeper(&self) {
        // Looked at before each sleep: the signal that the store ended wakes one sleep only.
        while !self.is_over() {
            let until = self.sleep();
            self.clock.wait(&self.sweeper, until);
            self.core.lock().sweeper_sleeps_until = None;
            if self.sweep().is_err() && !self.is_over() {
                // Damage in one stream must not end the timeouts of the others.
                self.clock
                    .wait(&self.sweeper, Some(self.clock.mono().plus(IDLE)));
            }
        }
    }

    fn run_checkpointer(&self) {
        while !self.is_over() {
            let until = *self.sync_due.lock();
            self.clock.wait(&self.checkpointer, until);
            // A failure stops the store, and whoever waits hears of it.
            let _ = self.checkpoint();
            let _ = self.sync_if_due();
        }
    }

    fn run_committer(&self) {
        loop {
            let until = {
                let mut core = self.core.lock();
                // Whoever leads raises the signal when it passes the turn.
                let busy = core.busy_at.filter(|_| !core.leading);
                core.committer = busy.map_or(Committer::Rests, |_| Committer::LooksAgain);
                busy.map(|busy| busy.plus(IDLE))
            };
            let woken = self.clock.wait(&self.committer, until);
            let spent = self.spent.lock().take();
            drop(spent);
            if self.is_over() {
                return;
            }
            let group = {
                let core = self.core.lock();
                // Somebody who runs a commit passes the turn on by itself.
                (core.state.has_work() && !core.leading).then_some(core.state.group)
            };
            match group {
                // A failure reaches whoever waits, and the store stops.
                Some(group) => drop(self.wait(group)),
                None if woken == Woken::TimeCame => drop(self.commit_idle()),
                None => {}
            }
        }
    }

    /// After a while of silence leaves the store in a state that opens without a look at all of it.
    pub(crate) fn commit_idle(&self) -> Result<(), Unavailable> {
        {
            let mut core = self.core.lock();
            let quiet = core
                .busy_at
                .is_some_and(|busy| busy.plus(IDLE) <= self.clock.mono());
            if core.leading || core.closed || core.state.has_work() || !quiet {
                return Ok(());
            }
            core.leading = true;
            core.busy_at = None;
        }
        let applied = self.store.apply(&Changes::default(), Commit::QuickRepair);
        match applied {
            Ok(()) | Err(StoreError::Closed) => {
                self.pass_turn();
                Ok(())
            }
            // What the same call did before may be stored.
            Err(why) => Err(self.poison(&why).unknown()),
        }
    }

    /// Whether the threads must end.
    fn is_over(&self) -> bool {
        let core = self.core.lock();
        core.closed || core.poisoned().is_some()
    }
}
