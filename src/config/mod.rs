//! Configuration of streams and consumers, with the bounds that every setting must keep.

mod ack_policy;
mod alerts;
mod consumer;
mod dedup;
mod delete_markers;
mod durability;
mod guard;
mod lag;
mod limits;
mod message_ttl;
mod presence;
mod rate;
mod replay;
mod retention;
mod sampling;
mod stream;

pub use ack_policy::AckPolicy;
pub use alerts::Alerts;
pub use consumer::{AckDurability, ConsumerConfig, DeliverPolicy, OnExhausted};
pub use dedup::{DedupMode, DedupRelease};
pub use durability::Durability;
pub use guard::{Access, Deny};
pub use limits::Limits;
pub(crate) use limits::{
    BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, MESSAGE_ID_BYTES_MAX, REASON_BYTES_MAX, SET_ASIDE_MAX,
};
pub use message_ttl::MessageTtl;
pub use rate::Rate;
pub use replay::ReplayPolicy;
pub use retention::{Retention, Unwanted};
pub use stream::{Discard, StreamConfig};
