//! A block's subject summary: which subjects it holds, how often, and where last (R21).

use std::collections::HashSet;

use super::block_error::BlockError;
use super::header::{HEADER_LEN, Header, MAX_SUBJECT};
use super::intern::ENTRY_LEN;

/// One subject of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubjectSummary<'a> {
    pub(crate) subject: &'a str,
    /// How many records have it.
    pub(crate) count: u32,
    /// The last record that has it.
    pub(crate) last_seq: u64,
}

/// The section's two parts: fixed-size entries, so that subject `n` is found at once, and names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary<'a> {
    entries: &'a [[u8; ENTRY_LEN]],
    names: &'a str,
}

/// An entry's numbers.
#[derive(Clone, Copy)]
struct Entry {
    end: u32,
    count: u32,
    last: u32,
}

impl<'a> Summary<'a> {
    /// Opens the section of so many subjects, in a block of so many records.
    pub(super) fn open(bytes: &'a [u8], subjects: u32, records: u32) -> Result<Self, BlockError> {
        let fixed = subjects as usize * ENTRY_LEN;
        let (entries, names) = bytes.split_at_checked(fixed).ok_or(BlockError::Summary)?;
        let names = std::str::from_utf8(names).map_err(|_| BlockError::Summary)?;
        let summary = Self {
            entries: entries.as_chunks().0,
            names,
        };
        summary.check(records)?;
        Ok(summary)
    }

    /// Opens the section in the bytes of a block that nothing else is checked of.
    pub(super) fn of_block(bytes: &'a [u8], header: &Header) -> Result<Self, BlockError> {
        let end = HEADER_LEN + header.summary_len as usize;
        let section = bytes.get(HEADER_LEN..end).ok_or(BlockError::Summary)?;
        Self::open(section, header.subjects, header.count)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.entries.as_flattened());
        out.extend_from_slice(self.names.as_bytes());
    }

    fn check(&self, records: u32) -> Result<(), BlockError> {
        let (mut start, mut total) = (0, 0_u64);
        for entry in self.entries.iter().map(Entry::read) {
            let name = self
                .names
                .get(start..entry.end as usize)
                .ok_or(BlockError::Summary)?;
            let one_at_least = entry.count >= 1 && entry.count - 1 <= entry.last;
            if name.is_empty() || name.len() > MAX_SUBJECT || !one_at_least || entry.last >= records
            {
                return Err(BlockError::Summary);
            }
            start = entry.end as usize;
            total += u64::from(entry.count);
        }
        if start == self.names.len() && total == records.into() {
            Ok(())
        } else {
            Err(BlockError::Summary)
        }
    }

    pub(super) fn name(&self, index: u32) -> Option<&'a str> {
        let index = index as usize;
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => Entry::read(self.entries.get(before)?).end,
        };
        let end = Entry::read(self.entries.get(index)?).end;
        self.names.get(start as usize..end as usize)
    }

    pub(super) fn iter(
        &self,
        first_seq: u64,
    ) -> impl ExactSizeIterator<Item = SubjectSummary<'a>> + use<'a> {
        let (names, mut start) = (self.names, 0);
        self.entries.iter().map(Entry::read).map(move |entry| {
            let subject = names.get(start..entry.end as usize).unwrap_or_default();
            start = entry.end as usize;
            let last_seq = first_seq.saturating_add(entry.last.into());
            SubjectSummary {
                subject,
                count: entry.count,
                last_seq,
            }
        })
    }

    /// Counts the records anew, to compare.
    pub(super) fn tally(&self) -> Tally<'a> {
        Tally {
            summary: *self,
            seen: Vec::with_capacity(self.entries.len()),
        }
    }
}

impl Entry {
    fn read(bytes: &[u8; ENTRY_LEN]) -> Self {
        // Three chunks of four: the length of an entry is a constant.
        let field = |n: usize| {
            bytes
                .as_chunks::<4>()
                .0
                .get(n)
                .map_or(0, |le| u32::from_le_bytes(*le))
        };
        Self {
            end: field(0),
            count: field(1),
            last: field(2),
        }
    }
}

/// What the records turned out to be.
pub(super) struct Tally<'a> {
    summary: Summary<'a>,
    /// Count and last record of each subject that appeared so far.
    seen: Vec<(u32, u32)>,
}

impl Tally<'_> {
    pub(super) fn count(&mut self, subject: u32, n: u32) -> Result<(), BlockError> {
        let next = self.seen.len();
        match self.seen.get_mut(subject as usize) {
            Some(seen) => *seen = (seen.0 + 1, n),
            None if subject as usize == next => self.seen.push((1, n)),
            None => return Err(BlockError::SummaryNotExact),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), BlockError> {
        let told = self
            .summary
            .entries
            .iter()
            .map(Entry::read)
            .map(|entry| (entry.count, entry.last));
        let mut names = HashSet::with_capacity(self.seen.len());
        let distinct = self
            .summary
            .iter(0)
            .all(|subject| names.insert(subject.subject));
        if told.eq(self.seen) && distinct {
            Ok(())
        } else {
            Err(BlockError::SummaryNotExact)
        }
    }
}
