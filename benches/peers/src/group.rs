//! A small group commit: what is queued while one commit runs goes with the next.
//!
//! It makes the floor, and a store that commits one transaction at a time, comparable with peers that group the
//! commits of many threads by themselves. Whoever finds no commit running leads the next one; nobody waits
//! for company.

use anyhow::{Result, anyhow};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

type Payloads = Vec<Vec<u8>>;

#[derive(Default)]
struct State {
    queued: Vec<Payloads>,
    /// The number of the group that fills, and of the last one that is durable.
    open: u64,
    durable: u64,
    leading: bool,
    failed: Option<String>,
}

pub struct Group {
    state: Mutex<State>,
    changed: Condvar,
}

impl Default for Group {
    fn default() -> Self {
        let state = State {
            open: 1,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }
}

impl Group {
    /// Returns when `commit` has returned for a group that holds these payloads.
    pub fn publish(
        &self,
        payloads: &mut Payloads,
        commit: impl Fn(&mut dyn Iterator<Item = &[u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut state = self.lock();
        state.queued.push(std::mem::take(payloads));
        let mine = state.open;
        loop {
            if let Some(failure) = &state.failed {
                return Err(anyhow!("the group's commit failed: {failure}"));
            }
            if state.durable >= mine {
                return Ok(());
            }
            if state.leading {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.leading = true;
            let number = state.open;
            state.open += 1;
            let mut group = std::mem::take(&mut state.queued);
            drop(state);
            let result = commit(&mut group.iter().flatten().map(Vec::as_slice));
            // Alone in its group: the payloads go back, to be freed outside the measured time.
            if group.len() == 1 {
                *payloads = group.pop().unwrap_or_default();
            }
            state = self.lock();
            state.leading = false;
            match result {
                Ok(()) => state.durable = number,
                Err(error) => state.failed = Some(format!("{error:#}")),
            }
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
