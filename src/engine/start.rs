//! Creating consumers: where they start, and how much is ahead of them.

use super::core::Core;
use super::last_of_each::{Lasts, LookedUp};
use super::reading::ReadTurn;
use super::scan::Scan;
use super::{Engine, Entered};
use crate::config::{ConsumerConfig, DeliverPolicy};
use crate::error::{ConsumerError, Unavailable};
use crate::state::Start;
use crate::subject::SubjectFilter;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A consumer that handles refer to.
#[derive(Debug)]
pub(crate) struct ConsumerRef {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) stream: u32,
    /// Of the fetch that reads new messages.
    pub(crate) reading: Arc<ReadTurn>,
}

/// Where a consumer is to begin.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) stream: u32,
    pub(super) deliver: DeliverPolicy,
    pub(super) filters: Arc<[SubjectFilter]>,
}

/// What was read to find a place, kept from one look to the next.
#[derive(Default)]
pub(super) struct Search {
    ahead: Option<Ahead>,
    lasts: Option<LookedUp>,
}

/// How far the messages ahead of a consumer were counted.
struct Ahead {
    from: u64,
    live: u64,
    counted_to: u64,
    kills: u64,
}

impl Engine {
    /// Creates a consumer, or finds the one that is just like it.
    pub(crate) fn create_consumer(
        &self,
        stream: u32,
        stream_name: &str,
        config: &ConsumerConfig,
    ) -> Result<u32, ConsumerError> {
        let wanted = Wanted {
            stream,
            deliver: config.deliver,
            filters: config.parsed_filters().into(),
        };
        let mut search = Search::default();
        loop {
            // What a purge cut but did not free would be counted as ahead of the consumer.
            self.finish_purges(stream)?;
            let core = self.enter()?;
            if core.state.stream(stream).is_none() {
                let (group, stream) = (core.state.catalog_group(), stream_name.to_owned());
                drop(core);
                self.wait(group)?;
                return Err(ConsumerError::StreamGone { stream });
            }
            let found = core.state.find_consumer(stream, config).transpose();
            if let Some(found) = found {
                let group = core.state.catalog_group();
                drop(core);
                self.wait(group)?;
                return found;
            }
            if core.state.is_purging(stream) {
                continue;
            }
            let Some((mut core, start)) = self.look_for(core, &wanted, &mut search)? else {
                continue;
            };
            let id = core.state.add_consumer(stream, config.clone(), start);
            core.state.start_watching(self.clock.mono());
            let group = core.state.catalog_group();
            drop(core);
            self.wait(group)?;
            return id;
        }
    }

    /// Finds the place under the lock, which is held on then; or reads what is missing outside it, for the
    /// next look. No purge may be at work on the stream.
    pub(super) fn look_for<'a>(
        &'a self,
        core: Entered<'a>,
        wanted: &Wanted,
        search: &mut Search,
    ) -> Result<Option<(Entered<'a>, Start)>, ConsumerError> {
        let Some(known) = core.state.stream(wanted.stream) else {
            return Ok(None);
        };
        let (group, kills) = (known.group, known.kills);
        if wanted.deliver == DeliverPolicy::LastPerSubject {
            let known = search.lasts.take().unwrap_or_default();
            let lasts = core.last_of_each(wanted.stream, &wanted.filters, &known);
            if lasts.is_err() {
                drop(core);
                self.wait(group)?;
                return lasts.map(|_| None);
            }
            match lasts? {
                Lasts::All(start) => return Ok(Some((core, start))),
                Lasts::Missing(missing) => {
                    drop(core);
                    // What is looked up is in the store then, and so is what is deleted of it.
                    self.wait(group)?;
                    search.lasts = Some(self.look_up_lasts(wanted.stream, missing, kills)?);
                    return Ok(None);
                }
            }
        }
        let start = core.start_at_once(wanted).or_else(|| {
            let ahead = search.ahead.as_ref()?;
            core.finish_count(wanted, ahead)
        });
        if let Some(start) = start {
            return Ok(Some((core, start.into())));
        }
        drop(core);
        // Everything up to here is in the store when the count begins.
        self.wait(group)?;
        let before = search.ahead.take();
        search.ahead = Some(self.count_ahead(wanted, before, kills)?);
        Ok(None)
    }

    /// Finds the start, and counts what matches from there to the end of what is in the store. `kills` is
    /// the stream's count of deletions, all of which are in the store by now.
    fn count_ahead(
        &self,
        wanted: &Wanted,
        before: Option<Ahead>,
        kills: u64,
    ) -> Result<Ahead, ConsumerError> {
        let mut scan = self
            .enter()?
            .scan_of(wanted.stream, wanted.filters.to_vec());
        // The last message of a moment ago may not be the last one any more.
        let resumable = before.filter(|before| {
            wanted.deliver != DeliverPolicy::Last
                && before.kills == kills
                && before.from >= scan.from
        });
        let mut ahead = if let Some(before) = resumable {
            before
        } else {
            let from = self.find_start(&scan, wanted.deliver)?;
            Ahead {
                from,
                live: 0,
                counted_to: from.saturating_sub(1),
                kills,
            }
        };
        while ahead.counted_to < scan.to {
            scan.from = ahead.counted_to + 1;
            let counted = self.store.read(|reader| scan.count(reader));
            let (live, next) = counted.map_err(|why| self.failed(why))?;
            ahead.live += live;
            if next <= scan.from {
                return Err(super::load::missing(wanted.stream, scan.from).into());
            }
            ahead.counted_to = next - 1;
        }
        Ok(ahead)
    }

    fn find_start(&self, scan: &Scan, deliver: DeliverPolicy) -> Result<u64, Unavailable> {
        let found = match deliver {
            DeliverPolicy::FromTime(time) => self.first_at(scan, time.as_micros()),
            DeliverPolicy::Last => self
                .last_matching(scan)
                .map(|found| found.map_or(scan.to + 1, |(seq, _)| seq)),
            DeliverPolicy::FromSequence(seq) => return Ok(seq.get().max(scan.from)),
            DeliverPolicy::All | DeliverPolicy::New | DeliverPolicy::LastPerSubject => {
                return Ok(scan.from);
            }
        };
        found.map_err(|why| self.failed(why))
    }

    /// The first sequence stored at or after a time; blocks are skipped by a binary search over their
    /// base times, which never go back.
    fn first_at(&self, scan: &Scan, time: u64) -> Result<u64, crate::store::StoreError> {
        self.store.read(|reader| {
            let (mut low, mut high) = (scan.from, scan.to + 1);
            while low < high {
                let middle = low + (high - low) / 2;
                let mut found = None;
                reader.blocks_from(scan.stream, middle, |block| {
                    let seq = middle.max(block.first_seq());
                    if seq <= block.last_seq() {
                        let record = block.record_at_seq(seq);
                        let record = record.map_err(|why| super::load::damaged(block, &why))?;
                        found = Some((seq, record.time));
                    }
                    Ok(ControlFlow::Break(()))
                })?;
                match found {
                    Some((seq, at)) if at < time => low = seq + 1,
                    _ => high = middle,
                }
            }
            Ok(low)
        })
    }

    /// The last message that matches and is not deleted, with its subject.
    pub(crate) fn last_matching(
        &self,
        scan: &Scan,
    ) -> Result<Option<(u64, Arc<str>)>, crate::store::StoreError> {
        self.store.read(|reader| {
            let mut last = None;
            let mut holes = super::load::Holes::default();
            reader.blocks_back(scan.stream, scan.to, |block| {
                if block.last_seq() < scan.from {
                    return Ok(ControlFlow::Break(()));
                }
                if block.subjects().any(|known| scan.wants(known.subject)) {
                    let seqs = block.first_seq().max(scan.from)..=block.last_seq().min(scan.to);
                    for seq in seqs.rev() {
                        let record = block.record_at_seq(seq);
                        let record = record.map_err(|why| super::load::damaged(block, &why))?;
                        if scan.wants(record.subject)
                            && !scan.is_gone(reader, &mut holes, seq, record.subject)?
                        {
                            last = Some((seq, Arc::from(record.subject)));
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(last)
        })
    }
}

impl Core {
    /// A scan of everything that a stream has in the store.
    pub(crate) fn scan_of(&self, stream: u32, filters: Vec<SubjectFilter>) -> Scan {
        let known = self.state.stream(stream);
        Scan {
            stream,
            from: known.map_or(1, crate::state::Stream::first),
            to: known.map_or(0, crate::state::Stream::stored_to),
            filters: filters.into(),
            purges: self.state.purge_marks(stream),
            has_holes: known.is_some_and(crate::state::Stream::has_hole_rows),
            messages: usize::MAX,
            bytes: u64::MAX,
        }
    }

    /// Start and count of the policies that need no look at the log.
    fn start_at_once(&self, wanted: &Wanted) -> Option<(u64, u64)> {
        let known = self.state.stream(wanted.stream)?;
        let (end, filters) = (known.last + 1, &wanted.filters);
        match wanted.deliver {
            DeliverPolicy::New => Some((end, 0)),
            DeliverPolicy::FromSequence(seq) if seq.get() >= end => Some((seq.get(), 0)),
            DeliverPolicy::FromSequence(seq) if seq.get() <= known.first() => {
                Some(start_of_all(known, filters))
            }
            DeliverPolicy::All => Some(start_of_all(known, filters)),
            DeliverPolicy::Last if known.messages == 0 => Some((end, 0)),
            _ => None,
        }
    }

    /// Adds what is still in memory to a count, if nothing lies between and nothing that was counted
    /// was deleted since.
    fn finish_count(&self, wanted: &Wanted, ahead: &Ahead) -> Option<(u64, u64)> {
        let known = self.state.stream(wanted.stream)?;
        let (deliver, filters) = (wanted.deliver, &wanted.filters);
        if ahead.from < known.first() && deliver != DeliverPolicy::Last {
            // The head has passed the start: it starts there now, with all that is left.
            return Some(start_of_all(known, filters));
        }
        if ahead.from < known.first()
            || ahead.counted_to < known.stored_to()
            || known.kills != ahead.kills
        {
            return None;
        }
        let wanted = |subject: &str| {
            filters.is_empty() || filters.iter().any(|filter| filter.matches(subject))
        };
        // What was deleted while it was still in memory has its window there too.
        let lives = |seq: u64| !known.is_hole(seq).unwrap_or(false);
        let recent = known.recent.iter_from(ahead.counted_to + 1);
        let recent = recent.filter(|stored| lives(stored.seq));
        let recent: Vec<u64> = recent
            .filter(|stored| wanted(&stored.subject))
            .map(|stored| stored.seq)
            .collect();
        match recent.last() {
            // What came since is the last one now.
            Some(last) if deliver == DeliverPolicy::Last => Some((*last, 1)),
            _ => Some((ahead.from, ahead.live + recent.len() as u64)),
        }
    }
}

/// The first message and how many match from there on: all that match.
fn start_of_all(stream: &crate::state::Stream, filters: &[SubjectFilter]) -> (u64, u64) {
    let matching = stream.subjects.matching(filters);
    let live = if filters.is_empty() {
        stream.messages
    } else {
        matching.map(|subject| subject.count).sum()
    };
    (stream.first(), live)
}
