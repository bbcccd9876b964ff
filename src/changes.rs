//! `Changes`: what one commit group makes durable, as results and never as commands (R27).
//!
//! `state` produces it, `store` applies it in one write transaction, and nothing else crosses that
//! line. Every change names a row and its whole new value, so that applying a group twice is the
//! same as applying it once. Its byte encoding lives in `format::changes`.

/// The kinds of rows, apart from message blocks, that a store holds.
///
/// The number is the tag on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Table {
    /// The store's own facts; `id` is 0, `part` says which.
    Meta = 1,
    /// A stream's configuration; `id` is the stream.
    StreamConfig = 2,
    /// A stream's counters; `id` is the stream.
    StreamState = 3,
    /// Interior deletes; `id` is the stream, `part` the window of sequences.
    Holes = 4,
    /// Subjects of a stream in chunks; `id` is the stream, `part` the chunk.
    Subjects = 5,
    /// Message-id hashes; `id` is the stream, `part` a growing serial.
    Dedup = 6,
    /// A consumer's configuration; `id` is the consumer.
    ConsumerConfig = 7,
    /// A consumer's cursor, floor and packed pending set; `id` is the consumer.
    ConsumerState = 8,
    /// A consumer's exceptions (redelivered, delayed, parked); `part` is the chunk of sequences.
    Exceptions = 9,
    /// Streams and consumers whose space is still being freed.
    Drops = 10,
    /// Messages that wait for their time, whole; `id` is the stream, `part` the number.
    Scheduled = 11,
    /// When each of them is due; `id` is the stream, `part` the chunk of numbers.
    ScheduledIndex = 12,
    /// When messages expire by themselves; `id` is the stream, `part` the chunk of sequences.
    Expiries = 13,
    /// What left a stream, when and why; `id` is the stream, `part` a growing serial.
    Removals = 14,
    /// What a consumer lost, when and why; `id` is the consumer, `part` a growing serial.
    Losses = 15,
}

/// Names one row: a table and a key in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowKey {
    pub(crate) table: Table,
    pub(crate) id: u32,
    pub(crate) part: u64,
}

impl RowKey {
    pub(crate) const fn new(table: Table, id: u32, part: u64) -> Self {
        Self { table, id, part }
    }
}

/// One result of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The row now has this value.
    Put { key: RowKey, value: Vec<u8> },
    /// The row is gone.
    Delete { key: RowKey },
    /// All rows of `table` and `id` with `from <= part <= to` are gone.
    DeleteParts {
        table: Table,
        id: u32,
        from: u64,
        to: u64,
    },
    /// The stream's block that starts at `first_seq` now has these bytes (a grown tail replaces).
    Block {
        stream: u32,
        first_seq: u64,
        bytes: Vec<u8>,
    },
    /// The stream's block that starts at `first_seq`, its last, goes on with the messages of the block
    /// `added`. The `whole` that comes of it is not encoded: what was decoded lacks it, and the store, which
    /// has the block that grows, supplies it.
    Grow {
        stream: u32,
        first_seq: u64,
        added: Vec<u8>,
        whole: Option<Vec<u8>>,
    },
    /// The stream's blocks with `from <= first_seq <= to` are gone.
    DropBlocks { stream: u32, from: u64, to: u64 },
    /// The stream's block table is gone.
    DropStream { stream: u32 },
}

/// Everything that one group makes durable, applied in this order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Changes {
    /// The group's number, growing by one within an open store.
    pub(crate) group: u64,
    /// The results.
    pub(crate) changes: Vec<Change>,
}
