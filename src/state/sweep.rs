//! What time does: lapsed leases, delays that are over, ages, forgotten ids, freed space.
//!
//! All of it goes through the open group like any caller's change, which is what makes a dead-letter
//! move atomic (G5).

use super::stored::Need;
use super::trim::Trimmed;
use super::{Drop, State};
use crate::changes::{Change, RowKey, Table};
use crate::clock::{Mono, micros};
use crate::event::Event;
use std::time::Duration;

/// Ages are enforced at most this often (in microseconds), so that a steady stream does not wake the
/// sweeper for every message: a message may be seen this much longer than its `max_age`.
const BULK_PAUSE: u64 = 50_000;

/// Bytes of dead letters after which a step is committed.
pub(super) const STEP_BYTES: u64 = 4 << 20;

/// Consumers that one step looks at for idleness.
const IDLE_LOOKS: usize = 16;

/// Now, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) mono: Mono,
    /// Store time in microseconds.
    pub(crate) now: u64,
}

/// Bounds of one step (R9), and when a consumer counts as idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SweepLimits {
    pub(crate) leases: usize,
    /// Dead letters, and messages that are due.
    pub(crate) letters: usize,
    pub(crate) ids: usize,
    pub(crate) idle: Duration,
}

/// When the sweeper must look again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) mono: Option<Mono>,
    pub(crate) time: Option<u64>,
}

/// Which streams over a limit are trimmed: those that were before the open group, or all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OverLimit {
    Before,
    Now,
}

/// Which blocks of a stream are dead.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FreeTo {
    /// All that start below this.
    Below(u64),
    /// All before the one that holds this, or that is the last one before it.
    BlockOf(u64),
}

impl State {
    /// One bounded step; says whether there is more to do at once.
    ///
    /// `budget` is how many messages it may remove or look at for removal.
    pub(crate) fn sweep(
        &mut self,
        at: Moment,
        limits: SweepLimits,
        budget: &mut usize,
    ) -> Result<bool, Need> {
        self.now = self.now.max(at.now);
        self.end_delays();
        self.end_rate_waits(at.mono);
        // A consumer that nobody works for loses nothing any more: it goes before what it has not finished.
        let mut more = self.expire_consumers(at.mono, budget)?;
        more |= self.expire_leases(at.mono, limits.leases)?;
        // Ages first, of all streams: else whether a dead letter gets the room that they make, or is too old
        // itself, would depend on what has to be read.
        if self.expire_messages(budget, OverLimit::Before)? {
            more = true;
        } else {
            more |= self.move_condemned(limits.letters)?;
        }
        more |= self.forget_ids(limits.ids);
        more |= self.continue_purges(budget)?;
        more |= self.continue_rejudging(budget)?;
        // What is due comes last, when all room is made; what came to a stream just now may be over its limits.
        if !more {
            more =
                self.expire_messages(budget, OverLimit::Now)? || self.send_due(limits.letters)?;
        }
        self.tell_idle(at.mono, limits.idle);
        if !more {
            more = self.tell_stuck(at.mono, budget)?;
        }
        Ok(more)
    }

    /// Delayed messages whose time has come are due. Nothing is committed: the stored time says so.
    fn end_delays(&mut self) {
        let now = self.now;
        for consumer in self.consumers.values_mut() {
            if consumer
                .delayed
                .first()
                .is_some_and(|(until, _)| *until <= now)
            {
                consumer.end_delays(now);
            }
        }
    }

    /// Tries again what dead-letter streams refused.
    fn move_condemned(&mut self, limit: usize) -> Result<bool, Need> {
        let mut more = false;
        for id in self.condemned_in.clone() {
            more |= self.retry_condemned(id, limit)?;
            let condemned = self
                .consumers
                .get(&id)
                .map(|consumer| consumer.condemned.is_empty());
            if condemned != Some(false) {
                self.condemned_in.remove(&id);
            }
        }
        Ok(more)
    }

    fn expire_leases(&mut self, mono: Mono, limit: usize) -> Result<bool, Need> {
        let mut lapsed: Vec<(u32, u64)> = Vec::new();
        for consumer in self.consumers.values() {
            let over = consumer
                .expiry
                .iter()
                .take_while(|(deadline, _)| *deadline <= mono);
            let left = limit.saturating_sub(lapsed.len());
            lapsed.extend(over.take(left).map(|(_, seq)| (consumer.id, *seq)));
        }
        let more = lapsed.len() == limit;
        lapsed.sort_unstable();
        // What is given up is copied, and must be known not to be purged: its bytes come first, and nothing else
        // waits for them.
        let mut missing = Vec::new();
        for (id, seq) in lapsed {
            if let Some(letter) = self.missing_letter(id, seq) {
                missing.push(letter);
                continue;
            }
            // Whether a purge took it meanwhile makes no difference here.
            let _: bool = self.fail(id, seq, Duration::ZERO, self.now)?;
            self.note_activity(id, mono);
            self.touch_consumer(id);
        }
        if missing.is_empty() || self.open.bytes >= STEP_BYTES {
            return Ok(more || !missing.is_empty());
        }
        Err(Need::Messages(missing))
    }

    /// The message that must be read before its next failure is counted, if there is one.
    fn missing_letter(&self, id: u32, seq: u64) -> Option<(u32, u64)> {
        let consumer = self.consumers.get(&id)?;
        if !self.may_be_purged(consumer.stream, seq) {
            consumer.config.dead_letter_stream()?;
        }
        let mut entry = consumer.entries.get(seq).clone();
        entry.failures += 1;
        let letter = (consumer.stream, seq);
        let known = !consumer.is_exhausted(&entry)
            || self.message(letter.0, seq).is_some()
            || self.unreadable.contains(&letter);
        (!known).then_some(letter)
    }

    fn expire_messages(&mut self, budget: &mut usize, over: OverLimit) -> Result<bool, Need> {
        // What consumers are done with takes no room from what limits would remove in its place.
        self.retire_finished()?;
        let mut more = self.expire_ttls(budget)?;
        let now = self.now;
        let due = |stream: &&super::Stream| {
            // What the open group itself brought over a limit goes at its end: else whether a message that
            // is given up next was still there would depend on what has to be read first. So it is with markers,
            // which ages have just brought: what they bring over a limit goes at once.
            let open = &self.open;
            let before = !open.streams.contains(&stream.id) || open.marked.contains(&stream.id);
            let over =
                (stream.over_limits() || stream.is_crowded()) && (over == OverLimit::Now || before);
            stream.head < stream.cut || over || stream.next_expiry().is_some_and(|time| time <= now)
        };
        let ids: Vec<u32> = self.streams_that(due).collect();
        for id in ids {
            more |= self.trim_subjects(id, budget)? == Trimmed::More;
            more |= self.trim(id, budget)? == Trimmed::More;
        }
        Ok(more)
    }

    fn forget_ids(&mut self, limit: usize) -> bool {
        let now = self.now;
        let mut more = false;
        let mut changed = Vec::new();
        for stream in self.streams.values_mut() {
            let Some(horizon) = stream.dedup_horizon(now) else {
                continue;
            };
            more |= stream.dedup.forget(horizon, limit);
            if stream.dedup.drops_rows() {
                changed.push(stream.id);
            }
        }
        for id in changed {
            self.touch_stream(id);
        }
        more
    }

    fn continue_purges(&mut self, budget: &mut usize) -> Result<bool, Need> {
        let purging =
            |stream: &&super::Stream| !stream.purges.is_empty() && stream.unreadable.is_none();
        let ids: Vec<u32> = self.streams_that(purging).collect();
        for id in &ids {
            self.purge_step(*id, budget)?;
        }
        Ok(!ids.is_empty())
    }

    fn tell_idle(&mut self, mono: Mono, idle: Duration) {
        let quiet = |consumer: &&super::Consumer| {
            !consumer.idle_told && consumer.last_fetch.plus(idle) <= mono
        };
        let ids: Vec<u32> = self.consumers_that(quiet).take(IDLE_LOOKS).collect();
        for id in ids {
            let Some(consumer) = self.consumers.get(&id) else {
                continue;
            };
            let paused = consumer.paused_until(self.now).is_some();
            let at_work = paused || consumer.waiting > 0 || !consumer.leases.is_empty();
            // Counting what is ahead may look at many subjects: only where it decides.
            let waits = !at_work && (!consumer.due.is_empty() || self.pending_count(id) > 0);
            let Some(consumer) = self.consumers.get_mut(&id) else {
                continue;
            };
            if !waits {
                // Nothing to tell; look again after as long.
                consumer.last_fetch = mono;
                continue;
            }
            consumer.idle_told = true;
            let (stream, name) = (consumer.stream, consumer.config.name.clone());
            let stream = self.stream_name(stream);
            self.tell(Event::ConsumerIdle {
                stream,
                consumer: name,
                idle,
            });
        }
    }

    /// When the next sweep is due.
    pub(crate) fn next_alarm(&self, now: Mono, idle: Duration) -> Alarm {
        let mut alarm = Alarm {
            mono: None,
            time: None,
        };
        for consumer in self.consumers.values() {
            alarm.at_mono(consumer.expiry.first().map(|(deadline, _)| *deadline));
            alarm.at_mono(consumer.expires_at());
            alarm.at_mono(consumer.pace.wakes_at);
            alarm.at_time(consumer.delayed.first().map(|(until, _)| *until));
            alarm.at_time(consumer.paused_until(self.now));
            if !consumer.idle_told {
                // Who waits is fetching now.
                let since = if consumer.waiting > 0 {
                    now
                } else {
                    consumer.last_fetch
                };
                alarm.at_mono(Some(since.plus(idle)));
            }
        }
        alarm.at_mono(self.next_stuck());
        for stream in self.streams.values() {
            let bulk = [
                stream.next_expiry(),
                stream.next_forgetting(),
                stream.next_ttl(),
            ];
            let bulk = bulk.into_iter().flatten().min();
            alarm.at_time(bulk.map(|time| time.max(self.now + BULK_PAUSE)));
            alarm.at_time(stream.scheduled.next_due());
        }
        alarm
    }

    /// Which blocks of a stream are dead.
    pub(crate) fn free_to(&mut self, id: u32) -> FreeTo {
        match self.streams.get_mut(&id) {
            None => FreeTo::Below(0),
            Some(stream) if stream.first() > stream.last => {
                // What is published from now on starts a block of its own.
                stream.drop_to = stream.last + 1;
                FreeTo::Below(stream.drop_to)
            }
            Some(stream) => FreeTo::BlockOf(stream.head),
        }
    }

    /// The next thing whose space is to be freed.
    pub(crate) fn next_drop(&self) -> Option<Drop> {
        self.drops.first().copied()
    }

    /// Frees the blocks of a stream up to and including the one that starts at `to`; `None` says that
    /// there are no more before its first message.
    pub(crate) fn free_blocks(&mut self, id: u32, to: Option<u64>, looked: FreeTo) {
        if !self.drops.contains(&Drop::Blocks(id)) && !self.drops.contains(&Drop::Stream(id)) {
            // Somebody else has freed it meanwhile.
            return;
        }
        let group = self.group;
        if let Some(to) = to {
            let change = Change::DropBlocks {
                stream: id,
                from: 0,
                to,
            };
            self.open.changes.push(change);
            self.open.work = true;
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.dropped_to = stream.dropped_to.max(to + 1);
                stream.drop_to = stream.drop_to.max(to + 1);
                stream.group = group;
            }
        } else {
            let (FreeTo::Below(seen) | FreeTo::BlockOf(seen)) = looked;
            if self
                .streams
                .get(&id)
                .is_some_and(|stream| stream.drop_to.max(stream.head) > seen)
            {
                // Something was cut off while it was looked.
                return;
            }
            self.drops.remove(&Drop::Blocks(id));
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.dropped_to = stream.drop_to;
            }
        }
    }

    /// Frees messages of a deleted stream that waited for their time, up to this number.
    pub(crate) fn free_scheduled(&mut self, id: u32, to: u64) {
        if !self.drops.contains(&Drop::Stream(id)) {
            return;
        }
        let (table, from) = (Table::Scheduled, 0);
        self.open.changes.push(Change::DeleteParts {
            table,
            id,
            from,
            to,
        });
        self.open.work = true;
    }

    /// Frees what is left of a deleted stream, once its blocks are gone.
    pub(crate) fn free_stream(&mut self, id: u32) {
        if !self.drops.contains(&Drop::Stream(id)) {
            return;
        }
        let all = |table| Change::DeleteParts {
            table,
            id,
            from: 0,
            to: u64::MAX,
        };
        let tables = [
            Table::StreamState,
            Table::Holes,
            Table::Subjects,
            Table::Dedup,
            Table::Scheduled,
            Table::ScheduledIndex,
            Table::Expiries,
            Table::Removals,
        ];
        self.open.changes.extend(tables.map(all));
        self.open.changes.push(Change::DropStream { stream: id });
        let key = RowKey::new(Table::Drops, id, 0);
        self.open.changes.push(Change::Delete { key });
        self.open.work = true;
        self.drops.remove(&Drop::Stream(id));
    }
}

impl Alarm {
    pub(super) fn at_mono(&mut self, mono: Option<Mono>) {
        self.mono = [self.mono, mono].into_iter().flatten().min();
    }

    pub(super) fn at_time(&mut self, time: Option<u64>) {
        self.time = [self.time, time].into_iter().flatten().min();
    }
}

impl super::Consumer {
    pub(super) fn end_delays(&mut self, now: u64) {
        if self.delayed.first().is_none_or(|(until, _)| *until > now) {
            return;
        }
        let rank = self.fresh_rank();
        while let Some((until, seq)) = self.delayed.first().copied().filter(|(t, _)| *t <= now) {
            self.delayed.remove(&(until, seq));
            self.entries.set_due_quietly(seq);
            self.queue_due(seq, rank);
        }
    }
}

impl super::Stream {
    /// When the oldest id may be forgotten. Lookups go by age anyway, so it may wait an eighth of the
    /// window and take its neighbours with it.
    pub(super) fn next_forgetting(&self) -> Option<u64> {
        let window = micros(self.config.dedup_window?);
        Some(
            self.dedup
                .oldest()?
                .saturating_add(window)
                .saturating_add(window / 8),
        )
    }
}
