//! The oracle's rules of where a consumer begins, when it is made and when it is reset.

use crate::model::{Held, Place};
use crate::oracle::Oracle;
use riverbed::{ConsumerConfig, DeliverPolicy, Retention};
use std::collections::BTreeMap;

/// Where a consumer begins.
pub(crate) struct Begin {
    pub(crate) next: u64,
    /// What it is given before that.
    pub(crate) due: Vec<u64>,
}

impl Oracle {
    pub(crate) fn begin(
        &self,
        stream: &str,
        deliver: DeliverPolicy,
        config: &ConsumerConfig,
    ) -> Begin {
        let source = &self.streams[stream];
        let wanted = |subject: &str| crate::delivering::wants(config, subject);
        let end = source.last + 1;
        let mut stored = source.stored.iter();
        let next = match deliver {
            DeliverPolicy::New | DeliverPolicy::LastPerSubject => end,
            DeliverPolicy::Last => stored
                .rfind(|(_, m)| wanted(&m.draft.subject))
                .map_or(end, |(seq, _)| *seq),
            DeliverPolicy::FromSequence(seq) => seq.get(),
            DeliverPolicy::FromTime(time) => stored
                .find(|(_, m)| m.time >= time.as_micros())
                .map_or(end, |(seq, _)| *seq),
            _ => 1,
        };
        // The last message of each subject, as it is now.
        let mut lasts: BTreeMap<&str, u64> = BTreeMap::new();
        if deliver == DeliverPolicy::LastPerSubject {
            let all = source.stored.iter();
            for (seq, message) in all.filter(|(_, m)| wanted(&m.draft.subject)) {
                lasts.insert(&message.draft.subject, *seq);
            }
        }
        let mut due: Vec<u64> = lasts.into_values().collect();
        due.sort_unstable();
        Begin { next, due }
    }

    /// Makes the messages due that a consumer is given first.
    pub(crate) fn begin_with(&mut self, stream: &str, name: &str, due: &[u64]) {
        let consumer = self.consumer_mut(stream, name).unwrap();
        let rank = consumer.rank();
        for seq in due {
            let held = Held {
                place: Place::Due { rank },
                attempts: 0,
                failures: 0,
                crashes: 0,
                again: false,
            };
            consumer.held.insert(*seq, held);
        }
    }

    pub(crate) fn reset(&mut self, stream: &str, name: &str, to: DeliverPolicy) -> String {
        let Some(consumer) = self.consumer(stream, name) else {
            return "no consumer".to_owned();
        };
        let config = consumer.config.clone();
        if to == DeliverPolicy::LastPerSubject && config.filters.is_empty() {
            return "Invalid".to_owned();
        }
        // What is finished leaves, and does not come again.
        self.retire(stream);
        let begin = self.begin(stream, to, &config);
        let now = self.now;
        let source = self.streams.get_mut(stream).unwrap();
        let consumer = source.consumers.get_mut(name).unwrap();
        let again = |seq: &u64| begin.due.contains(seq) || *seq >= begin.next;
        let stored = source.stored.iter();
        let wanted: Vec<u64> = stored
            .filter(|(_, m)| consumer.wants(&m.draft.subject))
            .map(|(seq, _)| *seq)
            .collect();
        // What it holds since it had other filters is let go, and counted where it is passed over.
        let held = consumer.held.keys().filter(|seq| !again(seq)).count();
        let fresh = wanted.iter().filter(|seq| **seq >= consumer.next);
        let skipped = (held + fresh.filter(|seq| !again(seq)).count()) as u64;
        let refiltered = consumer.filters_from > begin.next;
        let ahead = begin.next > source.last + 1;
        if (skipped > 0 || ahead) && source.config.retention == Retention::WorkQueue {
            return "WouldSkip".to_owned();
        }
        let pending = wanted.iter().filter(|seq| **seq >= begin.next).count();
        let met = [
            (begin.next < consumer.next, "reset_back"),
            (skipped > 0, "reset_skips"),
            (!consumer.held.is_empty(), "reset_lets_go"),
            (!begin.due.is_empty(), "reset_to_lasts"),
        ];
        consumer.held.clear();
        consumer.reset_last = source.last + 1;
        let done = consumer.reset_below.max(consumer.next);
        consumer.reset_below = done.min(source.last + 1).max(begin.next);
        consumer.filters_from = consumer.filters_from.min(begin.next);
        consumer.next = begin.next;
        consumer.begin_replay(source.last);
        consumer.start = consumer.start.min(begin.next);
        consumer.highest = 0;
        (consumer.refused_at, consumer.retry_from) = (None, 0);
        consumer.active = now;
        consumer.totals.skipped += skipped;
        self.met
            .extend(met.iter().filter(|(met, _)| *met).map(|(_, word)| word));
        self.begin_with(stream, name, &begin.due);
        self.tell(format!("reset {stream}/{name} skips {skipped}"), 1);
        if skipped > 0 || refiltered {
            self.rejudge(stream);
        }
        format!("reset {pending} {} {skipped}", begin.due.len())
    }
}
