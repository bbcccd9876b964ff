//! Creating, updating and deleting consumers.

use crate::changes::{Change, RowKey, Table};
use crate::config::{ConsumerConfig, Discard, StreamConfig};
use crate::error::{ConsumerError, InvalidSetting};
use crate::format::rows::Place;
use crate::state::consumer::is_exhausted;
use crate::state::difference::consumer_difference;
use crate::state::entries::UNDELIVERED;
use crate::state::envelope;
use crate::state::rate::Pace;
use crate::state::{Consumer, Losing, State};
use std::collections::BTreeSet;

/// Bytes of a dead-letter stream that is made on demand.
const DEAD_LETTER_BYTES: u64 = 1 << 30;
/// Messages of a dead-letter stream that is made on demand.
const DEAD_LETTER_MESSAGES: u64 = 1_000_000;

/// Where a new consumer starts.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) next: u64,
    /// How many of the messages stored from there on match.
    pub(crate) live: u64,
    /// Messages before that which it gets first, in order.
    pub(crate) due: Vec<u64>,
}

impl From<(u64, u64)> for Start {
    fn from((next, live): (u64, u64)) -> Self {
        let due = Vec::new();
        Self { next, live, due }
    }
}

impl State {
    /// Finds a consumer that is just like this one; a different one of the same name is a conflict.
    pub(crate) fn find_consumer(
        &self,
        stream: u32,
        config: &ConsumerConfig,
    ) -> Result<Option<u32>, ConsumerError> {
        let Some(id) = self.consumer_id(stream, &config.name) else {
            return Ok(None);
        };
        let known = self
            .consumers
            .get(&id)
            .map(|consumer| consumer.config.as_ref());
        match known.and_then(|known| consumer_difference(known, config)) {
            Some(setting) => Err(ConsumerError::Exists {
                name: config.name.clone(),
                setting,
            }),
            None => Ok(Some(id)),
        }
    }

    /// Adds a consumer.
    pub(crate) fn add_consumer(
        &mut self,
        stream: u32,
        config: ConsumerConfig,
        start: Start,
    ) -> Result<u32, ConsumerError> {
        if let Some(source) = self.streams.get(&stream) {
            source.admit_consumer()?;
        }
        self.fits_work_queue(stream, &config, None)?;
        let Start { next, live, due } = start;
        self.prepare_dead_letters(stream, &config)?;
        let id = self.next_consumer;
        self.next_consumer += 1;
        let mut consumer = Consumer::new(id, stream, config, next);
        consumer.pace = Pace::of_new(&consumer.config, self.mono);
        let Some(source) = self.streams.get_mut(&stream) else {
            return Err(ConsumerError::StreamGone {
                stream: String::new(),
            });
        };
        let (total, stored) = if consumer.filters.is_empty() {
            (source.published, source.messages)
        } else {
            let matching = source.subjects.matching(&consumer.filters);
            matching.fold((0, 0), |(total, stored), known| {
                (total + known.total, stored + known.count)
            })
        };
        assert!(total >= live, "no more can match than were ever published");
        consumer.accounted = total - live;
        consumer.totals.skipped = stored.saturating_sub(live + due.len() as u64);
        consumer.begin_with(&due);
        consumer.removals_from = source.removed.mark();
        consumer.begin_replay(source.last);
        source.consumers.insert(id);
        source.note_early(id, next);
        self.consumer_names
            .insert((stream, consumer.config.name.clone()), id);
        self.open.changes.push(consumer.config_change());
        self.consumers.insert(id, consumer);
        self.touch_consumer(id);
        self.touch_catalog();
        Ok(id)
    }

    /// Makes sure that the dead-letter stream takes the consumer's messages; creates it on demand (R19).
    fn prepare_dead_letters(
        &mut self,
        stream: u32,
        config: &ConsumerConfig,
    ) -> Result<(), ConsumerError> {
        let Some(to) = config.dead_letter_stream() else {
            return Ok(());
        };
        let refused = |why: String| ConsumerError::DeadLetter {
            stream: to.to_owned(),
            why,
        };
        let Some(source) = self.streams.get(&stream) else {
            return Err(ConsumerError::StreamGone {
                stream: String::new(),
            });
        };
        if self.leads_to(to, &source.config.name) {
            return Err(refused(
                "they would come back to the stream they left".into(),
            ));
        }
        let Some(target) = self.stream_id(to).and_then(|id| self.streams.get(&id)) else {
            let made = dead_letter_config(to)?;
            self.refuse_overlap(&made, None)
                .map_err(|why| refused(why.to_string()))?;
            self.add_stream(made);
            return Ok(());
        };
        target
            .admit_open()
            .map_err(|why| refused(why.to_string()))?;
        if target.config.drops_unwanted() {
            return Err(refused(
                "its `retention` is Interest, so that a dead letter that no consumer wants would be lost; use Limits or Unwanted::Keep".into(),
            ));
        }
        let subject = envelope::subject(to, &source.config.name, &config.name);
        if !target.captures(&subject) {
            return Err(refused(format!(
                "it does not capture the subject `{subject}`"
            )));
        }
        let (most, needed) = (
            target.config.max_message_size,
            source.config.max_message_size,
        );
        if most < needed {
            return Err(refused(format!(
                "its messages have at most {most} bytes, not {needed}"
            )));
        }
        Ok(())
    }

    /// Whether dead letters of one stream can end in another, over any number of steps.
    fn leads_to(&self, from: &str, to: &str) -> bool {
        let mut reached = BTreeSet::from([from.to_owned()]);
        let mut open = vec![from.to_owned()];
        while let Some(name) = open.pop() {
            let Some(id) = self.stream_id(&name) else {
                continue;
            };
            for consumer in self
                .consumers
                .values()
                .filter(|consumer| consumer.stream == id)
            {
                let next = consumer
                    .config
                    .dead_letter_stream()
                    .unwrap_or_default()
                    .to_owned();
                if reached.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        reached.contains(to)
    }

    /// Gives a consumer another configuration. Its place and its messages stay; a message that failed
    /// more often than a lowered limit allows is given up in this very group. Other filters need to know
    /// how many messages they match from its place on.
    pub(crate) fn update_consumer(
        &mut self,
        id: u32,
        config: ConsumerConfig,
        losing: Losing,
        ahead: Option<u64>,
    ) -> Result<(), ConsumerError> {
        let name = config.name.clone();
        let Some(consumer) = self.consumers.get(&id) else {
            return Err(ConsumerError::NotFound {
                name,
                stream: String::new(),
            });
        };
        let stream = consumer.stream;
        // Only a pause is paused by, or ended.
        let mut config = config;
        config.pause_until = consumer.config.pause_until;
        for (setting, same) in [
            ("deliver", consumer.config.deliver == config.deliver),
            (
                "filters",
                ahead.is_some() || !consumer.changes_filters(&config),
            ),
            (
                "ack_policy",
                consumer.config.ack_policy == config.ack_policy,
            ),
            ("replay", consumer.config.replay == config.replay),
        ] {
            if !same {
                return Err(ConsumerError::Fixed { setting });
            }
        }
        if losing == Losing::Refused {
            consumer.keeps_messages(&config)?;
        }
        let ahead = ahead.filter(|_| consumer.changes_filters(&config));
        let moved = consumer.config.on_exhausted != config.on_exhausted;
        if ahead.is_some() {
            self.fits_work_queue(stream, &config, Some(id))?;
            self.shares_nothing(consumer, &config)?;
            if losing == Losing::Refused {
                self.keeps_wanted(consumer, &config)?;
            }
        }
        if moved {
            self.prepare_dead_letters(stream, &config)?;
        }
        if let Some(ahead) = ahead {
            self.refilter(id, &config, ahead);
        }
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return Ok(());
        };
        let over = consumer.newly_exhausted(&config);
        consumer.config = config.into();
        consumer.pace.change(&consumer.config, self.mono);
        consumer.refused_at = None;
        let change = consumer.config_change();
        self.open.changes.push(change);
        for seq in over {
            self.set_condemned(id, seq, &crate::event::DeadReason::MaxDeliver);
        }
        self.touch_consumer(id);
        self.touch_catalog();
        self.sweep_wanted = true;
        Ok(())
    }

    /// Has a consumer match other subjects from its place on; what it holds stays with it.
    fn refilter(&mut self, id: u32, config: &ConsumerConfig, ahead: u64) {
        // What it is done with was judged by the filters of then.
        self.collect_finished();
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return;
        };
        let stream = consumer.stream;
        let last = self.streams.get(&stream).map_or(0, |known| known.last);
        consumer.filters = config.parsed_filters().into();
        consumer.filters_from = consumer.next.min(last + 1);
        consumer.filters_below = last + 1;
        // What was read by the filters before is not claimed.
        consumer.moves += 1;
        let total = self.total_wanted(id);
        debug_assert!(total >= ahead, "no more can match than were ever published");
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.accounted = total.saturating_sub(ahead);
        }
        self.end_lag(stream);
        self.rejudge(stream);
    }

    /// Deletes a consumer; its messages stay in the stream.
    pub(crate) fn delete_consumer(&mut self, id: u32) {
        // What it is done with in the open group is done, whether it is still there at its end or not.
        self.collect_finished();
        if let Some(consumer) = self.consumers.get(&id) {
            let stream = consumer.stream;
            if let Some(known) = self.streams.get_mut(&stream) {
                known.consumers.remove(&id);
                known.early.remove(&id);
            }
            self.remove_consumer(id);
            self.end_lag(stream);
            self.rejudge(stream);
            self.touch_catalog();
        }
    }

    pub(super) fn remove_consumer(&mut self, id: u32) {
        self.end_alerts_of(id);
        let Some(consumer) = self.consumers.remove(&id) else {
            return;
        };
        self.consumer_names
            .remove(&(consumer.stream, consumer.config.name.clone()));
        for table in [Table::ConsumerConfig, Table::ConsumerState] {
            let key = RowKey::new(table, id, 0);
            self.open.changes.push(Change::Delete { key });
        }
        for table in [Table::Exceptions, Table::Losses] {
            let (from, to) = (0, u64::MAX);
            self.open.changes.push(Change::DeleteParts {
                table,
                id,
                from,
                to,
            });
        }
        self.open.consumers.remove(&id);
    }
}

impl Consumer {
    /// Whether another configuration matches other subjects, as far as it says.
    pub(crate) fn changes_filters(&self, config: &ConsumerConfig) -> bool {
        self.config.filters != config.filters
    }

    /// Makes messages due that were never delivered.
    pub(in crate::state) fn begin_with(&mut self, due: &[u64]) {
        let Some(first) = due.first() else { return };
        self.floor = self.floor.min(first - 1);
        let rank = self.fresh_rank();
        for seq in due {
            self.pending.insert(*seq);
            *self.entries.change(*seq) = UNDELIVERED;
            self.queue_due(*seq, rank);
        }
    }

    /// Messages waiting for another attempt that a lowered limit no longer allows.
    pub(in crate::state) fn newly_exhausted(&self, config: &ConsumerConfig) -> Vec<u64> {
        let waits = |place: &Place| matches!(place, Place::Due | Place::Delayed { .. });
        let over = |(seq, entry): (u64, &crate::format::rows::EntryRow)| {
            (waits(&entry.place) && is_exhausted(config, entry)).then_some(seq)
        };
        self.entries.iter().filter_map(over).collect()
    }
}

fn dead_letter_config(name: &str) -> Result<StreamConfig, InvalidSetting> {
    StreamConfig::new(name)
        .subjects([format!("{name}.>")])
        .max_messages(DEAD_LETTER_MESSAGES)
        .max_bytes(DEAD_LETTER_BYTES)
        .discard(Discard::New)
        .without_dedup()
        .validated()
}
