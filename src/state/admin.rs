//! Creating, updating and deleting streams and consumers.

use super::difference::{consumer_difference, stream_difference};
use super::entries::UNDELIVERED;
use super::room::disk_bytes;
use super::{Consumer, Drop, State, Stream};
use crate::changes::{Change, RowKey, Table};
use crate::config::{ConsumerConfig, Discard, StreamConfig};
use crate::error::{ConsumerError, InvalidSetting, StreamError};
use crate::format::rows::Place;
use crate::state::envelope;
use crate::state::work_queue::keeps_retention;
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
    /// Creates a stream, or finds the one that is just like it.
    pub(crate) fn create_stream(&mut self, config: StreamConfig) -> Result<u32, StreamError> {
        if let Some(id) = self.stream_id(&config.name) {
            let known = self.streams.get(&id).map(|stream| stream.config.as_ref());
            return match known.and_then(|known| stream_difference(known, &config)) {
                Some(setting) => Err(StreamError::Exists {
                    name: config.name,
                    setting,
                }),
                None => Ok(id),
            };
        }
        if config.is_sealed() {
            let why = "a stream is sealed by an update, when it has all that it is to have";
            return Err(InvalidSetting::new("sealed", why).into());
        }
        self.refuse_overlap(&config, None)?;
        Ok(self.add_stream(config))
    }

    fn add_stream(&mut self, config: StreamConfig) -> u32 {
        let id = self.next_stream;
        self.next_stream += 1;
        let stream = Stream::new(id, config);
        self.stream_names.insert(stream.config.name.clone(), id);
        self.routes.add(id, &stream.filters);
        self.open.changes.push(stream.config_change());
        self.streams.insert(id, stream);
        self.touch_stream(id);
        self.touch_catalog();
        id
    }

    /// The catalog changed: its numbers go with the group, and so do answers about it.
    fn touch_catalog(&mut self) {
        self.catalog_group = self.group;
        self.save_facts();
    }

    fn refuse_overlap(&self, config: &StreamConfig, own: Option<u32>) -> Result<(), StreamError> {
        for filter in config.filters() {
            for other in self.streams.values().filter(|other| Some(other.id) != own) {
                if let Some(taken) = other.filters.iter().find(|taken| taken.overlaps(&filter)) {
                    return Err(StreamError::SubjectOverlap {
                        subject: filter.to_string(),
                        taken: taken.to_string(),
                        other: other.config.name.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Gives a stream another configuration; its messages and consumers stay, as far as the new limits
    /// allow.
    pub(crate) fn update_stream(&mut self, config: StreamConfig) -> Result<u32, StreamError> {
        let not_found = || StreamError::NotFound {
            name: config.name.clone(),
        };
        let id = self.stream_id(&config.name).ok_or_else(not_found)?;
        if let Some(known) = self.streams.get(&id) {
            known.permit_update(&config)?;
        }
        self.refuse_overlap(&config, Some(id))?;
        self.keep_dead_letters(&config)?;
        let now = self.now;
        let stream = self.streams.get_mut(&id).ok_or_else(not_found)?;
        keeps_retention(&stream.config, &config)?;
        let (kept, keeps) = (stream.config.retention, config.retention);
        let unwanted = stream.config.unwanted != config.unwanted;
        let horizon = stream.dedup_horizon(now).unwrap_or(0);
        stream.dedup.forget_for_good(match config.dedup_window {
            Some(_) => horizon,
            None => u64::MAX,
        });
        stream.set_config(config);
        stream.removals += 1;
        stream.relented += 1;
        let change = stream.config_change();
        self.routes.remove(id);
        self.routes.add(id, &stream.filters);
        if kept != keeps {
            stream.finished.clear();
            stream.rejudged = None;
        }
        self.open.changes.push(change);
        self.touch_stream(id);
        if kept != keeps || unwanted {
            self.rejudge(id);
        }
        self.touch_catalog();
        self.sweep_wanted = true;
        Ok(id)
    }

    /// Whether dead letters still fit: those that the stream is named for, and its own.
    fn keep_dead_letters(&self, config: &StreamConfig) -> Result<(), StreamError> {
        for consumer in self.senders_to(&config.name) {
            let Some(source) = self.streams.get(&consumer.stream) else {
                continue;
            };
            let subject =
                envelope::subject(&config.name, &source.config.name, &consumer.config.name);
            let captured = config
                .filters()
                .iter()
                .any(|filter| filter.matches(&subject));
            let forgets = config.drops_unwanted();
            if !captured || forgets || config.max_message_size < source.config.max_message_size {
                return Err(self.in_use(config.name.clone(), consumer));
            }
        }
        self.fit_dead_letter_streams(config)
    }

    /// Whether the streams that take the dead letters of this one's consumers take its largest message.
    fn fit_dead_letter_streams(&self, config: &StreamConfig) -> Result<(), StreamError> {
        let id = self.stream_id(&config.name);
        let own = self
            .consumers
            .values()
            .filter(|known| Some(known.stream) == id);
        for to in own.filter_map(|consumer| consumer.config.dead_letter_stream()) {
            let Some(target) = self.stream_id(to).and_then(|id| self.streams.get(&id)) else {
                continue;
            };
            let most = target.config.max_message_size;
            if most < config.max_message_size {
                let why = format!(
                    "dead letters go to `{to}`, whose messages have at most {most} bytes; raise that first"
                );
                return Err(InvalidSetting::new("max_message_size", why).into());
            }
        }
        Ok(())
    }

    fn senders_to<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Consumer> {
        let sends = move |known: &&Consumer| known.config.dead_letter_stream() == Some(name);
        self.consumers.values().filter(sends)
    }

    fn in_use(&self, name: String, consumer: &Consumer) -> StreamError {
        let source_stream = self.stream_name(consumer.stream);
        StreamError::InUse {
            name,
            consumer: consumer.config.name.clone(),
            source_stream,
        }
    }

    /// Deletes a stream with its consumers. What it occupies is freed in steps afterwards (R9).
    pub(crate) fn delete_stream(&mut self, name: &str) -> Result<(), StreamError> {
        let not_found = || StreamError::NotFound {
            name: name.to_owned(),
        };
        let id = self.stream_id(name).ok_or_else(not_found)?;
        if let Some(sender) = self.senders_to(name).find(|sender| sender.stream != id) {
            return Err(self.in_use(name.to_owned(), sender));
        }
        let stream = self.streams.remove(&id).ok_or_else(not_found)?;
        for consumer in stream.consumers {
            self.remove_consumer(consumer);
        }
        for (_, waiting) in stream.scheduled.iter_from(0) {
            self.room.free_aside(disk_bytes(waiting.size));
        }
        self.stream_names.remove(name);
        self.routes.remove(id);
        let key = RowKey::new(Table::StreamConfig, id, 0);
        self.open.changes.push(Change::Delete { key });
        let key = RowKey::new(Table::Drops, id, 0);
        self.open.changes.push(Change::Put {
            key,
            value: vec![1],
        });
        self.drops.remove(&Drop::Blocks(id));
        self.drops.insert(Drop::Stream(id));
        self.open.streams.remove(&id);
        self.touch_catalog();
        self.sweep_wanted = true;
        Ok(())
    }

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
        source.consumers.insert(id);
        if next > source.last + 1 {
            if source.early.is_empty() {
                source.early_from = source.last + 1;
            }
            source.early.insert(id);
        }
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
    /// more often than a lowered limit allows is given up in this very group.
    pub(crate) fn update_consumer(
        &mut self,
        id: u32,
        config: ConsumerConfig,
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
            ("filters", consumer.config.filters == config.filters),
            (
                "ack_policy",
                consumer.config.ack_policy == config.ack_policy,
            ),
        ] {
            if !same {
                return Err(ConsumerError::Fixed { setting });
            }
        }
        if consumer.config.on_exhausted != config.on_exhausted {
            self.prepare_dead_letters(stream, &config)?;
        }
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return Ok(());
        };
        consumer.config = config.into();
        consumer.refused_at = None;
        let change = consumer.config_change();
        let over = consumer.newly_exhausted();
        self.open.changes.push(change);
        for seq in over {
            self.set_condemned(id, seq, &crate::event::DeadReason::MaxDeliver);
        }
        self.touch_consumer(id);
        self.touch_catalog();
        self.sweep_wanted = true;
        Ok(())
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
            self.rejudge(stream);
            self.touch_catalog();
        }
    }

    fn remove_consumer(&mut self, id: u32) {
        let Some(consumer) = self.consumers.remove(&id) else {
            return;
        };
        self.consumer_names
            .remove(&(consumer.stream, consumer.config.name.clone()));
        for table in [Table::ConsumerConfig, Table::ConsumerState] {
            let key = RowKey::new(table, id, 0);
            self.open.changes.push(Change::Delete { key });
        }
        let (table, from, to) = (Table::Exceptions, 0, u64::MAX);
        self.open.changes.push(Change::DeleteParts {
            table,
            id,
            from,
            to,
        });
        self.open.consumers.remove(&id);
    }
}

impl Consumer {
    /// Makes messages due that were never delivered.
    fn begin_with(&mut self, due: &[u64]) {
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
    fn newly_exhausted(&self) -> Vec<u64> {
        let waits = |place: &Place| matches!(place, Place::Due | Place::Delayed { .. });
        let over = |(seq, entry): (u64, &crate::format::rows::EntryRow)| {
            (waits(&entry.place) && self.is_exhausted(entry)).then_some(seq)
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
