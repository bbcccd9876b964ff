//! `BlockError`: what is wrong with a block.

/// Why bytes are not a block, or not the block that belongs in this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockError {
    #[error("{len} bytes are too few for a block")]
    Short { len: usize },
    #[error("the bytes do not start with a block's magic number")]
    Magic,
    #[error("the block has format version {version}; this riverbed reads version 1")]
    Version { version: u8 },
    #[error("the block has flags {flags:#04x}, which this riverbed does not know")]
    Flags { flags: u8 },
    #[error("the block's reserved bytes are not zero")]
    Reserved,
    #[error("the block declares {len} bytes; 16 MiB are allowed")]
    TooLarge { len: u64 },
    #[error("the block declares {declared} bytes, but there are {actual}")]
    Length { declared: u64, actual: usize },
    #[error("the block declares {count} records from sequence {first_seq} on")]
    Sequences { first_seq: u64, count: u32 },
    #[error("the block belongs to store {found:#018x}, not to {expected:#018x}")]
    Store { found: u64, expected: u64 },
    #[error("the block belongs to stream {found}, not to {expected}")]
    Stream { found: u32, expected: u32 },
    #[error("the block starts at sequence {found}, not at {expected}")]
    FirstSeq { found: u64, expected: u64 },
    #[error("the block's checksum does not match its bytes")]
    Checksum,
    #[error("the block's subject summary is malformed")]
    Summary,
    #[error("the block's subject summary does not tell what its records are")]
    SummaryNotExact,
    #[error("the block's offset table is malformed")]
    Offsets,
    #[error("the block has no record {n}")]
    NoRecord { n: u64 },
    #[error("the record of sequence {seq} is malformed")]
    Record { seq: u64 },
    #[error("the time of the record of sequence {seq} is not what its place allows")]
    Time { seq: u64 },
}
