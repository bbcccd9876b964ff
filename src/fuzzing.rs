//! What the fuzz targets call: each function takes any bytes and must return.
//!
//! `fuzz/fuzz_targets` holds one line for each of them. `cargo test` runs them too, on the kept
//! corpus and on seeded mutations of it.

// Here a panic is the finding.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod block;
mod changes;
mod journal;
mod open;
mod record;
mod rows;
mod runs;
mod source;
mod subject;
#[cfg(test)]
mod tests;

pub use block::block;
pub use changes::changes;
pub use journal::journal;
pub use open::open;
pub use record::record;
pub use rows::rows;
pub use runs::runs;
pub use subject::subject;
