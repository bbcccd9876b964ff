//! The state as its rows say, and what opening does to it (R17, R18).

use super::room::disk_bytes;
use super::runset::RunSet;
use super::{Consumer, Drop, Room, State, Stream};
use crate::changes::{RowKey, Table};
use crate::clock::Mono;
use crate::config::Alerts;
use crate::event::DeadReason;
use crate::format::rows::{
    ConsumerConfigRow, ConsumerRow, DedupRow, EntriesRow, ExpiriesRow, RemovalsRow, RowError,
    ScheduledIndexRow, StoreRow, StreamConfigRow, StreamRow, SubjectsRow, decode_row,
};
use crate::state::PurgeMark;
use crate::state::stream::rows::new_row;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Runs that a pending set may have when it is read: in flight, due and set aside at their bounds.
const RUNS_MAX: usize = 4_000_000;

/// Rows, collected until all of them are there.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    store: StoreRow,
    stream_configs: BTreeMap<u32, StreamConfigRow>,
    stream_states: BTreeMap<u32, StreamRow>,
    subjects: BTreeMap<u32, Vec<SubjectsRow>>,
    dedup: BTreeMap<u32, Vec<(u64, DedupRow)>>,
    consumer_configs: BTreeMap<u32, ConsumerConfigRow>,
    consumer_states: BTreeMap<u32, ConsumerRow>,
    entries: BTreeMap<u32, Vec<EntriesRow>>,
    drops: BTreeSet<Drop>,
    scheduled: BTreeMap<u32, Vec<ScheduledIndexRow>>,
    expiries: BTreeMap<u32, Vec<ExpiriesRow>>,
    removals: BTreeMap<u32, Vec<(u64, RemovalsRow)>>,
    losses: BTreeMap<u32, Vec<(u64, RemovalsRow)>>,
}

/// The tables to be read when a store is opened; holes and blocks are read when they are needed.
pub(crate) const TABLES: [Table; 13] = [
    Table::Meta,
    Table::StreamConfig,
    Table::StreamState,
    Table::Subjects,
    Table::Dedup,
    Table::ConsumerConfig,
    Table::ConsumerState,
    Table::Exceptions,
    Table::Drops,
    Table::ScheduledIndex,
    Table::Expiries,
    Table::Removals,
    Table::Losses,
];

impl Recovered {
    /// Takes one row in; rows of a table come in the order of their keys.
    pub(crate) fn row(&mut self, key: RowKey, value: &[u8]) -> Result<(), RowError> {
        let id = key.id;
        match key.table {
            Table::Meta => self.store = decode_row(value)?,
            Table::StreamConfig => drop(self.stream_configs.insert(id, decode_row(value)?)),
            Table::StreamState => drop(self.stream_states.insert(id, decode_row(value)?)),
            Table::Subjects => self
                .subjects
                .entry(id)
                .or_default()
                .push(decode_row(value)?),
            Table::Dedup => {
                self.dedup
                    .entry(id)
                    .or_default()
                    .push((key.part, decode_row(value)?));
            }
            Table::ConsumerConfig => drop(self.consumer_configs.insert(id, decode_row(value)?)),
            Table::ConsumerState => drop(self.consumer_states.insert(id, decode_row(value)?)),
            Table::Exceptions => self.entries.entry(id).or_default().push(decode_row(value)?),
            Table::Drops => drop(self.drops.insert(Drop::Stream(id))),
            Table::ScheduledIndex => {
                let rows = self.scheduled.entry(id).or_default();
                rows.push(decode_row(value)?);
            }
            Table::Expiries => {
                let rows = self.expiries.entry(id).or_default();
                rows.push(decode_row(value)?);
            }
            Table::Removals | Table::Losses => {
                let known = match key.table {
                    Table::Losses => &mut self.losses,
                    _ => &mut self.removals,
                };
                let rows = known.entry(id).or_default();
                rows.push((key.part, decode_row(value)?));
            }
            Table::Holes | Table::Scheduled => {}
        }
        Ok(())
    }

    /// Whether the store was never opened before.
    pub(crate) fn is_new(&self) -> bool {
        self.store.epoch == 0
    }

    /// Puts the state together; outstanding attempts are still to be ended. `secret` is for a new store; `now` is the wall clock's time.
    pub(crate) fn finish(
        mut self,
        secret: [u8; 16],
        now: u64,
        (subjects_max, scheduled_max, ttl_max): (u64, u64, u64),
        room: Room,
    ) -> Result<State, RowError> {
        if self.is_new() {
            self.store.secret = secret;
            self.store.next_stream = 1;
            self.store.next_consumer = 1;
        }
        let mut state = State {
            secret: self.store.secret,
            epoch: self.store.epoch + 1,
            streams: BTreeMap::new(),
            consumers: BTreeMap::new(),
            stream_names: BTreeMap::new(),
            consumer_names: BTreeMap::new(),
            routes: super::routes::Routes::default(),
            next_stream: self.store.next_stream,
            next_consumer: self.store.next_consumer,
            subjects_max,
            scheduled_max,
            ttl_max,
            room,
            drops: self.drops.clone(),
            condemned_in: BTreeSet::new(),
            catalog_group: 0,
            catalog_changes: 0,
            group: 1,
            durable: 0,
            open: super::Open::default(),
            supplied: HashMap::new(),
            lasts: super::expect::Lasts::default(),
            earlier: super::rollup::Earlier::default(),
            unreadable: BTreeSet::new(),
            supplied_scheduled: HashMap::new(),
            unreadable_scheduled: BTreeSet::new(),
            exclusions: 0,
            sweep_wanted: true,
            alarm: super::Alarm::default(),
            now: now.max(self.store.last_time),
            read_time: now.max(self.store.last_time),
            lookers: 0,
            mono: Mono(0),
            alerts: Alerts::default(),
            raised: super::alert::Raised::default(),
        };
        self.streams(&mut state)?;
        self.consumers(&mut state)?;
        state.save_facts();
        Ok(state)
    }

    fn streams(&mut self, state: &mut State) -> Result<(), RowError> {
        for (id, row) in std::mem::take(&mut self.stream_configs) {
            let counters = self.stream_states.remove(&id);
            let counters = counters.unwrap_or_else(|| new_row(&row.config));
            state.now = state.now.max(counters.last_time);
            let malformed = |why| RowError::Malformed(format!("stream {id}: {why}"));
            let mut stream = Stream::restore(id, row.config, &counters).map_err(malformed)?;
            for row in self.subjects.remove(&id).unwrap_or_default() {
                stream.subjects.restore(row);
            }
            stream.find_crowded();
            for (number, row) in self.dedup.remove(&id).unwrap_or_default() {
                stream.dedup.restore(number, row);
            }
            for row in self.expiries.remove(&id).unwrap_or_default() {
                stream.expiries.restore(row);
            }
            for (number, row) in self.removals.remove(&id).unwrap_or_default() {
                stream.removed.restore(number, row);
            }
            for row in self.scheduled.remove(&id).unwrap_or_default() {
                for entry in &row.entries {
                    state.room.set_aside(disk_bytes(entry.size));
                }
                stream.scheduled.restore(row);
            }
            state.stream_names.insert(stream.config.name.clone(), id);
            state.routes.add(id, &stream.filters);
            state.drops.insert(Drop::Blocks(id));
            state.streams.insert(id, stream);
        }
        Ok(())
    }

    fn consumers(&mut self, state: &mut State) -> Result<(), RowError> {
        for (id, row) in std::mem::take(&mut self.consumer_configs) {
            let Some(stream) = state.streams.get_mut(&row.stream) else {
                return Err(RowError::Malformed(format!("consumer {id} has no stream")));
            };
            let Some(counters) = self.consumer_states.remove(&id) else {
                return Err(RowError::Malformed(format!("consumer {id} has no state")));
            };
            if counters.next == 0 {
                return Err(RowError::Malformed(format!("consumer {id} has no place")));
            }
            let malformed = |why| RowError::Malformed(format!("consumer {id}: {why}"));
            let (pending, rest) = RunSet::decode(&counters.pending, RUNS_MAX)
                .map_err(|why| malformed(why.to_string()))?;
            if !rest.is_empty() || pending.len() > RUNS_MAX as u64 {
                return Err(malformed("its pending set can't be".into()));
            }
            let mut consumer = Consumer::restore(id, row.stream, row.config, &counters, pending);
            for row in self.entries.remove(&id).unwrap_or_default() {
                consumer.entries.restore(row);
            }
            for (number, row) in self.losses.remove(&id).unwrap_or_default() {
                consumer.lost.restore(number, row);
            }
            stream.consumers.insert(id);
            if consumer.next > stream.last + 1 {
                stream.early.insert(id);
            }
            state
                .consumer_names
                .insert((row.stream, consumer.config.name.clone()), id);
            state.consumers.insert(id, consumer);
        }
        Ok(())
    }
}

impl State {
    /// What was in flight when the process died and may be under the mark of a purge by subject: streams
    /// and sequences. Which of them are purged depends on their subjects.
    pub(crate) fn in_flight_under_marks(&self) -> Vec<(u32, u64)> {
        let mut found = BTreeSet::new();
        for consumer in self.consumers.values() {
            let Some(stream) = self.streams.get(&consumer.stream) else {
                continue;
            };
            if stream.purges.is_empty() {
                continue;
            }
            let marked = |seq: &u64| stream.may_be_purged(*seq);
            let seqs = consumer.was_in_flight().into_iter().filter(marked);
            found.extend(seqs.map(|seq| (consumer.stream, seq)));
        }
        found.into_iter().collect()
    }

    /// Nobody who held a delivery survives the process (R17): everything unsettled is due again. What
    /// died alone too often is given up by the first sweep. What was `purged` was gone when the process
    /// died: no attempt at it was cut short.
    pub(crate) fn end_outstanding_attempts(&mut self, purged: &BTreeSet<(u32, u64)>) {
        let ids: Vec<u32> = self.consumers.keys().copied().collect();
        let now = self.now;
        for id in ids {
            let Some(consumer) = self.consumers.get_mut(&id) else {
                continue;
            };
            let stream = consumer.stream;
            let changed = consumer.recover(now, |seq| purged.contains(&(stream, seq)));
            if !consumer.condemned.is_empty() {
                self.condemned_in.insert(id);
            }
            let exhausted: Vec<u64> = consumer
                .due
                .iter()
                .map(|(_, seq)| *seq)
                .filter(|seq| consumer.is_exhausted(consumer.entries.get(*seq)))
                .collect();
            for seq in exhausted {
                self.set_condemned(id, seq, &DeadReason::MaxDeliver);
            }
            if changed {
                self.touch_consumer(id);
            }
        }
    }

    /// Releases everything in flight, as when the store is closed (R10).
    pub(crate) fn release_leases(&mut self) {
        let ids: Vec<u32> = self.consumers.keys().copied().collect();
        for id in ids {
            if self
                .consumers
                .get_mut(&id)
                .is_some_and(Consumer::release_all)
            {
                self.touch_consumer(id);
            }
        }
    }

    /// Nobody fetched yet, but idleness counts from now.
    pub(crate) fn start_watching(&mut self, mono: Mono) {
        for consumer in self.consumers.values_mut() {
            consumer.pace.go_on(&consumer.config, mono);
            if consumer.last_fetch == Mono(0) {
                consumer.last_fetch = mono;
            }
            if consumer.last_active == Mono(0) {
                consumer.last_active = mono;
                self.alarm.at_mono(consumer.expires_at());
            }
        }
    }

    /// A purge mark that is at work on a stream; for readers.
    pub(crate) fn purge_marks(&self, stream: u32) -> Vec<PurgeMark> {
        self.streams
            .get(&stream)
            .map_or_else(Vec::new, |stream| stream.purges.clone())
    }
}
