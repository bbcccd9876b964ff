//! riverbed: an embedded durable queue.
#![forbid(unsafe_code)]

mod changes;
pub mod disk;
mod format;
mod state;
mod store;

pub use store::OpenError;
