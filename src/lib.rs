//! riverbed: an embedded durable queue.
#![forbid(unsafe_code)]

mod changes;
mod excerpt;
mod format;
#[doc(hidden)]
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod name;
mod state;
mod store;
mod subject;

pub use headers::{Headers, HeadersError};
pub use name::{NameError, validate_name};
pub use subject::{SubjectError, SubjectFilter, validate_subject};
