//! The log format: bytes in, bytes out; no I/O.

mod block;
mod block_error;
mod builder;
mod bytes;
mod changes;
pub(crate) mod checksum;
mod cut;
mod grow;
mod header;
mod intern;
pub(crate) mod journal;
mod page;
mod reader;
mod record;
pub(crate) mod rows;
mod runs;
mod summary;
mod summary_row;
mod varint;

#[cfg(test)]
mod block_tests;
#[cfg(test)]
mod rows_tests;

pub(crate) use block::Block;
pub(crate) use block_error::BlockError;
pub(crate) use builder::BlockBuilder;
pub(crate) use bytes::Bytes;
#[cfg(any(test, fuzzing))]
pub(crate) use changes::encode_changes;
pub(crate) use changes::{decode_changes, least_len, put_changes};
pub(crate) use cut::{cut, open_block};
pub(crate) use grow::{added, grow};
pub(crate) use header::HEADER_LEN;
#[cfg(any(test, fuzzing))]
pub(crate) use header::Header;
pub(crate) use page::{Growth, page_bytes};
pub(crate) use record::{FILLER, RecordInput, RecordRef};
pub(crate) use runs::{RunsError, decode_runs, encode_runs};
pub(crate) use summary_row::SummaryRow;
