//! riverbed: an embedded durable queue.
//!
//! JetStream's streams, subjects and pull consumers, with per-message acks, ack timeouts, redelivery
//! counts, dead letters, deduplication and retention, in one file inside your process, with a journal beside it while
//! it is open. There is no
//! broker, no network and nothing to rebalance; the API is synchronous, and `Ok` means on disk.
//!
//! ```
//! use riverbed::{ConsumerConfig, Riverbed, StreamConfig};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("store");
//! let store = Riverbed::open(path)?;
//! let orders = store.create_stream(StreamConfig::new("orders").subjects(["orders.>"]))?;
//! store.publish("orders.eu", "one coffee")?;
//!
//! let kitchen = orders.create_consumer(ConsumerConfig::new("kitchen"))?;
//! for message in kitchen.fetch(10)? {
//!     println!("{}: {}", message.subject(), String::from_utf8_lossy(message.payload()));
//!     message.ack()?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The nouns
//!
//! A [`Riverbed`] is an open store. A [`Stream`] captures subjects and holds messages in sequence. A
//! [`Consumer`] is a durable cursor on a stream: it hands out [`Message`]s, each to one worker at a time,
//! and redelivers what is not acked. What fails too often, or is terminated, goes to a dead-letter
//! stream ([`DeadLetter`]), is parked ([`Parked`]) or is dropped, as the [`ConsumerConfig`] says. [`Lanes`] are
//! consumers that workers take one before the other, the urgent one first.
//!
//! # The guarantees
//!
//! - **G1 Durable.** When `publish` returns `Ok`, the message survives a process kill and a power cut.
//! - **G2 No phantoms.** Nothing is delivered that a crash could still un-publish.
//! - **G3 At least once.** A message that matches a consumer is delivered until it is acked, terminated,
//!   dead-lettered, or removed by a limit that you set.
//! - **G4 Counted before handed out.** A delivery is on disk before you see the message, so a message that
//!   kills the process still reaches its limit.
//! - **G5 Atomic dead-letter.** The move is one transaction; a message is in exactly one place.
//! - **G6 Fenced.** Only the current delivery can be settled; an older one changes nothing.
//! - **G7 Ordered.** New messages come in stream order, due redeliveries before them. Sequences start at 1
//!   and are never reused.
//! - **G8 Deduplicated.** A message id is stored once within the window, across restarts, purges and acks
//!   (unless [`DedupRelease::Finished`] releases it when consumers are done with the message).
//! - **G9 Independent.** A slow consumer delays nobody else; workers join and leave without any pause.
//! - **G10 Bounded.** Memory is bounded by configuration, not by the backlog; each bound has an answer.
//! - **G11 Nothing vanishes silently.** What a limit takes from a consumer is counted and announced.
//! - **G12 Fail-stop.** After an I/O error the store refuses work until it is opened again. Damaged bytes
//!   are reported with their place and never delivered.
//!
//! # What survives what
//!
//! | what returned `Ok` | process killed | power cut |
//! |---|---|---|
//! | `publish`, `publish_batch`, `ack`, `nak`, `term`, `purge`, … | kept | kept |
//! | `ack` of a consumer with lazy acks | kept, or redelivered | kept, or redelivered |
//! | `publish_async`, before `wait` or `flush` | may be lost, with what was accepted later | the same |
//! | `publish_async`, after `wait` or `flush` | kept | kept |
//!
//! # Threads and time
//!
//! Handles are cheap clones, `Send` and `Sync`. A store runs three threads of its own: one that does what
//! time does (lapsed leases, delays, ages), one that commits what nobody waits for, and one that brings the store's
//! file what its journal has. Time comes from a [`Clock`]; tests give a [`ManualClock`] and need not sleep.
#![forbid(unsafe_code)]

mod builder;
mod changes;
mod clock;
mod config;
mod consumer;
mod cron;
mod dead_letter;
pub mod disk;
mod engine;
mod error;
mod event;
mod excerpt;
mod excluded;
mod explain;
mod fetch;
mod format;
#[doc(hidden)]
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod info;
mod lanes;
mod message;
mod name;
mod precedence;
mod publish;
mod publish_handle;
mod repeat;
mod reset;
mod riverbed;
mod root;
mod run;
pub mod salvage;
mod scheduled;
mod seq;
mod state;
mod store;
mod stream;
mod subject;
mod sync;
mod update;

pub use builder::Builder;
pub use clock::{Clock, ManualClock, Timestamp};
pub use config::{
    Access, AckDurability, AckPolicy, Alerts, ConsumerConfig, DedupMode, DedupRelease,
    DeliverPolicy, Deny, Discard, Durability, Limits, MessageTtl, OnExhausted, Rate, ReplayPolicy,
    Retention, StreamConfig, Unwanted,
};
pub use consumer::{Consumer, Messages, Parked};
pub use dead_letter::{DeadLetter, DeadLetters};
pub use error::{
    AckAndFetchError, AckError, CloseError, ConsumerError, Error, FetchError, InvalidSetting,
    LanesError, PublishError, PublishErrorKind, PurgeError, ReadError, RedriveError, Refusal,
    RepeatError, RunError, ScheduleError, StreamError, Unavailable,
};
pub use event::{DeadReason, Event, Removal, Whose};
pub use excluded::{Excluded, ExclusionError, Exclusions, NotExcluded};
pub use explain::{ConsumerExplanation, ConsumerFate, Explanation, MessageFate};
pub use fetch::{Batch, BatchAck, EmptyReason, Fetch};
pub use headers::{Headers, HeadersError};
pub use info::{Compaction, CompactionProgress, ConsumerInfo, StoreInfo, StreamInfo};
pub use lanes::Lanes;
pub use message::{Message, StoredMessage};
pub use name::{NameError, validate_name};
pub use publish::{Publish, PublishAck, Rollup};
pub use publish_handle::PublishHandle;
pub use repeat::Repeat;
pub use reset::Reset;
pub use riverbed::Riverbed;
pub use run::{RunOptions, RunReport, Runner};
pub use scheduled::ScheduledMessage;
pub use seq::Seq;
pub use store::OpenError;
pub use stream::{Purge, Range, Stream};
pub use subject::{SubjectError, SubjectFilter, validate_subject};

/// The programs in the README compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Sizes and sequences are `u64`; an offset into memory must hold them.
const _: () = assert!(size_of::<usize>() >= 4);

/// Handles go wherever threads go.
const _: () = {
    const fn anywhere<T: Send + Sync>() {}
    anywhere::<Riverbed>();
    anywhere::<Stream>();
    anywhere::<Consumer>();
    anywhere::<Lanes>();
    anywhere::<Message>();
    anywhere::<PublishHandle>();
    anywhere::<Runner>();
};
