//! The engine's own synchronisation, under schedules that shuttle chooses: commit groups, waiting and
//! waking, closing while others wait, poison.
//!
//! ```text
//! RUSTFLAGS='--cfg shuttle' cargo test --release --test shuttle --target-dir target/shuttle
//! ```
//!
//! Every lock, condition, atomic and thread of the engine is shuttle's then (`src/sync/`); at each of them
//! the scheduler decides who goes on. A wake-up that is lost shows as a deadlock, a thread that spins as
//! too many steps, and the sums are compared after each run. The disk is in memory, the clock the test's.
//! Every test runs `RIVERBED_SCHEDULES` (100) schedules drawn at random and as many of the kind that finds
//! bugs which need a few untimely switches (PCT).
//!
//! A failure prints its schedule. To have it again, run that one test with the schedule in
//! `RIVERBED_SCHEDULE`:
//!
//! ```text
//! RUSTFLAGS='--cfg shuttle' RIVERBED_SCHEDULE=9102... cargo test --release --test shuttle \
//!     --target-dir target/shuttle -- --exact waiting::NAME
//! ```

#![cfg(shuttle)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod closing;
mod deleting;
mod failing;
mod handling;
mod lanes;
mod publishing;
mod quiet;
mod settling;
mod waiting;
mod world;
mod written;
