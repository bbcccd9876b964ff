//! `SummaryRow`: a block's subject summary once more, in a row of its own, so that whoever wants none of
//! the block's subjects passes over it without reading it.

use super::block::Block;
use super::header::Header;
use super::page::worth_passing;
use super::reader::Reader;
use super::summary::Summary;

const VERSION: u8 = 1;
/// A summary that is longer than this part of its block is left in the block alone: what is written
/// for it would not pay.
const PART: usize = 16;

/// What a block's messages have for subjects.
///
/// A sequence keeps its message for as long as it exists, so what a row says of its sequences stays true
/// even if the block has grown since or is gone. What it does not speak of has to be asked of the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SummaryRow<'a> {
    last_seq: u64,
    summary: Summary<'a>,
}

impl<'a> SummaryRow<'a> {
    /// The row of a block that stands at this place; `None` if it is to have none, also because these
    /// bytes are no block of that place.
    pub(crate) fn encode(bytes: &[u8], stream: u32, first_seq: u64) -> Option<Vec<u8>> {
        let header = Header::read(bytes).ok()?;
        let is_whole = header.block_len() == bytes.len() as u64;
        if !is_whole || header.stream != stream || header.first_seq != first_seq {
            return None;
        }
        Self::of(&header, Summary::of_block(bytes, &header).ok()?)
    }

    /// The row that belongs to a block, if it is to have one.
    pub(crate) fn encode_of(block: &Block<'_>) -> Option<Vec<u8>> {
        Self::of(block.header(), *block.summary())
    }

    fn of(header: &Header, summary: Summary<'_>) -> Option<Vec<u8>> {
        let block_len = header.block_len() as usize;
        let len = 9 + header.summary_len as usize;
        if !worth_passing(block_len) || len > block_len / PART {
            return None;
        }
        let mut row = Vec::with_capacity(len);
        row.push(VERSION);
        row.extend_from_slice(&header.count.to_le_bytes());
        row.extend_from_slice(&header.subjects.to_le_bytes());
        summary.encode(&mut row);
        Some(row)
    }

    /// Reads the row of the block that begins at `first_seq`; `None` for anything else.
    pub(crate) fn decode(bytes: &'a [u8], first_seq: u64) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return None;
        }
        let (count, subjects) = (reader.u32()?, reader.u32()?);
        if subjects == 0 || subjects > count {
            return None;
        }
        let last_seq = first_seq.checked_add(u64::from(count.checked_sub(1)?))?;
        let summary = Summary::open(reader.rest(), subjects, count).ok()?;
        Some(Self { last_seq, summary })
    }

    /// The last sequence that it speaks of.
    pub(crate) const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The distinct subjects, in order of first appearance.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.summary.iter(0).map(|known| known.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::SummaryRow;
    use crate::format::{Block, BlockBuilder};

    /// A block of stream 1 at sequence 10 with these subjects, over and over.
    fn block(records: usize, subjects: &[&str]) -> Vec<u8> {
        BlockBuilder::filled(7, 1, 10, records, subjects)
    }

    #[test]
    fn a_row_says_what_its_block_says() {
        let bytes = block(100, &["a.b", "c"]);
        let row = SummaryRow::encode(&bytes, 1, 10).unwrap();
        let block = Block::open(&bytes, 7, 1, 10).unwrap();
        assert_eq!(SummaryRow::encode_of(&block), Some(row.clone()));
        let read = SummaryRow::decode(&row, 10).unwrap();
        assert_eq!(read.last_seq(), 109);
        assert_eq!(read.subjects().collect::<Vec<_>>(), ["a.b", "c"]);
    }

    #[test]
    fn its_bytes_are_frozen() {
        let row = SummaryRow::encode(&block(100, &["a.b", "c"]), 1, 10).unwrap();
        let golden = [
            &[1, 100, 0, 0, 0, 2, 0, 0, 0][..],
            &[3, 0, 0, 0, 50, 0, 0, 0, 98, 0, 0, 0],
            &[4, 0, 0, 0, 50, 0, 0, 0, 99, 0, 0, 0],
            b"a.bc",
        ];
        assert_eq!(row, golden.concat());
    }

    #[test]
    fn small_blocks_and_those_of_many_subjects_have_none() {
        assert_eq!(SummaryRow::encode(&block(20, &["a"]), 1, 10), None);
        let names: Vec<String> = (0..100).map(|n| format!("subject.{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(SummaryRow::encode(&block(100, &names), 1, 10), None);
    }

    #[test]
    fn what_is_no_block_of_the_place_has_none() {
        let bytes = block(100, &["a"]);
        assert_eq!(SummaryRow::encode(&bytes, 2, 10), None);
        assert_eq!(SummaryRow::encode(&bytes, 1, 11), None);
        assert_eq!(SummaryRow::encode(&bytes[..bytes.len() - 1], 1, 10), None);
        assert_eq!(SummaryRow::encode(b"no block", 1, 10), None);
    }

    #[test]
    fn no_other_bytes_are_a_row() {
        let row = SummaryRow::encode(&block(100, &["a.b", "c"]), 1, 10).unwrap();
        for len in 0..row.len() {
            assert!(SummaryRow::decode(&row[..len], 10).is_none(), "{len}");
        }
        let longer = [&row[..], b"x"].concat();
        assert!(SummaryRow::decode(&longer, 10).is_none());
        // Its version, its counts, and a name that is no UTF-8.
        for (at, byte) in [(0, 2), (1, 99), (5, 3), (5, 0), (row.len() - 1, 0xff)] {
            let mut other = row.clone();
            other[at] = byte;
            assert!(SummaryRow::decode(&other, 10).is_none(), "{at}");
        }
        assert!(SummaryRow::decode(&row, u64::MAX).is_none());
    }
}
