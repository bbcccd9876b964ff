//! One stream: its counters, what it accepts, and what it appends.

mod admission;
mod ids;
pub(super) mod rows;

use self::rows::{PurgeMark, new_row};
use super::dedup::Dedup;
use super::expiries::Expiries;
use super::per_subject::Crowded;
use super::recent::Recent;
use super::removals::Removals;
use super::scheduled::Scheduled;
use super::stored::{Fact, Facts, Need, Stored};
use super::subjects::Subjects;
use super::windows::{Windows, window_of};
use crate::changes::Table;
use crate::config::{Discard, StreamConfig};
use crate::event::Removal;
use crate::format::rows::StreamRow;
use crate::headers::Headers;
use crate::subject::{SubjectError, SubjectFilter};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Sequences that one group frees at once; more is freed in steps (R9).
pub(crate) const FREED_AT_ONCE: u64 = 1 << 16;

/// Blocks whose facts are kept for retention.
const FACTS_KEPT: usize = 4;

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) config: Arc<StreamConfig>,
    pub(crate) filters: Vec<SubjectFilter>,
    /// First sequence whose removal is not yet accounted for.
    pub(crate) head: u64,
    /// Everything below is purged, accounted for or not.
    pub(crate) cut: u64,
    pub(crate) last: u64,
    pub(crate) last_time: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) published: u64,
    pub(crate) holes: u64,
    pub(crate) hole_from: Option<u64>,
    pub(crate) purges: Vec<PurgeMark>,
    /// Messages that a consumer is done with, or nobody wanted, and that no group has removed yet.
    pub(crate) finished: BTreeMap<u64, Finished>,
    /// Up to here it was seen whether anybody wants what was published.
    pub(crate) judged_to: u64,
    /// Messages from the first to below the second are being looked at: nobody may want them any more.
    pub(crate) rejudged: Option<(u64, u64)>,
    pub(crate) subjects: Subjects,
    /// Subjects with more messages than they may have.
    pub(crate) crowded: Crowded,
    pub(crate) dedup: Dedup,
    pub(crate) windows: Windows,
    /// Messages that wait for their time.
    pub(crate) scheduled: Scheduled,
    /// When messages expire that have a time to live of their own.
    pub(crate) expiries: Expiries,
    /// What left.
    pub(crate) removed: Removals,
    /// How many messages left, ever, by reason.
    pub(crate) departed: BTreeMap<Removal, u64>,
    /// Subjects that were left without a message, ever.
    pub(crate) emptied: u64,
    pub(crate) consumers: BTreeSet<u32>,
    /// Messages that are not yet in the store, up to `last`.
    pub(crate) recent: Recent,
    facts: VecDeque<Arc<Facts>>,
    /// Blocks that start below this hold nothing any more.
    pub(crate) drop_to: u64,
    pub(crate) dropped_to: u64,
    /// Bytes that were removed since it was last looked which blocks are dead.
    pub(crate) removed_bytes: u64,
    /// Where the log could not be read for retention; nothing is trimmed then until a reopen.
    pub(crate) unreadable: Option<String>,
    /// The newest group that marked messages purged, or made the holes of such a mark.
    pub(crate) marks_group: u64,
    /// Messages that purges took, ever since the store was opened.
    pub(crate) purged: u64,
    /// Messages deleted from the inside, ever since the store was opened.
    pub(crate) kills: u64,
    /// Consumers that start at a sequence still to come.
    pub(crate) early: BTreeSet<u32>,
    /// The first message that they have not passed over yet.
    pub(crate) early_from: u64,
    /// Where a commit last saw the stream: what readers may see.
    pub(crate) durable: Durable,
    /// The newest group that changed the stream.
    pub(crate) group: u64,
    /// Grows when messages leave: whoever waits for room looks again.
    pub(crate) removals: u64,
    /// Grows when the stream may take messages that it refused, for another reason than room.
    pub(crate) relented: u64,
}

/// Why a message may leave a stream whose consumers settle what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// A consumer is done with it.
    Done,
    /// Nobody wanted it.
    Unwanted,
}

/// What readers may see of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Durable {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// What became of one message of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// 0 for one that waits for its time.
    pub(crate) seq: u64,
    /// Its number, if it waits, or waited.
    pub(crate) scheduled: Option<u64>,
    pub(crate) duplicate: bool,
}

impl Stream {
    pub(crate) fn new(id: u32, config: StreamConfig) -> Self {
        let row = new_row(&config);
        Self::with(id, config, &row, Vec::new())
    }

    /// The stream as its rows say, without its subjects and ids.
    pub(crate) fn restore(
        id: u32,
        config: StreamConfig,
        row: &StreamRow,
    ) -> Result<Self, SubjectError> {
        let purges = row
            .purges
            .iter()
            .map(PurgeMark::restore)
            .collect::<Result<_, _>>()?;
        Ok(Self::with(id, config, row, purges))
    }

    fn with(id: u32, config: StreamConfig, row: &StreamRow, purges: Vec<PurgeMark>) -> Self {
        let mut subjects = Subjects::default();
        subjects.restore_next(row.next_subject);
        let mut dedup = Dedup::default();
        dedup.restore_next(row.next_dedup);
        let first = config.first_sequence.get();
        let mut scheduled = Scheduled::default();
        scheduled.restore_last(row.last_scheduled);
        let mut stream = Self {
            id,
            filters: config.filters(),
            config: Arc::new(config),
            head: row.head,
            cut: row.cut,
            last: row.last,
            last_time: row.last_time,
            messages: row.messages,
            bytes: row.bytes,
            published: row.published,
            holes: row.holes,
            hole_from: row.hole_from,
            purges,
            finished: BTreeMap::new(),
            judged_to: row.last,
            rejudged: row.rejudged,
            subjects,
            crowded: Crowded::default(),
            dedup,
            windows: Windows::default(),
            scheduled,
            expiries: Expiries::default(),
            removed: Removals::new(Table::Removals),
            departed: row.removed.clone(),
            emptied: row.emptied,
            consumers: BTreeSet::new(),
            recent: Recent::default(),
            facts: VecDeque::new(),
            // Which block holds the head is not known yet; before the first one there is none.
            drop_to: first,
            dropped_to: first,
            removed_bytes: 0,
            unreadable: None,
            marks_group: 0,
            purged: 0,
            kills: 0,
            early: BTreeSet::new(),
            early_from: row.last + 1,
            durable: Durable {
                first: row.head.max(row.cut),
                last: row.last,
            },
            group: 0,
            removals: 0,
            relented: 0,
        };
        stream.follow_release();
        stream
    }

    pub(crate) fn set_config(&mut self, config: StreamConfig) {
        self.filters = config.filters();
        self.config = Arc::new(config);
        self.follow_release();
        self.find_crowded();
    }

    pub(crate) fn captures(&self, subject: &str) -> bool {
        self.filters.iter().any(|filter| filter.matches(subject))
    }

    /// The first sequence that may hold a message.
    pub(crate) fn first(&self) -> u64 {
        self.head.max(self.cut)
    }

    /// Whether a message that the log holds is purged, by a purge that is still at work.
    pub(crate) fn is_purged(&self, seq: u64, subject: &str) -> bool {
        seq < self.first() || self.purges.iter().any(|mark| mark.covers(seq, subject))
    }

    /// Whether a purge that is not accounted for yet takes messages from here on.
    pub(crate) fn purge_ahead(&self, next: u64) -> bool {
        (self.head < self.cut && next < self.cut)
            || self.purges.iter().any(|mark| next < mark.below)
    }

    /// A consumer is at this place now: one that is still to come is passed over message by message.
    pub(crate) fn note_early(&mut self, consumer: u32, next: u64) {
        self.early.remove(&consumer);
        if next > self.last + 1 {
            if self.early.is_empty() {
                self.early_from = self.last + 1;
            }
            self.early.insert(consumer);
        }
    }

    /// Whether the stream has more than it may keep.
    pub(crate) fn over_limits(&self) -> bool {
        let over = |value: u64, most: Option<u64>| most.is_some_and(|most| value > most);
        self.config.discard == Discard::Old
            && !self.config.is_sealed()
            && (over(self.messages, self.config.max_messages)
                || over(self.bytes, self.config.max_bytes))
    }

    /// Whether the store may have rows of holes, of messages before the head too.
    pub(crate) fn has_hole_rows(&self) -> bool {
        self.hole_from.is_some()
    }

    /// Whether a sequence is deleted from the inside of the stream.
    pub(crate) fn is_hole(&self, seq: u64) -> Result<bool, Need> {
        if self.holes == 0 {
            return Ok(false);
        }
        let window = window_of(seq);
        let need = Need::Window {
            stream: self.id,
            window,
        };
        self.windows.is_dead(seq).ok_or(need)
    }

    /// The facts of a stored message.
    pub(crate) fn fact(&self, seq: u64) -> Result<Fact, Need> {
        if let Some(stored) = self.recent.get(seq) {
            let (subject, time) = (Arc::clone(&stored.subject), stored.time);
            return Ok(Fact {
                seq,
                subject,
                size: stored.size(),
                time,
            });
        }
        let found = self.facts.iter().find_map(|facts| facts.get(seq));
        found.ok_or(Need::Facts {
            stream: self.id,
            seq,
        })
    }

    /// The last sequence that is in the store; later ones are in memory.
    pub(crate) fn stored_to(&self) -> u64 {
        self.recent.first_seq().map_or(self.last, |first| first - 1)
    }

    /// Whether the log must hold a sequence.
    pub(crate) fn is_expected(&self, seq: u64) -> bool {
        seq >= self.head && seq <= self.last && self.recent.get(seq).is_none()
    }

    /// Takes the facts of a block in, as they were read.
    pub(crate) fn supply_facts(&mut self, facts: Arc<Facts>) {
        if facts.first <= self.head {
            self.drop_to = self.drop_to.max(facts.first);
        }
        self.facts.retain(|known| known.first != facts.first);
        self.facts.truncate(FACTS_KEPT - 1);
        self.facts.push_front(facts);
    }

    /// Blocks that end before the head may go, as far as a block is known that starts at or before it.
    pub(crate) fn free_to_head(&mut self) {
        let head = self.head;
        let starts = self.facts.iter().map(|facts| facts.first);
        let known = starts.filter(|first| *first <= head).max();
        self.drop_to = self.drop_to.max(known.unwrap_or(0));
    }

    /// Appends a message and returns its sequence.
    pub(crate) fn append(&mut self, message: Appended, now: u64, group: u64) -> u64 {
        let seq = self.last + 1;
        self.last = seq;
        self.last_time = self.last_time.max(now);
        let stored = Stored {
            seq,
            time: self.last_time,
            subject: self.subjects.note(&message.subject, seq),
            id: message.id,
            headers: message.headers,
            payload: message.payload.into(),
        };
        if let Some(hash) = message.id_hash {
            self.dedup.remember(hash, seq, self.last_time);
        }
        self.note_crowded(&stored.subject);
        if let Some(ttl) = message.ttl {
            self.expiries.set(seq, self.last_time.saturating_add(ttl));
        }
        self.messages += 1;
        self.published += 1;
        self.bytes += stored.size();
        self.group = group;
        self.recent.push(stored);
        seq
    }

    /// Counts messages that left, and subjects that have none since.
    pub(super) fn count_departed(&mut self, messages: u64, subjects: u64, by: Removal) {
        if messages > 0 {
            *self.departed.entry(by).or_default() += messages;
        }
        self.emptied += subjects;
    }

    /// Messages up to `last` are in the store now.
    pub(crate) fn complete(&mut self, durable: Durable, group: u64) {
        self.recent.complete(durable.last);
        self.durable = durable;
        self.windows.evict(group);
    }
}

/// A message that passed every check.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) subject: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) headers: Headers,
    pub(crate) id: Option<String>,
    pub(crate) id_hash: Option<u128>,
    /// How long it lives, in microseconds.
    pub(crate) ttl: Option<u64>,
}
