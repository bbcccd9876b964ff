//! riverbed: an embedded durable queue.
#![forbid(unsafe_code)]

mod changes;
mod clock;
mod config;
pub mod disk;
mod error;
mod event;
mod excerpt;
mod format;
#[doc(hidden)]
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod info;
mod name;
mod publish;
mod seq;
mod state;
mod store;
mod subject;

pub use clock::{Clock, ManualClock, Timestamp};
pub use config::{
    AckDurability, ConsumerConfig, DeliverPolicy, Discard, Limits, OnExhausted, StreamConfig,
};
pub use error::{
    AckError, CloseError, ConsumerError, Error, FetchError, InvalidSetting, PublishError,
    PublishErrorKind, PurgeError, ReadError, RedriveError, Refusal, RunError, StreamError,
    Unavailable,
};
pub use event::{DeadReason, Event, Removal, Whose};
pub use headers::{Headers, HeadersError};
pub use info::{ConsumerInfo, StoreInfo, StreamInfo};
pub use name::{NameError, validate_name};
pub use publish::{Publish, PublishAck};
pub use seq::Seq;
pub use store::OpenError;
pub use subject::{SubjectError, SubjectFilter, validate_subject};
