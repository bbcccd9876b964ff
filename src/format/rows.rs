//! Rows other than blocks: serde types in bincode's standard encoding, a version byte in front.
//!
//! The only module that names bincode. Adding or changing a field is a new version.

use super::bytes::Bytes;
use crate::config::{ConsumerConfig, StreamConfig};
use crate::event::Removal;
use crate::repeat::Repeat;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

/// The version of every row this build writes.
const VERSION: u8 = 1;

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

/// Reads a row. There is one encoding of it, and nothing else is accepted.
pub(crate) fn decode_row<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, RowError> {
    let rest = match bytes.split_first() {
        Some((&VERSION, rest)) => rest,
        Some((version, _)) => return Err(RowError::Version(*version)),
        None => return Err(RowError::Malformed("it is empty".into())),
    };
    let malformed = |why: DecodeError| RowError::Malformed(why.to_string());
    let (row, used) = decode_bounded(rest).map_err(malformed)?;
    if used < rest.len() {
        return Err(RowError::Malformed("bytes are left over".into()));
    }
    // bincode takes a number in more than one form: compare instead of trusting it.
    let mut same = Same { rest };
    match bincode::serde::encode_into_writer(&row, &mut same, bincode::config::standard()) {
        Ok(()) if same.rest.is_empty() => Ok(row),
        _ => Err(RowError::Malformed(
            "it is not the one encoding of what it says".into(),
        )),
    }
}

/// Decodes under a limit that follows the length of the input.
///
/// bincode allocates a string before it looks whether the input is that long, and bounds this only by
/// a limit that is a constant. It counts decoded bytes; a number of 16 of them may take one byte of
/// input, so 16 times the input is never too little for a true row.
fn decode_bounded<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), DecodeError> {
    fn limited<T: DeserializeOwned, const MAX: usize>(
        bytes: &[u8],
    ) -> Result<(T, usize), DecodeError> {
        let config = bincode::config::standard().with_limit::<MAX>();
        bincode::serde::decode_from_slice(bytes, config)
    }
    match bytes.len() {
        0..0x100 => limited::<T, { 16 << 8 }>(bytes),
        0x100..0x1000 => limited::<T, { 16 << 12 }>(bytes),
        0x1000..0x1_0000 => limited::<T, { 16 << 16 }>(bytes),
        0x1_0000..0x10_0000 => limited::<T, { 16 << 20 }>(bytes),
        0x10_0000..0x100_0000 => limited::<T, { 16 << 24 }>(bytes),
        0x100_0000..ROW_BYTES_MAX => limited::<T, { 16 * ROW_BYTES_MAX }>(bytes),
        _ => Err(DecodeError::LimitExceeded),
    }
}

/// No row comes near this.
const ROW_BYTES_MAX: usize = 1 << 28;

/// Compares what is written with what should be.
struct Same<'a> {
    rest: &'a [u8],
}

impl Writer for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let differs = EncodeError::Other("the bytes differ");
        self.rest = self.rest.strip_prefix(bytes).ok_or(differs)?;
        Ok(())
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
    /// The number of the last message that was accepted for later.
    pub(crate) last_scheduled: u64,
    /// Purges by subject that are not finished.
    pub(crate) purges: Vec<PurgeRow>,
    /// Messages, from and below, that nobody may want any more.
    pub(crate) rejudged: Option<(u64, u64)>,
    /// Messages that left, ever: how many, for each reason that took any.
    pub(crate) removed: BTreeMap<Removal, u64>,
    /// Subjects that were left without a message, ever.
    pub(crate) emptied: u64,
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
    /// No message of it has a lower sequence.
    pub(crate) first: u64,
    /// Whether that message is removed, or may be.
    pub(crate) last_gone: bool,
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
    /// The first message that it could be given.
    pub(crate) start: u64,
    /// As far as the consumer was when it was reset, or was set to: below it may have been passed over. 0 if it never was.
    pub(crate) reset_below: u64,
    /// As far as the consumer was when its filters were changed: what they say holds from here on. 0 if they never were.
    pub(crate) filters_from: u64,
    /// As far as the stream was then: of what left below it may have been others that judged it.
    pub(crate) filters_below: u64,
    /// The ack floor, which goes back with a reset only.
    pub(crate) floor: u64,
    /// The next delivery's serial (R13).
    pub(crate) next_serial: u64,
    /// Delivered and unfinished sequences as packed runs (`format::runs`).
    pub(crate) pending: Vec<u8>,
    /// Matching messages that were delivered, skipped at the start or lost before delivery.
    pub(crate) accounted: u64,
    /// What left the stream since the consumer was created is in the rows of `removals` from here on.
    pub(crate) removals_from: u64,
    /// Up to here messages come at the pace at which they were published; 0 for none.
    pub(crate) replay_to: u64,
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
    /// Matching messages that were stored when the consumer was created, and that its start skips.
    pub(crate) skipped: u64,
    /// The lowest and the highest sequence of what was lost.
    pub(crate) lost_range: Option<(u64, u64)>,
}

impl Totals {
    /// Counts messages that were taken before they were finished, all of them from `first` to `last`.
    pub(crate) fn lose(&mut self, messages: u64, first: u64, last: u64) {
        self.lost += messages;
        if messages > 0 {
            let (lowest, highest) = self.lost_range.unwrap_or((first, last));
            self.lost_range = Some((lowest.min(first), highest.max(last)));
        }
    }
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

/// A message that waits for its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScheduledRow {
    /// When it is due; of one that repeats, the first time.
    pub(crate) due: u64,
    /// How it comes again, if it does.
    pub(crate) repeat: Option<Repeat>,
    pub(crate) subject: String,
    pub(crate) id: Option<String>,
    /// How long it lives once it is in the stream.
    pub(crate) ttl: Option<u64>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) payload: Bytes,
}

impl ScheduledRow {
    /// What the message adds to its stream's bytes.
    pub(crate) fn size(&self) -> u64 {
        let id = self.id.as_ref().map_or(0, String::len);
        let headers = self.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        (self.subject.len() + id + headers + self.payload.0.len()) as u64
    }
}

/// When the messages of one chunk of numbers are due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScheduledIndexRow {
    pub(crate) entries: Vec<ScheduledEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScheduledEntry {
    pub(crate) number: u64,
    pub(crate) due: u64,
    /// Bytes of subject, id, headers and payload.
    pub(crate) size: u64,
    /// Whether it comes again.
    pub(crate) repeats: bool,
}

/// When messages of one chunk of sequences expire by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExpiriesRow {
    /// Sequences and times.
    pub(crate) entries: Vec<(u64, u64)>,
    /// Sequences of those that are delete markers.
    pub(crate) markers: Vec<u64>,
}

/// A few ranges of sequences that left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemovalsRow {
    /// The highest sequence of a range that was forgotten, up to now; 0 for none.
    pub(crate) forgotten: u64,
    pub(crate) ranges: Vec<RemovalRow>,
}

/// Sequences that left for one reason, all of them between two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemovalRow {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) by: Removal,
    pub(crate) extent: Extent,
    pub(crate) since: u64,
    pub(crate) until: u64,
}

/// Which sequences of a range left with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Extent {
    All,
    /// All that had not left before.
    Rest,
}
