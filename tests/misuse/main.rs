//! What a store answers to whoever uses it wrongly, or while the world around it changes: the table in
//! docs/design.md ("Misuse and its answers") has a line for each. Two processes are in
//! `tests/second_process.rs`, a forked one in `tests/forked.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod clock;
mod closed;
mod crowd;
mod deleted;
mod events;
mod files;
mod handler;
mod limits;
mod world;
