//! Waking a consumer of a store that can't: rung after each publish, in the same process.

use anyhow::Result;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A program that puts a queue into an embedded store has such a condition variable beside it, or polls; this is
/// the faster of the two, so nobody is measured as slower than they could be.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<u64>,
    changed: Condvar,
}

impl Bell {
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Tries until there is something, or the time is over.
    pub fn wait(
        &self,
        wait: Duration,
        mut attempt: impl FnMut() -> Result<usize>,
    ) -> Result<usize> {
        let deadline = Instant::now() + wait;
        loop {
            // Read before the attempt: a ring between the two must not be slept through.
            let before = *self.rung.lock().unwrap_or_else(PoisonError::into_inner);
            let got = attempt()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if got > 0 || left.is_zero() {
                return Ok(got);
            }
            let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .changed
                .wait_timeout_while(rung, left, |rung| *rung == before);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}
