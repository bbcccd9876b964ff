//! Creating, updating and deleting streams.

pub(super) mod consumers;

use super::difference::stream_difference;
use super::losing::{Losing, Progress};
use super::room::disk_bytes;
use super::stored::Need;
use super::{Consumer, Drop, State, Stream};
use crate::changes::{Change, RowKey, Table};
use crate::config::StreamConfig;
use crate::error::{InvalidSetting, StreamError};
use crate::state::envelope;
use crate::state::work_queue::keeps_retention;

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
        self.catalog_changes += 1;
        self.raised.look_anew();
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
    ///
    /// `None` says that not all of what it would remove was looked at, and to ask again.
    pub(crate) fn update_stream(
        &mut self,
        config: &StreamConfig,
        losing: Losing,
        progress: &mut Progress,
    ) -> Result<Option<Result<u32, StreamError>>, Need> {
        let id = match self.permit_update(config) {
            Ok(id) => id,
            Err(why) => return Ok(Some(Err(why))),
        };
        let known = self.streams.get(&id);
        if known.is_some_and(|known| known.config.dedup_release != config.dedup_release) {
            // What consumers are done with leaves by the settings of then.
            self.retire_before(id)?;
        }
        if losing == Losing::Refused {
            match self.keeps_messages(id, config, progress)? {
                None => return Ok(None),
                Some(Err(why)) => return Ok(Some(Err(why))),
                Some(Ok(())) => {}
            }
        }
        self.apply_update(id, config.clone());
        Ok(Some(Ok(id)))
    }

    /// The stream to update, if everything else lets it have its new settings.
    fn permit_update(&self, config: &StreamConfig) -> Result<u32, StreamError> {
        let not_found = || StreamError::NotFound {
            name: config.name.clone(),
        };
        let id = self.stream_id(&config.name).ok_or_else(not_found)?;
        let known = self.streams.get(&id).ok_or_else(not_found)?;
        known.permit_update(config)?;
        self.refuse_overlap(config, Some(id))?;
        self.keep_dead_letters(config)?;
        keeps_retention(&known.config, config)?;
        Ok(id)
    }

    fn apply_update(&mut self, id: u32, config: StreamConfig) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
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
        self.end_alerts_in(id);
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
}
