//! What threads meet at: every lock, condition, atomic and thread of the engine and the clock.
//!
//! It is one module so that it can be another one: with `--cfg shuttle` all of it comes from shuttle,
//! which runs a test's threads one at a time and decides at each of these calls who goes on
//! (`tests/shuttle.rs`). The store and the disks below it keep locks of their own: nobody waits for
//! another thread while holding one, and redb's locks are held while they are, so that a switch inside
//! would block a thread that only the switched-out one can free.

#[cfg(shuttle)]
mod modelled;
#[cfg(not(shuttle))]
mod real;

#[cfg(shuttle)]
pub(crate) use modelled::{Condvar, Mutex, MutexGuard, atomic, spin, thread, thread_local};
#[cfg(not(shuttle))]
pub(crate) use real::{Condvar, Mutex, MutexGuard, atomic, spin, thread, thread_local};
