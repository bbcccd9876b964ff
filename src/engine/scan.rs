//! Scanning a stream for messages that match, outside the lock.

use super::load::{Holes, damaged, size_of, stored};
use crate::format::Block;
use crate::state::{PurgeMark, Stored};
use crate::store::{Reader, StoreError};
use crate::subject::SubjectFilter;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Blocks that one scan reads before it comes up for air.
const BLOCKS_MAX: usize = 4_096;
/// Blocks that it passes over by their summaries.
const PASSED_MAX: usize = 65_536;

/// What to look for.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) stream: u32,
    pub(crate) from: u64,
    /// The last sequence to look at.
    pub(crate) to: u64,
    /// Empty means everything.
    pub(crate) filters: Arc<[SubjectFilter]>,
    pub(crate) purges: Vec<PurgeMark>,
    /// Whether the stream has holes in the store at all.
    pub(crate) has_holes: bool,
    pub(crate) messages: usize,
    pub(crate) bytes: u64,
}

/// What a scan found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) messages: Vec<Arc<Stored>>,
    /// The first sequence that was not looked at.
    pub(crate) next: u64,
}

impl Scan {
    pub(crate) fn wants(&self, subject: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| filter.matches(subject))
    }

    /// Collects matching messages in order, up to the bounds; the first is taken whatever its size.
    pub(crate) fn collect(&self, reader: &Reader) -> Result<Found, StoreError> {
        self.collect_until(reader, |_| false)
    }

    /// The same up to and including the first one that is the last.
    pub(crate) fn collect_until(
        &self,
        reader: &Reader,
        mut is_last: impl FnMut(&Stored) -> bool,
    ) -> Result<Found, StoreError> {
        let mut found = Found {
            next: self.from,
            ..Found::default()
        };
        let mut bytes = 0;
        self.visit(reader, &mut found.next, |block, n, subject| {
            let record = block.record(n).map_err(|why| damaged(block, &why))?;
            let size = size_of(&record);
            let first = found.messages.is_empty();
            if !first && bytes + size > self.bytes {
                return Ok(Taken::Full);
            }
            bytes += size;
            let message = stored(&record, Arc::clone(subject));
            let last = is_last(&message);
            found.messages.push(Arc::new(message));
            let full = last || found.messages.len() >= self.messages || bytes >= self.bytes;
            Ok(if full { Taken::Last } else { Taken::More })
        })?;
        Ok(found)
    }

    /// Counts matching messages; returns the count and the first sequence that was not looked at.
    pub(crate) fn count(&self, reader: &Reader) -> Result<(u64, u64), StoreError> {
        let (mut count, mut next) = (0, self.from);
        self.visit(reader, &mut next, |_, _, _| {
            count += 1;
            Ok(Taken::More)
        })?;
        Ok((count, next))
    }

    /// Visits every living record that matches. A block none of whose subjects match is not read, if its
    /// summary is stored apart, and else skipped by the summary that it has.
    fn visit(
        &self,
        reader: &Reader,
        next: &mut u64,
        mut take: impl FnMut(&Block<'_>, u32, &Arc<str>) -> Result<Taken, StoreError>,
    ) -> Result<(), StoreError> {
        let mut holes = Holes::default();
        let (mut blocks, mut passed) = (0, PASSED_MAX);
        while *next <= self.to {
            if !self.filters.is_empty() {
                let wants = |subject: &str| self.wants(subject);
                let to = reader.pass_over(self.stream, *next, &mut passed, wants)?;
                *next = to.min(self.to + 1);
                if *next > self.to || passed == 0 {
                    return Ok(());
                }
            }
            let mut look_again = false;
            reader.blocks_from(self.stream, *next, |block| {
                if block.first_seq() > self.to {
                    return Ok(ControlFlow::Break(()));
                }
                blocks += 1;
                let visited = self.visit_block(reader, &mut holes, block, next, &mut take)?;
                if visited == Visited::Enough || *next > self.to || blocks >= BLOCKS_MAX {
                    return Ok(ControlFlow::Break(()));
                }
                // More such blocks may follow.
                look_again = visited == Visited::InVain;
                Ok(if look_again {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })?;
            if !look_again {
                return Ok(());
            }
        }
        Ok(())
    }

    fn visit_block(
        &self,
        reader: &Reader,
        holes: &mut Holes,
        block: &Block<'_>,
        next: &mut u64,
        take: &mut impl FnMut(&Block<'_>, u32, &Arc<str>) -> Result<Taken, StoreError>,
    ) -> Result<Visited, StoreError> {
        let subjects: Vec<Option<Arc<str>>> = block
            .subjects()
            .map(|known| self.wants(known.subject).then(|| Arc::from(known.subject)))
            .collect();
        let last = block.last_seq().min(self.to);
        if !subjects.iter().any(Option::is_some) {
            let moves = *next <= last;
            *next = (*next).max(last + 1);
            return Ok(if moves {
                Visited::InVain
            } else {
                Visited::More
            });
        }
        for seq in (*next).max(block.first_seq())..=last {
            let n = (seq - block.first_seq()) as u32;
            let at = block
                .subject_index_of(n)
                .map_err(|why| damaged(block, &why))?;
            if let Some(Some(subject)) = subjects.get(at as usize)
                && !self.is_gone(reader, holes, seq, subject)?
            {
                match take(block, n, subject)? {
                    Taken::Full => return Ok(Visited::Enough),
                    Taken::Last => {
                        *next = seq + 1;
                        return Ok(Visited::Enough);
                    }
                    Taken::More => {}
                }
            }
            *next = seq + 1;
        }
        *next = (*next).max(last + 1);
        Ok(Visited::More)
    }

    pub(crate) fn is_gone(
        &self,
        reader: &Reader,
        holes: &mut Holes,
        seq: u64,
        subject: &str,
    ) -> Result<bool, StoreError> {
        let purged = self.purges.iter().any(|mark| mark.covers(seq, subject));
        Ok(purged || (self.has_holes && holes.is_hole(reader, self.stream, seq)?))
    }
}

/// What came of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visited {
    More,
    /// It had nothing of what is wanted.
    InVain,
    Enough,
}

/// What became of a record that matches.
enum Taken {
    More,
    Last,
    /// It did not fit.
    Full,
}
