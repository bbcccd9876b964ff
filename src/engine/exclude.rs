//! Going on without damaged blocks, when the user asks for it.

use super::Engine;
use super::check::{Sum, TRIES};
use super::load::{Holes, size_of};
use crate::changes::Change;
use crate::error::Unavailable;
use crate::excluded::{Excluded, ExclusionError, Exclusions, NotExcluded};
use crate::format::{Block, BlockBuilder, FILLER, Growth, RecordInput, cut};
use crate::headers::Headers;
use crate::seq::Seq;
use crate::state::{Exclusion, Lost, StreamAudit};
use crate::store::{Reader, StoreError};
use std::sync::Arc;

/// Blocks of a stream that are written again for their summaries at once: at most 32 MiB are in memory for it.
const REWRITTEN_MAX: usize = 512;

/// How a try to exclude in one stream ended.
enum Tried {
    Done(Vec<Excluded>),
    Refused(NotExcluded),
    /// Something changed meanwhile: another try may do it.
    Late(String),
}

impl Engine {
    /// Excludes what is damaged in every stream, one stream in a commit. One that can't be helped holds
    /// up no others.
    pub(crate) fn exclude_damaged(&self) -> Result<Exclusions, Unavailable> {
        let streams = self.enter()?.state.stream_ids();
        let (mut done, mut tries) = (Exclusions::default(), TRIES);
        for stream in streams {
            match self.exclude_in(stream, &mut tries) {
                Ok(Ok(excluded)) => done.excluded.extend(excluded),
                Ok(Err(refused)) => done.refused.push(refused),
                // A store that stops now must not say that nothing was done (R2).
                Err(Unavailable::Poisoned { cause }) if !done.excluded.is_empty() => {
                    return Err(Unavailable::OutcomeUnknown { cause });
                }
                Err(why) => return Err(why),
            }
        }
        Ok(done)
    }

    /// Excludes in one stream, in `tries` that others may come in between; a store that is too busy for
    /// one stream has one try for each of the next.
    fn exclude_in(
        &self,
        stream: u32,
        tries: &mut usize,
    ) -> Result<Result<Vec<Excluded>, NotExcluded>, Unavailable> {
        loop {
            let ended = match self.try_exclude(stream)? {
                Tried::Late(stream) => {
                    *tries = tries.saturating_sub(1);
                    if *tries > 0 {
                        continue;
                    }
                    let why = ExclusionError::NeverAtRest;
                    return Ok(Err(NotExcluded { stream, why }));
                }
                Tried::Done(excluded) => Ok(excluded),
                Tried::Refused(why) => Err(why),
            };
            *tries = TRIES;
            return Ok(ended);
        }
    }

    fn try_exclude(&self, stream: u32) -> Result<Tried, Unavailable> {
        // Also a group that is being written, while nothing is in the open one, is waited for.
        let group = self.enter()?.state.group;
        self.wait(group)?;
        let (audit, group) = {
            let core = self.enter()?;
            let Some(audit) = core.state.audit_of(stream) else {
                return Ok(Tried::Done(Vec::new()));
            };
            if core.state.has_work() || core.leading {
                return Ok(Tried::Late(audit.name));
            }
            (audit, core.state.group)
        };
        let survey = self.store.read(|reader| Survey::of(reader, &audit));
        let survey = survey.map_err(|why| self.failed(why));
        match survey.and_then(|survey| self.exclude(&audit, &survey, group)) {
            Ok(Some(excluded)) => Ok(Tried::Done(excluded)),
            Ok(None) => Ok(Tried::Late(audit.name)),
            // What is read while others change the store need not be of one moment.
            Err(Unavailable::Damaged { .. }) if self.enter()?.has_moved(group) => {
                Ok(Tried::Late(audit.name))
            }
            Err(Unavailable::Damaged { place }) => Ok(Tried::Refused(NotExcluded {
                stream: audit.name,
                why: ExclusionError::Damaged { place },
            })),
            Err(why) => Err(why),
        }
    }

    /// Excludes what a survey found, unless something changed since `group` was open.
    fn exclude(
        &self,
        audit: &StreamAudit,
        survey: &Survey,
        group: u64,
    ) -> Result<Option<Vec<Excluded>>, Unavailable> {
        if survey.is_whole() {
            return Ok(Some(Vec::new()));
        }
        let lost = survey.lost(audit);
        let blocks = survey.blocks(self.store.id(), audit.id)?;
        loop {
            let mut core = self.enter()?;
            if core.has_moved(group) {
                return Ok(None);
            }
            match core.state.exclude(audit.id, &lost, &blocks) {
                Ok(Exclusion::Done) => {
                    // Nobody leads, so it is free; a commit of this group must not grow what was excluded.
                    self.tails.lock().remove(&audit.id);
                    drop(core);
                    self.wait(group)?;
                    // From now on nobody reads what was there before.
                    self.enter()?.state.readable_again(audit.id);
                    return Ok(Some(survey.excluded(audit)));
                }
                Ok(Exclusion::Disagrees) => {
                    return Err(Unavailable::Damaged {
                        place: "its counters, which do not agree with its blocks".to_owned(),
                    });
                }
                Err(need) => {
                    drop(core);
                    self.load(&need)?;
                }
            }
        }
    }
}

impl super::core::Core {
    /// Whether anything changed since a group was the open one, or is about to.
    fn has_moved(&self, group: u64) -> bool {
        self.state.group != group || self.state.has_work() || self.leading
    }
}

/// What of a damaged stream can't be read, for people.
pub(super) fn unreadable(
    reader: &Reader,
    audit: &StreamAudit,
    wrong: &mut Vec<String>,
) -> Result<(), StoreError> {
    let survey = Survey::of(reader, audit)?;
    let name = |gap: &Gap| {
        format!(
            "stream `{}`: messages {} to {} can't be read; exclude_damaged() goes on without them",
            audit.name, gap.from, gap.to
        )
    };
    wrong.extend(survey.ranges.iter().map(name));
    Ok(())
}

/// Sequences that no readable block holds.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: u64,
    to: u64,
    /// The time of the message before it.
    time: u64,
}

/// What can be read of a stream, and what can't.
#[derive(Debug)]
struct Survey {
    sum: Sum,
    /// Keys of damaged blocks.
    damaged: Vec<u64>,
    /// Whole blocks whose summaries are not theirs: they are written again, and their summaries with them.
    rewritten: Vec<(u64, Vec<u8>)>,
    ranges: Vec<Gap>,
}

impl Survey {
    fn of(reader: &Reader, audit: &StreamAudit) -> Result<Self, StoreError> {
        let mut survey = Self {
            sum: Sum::of(audit),
            damaged: Vec::new(),
            rewritten: Vec::new(),
            ranges: Vec::new(),
        };
        let mut holes = Holes::default();
        for start in reader.block_starts(audit.id, u64::MAX, usize::MAX)? {
            let bytes = match reader.block_at(audit.id, start) {
                Ok(Some((found, bytes))) if found == start => bytes,
                // Met in passing, and not found where its key belongs. What is found there instead says
                // nothing of it, and it could not be dropped.
                Ok(_) => {
                    return Err(StoreError::Damaged {
                        place: format!(
                            "block {start} of table stream.{}, whose key is damaged",
                            audit.id
                        ),
                    });
                }
                Err(StoreError::Damaged { .. }) => {
                    survey.damaged.push(start);
                    continue;
                }
                Err(why) => return Err(why),
            };
            match Block::open_any(&bytes) {
                Ok(block) if block.verify().is_ok() => {
                    survey.block(reader, audit, &block, &mut holes)?;
                    let wrong = reader.wrong_summary(&block)?.is_some();
                    if wrong && survey.rewritten.len() < REWRITTEN_MAX {
                        survey.rewritten.push((start, bytes));
                    }
                }
                _ => survey.damaged.push(start),
            }
        }
        survey.gap(audit.last + 1);
        Ok(survey)
    }

    /// Whether there is nothing to exclude.
    fn is_whole(&self) -> bool {
        self.ranges.is_empty() && self.damaged.is_empty() && self.rewritten.is_empty()
    }

    fn excluded(&self, audit: &StreamAudit) -> Vec<Excluded> {
        let gap = |gap: &Gap| Excluded {
            stream: audit.name.clone(),
            first: Seq::new(gap.from),
            last: Seq::new(gap.to),
        };
        self.ranges.iter().map(gap).collect()
    }

    fn block(
        &mut self,
        reader: &Reader,
        audit: &StreamAudit,
        block: &Block<'_>,
        holes: &mut Holes,
    ) -> Result<(), StoreError> {
        if block.first_seq() > audit.last {
            return Ok(());
        }
        self.gap(block.first_seq());
        // It was verified: every record can be read.
        for record in block.records().filter_map(Result::ok) {
            self.sum.time = record.time;
            if record.seq < self.sum.next || record.seq > audit.last {
                continue;
            }
            self.sum.next = record.seq + 1;
            if !holes.is_hole(reader, audit.id, record.seq)? {
                let size = size_of(&record);
                self.sum.add(audit, record.seq, record.subject, size);
            }
        }
        Ok(())
    }

    /// What lies before `next` and was not read is missing.
    fn gap(&mut self, next: u64) {
        if next > self.sum.next {
            self.ranges.push(Gap {
                from: self.sum.next,
                to: next - 1,
                time: self.sum.time,
            });
            self.sum.next = next;
        }
    }

    fn lost(&self, audit: &StreamAudit) -> Lost {
        let missing = |(name, (count, ..)): (&Arc<str>, &(u64, u64, u64))| {
            let read = self.sum.subjects.get(&**name).map_or(0, |read| read.0);
            (Arc::clone(name), count.saturating_sub(read))
        };
        let ahead = audit.consumers.iter().zip(&self.sum.ahead);
        Lost {
            ranges: self.ranges.iter().map(|gap| (gap.from, gap.to)).collect(),
            subjects: audit.subjects.iter().map(missing).collect(),
            bytes: audit.bytes.saturating_sub(self.sum.bytes),
            ahead: ahead
                .map(|(consumer, (ahead, _))| (consumer.id, *ahead))
                .collect(),
        }
    }

    /// Damaged blocks go, and blocks of records that are deleted from the start come into the gaps.
    fn blocks(&self, store: u64, stream: u32) -> Result<Vec<Change>, Unavailable> {
        let drop = |start: &u64| Change::DropBlocks {
            stream,
            from: *start,
            to: *start,
        };
        let mut changes: Vec<Change> = self.damaged.iter().map(drop).collect();
        let again = |(first_seq, bytes): &(u64, Vec<u8>)| Change::Block {
            stream,
            first_seq: *first_seq,
            bytes: bytes.clone(),
        };
        changes.extend(self.rewritten.iter().map(again));
        let headers = Headers::new();
        for gap in &self.ranges {
            let records = (gap.from..=gap.to).map(|_| RecordInput {
                time: gap.time,
                subject: FILLER,
                id: None,
                headers: &headers,
                payload: b"",
            });
            let new = BlockBuilder::new(store, stream, gap.from);
            let cut = cut(new, Growth::Whole, records).map_err(|why| Unavailable::Damaged {
                place: format!("a new block: {why}"),
            })?;
            changes.extend(
                cut.blocks
                    .into_iter()
                    .map(|(first_seq, bytes)| Change::Block {
                        stream,
                        first_seq,
                        bytes,
                    }),
            );
        }
        Ok(changes)
    }
}
