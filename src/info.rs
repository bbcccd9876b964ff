//! Facts about streams and consumers, as of the last commit.

use crate::clock::Timestamp;
use crate::config::{ConsumerConfig, StreamConfig};
use crate::event::Removal;
use crate::seq::Seq;
use std::collections::BTreeMap;
use std::time::Duration;

/// Facts about a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its configuration.
    pub config: StreamConfig,
    /// Messages stored.
    pub messages: u64,
    /// Their bytes: subjects, ids, headers and payloads.
    pub bytes: u64,
    /// The first message stored, or the next sequence when there is none.
    pub first_seq: Seq,
    /// The last sequence given out, stored or not; the one before `first_sequence` (0) when there was none.
    pub last_seq: Seq,
    /// When the last message was published.
    pub last_time: Option<Timestamp>,
    /// Distinct subjects stored.
    pub subjects: u64,
    /// How often a subject's last message left, ever, and neither the message that [replaced](crate::Publish::rollup)
    /// it nor a delete marker took its place.
    pub emptied_subjects: u64,
    /// Sequences between the first and the last that are deleted.
    pub deleted: u64,
    /// Messages that left, ever, by reason; a reason that took none is not there. With `messages` they are all that
    /// were ever stored. What a purge took is counted as its steps come to it.
    pub removed: BTreeMap<Removal, u64>,
    /// Message ids remembered.
    pub dedup_ids: u64,
    /// Messages that have a time to live of their own.
    pub expiring: u64,
    /// Those of them that are markers of subjects whose last message was too old, see
    /// [`subject_delete_marker_ttl`](StreamConfig::subject_delete_marker_ttl).
    pub delete_markers: u64,
    /// Messages that were published for later and wait for their time; they are not among `messages`.
    pub scheduled: u64,
    /// Their bytes.
    pub scheduled_bytes: u64,
    /// Those of them that come again and again, see [`Publish::every`](crate::Publish::every).
    pub schedules: u64,
    /// Those of `scheduled` whose time has come: they are on their way, or the stream refuses them.
    pub scheduled_due: u64,
    /// Consumers.
    pub consumers: u64,
    /// Messages that were given up to this stream as dead letters but found no room in it.
    pub refused_dead_letters: u64,
}

/// Facts about a consumer.
///
/// A message that the consumer wants is in exactly one of these places: pending (never delivered), in
/// flight, due (to be delivered again), delayed, parked, refused (by the dead-letter stream), or
/// finished.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// Its configuration.
    pub config: ConsumerConfig,
    /// The stream.
    pub stream: String,
    /// Deliveries handed out, redeliveries included.
    pub deliveries: u64,
    /// The highest sequence delivered, or passed over because it does not match.
    pub delivered: Seq,
    /// Everything up to here is finished, or was passed over by a reset. It goes back with a reset only.
    pub ack_floor: Seq,
    /// Messages that match and were never delivered.
    pub pending: u64,
    /// Messages out with a worker.
    pub in_flight: u64,
    /// Messages waiting to be delivered again.
    pub due: u64,
    /// Messages that wait for a time.
    pub delayed: u64,
    /// Messages set aside.
    pub parked: u64,
    /// Messages that the dead-letter stream refused.
    pub refused: u64,
    /// Unfinished messages that were delivered more than once.
    pub redelivered: u64,
    /// Unfinished messages that were caught in two crashes and are handled alone (R18).
    pub suspects: u64,
    /// Messages acked, ever.
    pub acked: u64,
    /// Messages dead-lettered, ever.
    pub dead_lettered: u64,
    /// Messages dropped or terminated without a copy, ever.
    pub dropped: u64,
    /// Messages that a limit, a purge or a delete took before they were finished (G11), ever.
    pub lost: u64,
    /// The lowest and the highest sequence of what was lost. After a purge of a whole stream, and after
    /// damage was excluded, they may be of messages that did not match.
    pub lost_range: Option<(Seq, Seq)>,
    /// Messages that match and were stored when the consumer was created, and that its start policy
    /// skips, and those that a [reset](crate::Consumer::reset) passed over before they were finished: it
    /// will not be given them, unless another reset goes back.
    pub skipped: u64,
    /// Failed attempts: naks, lapsed leases, crashes while handled alone; ever.
    pub failures: u64,
    /// Deliveries that a crash of the process cut off, ever.
    pub crashes: u64,
    /// Fetches waiting.
    pub waiting: u64,
    /// Age of the oldest message not finished.
    pub oldest_unfinished: Option<Duration>,
}

/// Facts about a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// Streams.
    pub streams: u64,
    /// Consumers.
    pub consumers: u64,
    /// Length of the file in bytes. It grows by doubling, sparsely, so the disk may hold less.
    pub file_bytes: u64,
    /// Bytes of the pages that messages take: what `Limits::max_store_bytes` bounds.
    pub used_bytes: u64,
    /// Events that full subscribers missed.
    pub events_missed: u64,
}

/// How a compaction goes on; see [`Riverbed::compact_with`](crate::Riverbed::compact_with).
///
/// How much is left is not known: what has to be moved shows while it is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionProgress {
    /// Length of the file before, in bytes.
    pub before_bytes: u64,
    /// Its length now. The commit at the end may let it grow again.
    pub file_bytes: u64,
    /// Bytes that were written to the file so far: what was moved, and what is noted about it.
    pub written_bytes: u64,
}

/// What a compaction came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Length of the file before, in bytes.
    pub before_bytes: u64,
    /// Its length now.
    pub after_bytes: u64,
}
