//! One consumer: its cursor, and every message that it was given and has not finished.
//!
//! A message that the consumer wants is in one place at a time: not yet delivered (at or above
//! `next`), in flight (it has a lease), due, delayed, condemned (waiting for its dead-letter stream),
//! parked, or finished. Only in-flight messages count against `max_ack_pending`.

use super::entries::Entries;
use super::runset::RunSet;
use crate::changes::{Change, RowKey, Table};
use crate::clock::Mono;
use crate::config::{AckPolicy, ConsumerConfig};
use crate::format::rows::{ConsumerConfigRow, ConsumerRow, EntryRow, Place, Totals, encode_row};
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
}

/// A delivery that is out with a worker. Leases live in memory only (R3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// The fence: which delivery of the message this is (R13).
    pub(crate) serial: u64,
    /// `None` until the message is handed over (R16), and while a runner holds it.
    pub(crate) deadline: Option<Mono>,
    pub(crate) handed: bool,
    pub(crate) bytes: u64,
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

    /// The consumer as its row says, without its entries.
    pub(crate) fn restore(
        id: u32,
        stream: u32,
        config: ConsumerConfig,
        row: &ConsumerRow,
        pending: RunSet,
    ) -> Self {
        Self {
            id,
            stream,
            filters: config.parsed_filters().into(),
            config: Arc::new(config),
            next: row.next,
            saved_next: row.next,
            start: row.start,
            floor: row.floor,
            next_serial: row.next_serial,
            accounted: row.accounted,
            totals: row.totals,
            pending,
            entries: Entries::default(),
            leases: BTreeMap::new(),
            leased_bytes: 0,
            expiry: BTreeSet::new(),
            due: BTreeSet::new(),
            ranks: BTreeMap::new(),
            suspects_due: BTreeSet::new(),
            next_rank: 1,
            delayed: BTreeSet::new(),
            condemned: BTreeSet::new(),
            untold: BTreeSet::new(),
            parked: BTreeSet::new(),
            done: Vec::new(),
            refused_at: None,
            retry_left: 0,
            retry_from: 0,
            group: 0,
            last_fetch: Mono(0),
            idle_told: false,
            last_active: Mono(0),
            waiting: 0,
        }
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

    pub(crate) fn drop_lease(&mut self, seq: u64) {
        let Some(lease) = self.leases.remove(&seq) else {
            return;
        };
        self.leased_bytes -= lease.bytes;
        if let Some(deadline) = lease.deadline {
            self.expiry.remove(&(deadline, seq));
        }
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
        }
        self.lift(seq);
        self.entries.remove(seq);
        self.pending.remove(seq);
        self.done.push(seq);
    }

    /// Delivers a message for the first time.
    pub(crate) fn claim_new(&mut self, seq: u64, bytes: u64) -> u64 {
        assert!(
            seq >= self.next,
            "a message is delivered for the first time once"
        );
        self.next = seq + 1;
        self.accounted += 1;
        self.pending.insert(seq);
        self.lease(seq, bytes)
    }

    /// Whether a delivery is finished when it is counted.
    pub(crate) fn needs_no_acks(&self) -> bool {
        self.config.ack_policy == AckPolicy::None
    }

    /// Delivers a message that nobody will settle: the consumer is done with it.
    pub(crate) fn claim_once(&mut self, seq: u64) -> u64 {
        let serial = if seq >= self.next {
            self.claim_new(seq, 0)
        } else {
            self.claim_due(seq, 0)
        };
        // The delivery counts, whether it is handed over or not.
        if let Some(lease) = self.leases.get_mut(&seq) {
            lease.handed = true;
        }
        self.finish(seq);
        serial
    }

    /// Delivers a due message again.
    pub(crate) fn claim_due(&mut self, seq: u64, bytes: u64) -> u64 {
        self.lift(seq);
        let mut entry = self.entries.change(seq);
        entry.attempts += 1;
        entry.place = Place::InFlight;
        drop(entry);
        self.lease(seq, bytes)
    }

    fn lease(&mut self, seq: u64, bytes: u64) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.totals.deliveries += 1;
        self.leased_bytes += bytes;
        let lease = Lease {
            serial,
            deadline: None,
            handed: false,
            bytes,
        };
        let before = self.leases.insert(seq, lease);
        assert!(before.is_none(), "a message has one lease at a time");
        serial
    }

    /// Starts the lease of a message that is handed over now; a runner's has no deadline (R16).
    pub(crate) fn hand_over(&mut self, seq: u64, serial: u64, deadline: Option<Mono>) -> bool {
        let Some(lease) = self
            .leases
            .get_mut(&seq)
            .filter(|lease| lease.serial == serial)
        else {
            return false;
        };
        if let Some(old) = lease.deadline.take() {
            self.expiry.remove(&(old, seq));
        }
        lease.handed = true;
        lease.deadline = deadline;
        if let Some(deadline) = deadline {
            self.expiry.insert((deadline, seq));
        }
        true
    }

    /// Takes back a claim that was never handed over, or a delivery that was never started: it does
    /// not count as an attempt (R13), and the message is due at once, before others.
    pub(crate) fn give_back(&mut self, seq: u64) {
        let mut entry = self.entries.change(seq);
        entry.attempts = entry.attempts.saturating_sub(1);
        drop(entry);
        self.totals.deliveries = self.totals.deliveries.saturating_sub(1);
        self.make_due(seq, 0);
    }

    /// The deadline of an attempt that starts now.
    pub(crate) fn deadline(&self, seq: u64, now: Mono) -> Mono {
        let attempt = self.entries.get(seq).attempts;
        now.plus(
            self.config
                .backoff_step(attempt)
                .unwrap_or(self.config.ack_wait),
        )
    }

    /// Ends what was in flight when the process died (R17, R18), and says whether anything
    /// was.
    ///
    /// A message that was alone in flight failed; one beside others was caught in a crash. One that was
    /// purged is only waiting to be accounted for.
    pub(crate) fn recover(&mut self, now: u64, is_purged: impl Fn(u64) -> bool) -> bool {
        let in_flight = self.was_in_flight();
        let changed = !in_flight.is_empty();
        let (purged, in_flight): (Vec<u64>, Vec<u64>) =
            in_flight.into_iter().partition(|seq| is_purged(*seq));
        for seq in purged {
            self.entries.change(seq).place = Place::Due;
        }
        let alone = in_flight.len() == 1;
        for seq in in_flight {
            let mut entry = self.entries.change(seq);
            entry.place = Place::Due;
            if alone {
                entry.failures += 1;
                self.totals.failures += 1;
            } else {
                entry.crashes += 1;
            }
            self.totals.crashes += 1;
        }
        self.index_entries(now);
        changed
    }

    /// What was in flight when the state was written that this consumer was restored from.
    pub(crate) fn was_in_flight(&self) -> Vec<u64> {
        let out = |seq: &u64| self.entries.get(*seq).place == Place::InFlight;
        self.pending.iter().filter(out).collect()
    }

    /// Fills the sets that entries belong to, after they were read. Delays that are over by now make
    /// their messages due in one order with the others.
    fn index_entries(&mut self, now: u64) {
        let placed: Vec<(u64, Place)> = self
            .entries
            .iter()
            .map(|(seq, entry)| (seq, entry.place.clone()))
            .collect();
        for (seq, place) in placed {
            match place {
                Place::Due => self.queue_due(seq, 1),
                Place::Delayed { until } if until <= now => {
                    self.entries.set_due_quietly(seq);
                    self.queue_due(seq, 1);
                }
                Place::Delayed { until } => drop(self.delayed.insert((until, seq))),
                Place::Condemned { .. } => drop(self.condemned.insert(seq)),
                Place::Parked { .. } => drop(self.parked.insert(seq)),
                Place::InFlight => {}
            }
        }
    }

    /// Makes everything in flight due, as when the store is closed: its attempt counts, it did not
    /// fail; what was never handed over does not count.
    pub(crate) fn release_all(&mut self) -> bool {
        let leases: Vec<(u64, bool)> = self
            .leases
            .iter()
            .map(|(seq, lease)| (*seq, lease.handed))
            .collect();
        for (seq, handed) in &leases {
            if *handed {
                self.make_due(*seq, 0);
            } else {
                self.give_back(*seq);
            }
        }
        !leases.is_empty()
    }

    /// How many attempts at a message failed so often that the limit is reached.
    pub(crate) fn is_exhausted(&self, entry: &EntryRow) -> bool {
        self.config
            .max_deliver
            .is_some_and(|limit| entry.failures >= limit)
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
        (self.start..self.next).contains(&seq) && self.wants(subject)
    }

    /// The rows that changed.
    pub(crate) fn take_changes(&mut self, changes: &mut Vec<Change>) {
        self.done.clear();
        self.entries.take_changes(self.id, changes);
        self.saved_next = self.next;
        let row = ConsumerRow {
            next: self.next,
            start: self.start,
            floor: self.raise_floor(),
            next_serial: self.next_serial,
            pending: encoded(&self.pending),
            accounted: self.accounted,
            totals: self.totals,
        };
        let key = RowKey::new(Table::ConsumerState, self.id, 0);
        changes.push(Change::Put {
            key,
            value: encode_row(&row),
        });
    }

    pub(crate) fn config_change(&self) -> Change {
        let config = ConsumerConfig::clone(&self.config);
        let row = ConsumerConfigRow {
            stream: self.stream,
            config,
        };
        let key = RowKey::new(Table::ConsumerConfig, self.id, 0);
        Change::Put {
            key,
            value: encode_row(&row),
        }
    }
}

fn encoded(set: &RunSet) -> Vec<u8> {
    let mut bytes = Vec::new();
    set.encode(&mut bytes);
    bytes
}
