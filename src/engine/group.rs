//! Waiting for a commit group, and being told to run it.

use crate::error::Unavailable;
use crate::sync::{Condvar, Mutex};

/// Where the callers of one group wait.
#[derive(Debug, Default)]
pub(crate) struct GroupSlot {
    told: Mutex<Told>,
    woken: Condvar,
}

#[derive(Debug, Default)]
enum Told {
    #[default]
    Nothing,
    /// One of the waiting callers is to run the commit.
    Lead,
    Done(Result<(), Unavailable>),
}

/// How a wait ended.
#[derive(Debug)]
pub(crate) enum Turn {
    Lead,
    Done(Result<(), Unavailable>),
}

impl GroupSlot {
    pub(crate) fn wait(&self) -> Turn {
        let mut told = self.told.lock();
        loop {
            match &*told {
                Told::Done(outcome) => return Turn::Done(outcome.clone()),
                Told::Lead => {
                    *told = Told::Nothing;
                    return Turn::Lead;
                }
                Told::Nothing => told = self.woken.wait(told),
            }
        }
    }

    /// Tells one waiting caller to run the commit.
    pub(crate) fn hand_lead(&self) {
        *self.told.lock() = Told::Lead;
        self.woken.notify_one();
    }

    /// Tells all of them how it went.
    pub(crate) fn finish(&self, outcome: Result<(), Unavailable>) {
        *self.told.lock() = Told::Done(outcome);
        self.woken.notify_all();
    }
}
