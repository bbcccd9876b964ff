//! The oracle: a store as RULES.md describes it, in memory, with nothing but lists and loops.
//!
//! Every rule answers in words (`"Full"`, `"acked"`), which is how answers are compared.

use crate::letters::dead_letter_stream;
use crate::model::{
    Consumer, Draft, End, Held, Left, Origin, Place, Reason, Stored, Stream, Totals,
};
use crate::rates::Pace;
use crate::replays::Replay;
use riverbed::{DedupMode, Discard, StreamConfig};
use std::collections::{BTreeMap, BTreeSet};

/// Distinct subjects that a stream may have in these tests.
pub(crate) const SUBJECTS: u64 = 5;
/// Messages that may wait for their time in a stream.
pub(crate) const SCHEDULED: u64 = 6;
/// Messages of a stream that may have a time to live.
pub(crate) const TTLS: u64 = 3;

/// A delivery that somebody holds or held.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) stream: String,
    pub(crate) consumer: String,
    pub(crate) born: u64,
    pub(crate) seq: u64,
    /// When it was handed out.
    pub(crate) at: u64,
}

/// A store as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Oracle {
    pub(crate) streams: BTreeMap<String, Stream>,
    /// Microseconds.
    pub(crate) now: u64,
    pub(crate) deliveries: BTreeMap<u64, Delivery>,
    pub(crate) next_delivery: u64,
    born: u64,
    next_uid: u64,
    /// What subscribers should have been told, summed up.
    pub(crate) told: BTreeMap<String, u64>,
    /// Rules that were met, for coverage.
    pub(crate) met: Vec<&'static str>,
    /// Whether limits wait for a later commit, as with pipelined publishes.
    pub(crate) defer_limits: bool,
    /// Whether commits are synced later, so that it matters where each of them ends.
    pub(crate) syncs_later: bool,
    /// What the store was where they ended, but for the last one of an operation.
    pub(crate) commits: Vec<Oracle>,
    /// What the store may be between two messages that are sent, of an operation that may be cut off there.
    pub(crate) halfway: Option<Vec<Oracle>>,
}

impl Oracle {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            streams: BTreeMap::new(),
            now,
            deliveries: BTreeMap::new(),
            next_delivery: 1,
            born: 0,
            next_uid: 1,
            told: BTreeMap::new(),
            met: Vec::new(),
            defer_limits: false,
            syncs_later: false,
            commits: Vec::new(),
            halfway: None,
        }
    }

    pub(crate) fn consumer(&self, stream: &str, name: &str) -> Option<&Consumer> {
        self.streams.get(stream)?.consumers.get(name)
    }

    pub(crate) fn consumer_mut(&mut self, stream: &str, name: &str) -> Option<&mut Consumer> {
        self.streams.get_mut(stream)?.consumers.get_mut(name)
    }

    /// All consumers in the order of their creation.
    pub(crate) fn by_age(&self) -> Vec<(String, String)> {
        let mut all: Vec<(u64, String, String)> = Vec::new();
        for (stream, known) in &self.streams {
            for (name, consumer) in &known.consumers {
                all.push((consumer.born, stream.clone(), name.clone()));
            }
        }
        all.sort();
        all.into_iter()
            .map(|(_, stream, name)| (stream, name))
            .collect()
    }

    pub(crate) fn tell(&mut self, what: String, count: u64) {
        *self.told.entry(what).or_default() += count;
    }

    pub(crate) fn senders_to(&self, dead: &str) -> Vec<(String, String)> {
        let sends = |(stream, name): &(String, String)| {
            let consumer = self.consumer(stream, name).unwrap();
            dead_letter_stream(consumer).is_some_and(|to| to == dead)
        };
        self.by_age().into_iter().filter(sends).collect()
    }

    pub(crate) fn add_stream(&mut self, config: StreamConfig) {
        let stream = Stream {
            last: config.first_sequence.get() - 1,
            config,
            stored: BTreeMap::new(),
            last_time: 0,
            ids: BTreeMap::new(),
            consumers: BTreeMap::new(),
            room_made: 0,
            finished: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            fresh: BTreeSet::new(),
            rejudged: false,
            emptied: 0,
            left: BTreeMap::new(),
            scheduled: BTreeMap::new(),
            last_scheduled: 0,
            relented: 0,
            blocked_at: None,
        };
        self.streams.insert(stream.config.name.clone(), stream);
    }

    pub(crate) fn add_consumer(
        &mut self,
        stream: &str,
        config: riverbed::ConsumerConfig,
        next: u64,
    ) {
        self.born += 1;
        let consumer = Consumer {
            pace: Pace::of_new(&config, self.now),
            replay: Replay::default(),
            config,
            born: self.born,
            next,
            start: next,
            highest: 0,
            reset_below: 0,
            filters_from: 0,
            filters_below: 0,
            reset_last: 0,
            held: BTreeMap::new(),
            ends: BTreeMap::new(),
            totals: Totals::default(),
            next_rank: 1,
            active: self.now,
            refused_at: None,
            retry_from: 0,
            since: None,
            stuck: false,
            unsure: false,
        };
        let name = consumer.config.name.clone();
        self.streams
            .get_mut(stream)
            .unwrap()
            .consumers
            .insert(name, consumer);
    }

    /// Appends a message that passed every check, and lets the limits do their work.
    pub(crate) fn append(&mut self, stream: &str, draft: Draft, origin: Option<Origin>) -> u64 {
        let (now, uid) = (self.now, self.next_uid);
        self.next_uid += 1;
        let target = self.streams.get_mut(stream).unwrap();
        target.last += 1;
        target.last_time = target.last_time.max(now);
        let time = target.last_time;
        target.stored.insert(
            target.last,
            Stored {
                uid,
                time,
                expires: draft.ttl.map(|ttl| time + ttl * 1_000),
                is_marker: false,
                draft,
                origin,
            },
        );
        target.fresh.insert(target.last);
        target.last
    }

    /// Why a stream without room refuses so many more.
    pub(crate) fn room_for(&self, stream: &str, messages: u64, bytes: u64) -> Option<&'static str> {
        self.room_without(stream, &[], messages, bytes)
    }

    /// The same when these messages leave first.
    pub(crate) fn room_without(
        &self,
        stream: &str,
        leaving: &[u64],
        messages: u64,
        bytes: u64,
    ) -> Option<&'static str> {
        let target = &self.streams[stream];
        if target.config.discard == Discard::Old || messages == 0 {
            return None;
        }
        let left: u64 = leaving
            .iter()
            .map(|seq| target.stored[seq].draft.size())
            .sum();
        let count = target.stored.len() as u64 - leaving.len() as u64 + messages;
        let full = target.config.max_messages.is_some_and(|most| count > most)
            || target
                .config
                .max_bytes
                .is_some_and(|most| target.bytes() - left + bytes > most);
        full.then_some("Full")
    }

    /// Removes what is finished, then what the limits of a stream do not allow.
    pub(crate) fn trim(&mut self, stream: &str) {
        self.retire(stream);
        self.trim_subjects(stream);
        loop {
            let Some(target) = self.streams.get(stream) else {
                return;
            };
            let Some((seq, first)) = target.stored.iter().next() else {
                return;
            };
            if target.is_sealed() {
                return;
            }
            let config = &target.config;
            let old = config.discard == Discard::Old;
            let count = target.stored.len() as u64;
            let age = config.max_age.map(|age| age.as_micros() as u64);
            let aged = age.is_some_and(|age| first.time + age <= self.now);
            let by = if aged && config.subject_delete_marker_ttl.is_some() {
                "MaxAge"
            } else if old && config.max_messages.is_some_and(|most| count > most) {
                "MaxMessages"
            } else if old && config.max_bytes.is_some_and(|most| target.bytes() > most) {
                "MaxBytes"
            } else if aged {
                "MaxAge"
            } else {
                return;
            };
            let seq = *seq;
            self.remove(stream, &[seq], by);
        }
    }

    /// Removes messages; every consumer that had not finished one has lost it (G11).
    pub(crate) fn remove(&mut self, stream: &str, seqs: &[u64], by: &'static str) {
        let (now, born) = (self.now, self.born);
        let target = self.streams.get_mut(stream).unwrap();
        let subjects = target.subjects();
        let leaving = target.leaving_markers(seqs, by);
        let mut lost = Vec::new();
        for seq in seqs {
            let gone = target
                .stored
                .remove(seq)
                .expect("only stored messages are removed");
            let subject = gone.draft.subject.clone();
            let (by, at) = (by, now);
            let left = Left {
                by,
                at,
                subject,
                born,
            };
            target.left.insert(*seq, left);
            for (name, consumer) in &mut target.consumers {
                let held = consumer.held.remove(seq);
                if held.as_ref().is_some_and(Held::is_out) {
                    consumer.active = now;
                }
                let unfinished = held.is_some()
                    || (*seq >= consumer.next && consumer.wants(&gone.draft.subject));
                if unfinished {
                    consumer.ends.insert(*seq, End::Lost);
                    consumer.totals.lost += 1;
                    let range = consumer.totals.lost_range.unwrap_or((*seq, *seq));
                    consumer.totals.lost_range = Some((range.0.min(*seq), range.1.max(*seq)));
                    lost.push(format!("lost {stream}/{name} by {by}"));
                }
            }
        }
        if !seqs.is_empty() {
            target.room_made += 1;
            let emptied = subjects - target.subjects();
            target.relented += u64::from(emptied > 0);
            target.emptied += emptied;
            self.met.push(by);
        }
        for what in lost {
            self.met.push("lost");
            self.tell(what, 1);
        }
        self.leave_markers(stream, leaving, by);
    }

    /// Delays that are over: their messages are due, behind what is due already.
    pub(crate) fn end_delays(&mut self, stream: &str, name: &str) {
        let now = self.now;
        let Some(consumer) = self.consumer_mut(stream, name) else {
            return;
        };
        let over = |held: &Held| matches!(held.place, Place::Delayed { until } if until <= now);
        if consumer.count(over) == 0 {
            return;
        }
        let rank = consumer.rank();
        for held in consumer.held.values_mut().filter(|held| over(held)) {
            held.place = Place::Due { rank };
        }
        self.met.push("delay_over");
    }

    pub(crate) fn end_all_delays(&mut self) {
        for (stream, name) in self.by_age() {
            self.end_delays(&stream, &name);
        }
    }

    /// An attempt failed.
    pub(crate) fn fail(&mut self, stream: &str, name: &str, seq: u64, delay: u64) {
        let now = self.now;
        let consumer = self.consumer_mut(stream, name).unwrap();
        consumer.totals.failures += 1;
        let held = consumer.held.get_mut(&seq).unwrap();
        held.failures += 1;
        let failures = held.failures;
        if consumer.is_exhausted(failures) {
            self.give_up(stream, name, seq, Reason::MaxDeliver);
            return;
        }
        let rank = consumer.rank();
        let place = if delay == 0 {
            Place::Due { rank }
        } else {
            Place::Delayed { until: now + delay }
        };
        consumer.held.get_mut(&seq).unwrap().place = place;
    }
}

/// Ids that are past the window are forgotten.
pub(crate) fn forget_ids(stream: &mut Stream, now: u64) {
    let Some(window) = stream.config.dedup_window else {
        return;
    };
    let window = window.as_micros() as u64;
    let kept = match stream.config.dedup_mode {
        DedupMode::Sliding => window + window / 8,
        _ => window,
    };
    let horizon = now.max(stream.last_time).saturating_sub(kept);
    stream.ids.retain(|_, (_, time)| *time > horizon);
}
