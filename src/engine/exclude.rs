//! Going on without damaged blocks, when the user asks for it.

use super::Engine;
use super::check::{Sum, TRIES};
use super::load::{Holes, size_of};
use crate::changes::Change;
use crate::error::Unavailable;
use crate::excluded::Excluded;
use crate::format::{Block, RecordInput, cut};
use crate::headers::Headers;
use crate::seq::Seq;
use crate::state::{Exclusion, Lost, StreamAudit};
use crate::store::{Reader, StoreError};
use std::sync::Arc;

/// The subject of the records that stand where nothing can be read. They are deleted from the start.
const EXCLUDED: &str = "excluded";

impl Engine {
    /// Excludes what is damaged in every stream, one stream in a commit.
    pub(crate) fn exclude_damaged(&self) -> Result<Vec<Excluded>, Unavailable> {
        let mut excluded = Vec::new();
        for _ in 0..TRIES {
            // Also a group that is being written, while nothing is in the open one, is waited for.
            let group = self.enter()?.state.group;
            self.wait(group)?;
            let (audits, group) = {
                let core = self.enter()?;
                if core.state.has_work() || core.leading {
                    continue;
                }
                (core.state.audits(), core.state.group)
            };
            let survey = self.store.read(|reader| {
                for audit in &audits {
                    let survey = Survey::of(reader, audit)?;
                    if !survey.ranges.is_empty() || !survey.damaged.is_empty() {
                        return Ok(Some((audit, survey)));
                    }
                }
                Ok(None)
            });
            let Some((audit, survey)) = survey.map_err(|why| self.failed(why))? else {
                return Ok(excluded);
            };
            if self.exclude(audit, &survey, group)? {
                excluded.extend(survey.ranges.iter().map(|gap| Excluded {
                    stream: audit.name.clone(),
                    first: Seq::new(gap.from),
                    last: Seq::new(gap.to),
                }));
            }
        }
        Err(Unavailable::Damaged {
            place: "a store that never was at rest; exclude when it is quiet".to_owned(),
        })
    }

    /// Excludes in one stream, unless something changed since `group` was open.
    fn exclude(
        &self,
        audit: &StreamAudit,
        survey: &Survey,
        group: u64,
    ) -> Result<bool, Unavailable> {
        let lost = survey.lost(audit);
        let blocks = survey.blocks(self.store.id(), audit.id)?;
        loop {
            let mut core = self.enter()?;
            if core.state.group != group || core.state.has_work() || core.leading {
                return Ok(false);
            }
            match core.state.exclude(audit.id, &lost, &blocks) {
                Ok(Exclusion::Done) => {
                    // Nobody leads, so it is free; a commit of this group must not grow what was excluded.
                    self.tails.lock().remove(&audit.id);
                    drop(core);
                    self.wait(group)?;
                    return Ok(true);
                }
                Ok(Exclusion::Disagrees) => {
                    return Err(Unavailable::Damaged {
                        place: format!("stream `{}`: its counters", audit.name),
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

/// What of a damaged stream can't be read, for people.
pub(super) fn unreadable(reader: &Reader, audit: &StreamAudit) -> Result<Vec<String>, StoreError> {
    let survey = Survey::of(reader, audit)?;
    let name = |gap: &Gap| {
        format!(
            "stream `{}`: messages {} to {} can't be read; exclude_damaged() goes on without them",
            audit.name, gap.from, gap.to
        )
    };
    Ok(survey.ranges.iter().map(name).collect())
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
    ranges: Vec<Gap>,
}

impl Survey {
    fn of(reader: &Reader, audit: &StreamAudit) -> Result<Self, StoreError> {
        let mut survey = Self {
            sum: Sum::of(audit),
            damaged: Vec::new(),
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
                            "block {start} of table stream.{}, whose key is damaged, so that it can't be excluded",
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
                }
                _ => survey.damaged.push(start),
            }
        }
        survey.gap(audit.last + 1);
        Ok(survey)
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
        let missing = |(name, (count, _)): (&Arc<str>, &(u64, u64))| {
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

    /// Damaged blocks go, and blocks of deleted messages come into the gaps.
    fn blocks(&self, store: u64, stream: u32) -> Result<Vec<Change>, Unavailable> {
        let drop = |start: &u64| Change::DropBlocks {
            stream,
            from: *start,
            to: *start,
        };
        let mut changes: Vec<Change> = self.damaged.iter().map(drop).collect();
        let headers = Headers::new();
        for gap in &self.ranges {
            let records = (gap.from..=gap.to).map(|_| RecordInput {
                time: gap.time,
                subject: EXCLUDED,
                id: None,
                headers: &headers,
                payload: b"",
            });
            let blocks = cut(store, stream, gap.from, None, records).map_err(|why| {
                Unavailable::Damaged {
                    place: format!("a new block: {why}"),
                }
            })?;
            changes.extend(blocks.into_iter().map(|(first_seq, bytes)| Change::Block {
                stream,
                first_seq,
                bytes,
            }));
        }
        Ok(changes)
    }
}
