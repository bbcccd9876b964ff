//! `BlockBuilder`: a block under construction.

use super::block::Block;
use super::block_error::BlockError;
use super::checksum::{CHECKSUM_LEN, checksum};
use super::header::{HEADER_LEN, Header, MAX_BLOCK_LEN, MAX_SUBJECT};
use super::intern::{ENTRY_LEN, Found, Interner};
use super::record::{Body, MAX_ID, RecordInput, RecordRef};
use super::varint::{put_varint, varint_len};

/// Bytes of a record's entry in the offset table.
const OFFSET_LEN: usize = 4;

/// Why a record can't be in a block. All of it is checked long before: seeing one is a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PushError {
    #[error("a record's time {time} is before {before}, that of the record in front of it")]
    TimeWentBack { time: u64, before: u64 },
    #[error("a subject has {len} bytes; 1 to 1024 are allowed")]
    Subject { len: usize },
    #[error("a message id has {len} bytes; 1 to 1024 are allowed")]
    Id { len: usize },
    #[error("the block would have {len} bytes; 16 MiB are allowed")]
    TooLarge { len: usize },
    #[error("a block can't hold a record of sequence {first_seq} + {count}")]
    Sequence { first_seq: u64, count: u32 },
}

/// Collects consecutive records and encodes them as one block.
///
/// Each record is encoded once, when it is pushed; `seal` only puts the sections together.
#[derive(Clone, Debug)]
pub(crate) struct BlockBuilder {
    store: u64,
    stream: u32,
    first_seq: u64,
    base_time: u64,
    last_time: u64,
    subjects: Interner,
    records: Vec<u8>,
    /// Where each record ends in `records`.
    ends: Vec<u32>,
}

/// A record that fits, measured: what `push` needs to know, computed once.
pub(super) struct Measured<'a> {
    time: u64,
    delta: u64,
    subject: &'a str,
    found: Found,
    index: u32,
    body: Body<'a>,
    /// The whole block's size with this record in it.
    pub(super) block_len: usize,
}

impl BlockBuilder {
    pub(crate) fn new(store: u64, stream: u32, first_seq: u64) -> Self {
        Self {
            store,
            stream,
            first_seq,
            base_time: 0,
            last_time: 0,
            subjects: Interner::default(),
            records: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Goes on where an existing block ends. Its records are copied as they are.
    pub(crate) fn resume(block: &Block<'_>) -> Result<Self, BlockError> {
        let mut builder = Self::new(block.store(), block.stream(), block.first_seq());
        builder.base_time = block.base_time();
        builder.last_time = block.last_time()?;
        for subject in block.subjects() {
            let last = subject.last_seq - block.first_seq();
            builder
                .subjects
                .restore(subject.subject, subject.count, last as u32);
        }
        builder.records.extend_from_slice(block.record_bytes());
        builder.ends.extend(block.record_ends());
        Ok(builder)
    }

    #[cfg(any(test, fuzzing))]
    /// The exact size of the block if this record were pushed.
    pub(crate) fn len_with(&self, input: &RecordInput<'_>) -> Result<usize, PushError> {
        self.measure_input(input).map(|measured| measured.block_len)
    }

    /// Adds the next message.
    pub(crate) fn push(&mut self, input: &RecordInput<'_>) -> Result<(), PushError> {
        let measured = self.measure_input(input)?;
        self.push_measured(&measured);
        Ok(())
    }

    /// Adds a record of another block as the next message.
    pub(crate) fn push_record(&mut self, record: &RecordRef<'_>) -> Result<(), PushError> {
        let measured = self.measure_record(record)?;
        self.push_measured(&measured);
        Ok(())
    }

    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    pub(crate) const fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The sequence that the next record gets; 0, which no record can have, behind the very last one.
    pub(crate) fn next_seq(&self) -> u64 {
        self.first_seq.wrapping_add(self.ends.len() as u64)
    }

    /// The exact size of the block as it stands.
    pub(crate) fn encoded_len(&self) -> usize {
        HEADER_LEN
            + self.subjects.encoded_len()
            + self.records.len()
            + self.ends.len() * OFFSET_LEN
            + CHECKSUM_LEN
    }

    #[cfg(any(test, fuzzing))]
    /// As `encode`.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.encode()
    }

    /// The block's bytes; none at all while nothing was pushed, since no block is empty.
    pub(crate) fn encode(&self) -> Vec<u8> {
        if self.ends.is_empty() {
            return Vec::new();
        }
        let mut out = Vec::with_capacity(self.encoded_len());
        let header = self.header();
        header.encode(&mut out);
        self.subjects.encode(&mut out);
        out.extend_from_slice(&self.records);
        for end in &self.ends {
            out.extend_from_slice(&end.to_le_bytes());
        }
        let sum = checksum(self.store, &header.place(), &out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// As `encode`, and starts over with the sequence behind, keeping its memory.
    pub(crate) fn seal(&mut self) -> Vec<u8> {
        let out = self.encode();
        self.start_over();
        out
    }

    /// Leaves its records, and goes on with the sequence behind them.
    pub(super) fn start_over(&mut self) {
        self.first_seq = self.next_seq();
        self.subjects.clear();
        self.records.clear();
        self.ends.clear();
    }

    /// Gives back memory that only what it held before needed.
    pub(super) fn shrink(&mut self) {
        self.subjects.shrink();
        self.records.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    fn header(&self) -> Header {
        Header {
            store: self.store,
            stream: self.stream,
            first_seq: self.first_seq,
            count: self.ends.len() as u32,
            base_time: self.base_time,
            subjects: self.subjects.len() as u32,
            summary_len: self.subjects.encoded_len() as u32,
            records_len: self.records.len() as u32,
        }
    }

    pub(super) fn measure_input<'a>(
        &self,
        input: &RecordInput<'a>,
    ) -> Result<Measured<'a>, PushError> {
        self.measure(input.time, input.subject, Body::of_input(input))
    }

    pub(super) fn measure_record<'a>(
        &self,
        record: &RecordRef<'a>,
    ) -> Result<Measured<'a>, PushError> {
        self.measure(record.time, record.subject, Body::of_record(record))
    }

    fn measure<'a>(
        &self,
        time: u64,
        subject: &'a str,
        body: Body<'a>,
    ) -> Result<Measured<'a>, PushError> {
        let delta = self.delta(time)?;
        check_text(subject, body.id)?;
        self.check_sequence()?;
        let found = self.subjects.find(subject);
        let (index, new) = match found {
            Found::Known(index) => (index, 0),
            Found::New(_) => (self.subjects.len() as u32, ENTRY_LEN + subject.len()),
        };
        let fixed = varint_len(delta) + varint_len(index.into()) + OFFSET_LEN;
        let block_len = self.encoded_len() + fixed + new + body.encoded_len();
        if block_len > MAX_BLOCK_LEN {
            return Err(PushError::TooLarge { len: block_len });
        }
        Ok(Measured {
            time,
            delta,
            subject,
            found,
            index,
            body,
            block_len,
        })
    }

    /// Adds what was measured against this very state of the builder.
    pub(super) fn push_measured(&mut self, measured: &Measured<'_>) {
        if self.ends.is_empty() {
            self.base_time = measured.time;
        }
        self.last_time = measured.time;
        self.subjects
            .count(measured.found, measured.subject, self.ends.len() as u32);
        put_varint(&mut self.records, measured.delta);
        put_varint(&mut self.records, measured.index.into());
        measured.body.encode(&mut self.records);
        self.ends.push(self.records.len() as u32);
    }

    fn delta(&self, time: u64) -> Result<u64, PushError> {
        if self.ends.is_empty() {
            return Ok(0);
        }
        if time < self.last_time {
            return Err(PushError::TimeWentBack {
                time,
                before: self.last_time,
            });
        }
        Ok(time - self.base_time)
    }

    fn check_sequence(&self) -> Result<(), PushError> {
        if self.first_seq == 0 || self.next_seq() == 0 {
            let count = self.ends.len() as u32;
            return Err(PushError::Sequence {
                first_seq: self.first_seq,
                count,
            });
        }
        Ok(())
    }
}

fn check_text(subject: &str, id: Option<&str>) -> Result<(), PushError> {
    if !(1..=MAX_SUBJECT).contains(&subject.len()) {
        return Err(PushError::Subject { len: subject.len() });
    }
    match id.map(str::len) {
        Some(len) if !(1..=MAX_ID).contains(&len) => Err(PushError::Id { len }),
        _ => Ok(()),
    }
}

#[cfg(test)]
impl BlockBuilder {
    /// The bytes of a block of so many messages of 100 bytes, with these subjects over and over.
    pub(crate) fn filled(
        store: u64,
        stream: u32,
        first_seq: u64,
        records: usize,
        subjects: &[&str],
    ) -> Vec<u8> {
        let mut builder = Self::new(store, stream, first_seq);
        for subject in subjects.iter().cycle().take(records) {
            let record = RecordInput {
                time: 1_000,
                subject,
                id: None,
                headers: &crate::headers::Headers::new(),
                payload: &[7; 100],
            };
            builder.push(&record).unwrap();
        }
        builder.finish()
    }
}
