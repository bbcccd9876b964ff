//! Shuttle's, for the tests that choose who runs when.

pub(crate) use shuttle::sync::{MutexGuard, atomic};
pub(crate) use shuttle::{thread, thread_local};

use std::sync::PoisonError;
use std::time::Duration;

/// A lock that a panic does not poison, as in the real module.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition to wait for; the guard goes in and comes out.
#[derive(Debug, Default)]
pub(crate) struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Real time does not pass here: a test has the manual clock, which never comes to this.
    pub(crate) fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _timeout: Duration,
    ) -> MutexGuard<'a, T> {
        self.wait(guard)
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// How often others are let run: enough to be done, and to be given up.
const TURNS: usize = 4;

/// Lets others run until it is done, or often enough. No time is looked at: the same schedule must take
/// the same way.
pub(crate) fn spin(_limit: Duration, done: impl Fn() -> bool) {
    for _ in 0..TURNS {
        if done() {
            return;
        }
        thread::yield_now();
    }
}
