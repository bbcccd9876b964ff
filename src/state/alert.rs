//! Alerts: consumers that are stuck or behind, and dead letters that pile up. What is told once holds
//! until it is told that it is over; nothing of it is stored.

use super::stored::Need;
use super::trim::Trimmed;
use super::{Consumer, State};
use crate::clock::Mono;
use crate::config::Alerts;
use crate::event::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Alerts that have begun and are not over.
#[derive(Debug, Default)]
pub(crate) struct Raised {
    /// Since when a consumer holds something and has finished nothing, and how much it had finished by then.
    since: BTreeMap<u32, (Mono, u64)>,
    stuck: BTreeSet<u32>,
    behind: BTreeSet<u32>,
    /// With how many messages it is told again.
    letters: BTreeMap<u32, u64>,
    /// The streams that take dead letters; none, if that is to be found out anew.
    takers: Option<BTreeSet<u32>>,
}

impl Raised {
    /// Streams or consumers came, went or were updated.
    pub(super) fn look_anew(&mut self) {
        self.takers = None;
    }
}

impl State {
    /// What was recovered counts from now. Nobody can have subscribed yet: what stands is told to those who
    /// will.
    pub(crate) fn begin_alerts(&mut self, alerts: Alerts, mono: Mono) -> Vec<Event> {
        self.alerts = alerts;
        let (events, work) = (std::mem::take(&mut self.open.events), self.open.work);
        for id in self.consumers.keys().copied().collect::<Vec<_>>() {
            self.watch_progress(id, mono);
            self.watch_lag(id);
        }
        self.watch_letters();
        self.open.work = work;
        std::mem::replace(&mut self.open.events, events)
    }

    /// Looks at what the open group changed, before it is sealed.
    pub(crate) fn watch(&mut self, mono: Mono) {
        let mut consumers = self.open.consumers.clone();
        for id in &consumers {
            self.watch_progress(*id, mono);
        }
        if self.alerts.lag_messages.is_some() {
            let streams = self.open.streams.iter();
            let streams = streams.filter_map(|id| self.streams.get(id));
            consumers.extend(streams.flat_map(|stream| stream.consumers.iter().copied()));
            for id in &consumers {
                self.watch_lag(*id);
            }
        }
        self.watch_letters();
    }

    fn watch_progress(&mut self, id: u32, mono: Mono) {
        let Some(consumer) = self.consumers.get(&id) else {
            return;
        };
        let finished = consumer.finished();
        if consumer.unfinished() == 0 {
            self.raised.since.remove(&id);
        } else {
            let known = self.raised.since.get(&id);
            if known.is_some_and(|(_, before)| *before == finished) {
                return;
            }
            self.raised.since.insert(id, (mono, finished));
        }
        if self.raised.stuck.remove(&id) {
            self.end_stuck(id);
        }
        self.alarm.at_mono(self.stuck_at(id));
    }

    fn end_stuck(&mut self, id: u32) {
        let (stream, consumer) = self.names_of(id);
        self.tell(Event::ConsumerUnstuck { stream, consumer });
    }

    fn names_of(&self, id: u32) -> (String, String) {
        let consumer = self.consumers.get(&id);
        consumer.map_or_else(Default::default, |known| {
            (self.stream_name(known.stream), known.config.name.clone())
        })
    }

    fn watch_lag(&mut self, id: u32) {
        let Some(bound) = self.alerts.lag_messages else {
            return;
        };
        let Some(consumer) = self.consumers.get(&id) else {
            return;
        };
        let Some(known) = self.streams.get(&consumer.stream) else {
            return;
        };
        let behind = self.raised.behind.contains(&id);
        // Counting what is ahead may look at many subjects: only where it decides.
        if !behind && consumer.lag_at_most(known) <= bound {
            return;
        }
        let lag = self.lag(consumer);
        let (stream, consumer) = self.names_of(id);
        if !behind && lag > bound {
            self.raised.behind.insert(id);
            self.tell(Event::ConsumerBehind {
                stream,
                consumer,
                lag,
                bound,
            });
        } else if behind && lag <= bound / 2 {
            self.raised.behind.remove(&id);
            self.tell(Event::ConsumerCaughtUp {
                stream,
                consumer,
                lag,
            });
        }
    }

    fn watch_letters(&mut self) {
        let Some(bound) = self.alerts.dead_letters else {
            return;
        };
        let ids: BTreeSet<u32> = if let Some(takers) = &self.raised.takers {
            self.open.streams.intersection(takers).copied().collect()
        } else {
            let consumers = self.consumers.values();
            let names = consumers.filter_map(|known| known.config.dead_letter_stream());
            let takers: BTreeSet<u32> = names.filter_map(|name| self.stream_id(name)).collect();
            let all = takers.iter().chain(self.raised.letters.keys());
            let all = all.copied().collect();
            self.raised.takers = Some(takers);
            all
        };
        for id in ids {
            self.watch_letters_of(id, bound);
        }
    }

    fn watch_letters_of(&mut self, id: u32, bound: u64) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let (messages, name) = (stream.messages, stream.config.name.clone());
        let takers = self.raised.takers.as_ref();
        let is_taker = takers.is_some_and(|takers| takers.contains(&id));
        let known = self.raised.letters.get(&id).copied();
        if is_taker && messages >= known.unwrap_or(bound) {
            let again = messages.saturating_mul(2);
            self.raised.letters.insert(id, again);
            self.tell(Event::DeadLettersPiledUp {
                stream: name,
                messages,
            });
        } else if known.is_some() && (!is_taker || messages <= bound / 2) {
            self.raised.letters.remove(&id);
            self.tell(Event::DeadLettersCleared {
                stream: name,
                messages,
            });
        }
    }

    /// Tells of consumers that have finished nothing for too long; says whether there is more to do before.
    pub(super) fn tell_stuck(&mut self, mono: Mono, budget: &mut usize) -> Result<bool, Need> {
        if self.next_stuck().is_none_or(|at| at > mono) {
            return Ok(false);
        }
        // What this very group takes from a consumer, or has it finish, counts.
        if self.enforce_limits(budget)? == Trimmed::More {
            return Ok(true);
        }
        for id in self.open.consumers.clone() {
            self.watch_progress(id, mono);
        }
        let over = |id: &u32| self.stuck_at(*id).is_some_and(|at| at <= mono);
        let ids = self.raised.since.keys().copied().filter(over);
        for id in ids.collect::<Vec<_>>() {
            let Some(consumer) = self.consumers.get(&id) else {
                continue;
            };
            let is_out = !consumer.leases.is_empty() || !consumer.due.is_empty();
            if !is_out || consumer.paused_until(self.now).is_some() {
                // It is not to do anything now; look again after as long.
                if let Some((since, _)) = self.raised.since.get_mut(&id) {
                    *since = mono;
                }
                continue;
            }
            self.raised.stuck.insert(id);
            let after = self.stuck_after(consumer).unwrap_or_default();
            let unfinished = consumer.unfinished();
            let (stream, consumer) = self.names_of(id);
            self.tell(Event::ConsumerStuck {
                stream,
                consumer,
                unfinished,
                after,
            });
        }
        Ok(false)
    }

    fn stuck_after(&self, consumer: &Consumer) -> Option<Duration> {
        self.alerts.stuck_after(consumer.config.longest_attempt())
    }

    /// When a consumer is stuck that goes on like this, if that was not told yet.
    fn stuck_at(&self, id: u32) -> Option<Mono> {
        let (since, _) = self.raised.since.get(&id)?;
        let after = self.stuck_after(self.consumers.get(&id)?)?;
        (!self.raised.stuck.contains(&id)).then(|| since.plus(after))
    }

    /// When the first consumer is.
    pub(super) fn next_stuck(&self) -> Option<Mono> {
        let ids = self.raised.since.keys();
        ids.filter_map(|id| self.stuck_at(*id)).min()
    }

    /// A consumer is about to be gone, and so are its alerts.
    pub(super) fn end_alerts_of(&mut self, id: u32) {
        self.raised.since.remove(&id);
        if self.raised.stuck.remove(&id) {
            self.end_stuck(id);
        }
        if self.raised.behind.remove(&id) {
            let (stream, consumer) = self.names_of(id);
            self.tell(Event::ConsumerCaughtUp {
                stream,
                consumer,
                lag: 0,
            });
        }
    }

    /// The same of a stream and its consumers.
    pub(super) fn end_alerts_in(&mut self, stream: u32) {
        let consumers = self.streams.get(&stream);
        let consumers = consumers.map_or_else(BTreeSet::new, |known| known.consumers.clone());
        for id in consumers {
            self.end_alerts_of(id);
        }
        if self.raised.letters.remove(&stream).is_some() {
            self.tell(Event::DeadLettersCleared {
                stream: self.stream_name(stream),
                messages: 0,
            });
        }
    }
}

impl Consumer {
    /// Messages that it is done with: acked, given up with a copy, or without.
    fn finished(&self) -> u64 {
        self.totals.acked + self.totals.dead_lettered + self.totals.dropped
    }
}
