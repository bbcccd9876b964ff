//! `DiskFault`: one operation that goes wrong.

/// How one operation of a [`MemoryDisk`](super::MemoryDisk) goes wrong; see
/// [`MemoryDisk::fault_at`](super::MemoryDisk::fault_at).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskFault {
    /// It answers an error and changes nothing.
    Refused,
    /// A write reaches some of its sectors, which `seed` chooses, and then answers an error. Any other
    /// operation is refused.
    Torn {
        /// Chooses the sectors.
        seed: u64,
    },
    /// A sync answers an error, having written some of what was not synced, which `seed` chooses, and
    /// lost the rest for good: the rest still reads back from the page cache until that is dropped, and
    /// no later sync writes it. Any other operation is refused.
    LostSync {
        /// Chooses what is written.
        seed: u64,
    },
    /// The disk is full for this operation alone: [`std::io::ErrorKind::StorageFull`].
    Full,
}
