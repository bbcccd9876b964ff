//! Limits of a whole store, and the fixed bounds of the format.

/// Largest message: headers and payload together.
pub(crate) const MESSAGE_BYTES_MAX: u64 = 8 << 20;
/// Largest message id.
pub(crate) const MESSAGE_ID_BYTES_MAX: usize = 1024;
/// Most messages in an atomic batch, and in a fetch.
pub(crate) const BATCH_MESSAGES_MAX: usize = 65_536;
/// Most bytes in an atomic batch, and in a fetch.
pub(crate) const BATCH_BYTES_MAX: u64 = 64 << 20;
/// Most subjects of one stream, and most filters of one consumer.
pub(crate) const SUBJECTS_MAX: usize = 256;
/// Longest reason of a `term` that is kept.
pub(crate) const REASON_BYTES_MAX: usize = 1024;
/// Delayed, parked and refused messages that one consumer may hold.
pub(crate) const SET_ASIDE_MAX: u64 = 1_000_000;

/// Limits of a store that its builder sets.
///
/// # Examples
///
/// ```
/// let limits = riverbed::Limits::default();
/// assert_eq!(limits.group_bytes, 4 << 20);
/// assert_eq!(limits.pipeline_bytes, 16 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of messages after which a commit group takes no more callers (4 MiB). One atomic batch
    /// may exceed it.
    pub group_bytes: u64,
    /// Bytes of pipelined publishes that may be on their way to the disk (16 MiB); the next one waits.
    pub pipeline_bytes: u64,
    /// Distinct subjects that are tracked for one stream (1,000,000); a publish on one more is refused.
    pub subjects_per_stream: u64,
    /// Messages that may wait for their time in one stream (1,000,000), see
    /// [`Publish::after`](crate::Publish::after); a publish of one more is refused with
    /// [`ScheduledFull`](crate::PublishErrorKind::ScheduledFull).
    pub scheduled_per_stream: u64,
    /// Messages of one stream that may have a [time to live](crate::Publish::ttl) of their own (1,000,000);
    /// a publish of one more is refused with [`TtlFull`](crate::PublishErrorKind::TtlFull).
    pub ttls_per_stream: u64,
    /// Bytes of the pages that the messages of all streams may take on disk (unlimited). A publish
    /// that would leave less than the reserve is refused with
    /// [`StoreFull`](crate::PublishErrorKind::StoreFull), or waits if it says
    /// [`wait_for_room`](crate::Publish::wait_for_room); [`StoreInfo::used_bytes`](crate::StoreInfo)
    /// says what is taken. At least twice the reserve.
    ///
    /// Pages are what is counted, because they are what a disk runs out of: a message that was
    /// deleted takes its place until its block is empty. The file holds more than this: the reserve,
    /// what consumers, message ids and subjects take within their own limits, and pages that a commit
    /// replaced and that are not used again yet. docs/design.md has measured figures; leave half as
    /// much again. The *length* of the file may be twice as much, because it grows by doubling, but
    /// sparsely.
    pub max_store_bytes: Option<u64>,
    /// The part of `max_store_bytes` that publishers can't have (16 MiB): acks, purges and
    /// dead-letter moves still work when they are refused. At least 1 MiB.
    pub store_reserve_bytes: u64,
}

/// Smallest reserve: what one commit of acks, purges and moves may need, several times over.
const RESERVE_MIN: u64 = 1 << 20;

impl Limits {
    /// Says which settings make no sense together.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let Some(most) = self.max_store_bytes else {
            return Ok(());
        };
        let reserve = self.store_reserve_bytes;
        if reserve < RESERVE_MIN {
            return Err(format!(
                "store_reserve_bytes is {reserve}, and a store with max_store_bytes needs at least {RESERVE_MIN}"
            ));
        }
        if most / 2 < reserve {
            return Err(format!(
                "max_store_bytes is {most}, less than twice store_reserve_bytes, which is {reserve}; raise the one or lower the other"
            ));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            group_bytes: 4 << 20,
            pipeline_bytes: 16 << 20,
            subjects_per_stream: 1_000_000,
            scheduled_per_stream: 1_000_000,
            ttls_per_stream: 1_000_000,
            max_store_bytes: None,
            store_reserve_bytes: 16 << 20,
        }
    }
}
