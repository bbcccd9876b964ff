//! riverbed: an embedded durable queue.
#![forbid(unsafe_code)]

mod changes;
mod clock;
mod config;
mod consumer;
mod dead_letter;
pub mod disk;
mod engine;
mod error;
mod event;
mod excerpt;
mod fetch;
mod format;
#[doc(hidden)]
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod info;
mod message;
mod name;
mod publish;
mod riverbed;
mod run;
mod seq;
mod state;
mod store;
mod stream;
mod subject;

pub use clock::{Clock, ManualClock, Timestamp};
pub use config::{
    AckDurability, ConsumerConfig, DeliverPolicy, Discard, Limits, OnExhausted, StreamConfig,
};
pub use consumer::{Consumer, Messages, Parked};
pub use dead_letter::{DeadLetter, DeadLetters};
pub use error::{
    AckError, CloseError, ConsumerError, Error, FetchError, InvalidSetting, PublishError,
    PublishErrorKind, PurgeError, ReadError, RedriveError, Refusal, RunError, StreamError,
    Unavailable,
};
pub use event::{DeadReason, Event, Removal, Whose};
pub use fetch::{Batch, BatchAck, EmptyReason, Fetch};
pub use headers::{Headers, HeadersError};
pub use info::{ConsumerInfo, StoreInfo, StreamInfo};
pub use message::{Message, StoredMessage};
pub use name::{NameError, validate_name};
pub use publish::{Publish, PublishAck, PublishHandle};
pub use riverbed::{Builder, Riverbed};
pub use run::{RunOptions, RunReport, Runner};
pub use seq::Seq;
pub use store::OpenError;
pub use stream::{Purge, Range, Stream};
pub use subject::{SubjectError, SubjectFilter, validate_subject};
