//! Updates by which messages would be lost: they need a word of their own.

use super::purge::stored_fact;
use super::stored::Need;
use super::{Consumer, State, Stream};
use crate::clock::micros;
use crate::config::{ConsumerConfig, Discard, OnExhausted, Retention, StreamConfig};
use crate::error::{ConsumerError, StreamError};
use crate::format::rows::{Place, Reason};

/// Messages that are looked at before others get their turn.
const LOOKED_AT_ONCE: u64 = 4_096;

/// Whether whoever makes an update said that messages may be lost by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Losing {
    Refused,
    Accepted,
}

/// How far it was looked what an update would remove.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// The next message that the age is judged by.
    aged: u64,
    /// The next one that it is to be seen of whether anybody needs it.
    needed: u64,
    /// What consumers there were and where they were, when it was looked.
    seen: (u64, u64),
}

/// What an update would remove at once, and the older settings would not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Nothing,
    /// Not all is looked at; ask again.
    Unknown,
    Messages {
        setting: &'static str,
        /// How many, where that takes no look at each.
        messages: Option<u64>,
    },
}

/// A limit, and what happens at it.
#[derive(Clone, Copy)]
struct Bound {
    most: Option<u64>,
    discard: Discard,
    settings: (&'static str, &'static str),
}

impl Bound {
    fn messages(config: &StreamConfig) -> Self {
        Self {
            most: config.max_messages,
            discard: config.discard,
            settings: ("max_messages", "discard"),
        }
    }

    fn bytes(config: &StreamConfig) -> Self {
        Self {
            most: config.max_bytes,
            discard: config.discard,
            settings: ("max_bytes", "discard"),
        }
    }

    fn per_subject(config: &StreamConfig) -> Self {
        Self {
            most: config.max_messages_per_subject,
            discard: config.discard_per_subject,
            settings: ("max_messages_per_subject", "discard_per_subject"),
        }
    }

    fn kept(self, stored: u64) -> u64 {
        match self.most {
            Some(most) if self.discard == Discard::Old => stored.min(most),
            _ => stored,
        }
    }

    /// What it takes of so much that the one before leaves.
    fn taken(self, before: Self, stored: u64) -> u64 {
        before.kept(stored).saturating_sub(self.kept(stored))
    }

    /// The setting that makes the difference.
    fn setting(self, before: Self) -> &'static str {
        if self.most == before.most {
            self.settings.1
        } else {
            self.settings.0
        }
    }
}

impl State {
    /// Refuses an update that removes messages by itself: as soon as it is made, and not because more are
    /// published or time passes. `None` says that not all was looked at, and to ask again.
    pub(super) fn keeps_messages(
        &mut self,
        id: u32,
        config: &StreamConfig,
        progress: &mut Progress,
    ) -> Result<Option<Result<(), StreamError>>, Need> {
        // What consumers are done with leaves anyway.
        self.retire_before(id)?;
        let Some(stream) = self.streams.get(&id) else {
            return Ok(Some(Ok(())));
        };
        let consumers = stream.consumers.iter();
        let moves = consumers.filter_map(|id| Some(self.consumers.get(id)?.moves));
        let seen = (self.catalog_changes, moves.sum());
        if progress.seen != seen {
            // Who needed what was looked at may be gone.
            *progress = Progress {
                seen,
                ..Progress::default()
            };
        }
        Ok(match self.judge_update(stream, config, progress)? {
            Judged::Nothing => Some(Ok(())),
            Judged::Unknown => None,
            Judged::Messages { setting, messages } => Some(Err(StreamError::WouldRemove {
                name: config.name.clone(),
                setting,
                messages,
            })),
        })
    }

    fn judge_update(
        &self,
        stream: &Stream,
        config: &StreamConfig,
        progress: &mut Progress,
    ) -> Result<Judged, Need> {
        if config.is_sealed() || stream.messages == 0 {
            return Ok(Judged::Nothing);
        }
        let limits = stream.taken_by_limits(config);
        if limits != Judged::Nothing {
            return Ok(limits);
        }
        match stream.taken_by_age(config, self.now, progress)? {
            Judged::Nothing => self.taken_by_retention(stream, config, progress),
            judged => Ok(judged),
        }
    }

    /// What nobody wants, or needs any more, where that made no difference before.
    ///
    /// What is acked while this looks at it leaves like what is acked after the update.
    fn taken_by_retention(
        &self,
        stream: &Stream,
        config: &StreamConfig,
        progress: &mut Progress,
    ) -> Result<Judged, Need> {
        let (known, drops) = (&stream.config, config.drops_unwanted());
        let setting = if config.retention != Retention::Interest {
            return Ok(Judged::Nothing);
        } else if known.retention != Retention::Interest {
            "retention"
        } else if drops && !known.drops_unwanted() {
            "unwanted"
        } else {
            return Ok(Judged::Nothing);
        };
        if stream.consumers.is_empty() {
            let messages = Some(stream.messages);
            return Ok(if drops {
                Judged::Messages { setting, messages }
            } else {
                Judged::Nothing
            });
        }
        let from = progress.needed.max(stream.first());
        for seq in from..=stream.last.min(from + LOOKED_AT_ONCE) {
            progress.needed = seq;
            if let Some(fact) = stored_fact(stream, seq)?
                && self.is_finished(stream, config, fact.seq, &fact.subject)
            {
                let messages = None;
                return Ok(Judged::Messages { setting, messages });
            }
            progress.needed = seq + 1;
        }
        Ok(if progress.needed > stream.last {
            Judged::Nothing
        } else {
            Judged::Unknown
        })
    }
}

impl Stream {
    fn taken_by_limits(&self, config: &StreamConfig) -> Judged {
        let (new, known) = (Bound::messages(config), Bound::messages(&self.config));
        let messages = new.taken(known, self.messages);
        if messages > 0 {
            return Judged::Messages {
                setting: new.setting(known),
                messages: Some(messages),
            };
        }
        let (new, known) = (Bound::bytes(config), Bound::bytes(&self.config));
        if new.taken(known, self.bytes) > 0 {
            return Judged::Messages {
                setting: new.setting(known),
                messages: None,
            };
        }
        let (new, known) = (Bound::per_subject(config), Bound::per_subject(&self.config));
        let limited = new.most.is_some() && (new.most, new.discard) != (known.most, known.discard);
        let subjects = self.subjects.iter().filter(|_| limited);
        let messages: u64 = subjects.map(|each| new.taken(known, each.count)).sum();
        match messages {
            0 => Judged::Nothing,
            messages => Judged::Messages {
                setting: new.setting(known),
                messages: Some(messages),
            },
        }
    }

    /// By the oldest message that is not too old already.
    fn taken_by_age(
        &self,
        config: &StreamConfig,
        now: u64,
        progress: &mut Progress,
    ) -> Result<Judged, Need> {
        let known = self.config.max_age;
        let Some(age) = config
            .max_age
            .filter(|age| known.is_none_or(|known| *age < known))
        else {
            return Ok(Judged::Nothing);
        };
        let from = progress.aged.max(self.first());
        for seq in from..=self.last.min(from + LOOKED_AT_ONCE) {
            progress.aged = seq;
            let fact = stored_fact(self, seq)?;
            let over = |time: u64, age| time.saturating_add(micros(age)) <= now;
            if let Some(fact) = fact.filter(|fact| !known.is_some_and(|age| over(fact.time, age))) {
                let (setting, messages) = ("max_age", None);
                return Ok(if over(fact.time, age) {
                    Judged::Messages { setting, messages }
                } else {
                    Judged::Nothing
                });
            }
            progress.aged = seq + 1;
        }
        Ok(if progress.aged > self.last {
            Judged::Nothing
        } else {
            Judged::Unknown
        })
    }
}

impl State {
    /// Refuses other filters that leave out what the ones before want, where that leaves a stream when nobody
    /// wants it. Whether another consumer does is not looked at.
    pub(super) fn keeps_wanted(
        &self,
        consumer: &Consumer,
        config: &ConsumerConfig,
    ) -> Result<(), ConsumerError> {
        let (before, after) = (&consumer.filters, config.parsed_filters());
        let source = self.streams.get(&consumer.stream);
        let source = source.filter(|known| {
            known.config.retention == Retention::Interest && known.config.removes_finished()
        });
        let Some(source) = source.filter(|_| !after.is_empty()) else {
            return Ok(());
        };
        let still = |name: &str| after.iter().any(|filter| filter.matches(name));
        let left_out = if before.is_empty() {
            let kept = source.subjects.matching(&after).map(|known| known.count);
            source.messages - kept.sum::<u64>()
        } else {
            let wanted = source.subjects.matching(before);
            let left_out = wanted.filter(|known| !still(&known.name));
            left_out.map(|known| known.count).sum()
        };
        match left_out {
            0 => Ok(()),
            messages => Err(ConsumerError::WouldDrop {
                name: config.name.clone(),
                setting: "filters",
                messages,
            }),
        }
    }
}

impl Consumer {
    /// Refuses an update by which messages are given up at once of which nothing is kept.
    pub(super) fn keeps_messages(&self, config: &ConsumerConfig) -> Result<(), ConsumerError> {
        let would_drop = |setting, messages| {
            Err(ConsumerError::WouldDrop {
                name: config.name.clone(),
                setting,
                messages,
            })
        };
        let exhausted = self.newly_exhausted(config).len() as u64;
        if exhausted > 0 && !keeps(&config.on_exhausted, &Reason::MaxDeliver) {
            return would_drop("max_deliver", exhausted);
        }
        let condemned = self.condemned.iter().filter(|seq| {
            let Place::Condemned { reason } = &self.entries.get(**seq).place else {
                return false;
            };
            keeps(&self.config.on_exhausted, reason) && !keeps(&config.on_exhausted, reason)
        });
        match condemned.count() as u64 {
            0 => Ok(()),
            messages => would_drop("on_exhausted", messages),
        }
    }
}

/// Whether a message that is given up is kept, or a copy of it.
fn keeps(on_exhausted: &OnExhausted, reason: &Reason) -> bool {
    match on_exhausted {
        OnExhausted::DeadLetter { .. } => true,
        OnExhausted::Park => *reason == Reason::MaxDeliver,
        OnExhausted::Drop => false,
    }
}
