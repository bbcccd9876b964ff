//! A consumer as its rows say, and what a group writes of it.

use super::Consumer;
use crate::changes::{Change, RowKey, Table};
use crate::clock::Mono;
use crate::config::ConsumerConfig;
use crate::format::rows::{ConsumerConfigRow, ConsumerRow, Place, encode_row};
use crate::state::entries::Entries;
use crate::state::rate::Pace;
use crate::state::removals::Removals;
use crate::state::replay::Replay;
use crate::state::runset::RunSet;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn encoded(set: &RunSet) -> Vec<u8> {
    let mut bytes = Vec::new();
    set.encode(&mut bytes);
    bytes
}

impl Consumer {
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
            lost: Removals::new(Table::Losses),
            reset_below: row.reset_below,
            filters_from: row.filters_from,
            filters_below: row.filters_below,
            removals_from: row.removals_from,
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
            moves: 0,
            pace: Pace::default(),
            replay_to: row.replay_to,
            replay: Replay::default(),
        }
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

    /// The rows that changed.
    pub(crate) fn take_changes(&mut self, changes: &mut Vec<Change>) {
        self.done.clear();
        self.entries.take_changes(self.id, changes);
        self.lost.take_changes(self.id, changes);
        self.saved_next = self.next;
        self.raise_floor();
        let (key, value) = self.state_row();
        changes.push(Change::Put { key, value });
    }

    /// Its own row, as its newest group has it.
    pub(crate) fn state_row(&self) -> (RowKey, Vec<u8>) {
        let row = ConsumerRow {
            next: self.saved_next,
            start: self.start,
            floor: self.floor,
            next_serial: self.next_serial,
            pending: encoded(&self.pending),
            accounted: self.accounted,
            reset_below: self.reset_below,
            filters_from: self.filters_from,
            filters_below: self.filters_below,
            removals_from: self.removals_from,
            replay_to: self.replay_to,
            totals: self.totals,
        };
        let key = RowKey::new(Table::ConsumerState, self.id, 0);
        (key, encode_row(&row))
    }

    pub(crate) fn config_change(&self) -> Change {
        let (key, value) = self.config_row();
        Change::Put { key, value }
    }

    /// The row of its configuration.
    pub(crate) fn config_row(&self) -> (RowKey, Vec<u8>) {
        let config = ConsumerConfig::clone(&self.config);
        let row = ConsumerConfigRow {
            stream: self.stream,
            config,
        };
        let key = RowKey::new(Table::ConsumerConfig, self.id, 0);
        (key, encode_row(&row))
    }
}
