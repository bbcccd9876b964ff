//! A block's fixed part: what it is, where it belongs, how long its sections are.

use super::block_error::BlockError;
use super::checksum::CHECKSUM_LEN;
use super::intern::ENTRY_LEN;
use super::reader::Reader;

/// Bytes of the header.
pub(crate) const HEADER_LEN: usize = 52;
/// Bytes that a block may have; a message with its headers stays far below.
pub(crate) const MAX_BLOCK_LEN: usize = 16 * 1024 * 1024;
/// Bytes that a subject may have.
pub(crate) const MAX_SUBJECT: usize = 1024;

const MAGIC: [u8; 4] = *b"RvBk";
const VERSION: u8 = 1;

/// The header's fields, in their order on disk (behind magic, version, flags and two zero bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store: u64,
    pub(crate) stream: u32,
    pub(crate) first_seq: u64,
    pub(crate) count: u32,
    pub(crate) base_time: u64,
    /// Distinct subjects.
    pub(crate) subjects: u32,
    pub(crate) summary_len: u32,
    pub(crate) records_len: u32,
}

impl Header {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.extend_from_slice(&self.store.to_le_bytes());
        out.extend_from_slice(&self.stream.to_le_bytes());
        out.extend_from_slice(&self.first_seq.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.base_time.to_le_bytes());
        out.extend_from_slice(&self.subjects.to_le_bytes());
        out.extend_from_slice(&self.summary_len.to_le_bytes());
        out.extend_from_slice(&self.records_len.to_le_bytes());
    }

    /// Reads the header at the front of `bytes` and checks what it says about itself.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BlockError> {
        let mut reader = Reader::new(bytes);
        let magic = reader
            .take(MAGIC.len())
            .ok_or(BlockError::Short { len: bytes.len() })?;
        if magic != MAGIC {
            return Err(BlockError::Magic);
        }
        let header =
            Self::read_fields(&mut reader).ok_or(BlockError::Short { len: bytes.len() })??;
        header.check()?;
        Ok(header)
    }

    /// `None` when the bytes end too early.
    fn read_fields(reader: &mut Reader<'_>) -> Option<Result<Self, BlockError>> {
        match reader.u8()? {
            VERSION => {}
            version => return Some(Err(BlockError::Version { version })),
        }
        match reader.u8()? {
            0 => {}
            flags => return Some(Err(BlockError::Flags { flags })),
        }
        if reader.take(2)? != [0, 0] {
            return Some(Err(BlockError::Reserved));
        }
        Some(Ok(Self {
            store: reader.u64()?,
            stream: reader.u32()?,
            first_seq: reader.u64()?,
            count: reader.u32()?,
            base_time: reader.u64()?,
            subjects: reader.u32()?,
            summary_len: reader.u32()?,
            records_len: reader.u32()?,
        }))
    }

    fn check(&self) -> Result<(), BlockError> {
        let (first_seq, count) = (self.first_seq, self.count);
        let beyond_last = first_seq
            .checked_add(u64::from(count).saturating_sub(1))
            .is_none();
        if first_seq == 0 || count == 0 || beyond_last {
            return Err(BlockError::Sequences { first_seq, count });
        }
        let len = self.block_len();
        if len > MAX_BLOCK_LEN as u64 {
            return Err(BlockError::TooLarge { len });
        }
        // Each subject has a name of at least one byte, and at least one record.
        let names =
            u64::from(self.summary_len).checked_sub(u64::from(self.subjects) * ENTRY_LEN as u64);
        if self.subjects == 0 || self.subjects > count || names < Some(self.subjects.into()) {
            return Err(BlockError::Summary);
        }
        Ok(())
    }

    /// Bytes of the whole block.
    pub(crate) fn block_len(&self) -> u64 {
        let fixed = (HEADER_LEN + CHECKSUM_LEN) as u64;
        fixed
            + u64::from(self.summary_len)
            + u64::from(self.records_len)
            + u64::from(self.count) * 4
    }

    /// The place that the checksum binds the block to; the store is its other half (R26).
    pub(crate) fn place(&self) -> [u8; 13] {
        let mut place = [0; 13];
        let (tag, rest) = place.split_at_mut(1);
        let (stream, seq) = rest.split_at_mut(4);
        // Other rows' places start with the number of their table, which is far below.
        tag.copy_from_slice(b"B");
        stream.copy_from_slice(&self.stream.to_le_bytes());
        seq.copy_from_slice(&self.first_seq.to_le_bytes());
        place
    }
}
