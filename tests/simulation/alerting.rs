//! Alerts: which stand, as the oracle sees it, and as the store's events say.

use crate::letters::dead_letter_stream;
use crate::model::{Consumer, Held, Place};
use crate::oracle::Oracle;
use riverbed::{Alerts, Event};
use std::collections::BTreeSet;

const STUCK_ACK_WAITS: u64 = 3;
const LAG: u64 = 4;
const LETTERS: u64 = 3;

pub(crate) fn alerts() -> Alerts {
    let mut alerts = Alerts::default();
    alerts.stuck_ack_waits = Some(STUCK_ACK_WAITS as u32);
    alerts.lag_messages = Some(LAG);
    alerts.dead_letters = Some(LETTERS);
    alerts
}

/// Alerts that the store told of and did not say are over.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    alerts: BTreeSet<String>,
    /// What was told, for coverage.
    pub(crate) met: Vec<&'static str>,
}

impl Standing {
    /// Whether an event is about an alert: it begins once, and is over once.
    pub(crate) fn note(&mut self, event: &Event) -> bool {
        let (begins, what, word) = match event {
            Event::ConsumerStuck {
                stream, consumer, ..
            } => (true, format!("stuck {stream}/{consumer}"), "stuck"),
            Event::ConsumerUnstuck {
                stream, consumer, ..
            } => (false, format!("stuck {stream}/{consumer}"), "unstuck"),
            Event::ConsumerBehind {
                stream, consumer, ..
            } => (true, format!("behind {stream}/{consumer}"), "behind"),
            Event::ConsumerCaughtUp {
                stream, consumer, ..
            } => (false, format!("behind {stream}/{consumer}"), "caught up"),
            Event::DeadLettersPiledUp { stream, .. } => {
                // They are told again when they are twice as many.
                self.alerts.remove(&format!("letters {stream}"));
                (true, format!("letters {stream}"), "piled up")
            }
            Event::DeadLettersCleared { stream, .. } => {
                (false, format!("letters {stream}"), "cleared")
            }
            _ => return false,
        };
        let is_new = if begins {
            self.alerts.insert(what)
        } else {
            self.alerts.remove(&what)
        };
        assert!(is_new, "told twice: {event:?}");
        self.met.push(word);
        true
    }
}

fn given_up(held: &Held) -> bool {
    matches!(held.place, Place::Parked { .. } | Place::Refused { .. })
}

impl Consumer {
    fn finished(&self) -> u64 {
        self.totals.acked + self.totals.dead_lettered + self.totals.dropped
    }

    fn unfinished(&self) -> u64 {
        self.count(|held| !given_up(held))
    }

    fn stuck_after(&self) -> u64 {
        let longest = self.config.backoff.iter().max();
        let attempt = longest.copied().unwrap_or(self.config.ack_wait);
        attempt.as_micros() as u64 * STUCK_ACK_WAITS
    }
}

impl Oracle {
    /// What commits changed counts from now.
    pub(crate) fn watch(&mut self) {
        let now = self.now;
        for stream in self.streams.values_mut() {
            for consumer in stream.consumers.values_mut() {
                let finished = consumer.finished();
                let known = consumer.since.filter(|(_, before)| *before == finished);
                let holds = consumer.unfinished() > 0;
                consumer.since = holds.then_some(known.unwrap_or((now, finished)));
                let goes_on = known.is_some() && holds;
                consumer.stuck &= goes_on;
                consumer.unsure &= goes_on;
            }
        }
    }

    /// A consumer may have lost all that it held before it was given more, or after.
    pub(crate) fn doubt_since(&mut self, before: &Oracle, stream: &str, name: &str) {
        let mut before = before.clone();
        before.watch();
        let since = |oracle: &Oracle| oracle.consumer(stream, name).and_then(|known| known.since);
        let emptied = since(self).is_some() && since(&before).is_none();
        if let Some(known) = self.consumer_mut(stream, name) {
            known.unsure |= emptied;
        }
    }

    /// What a sweep finds stuck.
    pub(crate) fn find_stuck(&mut self) {
        self.watch();
        let now = self.now;
        for stream in self.streams.values_mut() {
            for consumer in stream.consumers.values_mut() {
                let Some((since, finished)) = consumer.since else {
                    continue;
                };
                if consumer.stuck || since + consumer.stuck_after() > now {
                    continue;
                }
                let out = |held: &Held| matches!(held.place, Place::Out { .. } | Place::Due { .. });
                let paused = consumer.config.pause_until;
                let paused = paused.is_some_and(|until| until.as_micros() > now);
                if paused || consumer.count(out) == 0 {
                    consumer.since = Some((now, finished));
                } else {
                    consumer.stuck = true;
                }
            }
        }
    }

    /// What the store told must be what is so. Between the half of a bound and the bound it may be either.
    pub(crate) fn check_alerts(&self, told: &Standing) {
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        for (name, stream) in &self.streams {
            for (consumer, known) in &stream.consumers {
                if known.unsure {
                    may.insert(format!("stuck {name}/{consumer}"));
                } else if known.stuck {
                    must.insert(format!("stuck {name}/{consumer}"));
                }
                let lag = crate::compare::pending(stream, known) + known.unfinished();
                let what = format!("behind {name}/{consumer}");
                if lag > LAG {
                    must.insert(what);
                } else if lag > LAG / 2 {
                    may.insert(what);
                }
                let Some(dead) = dead_letter_stream(known) else {
                    continue;
                };
                let letters = self.streams.get(&dead).map_or(0, |dead| dead.stored.len());
                let what = format!("letters {dead}");
                if letters as u64 >= LETTERS {
                    must.insert(what);
                } else if letters as u64 > LETTERS / 2 {
                    may.insert(what);
                }
            }
        }
        let missing: Vec<_> = must.difference(&told.alerts).collect();
        let wrong = told.alerts.difference(&must);
        let wrong: Vec<_> = wrong.filter(|what| !may.contains(*what)).collect();
        assert!(
            missing.is_empty() && wrong.is_empty(),
            "alerts that were not told: {missing:?}; that are over: {wrong:?}"
        );
    }
}
