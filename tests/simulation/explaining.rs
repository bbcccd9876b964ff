//! What the store says became of a sequence, held against what the oracle saw.

use crate::model::{Consumer, End, Held, Left, Place, Stored, Stream};
use crate::oracle::Oracle;
use riverbed::{ConsumerFate, DeliverPolicy, MessageFate, Removal, Riverbed, Seq, Timestamp};
use std::collections::BTreeSet;

/// Sequences of a stream that are asked for, about.
const ASKED: u64 = 60;

/// Ranges that a stream surely remembers.
const REMEMBERED: usize = 400;

/// Asks what became of sequences, and returns the words for what was said.
pub(crate) fn check_explained(oracle: &Oracle, store: &Riverbed) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let wrong = disagreement(oracle, store, &mut words);
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
    words
}

/// Whether the oracle has everything end as the store says: of two outcomes that look the same, one may be by
/// the call that was cut off and one by a limit.
pub(crate) fn tells_the_same(oracle: &Oracle, store: &Riverbed) -> bool {
    disagreement(oracle, store, &mut BTreeSet::new()).is_none()
}

/// The first that is told otherwise.
fn disagreement(oracle: &Oracle, store: &Riverbed, words: &mut BTreeSet<String>) -> Option<String> {
    for (name, stream) in &oracle.streams {
        let handle = store.stream(name).unwrap();
        let first = stream.config.first_sequence.get();
        let step = ((stream.last + 3 - first) / ASKED).max(1) as usize;
        let asked = (first - 1..=stream.last + 1).rev().step_by(step);
        for seq in asked {
            let told = handle.explain(Seq::new(seq)).unwrap();
            let left = stream.left.get(&seq);
            if !is_right(stream, seq, &told.message) {
                return Some(format!("{name} {seq}: {told:?}\n{left:?}"));
            }
            words.insert(word(&told.message));
            if told.consumers.len() != stream.consumers.len() {
                return Some(format!("{name} {seq}: {told:?}\nof other consumers"));
            }
            for (consumer_name, consumer) in &stream.consumers {
                let fate = &told.consumers[consumer_name];
                let asked = Asked {
                    oracle,
                    stream,
                    consumer,
                    whose: (name, consumer_name),
                    seq,
                };
                if !asked.is_right(fate) {
                    let end = consumer.ends.get(&seq);
                    return Some(format!(
                        "{consumer_name}, {name} {seq}: {told:?}\n{left:?}\n{end:?}"
                    ));
                }
                words.insert(word(fate));
            }
        }
    }
    None
}

fn word(fate: &impl std::fmt::Debug) -> String {
    let said = format!("{fate:?}");
    let name = said.split([' ', '{', '(']).next().unwrap_or_default();
    format!("explained {name}")
}

fn name_of(by: Removal) -> String {
    format!("{by:?}")
}

/// Whether times say when a message left. A purge by subject comes to a message later than it took it, and so does
/// what looks at a stream again whose consumers changed.
fn is_then(left: &Left, since: Timestamp, until: Timestamp) -> bool {
    let early = since.as_micros() <= left.at || ["Purge", "Retention"].contains(&left.by);
    early && left.at <= until.as_micros()
}

fn is_right(stream: &Stream, seq: u64, told: &MessageFate) -> bool {
    match (stream.stored.get(&seq), stream.left.get(&seq), told) {
        (None, None, MessageFate::NeverStored) => seq < stream.config.first_sequence.get(),
        (None, None, MessageFate::NotYetStored) => seq > stream.last,
        (Some(stored), _, MessageFate::Stored { subject, published }) => {
            *subject == stored.draft.subject && published.as_micros() == stored.time
        }
        (None, Some(left), MessageFate::Removed { by, since, until }) => {
            name_of(*by) == left.by && is_then(left, *since, *until)
        }
        (None, Some(left), MessageFate::Forgotten { until }) => {
            let late = until.is_none_or(|until| left.at <= until.as_micros());
            late && stream.left.len() > REMEMBERED
        }
        _ => false,
    }
}

/// One sequence for one consumer.
struct Asked<'a> {
    oracle: &'a Oracle,
    stream: &'a Stream,
    consumer: &'a Consumer,
    whose: (&'a str, &'a str),
    seq: u64,
}

impl Asked<'_> {
    fn is_right(&self, told: &ConsumerFate) -> bool {
        let (stream, seq) = (self.stream, self.seq);
        if let Some(held) = self.consumer.held.get(&seq) {
            self.is_held(held, told)
        } else if let Some(stored) = stream.stored.get(&seq) {
            self.is_not_held(&stored.draft.subject, told)
        } else if let Some(left) = stream.left.get(&seq) {
            self.is_gone(left, told)
        } else {
            *told == ConsumerFate::NoMessage
        }
    }

    fn is_held(&self, held: &Held, told: &ConsumerFate) -> bool {
        let at = Timestamp::from_micros;
        match (&held.place, told) {
            (
                Place::Out { deadline, .. },
                ConsumerFate::InFlight {
                    delivery,
                    since,
                    until,
                },
            ) => {
                let begun = since.is_some_and(|since| since <= at(self.oracle.now));
                begun && *delivery == held.attempts && *until == Some(at(*deadline))
            }
            (Place::Due { .. }, ConsumerFate::Waiting { deliveries }) => {
                *deliveries == held.attempts
            }
            (Place::Delayed { until }, ConsumerFate::Delayed { until: told, .. }) => {
                at(*until) == *told
            }
            (Place::Refused { .. }, ConsumerFate::Refused { .. }) => true,
            (Place::Parked { since, .. }, ConsumerFate::Parked { since: told, .. }) => {
                at(*since) == *told
            }
            _ => false,
        }
    }

    /// Of a message that is stored.
    fn is_not_held(&self, subject: &str, told: &ConsumerFate) -> bool {
        let consumer = self.consumer;
        if self.seq < consumer.filters_from {
            return match told {
                ConsumerFate::BeforeStart => self.is_early() && !self.takes_lasts(),
                _ if self.is_early() && !self.takes_lasts() => false,
                _ => self.is_passed(told),
            };
        }
        if !consumer.wants(subject) {
            return *told == ConsumerFate::NotMatched;
        }
        match told {
            ConsumerFate::Waiting { deliveries } => *deliveries == 0 && self.seq >= consumer.next,
            _ if self.seq >= consumer.next => false,
            _ if self.seq < consumer.reset_below => self.is_passed(told),
            ConsumerFate::BeforeStart => self.is_early() && !self.takes_lasts(),
            _ if self.is_early() && !self.takes_lasts() => false,
            _ => self.is_done(told),
        }
    }

    /// Of a message that is not.
    fn is_gone(&self, left: &Left, told: &ConsumerFate) -> bool {
        let consumer = self.consumer;
        let filtered = !consumer.config.filters.is_empty();
        let forgets = self.stream.left.len() > REMEMBERED;
        // What takes everything does not look at what it takes.
        let unseen = filtered && ["Purge", "Rollup"].contains(&left.by);
        match told {
            ConsumerFate::BeforeCreated => left.born < consumer.born,
            ConsumerFate::Unknown if forgets => true,
            _ if left.born < consumer.born => false,
            ConsumerFate::Lost { by, since, until } => {
                let same = name_of(*by) == left.by && is_then(left, *since, *until);
                same && consumer.ends.get(&self.seq) == Some(&End::Lost)
            }
            _ if self.seq < consumer.filters_below => {
                *told == ConsumerFate::Unknown || self.is_dead_letter(told)
            }
            // The store's consumer may have been past messages that had left, and nobody saw how far.
            ConsumerFate::Unknown => unseen || self.seq < consumer.reset_last,
            ConsumerFate::NotMatched => filtered && !consumer.wants(&left.subject),
            _ if self.seq < consumer.reset_below => self.is_passed(told),
            ConsumerFate::BeforeStart => self.is_early() && !self.takes_lasts(),
            ConsumerFate::Passed if filtered && !consumer.wants(&left.subject) => true,
            _ => self.is_done(told),
        }
    }

    /// Of what a reset may have passed over.
    fn is_passed(&self, told: &ConsumerFate) -> bool {
        *told == ConsumerFate::Passed || self.is_dead_letter(told)
    }

    fn is_dead_letter(&self, told: &ConsumerFate) -> bool {
        match told {
            ConsumerFate::DeadLettered { to, to_seq } => self.is_copy(to, to_seq.get()),
            _ => false,
        }
    }

    fn is_early(&self) -> bool {
        self.seq < self.consumer.start
    }

    fn takes_lasts(&self) -> bool {
        self.consumer.config.deliver == DeliverPolicy::LastPerSubject
    }

    /// Whether a consumer is done with it in this way.
    fn is_done(&self, told: &ConsumerFate) -> bool {
        let end = self.consumer.ends.get(&self.seq);
        match told {
            ConsumerFate::Acked => end == Some(&End::Acked),
            ConsumerFate::DeadLettered { to, to_seq } => self.is_copy(to, to_seq.get()),
            _ if end == Some(&End::Dead) && self.has_copy() => false,
            ConsumerFate::Finished => end.is_some_and(|end| *end != End::Lost),
            ConsumerFate::Passed => {
                let filtered = !self.consumer.config.filters.is_empty();
                (filtered && end.is_some_and(|end| *end != End::Lost)) || self.takes_lasts()
            }
            _ => false,
        }
    }

    fn is_copy(&self, to: &str, to_seq: u64) -> bool {
        let dead = self.oracle.streams.get(to);
        let copy = dead.and_then(|dead| dead.stored.get(&to_seq));
        let origin = copy.and_then(|copy| copy.origin.as_ref());
        origin.is_some_and(|origin| {
            let (stream, consumer) = self.whose;
            origin.stream == stream && origin.consumer == consumer && origin.seq == self.seq
        })
    }

    fn has_copy(&self) -> bool {
        let Some(to) = crate::letters::dead_letter_stream(self.consumer) else {
            return false;
        };
        let Some(dead) = self.oracle.streams.get(&to) else {
            return false;
        };
        let (stream, consumer) = self.whose;
        let subject = format!("{to}.{stream}.{consumer}");
        // A stream of the same name that was deleted may have left a copy of another message.
        let own = self.stream.stored.get(&self.seq).map(|stored| stored.uid);
        let is_own = |copy: &Stored| {
            let origin = copy.origin.as_ref();
            own.is_none() || own == origin.map(|origin| origin.uid)
        };
        dead.stored.iter().any(|(to_seq, copy)| {
            copy.draft.subject == subject && is_own(copy) && self.is_copy(&to, *to_seq)
        })
    }
}
