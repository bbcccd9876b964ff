//! riverbed: an embedded durable queue.
#![forbid(unsafe_code)]

mod changes;
mod format;
mod state;
mod store;
