//! The oracle's rules of retention by interest and of work queues.

use crate::delivering::Plan;
use crate::model::{Draft, End, Stream, matches};
use crate::oracle::Oracle;
use riverbed::{
    Access, AckPolicy, ConsumerConfig, DeliverPolicy, Discard, Retention, Rollup, StreamConfig,
    Unwanted,
};
use std::collections::BTreeMap;

impl Stream {
    pub(crate) fn drops_unwanted(&self) -> bool {
        drops_unwanted(&self.config)
    }

    fn needs(&self, seq: u64, subject: &str) -> bool {
        self.consumers
            .values()
            .any(|known| known.needs(seq, subject))
    }

    pub(crate) fn unneeded(&self) -> Vec<u64> {
        let stored = self.stored.iter();
        let unneeded = stored.filter(|(seq, m)| !self.needs(**seq, &m.draft.subject));
        unneeded.map(|(seq, _)| *seq).collect()
    }

    /// Whether a consumer wanted the message and is past it.
    pub(crate) fn was_finished(&self, seq: u64) -> bool {
        let subject = &self.stored[&seq].draft.subject;
        let mut consumers = self.consumers.values();
        consumers.any(|known| {
            let from = known.start.max(known.filters_from);
            (from..known.next).contains(&seq) && known.wants(subject)
        })
    }

    /// The same, and no reset passed it over.
    pub(crate) fn was_done(&self, seq: u64) -> bool {
        let subject = &self.stored[&seq].draft.subject;
        let mut consumers = self.consumers.values();
        consumers.any(|known| {
            let from = known.start.max(known.filters_from).max(known.reset_below);
            (from..known.next).contains(&seq) && known.wants(subject)
        })
    }
}

pub(crate) fn drops_unwanted(config: &StreamConfig) -> bool {
    config.access == Access::Open
        && config.retention == Retention::Interest
        && config.unwanted == Unwanted::Drop
}

impl Oracle {
    /// A consumer is done with a message.
    pub(crate) fn finish(&mut self, stream: &str, name: &str, seq: u64, end: End) {
        let known = self.streams.get_mut(stream).unwrap();
        let consumer = known.consumers.get_mut(name).unwrap();
        consumer.held.remove(&seq);
        consumer.ends.insert(seq, end);
        if known.config.retention != Retention::Limits && !known.is_sealed() {
            known.finished.insert(seq);
        }
    }

    /// Whether anybody wants what was published, as long as all are there who were there then.
    pub(crate) fn judge_fresh(&mut self, stream: &str) {
        let Some(known) = self.streams.get_mut(stream) else {
            return;
        };
        let fresh = std::mem::take(&mut known.fresh);
        if known.config.retention == Retention::Limits || known.is_sealed() {
            return;
        }
        for seq in fresh {
            let Some(message) = known.stored.get(&seq) else {
                continue;
            };
            if known.needs(seq, &message.draft.subject) {
                continue;
            }
            if known.was_done(seq) {
                known.finished.insert(seq);
            } else if known.drops_unwanted() || known.was_finished(seq) {
                known.unwanted.insert(seq);
            }
        }
    }

    /// Removes what is finished and nobody needs.
    pub(crate) fn retire(&mut self, stream: &str) {
        self.judge_fresh(stream);
        let Some(known) = self.streams.get_mut(stream) else {
            return;
        };
        let mut finished = std::mem::take(&mut known.finished);
        let unwanted = std::mem::take(&mut known.unwanted);
        if known.is_sealed() {
            return;
        }
        let mut gone = known.unneeded();
        gone.retain(|seq| finished.contains(seq) || unwanted.contains(seq));
        finished.retain(|seq| gone.contains(seq));
        self.remove(stream, &gone, "Retention");
        self.release_ids(stream, &finished);
    }

    /// Removes the oldest messages of the subjects that have too many.
    pub(crate) fn trim_subjects(&mut self, stream: &str) {
        let Some(known) = self.streams.get(stream) else {
            return;
        };
        let Some(most) = known.config.max_messages_per_subject else {
            return;
        };
        if known.config.discard_per_subject == Discard::New || known.is_sealed() {
            return;
        }
        let mut counts = BTreeMap::new();
        let mut gone = Vec::new();
        for (seq, message) in known.stored.iter().rev() {
            let count = counts.entry(&message.draft.subject).or_insert(0);
            *count += 1;
            if *count > most {
                gone.push(*seq);
            }
        }
        for seq in gone {
            self.remove(stream, &[seq], "MaxMessagesPerSubject");
        }
    }

    /// Whether a subject with as many messages as it may have refuses some of these.
    pub(crate) fn subject_is_full(&self, stream: &str, fresh: &[&Draft]) -> bool {
        let known = &self.streams[stream];
        let Some(most) = known.config.max_messages_per_subject else {
            return false;
        };
        let mut on: Vec<&str> = known
            .stored
            .values()
            .map(|m| m.draft.subject.as_str())
            .collect();
        let mut full = false;
        for draft in fresh {
            match draft.rollup {
                Some(Rollup::All) => on.clear(),
                Some(_) => on.retain(|other| *other != draft.subject),
                None => {}
            }
            on.push(&draft.subject);
            let count = on.iter().filter(|other| **other == draft.subject).count();
            full |= count as u64 > most;
        }
        known.config.discard_per_subject == Discard::New && full
    }

    /// The same for all streams, and the limits of those that were changed.
    pub(crate) fn retire_all(&mut self) {
        for name in self.streams.keys().cloned().collect::<Vec<_>>() {
            self.judge_fresh(&name);
            let known = &self.streams[&name];
            if !known.finished.is_empty() || !known.unwanted.is_empty() {
                self.trim(&name);
            }
        }
    }

    /// How many messages a fetch takes beside acks. The commit of both brings the limits of a stream whose
    /// messages the acks finish, also for what it delivers; when they take all of it, the fetch tries again.
    pub(crate) fn left_by_acks(&mut self, stream: &str, name: &str, n: usize, bytes: u64) -> usize {
        self.end_delays(stream, name);
        let Plan::Take(seqs) = self.plan(stream, name, n, bytes) else {
            return n;
        };
        if self.defer_limits {
            return n;
        }
        self.retire_all();
        let stored = &self.streams[stream].stored;
        match seqs.iter().filter(|seq| stored.contains_key(seq)).count() {
            0 => n,
            left if left == seqs.len() => n,
            left => left,
        }
    }

    /// Whether a message would leave as soon as it is stored.
    pub(crate) fn is_unwanted(&self, stream: &str, subject: &str) -> bool {
        let known = &self.streams[stream];
        known.drops_unwanted() && !known.needs(known.last + 1, subject)
    }

    /// Who wanted messages of a stream may be gone.
    pub(crate) fn rejudge(&mut self, stream: &str) {
        let Some(known) = self.streams.get_mut(stream) else {
            return;
        };
        let interest = known.config.retention == Retention::Interest;
        if !interest || known.is_sealed() || known.stored.is_empty() {
            return;
        }
        if !known.consumers.is_empty() || !known.drops_unwanted() {
            known.rejudged = true;
            if !self.defer_limits {
                // It is changed, and so are its limits looked at.
                self.trim(stream);
            }
            return;
        }
        let all: Vec<u64> = known.stored.keys().copied().collect();
        let done = std::mem::take(&mut known.finished);
        known.unwanted.clear();
        known.fresh.clear();
        known.rejudged = false;
        self.release_ids(stream, &done);
        self.remove(stream, &all, "Retention");
    }

    /// What a sweep does for streams whose consumers changed.
    pub(crate) fn judge_again(&mut self) {
        for name in self.streams.keys().cloned().collect::<Vec<_>>() {
            let known = self.streams.get_mut(&name).unwrap();
            if std::mem::take(&mut known.rejudged) && !known.is_sealed() {
                let mut gone = known.unneeded();
                let drops = known.drops_unwanted();
                gone.retain(|seq| drops || known.was_finished(*seq));
                if !gone.is_empty() {
                    self.met.push("judged_again");
                }
                let done = gone.iter().copied().filter(|seq| known.was_done(*seq));
                let done = done.collect();
                self.remove(&name, &gone, "Retention");
                self.release_ids(&name, &done);
            }
        }
    }

    /// Why a work queue refuses a consumer.
    pub(crate) fn fits_work_queue(
        &self,
        stream: &str,
        config: &ConsumerConfig,
    ) -> Result<(), &'static str> {
        let queue = &self.streams[stream];
        if queue.config.retention != Retention::WorkQueue {
            return Ok(());
        }
        if config.deliver != DeliverPolicy::All {
            return Err("Invalid");
        }
        if config.ack_policy == AckPolicy::None {
            return Err("Invalid");
        }
        let all = [">".to_owned()];
        let filters = |config: &ConsumerConfig| match config.filters.as_slice() {
            [] => all.to_vec(),
            filters => filters.to_vec(),
        };
        let others = queue.consumers.values().map(|other| &other.config);
        let others = others.filter(|other| other.name != config.name);
        let taken: Vec<String> = others.flat_map(filters).collect();
        let shared = |filter: &String| taken.iter().any(|taken| overlap(filter, taken));
        if filters(config).iter().any(shared) {
            return Err("WorkQueueOverlap");
        }
        Ok(())
    }
}

/// Whether two filters can match the same subject, found by trying: every subject that could tell them
/// apart is made of their own tokens.
fn overlap(one: &str, other: &str) -> bool {
    let words = || {
        one.split('.')
            .chain(other.split('.'))
            .filter(|token| *token != ">")
    };
    let tokens: Vec<&str> = words()
        .map(|token| if token == "*" { "t" } else { token })
        .collect();
    let mut subjects: Vec<String> = tokens.iter().map(|token| (*token).to_owned()).collect();
    subjects.push("t".to_owned());
    for _ in 0..4 {
        if subjects
            .iter()
            .any(|subject| matches(one, subject) && matches(other, subject))
        {
            return true;
        }
        let longer = subjects.iter().flat_map(|subject| {
            tokens
                .iter()
                .chain(&["t"])
                .map(move |token| format!("{subject}.{token}"))
        });
        subjects = longer.collect();
        subjects.sort();
        subjects.dedup();
    }
    false
}
