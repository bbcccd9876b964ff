//! The engine: one state behind one lock, commit groups, and the threads around them.
//!
//! Every call takes the lock, changes the state, and leaves; what it changed joins the open group.
//! Then it waits for that group to be durable, or runs the commit itself when nobody does. The lock is
//! never held across I/O (R5): what a rule needs from the log is read in between.

mod admin;
mod ask;
mod blocks;
mod check;
mod check_ids;
mod check_removals;
mod close;
mod commit;
mod compact;
mod core;
mod deliver;
mod earlier;
mod exclude;
mod explain;
mod failure;
mod fetch;
mod group;
mod inspect;
mod lanes;
mod last_of_each;
mod load;
#[cfg(test)]
mod midway;
mod open;
#[cfg(test)]
mod passing;
mod pipeline;
mod publish;
mod purge;
mod read;
mod reading;
mod refilter;
#[cfg(test)]
mod regressions;
mod reports;
mod reset;
mod scan;
mod schedule;
mod settle;
mod standing;
mod start;
mod store_time;
mod sweeper;
mod sync_later;
#[cfg(test)]
mod tests;
mod threads;
mod waiting;

pub(crate) use ask::{Ask, Holder, Patience};
pub(crate) use close::handler_scope;
pub(crate) use deliver::Delivered;
pub(crate) use fetch::Fetched;
pub(crate) use open::{JOURNAL_SEGMENT, Options, Threads};
pub(crate) use pipeline::Accepted;
pub(crate) use publish::Target;
pub(crate) use purge::PurgeAsk;
pub(crate) use start::ConsumerRef;

use self::core::Core;
use self::failure::Failure;
use crate::clock::{Clock, Mono, Signal};
use crate::config::{Durability, Limits};
use crate::error::Unavailable;
use crate::state::{Need, Sealed};
use crate::store::{Store, StoreError};
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use crate::sync::{Mutex, MutexGuard, thread};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// An open store with everything that runs it.
#[derive(Debug)]
pub(crate) struct Engine {
    core: Mutex<Core>,
    store: Store,
    clock: Clock,
    limits: Limits,
    /// Wakes the sweeper.
    sweeper: Arc<Signal>,
    /// Wakes the committer.
    committer: Arc<Signal>,
    /// Wakes the checkpointer.
    checkpointer: Arc<Signal>,
    durability: Durability,
    /// When what is written is to be synced, if anything is not.
    sync_due: Mutex<Option<Mono>>,
    /// Callers that wait for the open group: what a leader gathers (see `commit`).
    joined: AtomicUsize,
    /// Small last blocks of streams, to be grown; only a leader uses them.
    tails: Mutex<blocks::Tails>,
    /// The messages of a durable group, left to the committer to be freed.
    spent: Mutex<Option<Sealed>>,
    /// Answers wait for nothing until the group is let go; only tests without threads hold it.
    held: AtomicBool,
    threads: Threads,
    /// The locks of fetches that read.
    readings: reading::Readings,
    /// The process that opened the store (R11).
    process: u32,
}

impl Engine {
    /// Takes the lock for a call of the application.
    pub(crate) fn enter(&self) -> Result<Entered<'_>, Unavailable> {
        let entered = self.enter_closing()?;
        if entered.closing {
            return Err(Unavailable::Closed);
        }
        Ok(entered)
    }

    /// Takes the lock for work that goes on while the store closes.
    fn enter_closing(&self) -> Result<Entered<'_>, Unavailable> {
        self.check_process()?;
        let entered = Entered::new(self);
        entered.core.check_open()?;
        Ok(entered)
    }

    /// Whether a call could do anything now.
    pub(crate) fn check_open(&self) -> Result<(), Unavailable> {
        self.enter().map(drop)
    }

    /// A fork of the process that opened the store must not touch it (R11).
    pub(crate) fn check_process(&self) -> Result<(), Unavailable> {
        if std::process::id() == self.process {
            Ok(())
        } else {
            Err(Unavailable::Forked)
        }
    }

    /// Runs a rule, reading what it needs from the log until it has all of it.
    fn run<T>(&self, rule: impl FnMut(&mut Core) -> Result<T, Need>) -> Result<T, Unavailable> {
        self.run_with(rule, |need| self.load(need))
    }

    /// Runs a rule for the store itself: what is damaged is marked and passed over, so that damage in
    /// one place does not stop what time does in all others.
    fn run_marking<T>(
        &self,
        rule: impl FnMut(&mut Core) -> Result<T, Need>,
    ) -> Result<T, Unavailable> {
        self.run_with(rule, |need| self.load_or_mark(need))
    }

    fn run_with<T>(
        &self,
        mut rule: impl FnMut(&mut Core) -> Result<T, Need>,
        load: impl Fn(&Need) -> Result<Vec<(u32, u64)>, Unavailable>,
    ) -> Result<T, Unavailable> {
        let mut supplied = Vec::new();
        loop {
            let mut core = self.enter()?;
            match rule(&mut core) {
                Ok(outcome) => {
                    core.state.forget_supplied(&supplied);
                    return Ok(outcome);
                }
                Err(need) => {
                    drop(core);
                    supplied.extend(load(&need)?);
                }
            }
        }
    }

    /// The application's word for what the store said. Only damage that was found by reading leaves
    /// the rest of the store usable; everything else stops it (R8, G12).
    fn failed(&self, why: StoreError) -> Unavailable {
        match why {
            StoreError::Damaged { place } => Unavailable::Damaged { place },
            StoreError::Closed => Unavailable::Closed,
            StoreError::Poisoned { .. } => self.poison(&why).poisoned(),
            StoreError::Full(_) => self.poison(&why).unknown(),
            StoreError::Io(why) => {
                let cause = why.to_string();
                self.poison(cause.as_str());
                Unavailable::Io { cause }
            }
        }
    }

    /// Stops the store: nothing works any more until it is opened again (G12).
    fn poison(&self, failure: impl Into<Failure>) -> Failure {
        let failure = failure.into();
        self.core.lock().poison(failure.clone());
        self.sweeper.raise();
        self.committer.raise();
        self.checkpointer.raise();
        failure
    }
}

/// The lock, held. A panic while it is held poisons the store (R7).
pub(crate) struct Entered<'a> {
    core: MutexGuard<'a, Core>,
    engine: &'a Engine,
    /// A panic of the application's was already under way: a call from a destructor is none of ours.
    unwinding: bool,
}

impl<'a> Entered<'a> {
    fn new(engine: &'a Engine) -> Self {
        let unwinding = thread::panicking();
        let core = engine.core.lock();
        Self {
            core,
            engine,
            unwinding,
        }
    }
}

impl Deref for Entered<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl DerefMut for Entered<'_> {
    fn deref_mut(&mut self) -> &mut Core {
        &mut self.core
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if thread::panicking() && !self.unwinding {
            self.core
                .poison("a thread panicked while it changed the store's state");
        }
        if self.core.sweeper_is_late() {
            self.engine.sweeper.raise();
        }
    }
}
