//! The oracle's rule of updates by which messages would be lost.

use crate::answers::{would_drop, would_remove};
use crate::model::{Consumer, Place, Reason};
use crate::oracle::Oracle;
use riverbed::{Access, ConsumerConfig, Discard, OnExhausted, Retention, StreamConfig};
use std::collections::BTreeMap;

/// How many of so many stay.
fn kept(stored: u64, most: Option<u64>, discard: Discard) -> u64 {
    match most {
        Some(most) if discard == Discard::Old => stored.min(most),
        _ => stored,
    }
}

/// Whether filters match all that others match.
fn covers(filters: &[String], others: &[String]) -> bool {
    let parsed = |filter: &String| filter.parse::<riverbed::SubjectFilter>().unwrap();
    let within = |other: &String| {
        let mut filters = filters.iter();
        filters.any(|filter| parsed(other).is_subset_of(&parsed(filter)))
    };
    filters.is_empty() || (!others.is_empty() && others.iter().all(within))
}

impl Oracle {
    /// Why other filters are refused: what is held could be given to others, too.
    pub(crate) fn would_share(&self, stream: &str, config: &ConsumerConfig) -> Option<String> {
        let known = self.consumer(stream, &config.name)?;
        let queue = self.streams[stream].config.retention == Retention::WorkQueue;
        let shares = !known.held.is_empty() && !covers(&config.filters, &known.config.filters);
        (queue && shares).then(|| "WouldShare".to_owned())
    }

    /// Why other filters are refused: what they leave out may leave the stream.
    pub(crate) fn would_leave_out(&self, stream: &str, config: &ConsumerConfig) -> Option<String> {
        let (source, known) = (&self.streams[stream], self.consumer(stream, &config.name)?);
        if source.config.retention != Retention::Interest || source.is_sealed() {
            return None;
        }
        let left_out = source.stored.values().filter(|message| {
            let subject = &message.draft.subject;
            known.wants(subject) && !crate::delivering::wants(config, subject)
        });
        let left_out = left_out.count() as u64;
        (left_out > 0).then(|| would_drop("filters", left_out))
    }

    /// Why an update is refused that would remove what is stored and would stay without it.
    pub(crate) fn would_remove(&self, config: &StreamConfig) -> Option<String> {
        let stream = &self.streams[&config.name];
        let known = &stream.config;
        if config.access == Access::Sealed || stream.stored.is_empty() {
            return None;
        }
        let goes = |stored, before: Option<u64>, after: Option<u64>| {
            let stays = kept(stored, after, config.discard);
            kept(stored, before, known.discard).saturating_sub(stays)
        };
        let stored = stream.stored.len() as u64;
        let gone = goes(stored, known.max_messages, config.max_messages);
        if gone > 0 {
            let same = known.max_messages == config.max_messages;
            let setting = if same { "discard" } else { "max_messages" };
            return Some(would_remove(setting, Some(gone)));
        }
        if goes(stream.bytes(), known.max_bytes, config.max_bytes) > 0 {
            let same = known.max_bytes == config.max_bytes;
            let setting = if same { "discard" } else { "max_bytes" };
            return Some(would_remove(setting, None));
        }
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for message in stream.stored.values() {
            *counts.entry(&message.draft.subject).or_default() += 1;
        }
        let (before, after) = (
            known.max_messages_per_subject,
            config.max_messages_per_subject,
        );
        let goes = |count: &u64| {
            let stays = kept(*count, after, config.discard_per_subject);
            kept(*count, before, known.discard_per_subject).saturating_sub(stays)
        };
        let gone: u64 = counts.values().map(goes).sum();
        if gone > 0 {
            let setting = if before == after {
                "discard_per_subject"
            } else {
                "max_messages_per_subject"
            };
            return Some(would_remove(setting, Some(gone)));
        }
        let aged = |config: &StreamConfig, time: u64| {
            let age = config.max_age.map(|age| age.as_micros() as u64);
            age.is_some_and(|age| time + age <= self.now)
        };
        let mut times = stream.stored.values().map(|message| message.time);
        if times.any(|time| aged(config, time) && !aged(known, time)) {
            return Some(would_remove("max_age", None));
        }
        self.would_retire(config)
    }

    fn would_retire(&self, config: &StreamConfig) -> Option<String> {
        let stream = &self.streams[&config.name];
        let interest = |config: &StreamConfig| config.retention == Retention::Interest;
        let drops = crate::retaining::drops_unwanted;
        let setting = if !interest(config) {
            return None;
        } else if !interest(&stream.config) {
            "retention"
        } else if drops(config) && !drops(&stream.config) {
            "unwanted"
        } else {
            return None;
        };
        let mut gone = stream.unneeded();
        gone.retain(|seq| drops(config) || stream.was_finished(*seq));
        let counted = stream.consumers.is_empty().then_some(gone.len() as u64);
        (!gone.is_empty()).then(|| would_remove(setting, counted))
    }
}

impl Consumer {
    /// Why an update is refused by which messages are given up at once that are not kept.
    pub(crate) fn would_drop(&self, config: &ConsumerConfig) -> Option<String> {
        let keeps = |config: &ConsumerConfig, reason: &Reason| match config.on_exhausted {
            OnExhausted::Drop => false,
            OnExhausted::Park => matches!(reason, Reason::MaxDeliver),
            _ => true,
        };
        let over = |failures: u64| config.max_deliver.is_some_and(|most| failures >= most);
        let exhausted = self.count(|held| {
            let waits = matches!(held.place, Place::Due { .. } | Place::Delayed { .. });
            waits && over(held.failures)
        });
        if exhausted > 0 && !keeps(config, &Reason::MaxDeliver) {
            return Some(would_drop("max_deliver", exhausted));
        }
        let condemned = self.count(|held| match &held.place {
            Place::Refused { reason, .. } => keeps(&self.config, reason) && !keeps(config, reason),
            _ => false,
        });
        (condemned > 0).then(|| would_drop("on_exhausted", condemned))
    }
}
