//! `Block`: consecutive messages of a stream, read in place.
//!
//! Opening checks everything that costs little beside the checksum: the header, the sections'
//! lengths, the summary, the offset table. Records are checked one by one, as they are read;
//! `verify` walks all of them.

use super::block_error::BlockError;
use super::checksum::{CHECKSUM_LEN, checksum};
use super::header::{HEADER_LEN, Header};
use super::record::{RawRecord, RecordRef};
use super::summary::{SubjectSummary, Summary};

/// A checked block. It borrows the bytes and holds nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    header: Header,
    summary: Summary<'a>,
    records: &'a [u8],
    /// Where each record ends in `records`.
    ends: &'a [[u8; 4]],
}

impl<'a> Block<'a> {
    /// Opens the block that belongs at `first_seq` of this stream.
    pub(crate) fn open(
        bytes: &'a [u8],
        store: u64,
        stream: u32,
        first_seq: u64,
    ) -> Result<Self, BlockError> {
        let header = Header::read(bytes)?;
        if header.store != store {
            return Err(BlockError::Store {
                found: header.store,
                expected: store,
            });
        }
        if header.stream != stream {
            return Err(BlockError::Stream {
                found: header.stream,
                expected: stream,
            });
        }
        if header.first_seq != first_seq {
            return Err(BlockError::FirstSeq {
                found: header.first_seq,
                expected: first_seq,
            });
        }
        Self::open_at(bytes, header)
    }

    /// Opens a block wherever it says it belongs: for salvage, which has only the bytes.
    pub(crate) fn open_any(bytes: &'a [u8]) -> Result<Self, BlockError> {
        Self::open_at(bytes, Header::read(bytes)?)
    }

    /// The length of the block that `bytes` start with, if they do: for salvage, which finds
    /// blocks inside of pages.
    pub(crate) fn declared_len(bytes: &[u8]) -> Result<usize, BlockError> {
        // The header bounds it to `MAX_BLOCK_LEN`.
        Header::read(bytes).map(|header| header.block_len() as usize)
    }

    fn open_at(bytes: &'a [u8], header: Header) -> Result<Self, BlockError> {
        let wrong = BlockError::Length {
            declared: header.block_len(),
            actual: bytes.len(),
        };
        if header.block_len() != bytes.len() as u64 {
            return Err(wrong);
        }
        let (sealed, sum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(wrong)?;
        if checksum(header.store, &header.place(), sealed) != u64::from_le_bytes(*sum) {
            return Err(BlockError::Checksum);
        }
        let sections = sealed.get(HEADER_LEN..).ok_or(wrong)?;
        let (summary, rest) = sections
            .split_at_checked(header.summary_len as usize)
            .ok_or(wrong)?;
        let (records, table) = rest
            .split_at_checked(header.records_len as usize)
            .ok_or(wrong)?;
        let (ends, _) = table.as_chunks::<4>();
        check_ends(ends, header.records_len)?;
        Ok(Self {
            header,
            summary: Summary::open(summary, header.subjects, header.count)?,
            records,
            ends,
        })
    }

    pub(crate) const fn store(&self) -> u64 {
        self.header.store
    }

    pub(crate) const fn stream(&self) -> u32 {
        self.header.stream
    }

    pub(crate) const fn first_seq(&self) -> u64 {
        self.header.first_seq
    }

    pub(crate) const fn last_seq(&self) -> u64 {
        // The header was checked for it: there is a record, and no overflow.
        self.header.first_seq + (self.header.count as u64 - 1)
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) const fn count(&self) -> u32 {
        self.header.count
    }

    /// The first record's time.
    pub(crate) const fn base_time(&self) -> u64 {
        self.header.base_time
    }

    /// The last record's time.
    pub(crate) fn last_time(&self) -> Result<u64, BlockError> {
        self.record(self.header.count - 1).map(|record| record.time)
    }

    /// The distinct subjects in order of first appearance, each with its exact count (R21).
    pub(crate) fn subjects(&self) -> impl ExactSizeIterator<Item = SubjectSummary<'a>> + use<'a> {
        self.summary.iter(self.header.first_seq)
    }

    /// Record `n`, from 0.
    pub(crate) fn record(&self, n: u32) -> Result<RecordRef<'a>, BlockError> {
        let bytes = self.bytes_of(n)?;
        let seq = self.header.first_seq + u64::from(n);
        let raw = RawRecord::read(bytes).ok_or(BlockError::Record { seq })?;
        let subject = self
            .summary
            .name(raw.subject)
            .ok_or(BlockError::Record { seq })?;
        let time = self
            .header
            .base_time
            .checked_add(raw.delta)
            .ok_or(BlockError::Time { seq })?;
        let RawRecord {
            id,
            headers,
            payload,
            ..
        } = raw;
        Ok(RecordRef {
            seq,
            time,
            subject,
            id,
            headers,
            payload,
        })
    }

    pub(crate) fn record_at_seq(&self, seq: u64) -> Result<RecordRef<'a>, BlockError> {
        self.record(self.number_of(seq)?)
    }

    /// All records in order.
    pub(crate) fn records(
        &self,
    ) -> impl Iterator<Item = Result<RecordRef<'a>, BlockError>> + use<'a> {
        let block = *self;
        (0..block.header.count).map(move |n| block.record(n))
    }

    /// The place of record `n`'s subject in `subjects()`: judge each subject once, then only
    /// look here.
    pub(crate) fn subject_index_of(&self, n: u32) -> Result<u32, BlockError> {
        let seq = self.header.first_seq.saturating_add(n.into());
        RawRecord::read_subject(self.bytes_of(n)?)
            .filter(|&index| index < self.header.subjects)
            .ok_or(BlockError::Record { seq })
    }

    /// Walks all records: each is well-formed, times never go back, and the summary is exact.
    ///
    /// What passes is what a `BlockBuilder` makes of these records, to the byte.
    pub(crate) fn verify(&self) -> Result<(), BlockError> {
        let mut tally = self.summary.tally();
        let mut before = 0;
        for n in 0..self.header.count {
            let record = self.record(n)?;
            let first_is_late = n == 0 && record.time != self.header.base_time;
            if record.time < before || first_is_late {
                return Err(BlockError::Time { seq: record.seq });
            }
            before = record.time;
            tally.count(self.subject_index_of(n)?, n)?;
        }
        tally.finish()
    }

    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    pub(super) const fn summary(&self) -> &Summary<'a> {
        &self.summary
    }

    /// The records' section, for a builder that goes on behind it.
    pub(super) const fn record_bytes(&self) -> &'a [u8] {
        self.records
    }

    pub(super) fn record_ends(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.ends.iter().map(|end| u32::from_le_bytes(*end))
    }

    fn number_of(&self, seq: u64) -> Result<u32, BlockError> {
        let n = seq.checked_sub(self.header.first_seq);
        n.and_then(|n| u32::try_from(n).ok())
            .ok_or(BlockError::NoRecord {
                n: n.unwrap_or_default(),
            })
    }

    fn bytes_of(&self, n: u32) -> Result<&'a [u8], BlockError> {
        let missing = BlockError::NoRecord { n: n.into() };
        let at = n as usize;
        let end = self.ends.get(at).ok_or(missing)?;
        let start = at
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .unwrap_or(&[0; 4]);
        let range = u32::from_le_bytes(*start) as usize..u32::from_le_bytes(*end) as usize;
        self.records.get(range).ok_or(missing)
    }
}

/// Ends must grow, up to the section's end.
fn check_ends(ends: &[[u8; 4]], records_len: u32) -> Result<(), BlockError> {
    let mut before = 0;
    let mut growing = true;
    for end in ends {
        let end = u32::from_le_bytes(*end);
        growing &= end > before;
        before = end;
    }
    if growing && before == records_len {
        Ok(())
    } else {
        Err(BlockError::Offsets)
    }
}
