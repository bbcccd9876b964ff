//! The real thing: `parking_lot` and the standard library.

pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic;
pub(crate) use std::{thread, thread_local};

use std::time::{Duration, Instant};

/// A condition to wait for; the guard goes in and comes out.
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(&mut guard);
        guard
    }

    /// Waits no longer than this.
    pub(crate) fn wait_for<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        self.0.wait_for(&mut guard, timeout);
        guard
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Lets others run until it is done, or so much time has passed.
pub(crate) fn spin(limit: Duration, done: impl Fn() -> bool) {
    let until = Instant::now() + limit;
    while !done() && Instant::now() < until {
        thread::yield_now();
    }
}
