//! A fork of the process that opened a store must not touch it (R11): every call answers `Forked`, drops
//! do nothing, and neither the parent's lock nor its data suffer, also when the parent's threads held
//! locks at the moment of the fork.
//!
//! The program has no test harness, so that no thread but its own and the store's is there when it forks.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[cfg(unix)]
#[path = "forked/cases.rs"]
mod cases;

fn main() {
    #[cfg(unix)]
    cases::all();
}
