//! Rows other than blocks: serde types in bincode's standard encoding, a version byte in front.
//!
//! The only module that names bincode. Adding or changing a field is a new version.

use crate::config::{ConsumerConfig, StreamConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version of every row this build writes.
const VERSION: u8 = 1;

/// No row comes near this; a length in a damaged row must not allocate more.
const ROW_BYTES_MAX: usize = 64 << 20;

/// Why a row could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum RowError {
    #[error("the row has version {0}, and this build reads version {VERSION}")]
    Version(u8),
    #[error("the row can't be decoded: {0}")]
    Malformed(String),
}

pub(crate) fn encode_row<T: Serialize>(row: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    let config = bincode::config::standard();
    // Writing plain data to a Vec fails for nothing but a bug in these very types.
    match bincode::serde::encode_into_std_write(row, &mut bytes, config) {
        Ok(_) => bytes,
        Err(why) => unreachable!("a row of plain data is always encodable: {why}"),
    }
}

pub(crate) fn decode_row<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RowError> {
    let config = bincode::config::standard().with_limit::<ROW_BYTES_MAX>();
    match bytes.split_first() {
        Some((&VERSION, rest)) => match bincode::serde::decode_from_slice(rest, config) {
            Ok((row, used)) if used == rest.len() => Ok(row),
            Ok(_) => Err(RowError::Malformed("bytes are left over".into())),
            Err(why) => Err(RowError::Malformed(why.to_string())),
        },
        Some((version, _)) => Err(RowError::Version(*version)),
        None => Err(RowError::Malformed("it is empty".into())),
    }
}

/// The store's own facts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreRow {
    /// Key of the hash of message ids.
    pub(crate) secret: [u8; 16],
    /// Grows by one each time the store is opened.
    pub(crate) epoch: u64,
    /// The next stream's number; numbers are never reused.
    pub(crate) next_stream: u32,
    /// The next consumer's number.
    pub(crate) next_consumer: u32,
    /// Store time when the row was written, so that time never goes back over a restart.
    pub(crate) last_time: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamConfigRow {
    pub(crate) config: StreamConfig,
}

/// A stream's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamRow {
    /// First sequence whose removal is not yet accounted for.
    pub(crate) head: u64,
    /// Everything below is purged.
    pub(crate) cut: u64,
    /// Last sequence given out.
    pub(crate) last: u64,
    /// Time of the last message.
    pub(crate) last_time: u64,
    /// Messages in `head..=last`, holes apart.
    pub(crate) messages: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Messages ever stored.
    pub(crate) published: u64,
    /// Deleted sequences in `head..=last`.
    pub(crate) holes: u64,
    /// Lowest window of sequences that may have a row of holes.
    pub(crate) hole_from: Option<u64>,
    /// The next subject's number.
    pub(crate) next_subject: u32,
    /// The next row of message ids.
    pub(crate) next_dedup: u64,
    /// Purges by subject that are not finished.
    pub(crate) purges: Vec<PurgeRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PurgeRow {
    pub(crate) filter: String,
    /// Messages below this are purged.
    pub(crate) below: u64,
    /// Up to here (exclusive) the holes are made.
    pub(crate) at: u64,
}

/// Up to [`SUBJECTS_PER_CHUNK`](crate::state::SUBJECTS_PER_CHUNK) subjects of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubjectsRow {
    pub(crate) subjects: Vec<SubjectRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubjectRow {
    pub(crate) number: u32,
    pub(crate) name: String,
    /// Messages stored.
    pub(crate) count: u64,
    /// Messages ever stored since the subject was first seen.
    pub(crate) total: u64,
    /// No message of it has a higher sequence.
    pub(crate) last: u64,
}

/// Message ids of one commit group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DedupRow {
    pub(crate) ids: Vec<DedupId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DedupId {
    pub(crate) hash: u128,
    pub(crate) seq: u64,
    pub(crate) time: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConsumerConfigRow {
    pub(crate) stream: u32,
    pub(crate) config: ConsumerConfig,
}

/// A consumer's cursor, floor, packed pending set and counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConsumerRow {
    /// Everything below was delivered, passed over or removed.
    pub(crate) next: u64,
    /// The ack floor, which never goes back.
    pub(crate) floor: u64,
    /// The next delivery's serial (R13).
    pub(crate) next_serial: u64,
    /// Delivered and unfinished sequences as packed runs (`format::runs`).
    pub(crate) pending: Vec<u8>,
    /// Matching messages that were delivered, skipped at the start or lost before delivery.
    pub(crate) accounted: u64,
    pub(crate) totals: Totals,
}

/// What a consumer counted, ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) deliveries: u64,
    pub(crate) acked: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) dropped: u64,
    pub(crate) lost: u64,
    pub(crate) failures: u64,
    pub(crate) crashes: u64,
}

/// A consumer's exceptions in one chunk of sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntriesRow {
    pub(crate) entries: Vec<(u64, EntryRow)>,
}

/// What is known of a delivered message beyond "in flight, first attempt".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryRow {
    pub(crate) place: Place,
    /// Deliveries.
    pub(crate) attempts: u64,
    /// Failed attempts.
    pub(crate) failures: u64,
    /// Crashes of the process that caught it beside others.
    pub(crate) crashes: u64,
}

/// Where a delivered, unfinished message is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// Out with a worker, or was when the process died.
    InFlight,
    /// To be delivered again.
    Due,
    /// To be delivered again at this time.
    Delayed { until: u64 },
    /// Given up; it waits for its dead-letter stream.
    Condemned { reason: Reason },
    /// Set aside.
    Parked { reason: Reason, since: u64 },
}

/// Why a message was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reason {
    MaxDeliver,
    Term(String),
}
