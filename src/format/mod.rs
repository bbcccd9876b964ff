//! The log format: bytes in, bytes out; no I/O.

mod block;
mod block_error;
mod builder;
mod changes;
pub(crate) mod checksum;
mod cut;
mod header;
mod intern;
pub(crate) mod journal;
mod reader;
mod record;
pub(crate) mod rows;
mod runs;
mod summary;
mod varint;

#[cfg(test)]
mod block_tests;
#[cfg(test)]
mod rows_tests;

pub(crate) use block::Block;
pub(crate) use block_error::BlockError;
#[cfg(any(test, fuzzing))]
pub(crate) use builder::BlockBuilder;
pub(crate) use changes::{decode_changes, encode_changes};
pub(crate) use cut::{GROWN_IN_JOURNAL, GROWN_WHOLE, added, cut, grow, page_bytes};
pub(crate) use header::HEADER_LEN;
#[cfg(any(test, fuzzing))]
pub(crate) use header::Header;
pub(crate) use record::{FILLER, RecordInput, RecordRef};
pub(crate) use runs::{RunsError, decode_runs, encode_runs};
