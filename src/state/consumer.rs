//! One consumer: its cursor, and every message that it was given and has not finished.
//!
//! A message that the consumer wants is in one place at a time: not yet delivered (at or above
//! `next`), in flight (it has a lease), due, delayed, condemned (waiting for its dead-letter stream),
//! parked, or finished. Only in-flight messages count against `max_ack_pending`.

mod leases;
mod rows;

use self::leases::Lease;
use super::entries::Entries;
use super::rate::Pace;
use super::removals::Removals;
use super::replay::Replay;
use super::runset::RunSet;
use crate::clock::Mono;
use crate::config::{AckPolicy, ConsumerConfig};
use crate::format::rows::{ConsumerRow, EntryRow, Place, Totals};
use crate::subject::SubjectFilter;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) id: u32,
    pub(crate) stream: u32,
    pub(crate) config: Arc<ConsumerConfig>,
    pub(crate) filters: Arc<[SubjectFilter]>,
    /// Everything below was delivered, passed over or removed.
    pub(crate) next: u64,
    /// `next` as the newest group has it: what was only passed over since waits for a change.
    saved_next: u64,
    /// The first message that it could be given: earlier ones it never wanted.
    pub(crate) start: u64,
    pub(crate) floor: u64,
    pub(crate) next_serial: u64,
    /// Matching messages that were delivered, skipped at the start or lost before delivery.
    pub(crate) accounted: u64,
    pub(crate) totals: Totals,
    /// What was taken from it.
    pub(crate) lost: Removals,
    /// What left the stream since it was created is in the stream's rows of removals from here on.
    pub(crate) removals_from: u64,
    /// Below this a reset may have passed messages over, or taken some back that were finished.
    pub(crate) reset_below: u64,
    /// Where it was when its filters were changed: what they say holds from here on.
    pub(crate) filters_from: u64,
    /// What left below this may have been judged by other filters.
    pub(crate) filters_below: u64,
    /// Delivered and unfinished, parked ones apart.
    pub(crate) pending: RunSet,
    pub(crate) entries: Entries,
    pub(crate) leases: BTreeMap<u64, Lease>,
    pub(crate) leased_bytes: u64,
    pub(crate) expiry: BTreeSet<(Mono, u64)>,
    /// By rank, then sequence: what becomes due together is ordered by sequence, and a nak queues
    /// behind what is due already.
    pub(crate) due: BTreeSet<(u64, u64)>,
    ranks: BTreeMap<u64, u64>,
    /// The due messages that must be handled alone.
    pub(crate) suspects_due: BTreeSet<u64>,
    next_rank: u64,
    pub(crate) delayed: BTreeSet<(u64, u64)>,
    pub(crate) condemned: BTreeSet<u64>,
    /// Those whose refusal nobody was told of, because they were condemned before they were tried.
    pub(crate) untold: BTreeSet<u64>,
    pub(crate) parked: BTreeSet<u64>,
    /// What it is done with since its last group: the stream may have it removed.
    pub(crate) done: Vec<u64>,
    /// How often its dead-letter stream had made room when every condemned message was last tried, or
    /// began to be.
    pub(crate) refused_at: Option<u64>,
    /// Messages that the round of tries has before it; none when there is no round.
    pub(crate) retry_left: usize,
    /// Where the next try of refused messages begins, so that those that never fit hold up no others.
    pub(crate) retry_from: u64,
    /// The newest group that changed the consumer.
    pub(crate) group: u64,
    /// When somebody last fetched, and whether the idle event was sent since.
    pub(crate) last_fetch: Mono,
    pub(crate) idle_told: bool,
    /// When somebody was last at work with it.
    pub(crate) last_active: Mono,
    /// Fetches waiting.
    pub(crate) waiting: u64,
    /// How often it was set to another place: what was read for the one before is not claimed.
    pub(crate) moves: u64,
    pub(crate) pace: Pace,
    /// Up to here messages come at the pace at which they were published, if they were never delivered.
    pub(crate) replay_to: u64,
    pub(super) replay: Replay,
}

impl Consumer {
    pub(crate) fn new(id: u32, stream: u32, config: ConsumerConfig, next: u64) -> Self {
        let row = ConsumerRow {
            next,
            start: next,
            floor: next - 1,
            ..ConsumerRow::default()
        };
        Self::restore(id, stream, config, &row, RunSet::default())
    }

    pub(crate) fn wants(&self, subject: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| filter.matches(subject))
    }

    /// Whether the consumer has the message and is not done with it.
    pub(crate) fn holds(&self, seq: u64) -> bool {
        self.pending.contains(seq) || self.parked.contains(&seq)
    }

    pub(crate) fn is_suspect(&self, seq: u64) -> bool {
        self.entries.get(seq).crashes >= 2
    }

    pub(crate) fn is_due(&self, seq: u64) -> bool {
        self.ranks.contains_key(&seq)
    }

    /// A rank for messages that become due now, behind those that are.
    pub(crate) fn fresh_rank(&mut self) -> u64 {
        self.next_rank += 1;
        self.next_rank
    }

    /// Makes a message due; it has no lease any more.
    pub(crate) fn make_due(&mut self, seq: u64, rank: u64) {
        debug_assert!(
            self.pending.contains(seq),
            "only an unfinished message becomes due"
        );
        self.drop_lease(seq);
        self.entries.change(seq).place = Place::Due;
        self.queue_due(seq, rank);
    }

    /// Puts a message whose entry says so among the due ones.
    pub(crate) fn queue_due(&mut self, seq: u64, rank: u64) {
        self.due.insert((rank, seq));
        self.ranks.insert(seq, rank);
        if self.is_suspect(seq) {
            self.suspects_due.insert(seq);
        }
    }

    /// Makes a message wait until a time.
    pub(crate) fn make_delayed(&mut self, seq: u64, until: u64) {
        self.drop_lease(seq);
        self.entries.change(seq).place = Place::Delayed { until };
        self.delayed.insert((until, seq));
    }

    /// Takes a message out of the place it is in, but leaves it pending.
    pub(crate) fn lift(&mut self, seq: u64) {
        self.drop_lease(seq);
        if let Some(rank) = self.ranks.remove(&seq) {
            self.due.remove(&(rank, seq));
            self.suspects_due.remove(&seq);
        }
        match self.entries.get(seq).place {
            Place::Delayed { until } => drop(self.delayed.remove(&(until, seq))),
            Place::Condemned { .. } => {
                self.condemned.remove(&seq);
                self.untold.remove(&seq);
            }
            Place::Parked { .. } => drop(self.parked.remove(&seq)),
            Place::InFlight | Place::Due => {}
        }
    }

    /// Is done with a message. A claim that was never handed over is no delivery (R13).
    pub(crate) fn finish(&mut self, seq: u64) {
        if self.leases.get(&seq).is_some_and(|lease| !lease.handed) {
            self.totals.deliveries -= 1;
            self.give_back_rate(seq);
            self.take_back_replayed(seq);
        }
        self.lift(seq);
        self.entries.remove(seq);
        self.pending.remove(seq);
        self.done.push(seq);
    }

    /// Whether a delivery is finished when it is counted.
    pub(crate) fn needs_no_acks(&self) -> bool {
        self.config.ack_policy == AckPolicy::None
    }

    /// How many attempts at a message failed so often that the limit is reached.
    pub(crate) fn is_exhausted(&self, entry: &EntryRow) -> bool {
        is_exhausted(&self.config, entry)
    }

    /// The ack floor: everything up to it is finished or parked. It never goes back, not even when a
    /// dead letter is redriven below it (R20).
    pub(crate) fn raise_floor(&mut self) -> u64 {
        let below = self
            .pending
            .first()
            .map_or(self.next - 1, |first| first - 1);
        self.floor = self.floor.max(below);
        self.floor
    }

    /// Whether the cursor passed messages over that no group says so yet.
    pub(crate) fn passed_over(&self) -> bool {
        self.next > self.saved_next
    }

    /// Whether it may still be given the message, or has it and is not done with it.
    pub(crate) fn needs(&self, seq: u64, subject: &str) -> bool {
        self.holds(seq) || (seq >= self.next && self.wants(subject))
    }

    /// Whether it wanted the message, and it was its turn.
    pub(crate) fn had(&self, seq: u64, subject: &str) -> bool {
        let from = self.start.max(self.filters_from);
        (from..self.next).contains(&seq) && self.wants(subject)
    }
}

/// Whether attempts at a message failed as often as a configuration allows.
pub(super) fn is_exhausted(config: &ConsumerConfig, entry: &EntryRow) -> bool {
    let limit = config.max_deliver;
    limit.is_some_and(|limit| entry.failures >= limit)
}
