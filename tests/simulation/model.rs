//! What the oracle knows: plain values, no cleverness.

use crate::rates::Pace;
use crate::repeating::Again;
use crate::replays::Replay;
use riverbed::{Access, ConsumerConfig, Deny, Rollup, StreamConfig};
use std::collections::{BTreeMap, BTreeSet};

/// A message to be published.
#[derive(Clone, Default)]
pub(crate) struct Draft {
    pub(crate) subject: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) id: Option<String>,
    pub(crate) expect: Option<u64>,
    /// The last of a subject or filter.
    pub(crate) expect_of: Option<(String, u64)>,
    pub(crate) expect_id: Option<String>,
    pub(crate) rollup: Option<Rollup>,
    pub(crate) due: Due,
    /// How it comes again.
    pub(crate) again: Option<Again>,
    /// How long it lives in its stream, in milliseconds.
    pub(crate) ttl: Option<u64>,
}

/// When a message is to be in its stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Due {
    #[default]
    Now,
    /// In milliseconds.
    After(u64),
    /// In microseconds.
    At(u64),
}

impl Due {
    /// The time, if it is still to come.
    pub(crate) fn later_than(self, now: u64) -> Option<u64> {
        let due = match self {
            Self::Now => return None,
            Self::After(ms) => now + ms * 1_000,
            Self::At(time) => time,
        };
        (due > now).then_some(due)
    }
}

/// A message that waits for its time.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) due: u64,
    pub(crate) draft: Draft,
    /// How often the stream had relented when it refused the message for what it is.
    pub(crate) aside_at: Option<u64>,
    /// Whether it was announced that it is refused.
    pub(crate) told: bool,
}

/// What a publish came to: a sequence, or the number of a message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    Seq(u64),
    Scheduled(u64),
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "({} {}",
            self.subject,
            crate::compare::fingerprint(&self.payload)
        )?;
        if !self.headers.is_empty() {
            write!(f, " {:?}", self.headers)?;
        }
        if let Some(id) = &self.id {
            write!(f, " {id}")?;
        }
        if let Some(expect) = self.expect {
            write!(f, " after {expect}")?;
        }
        if !matches!(self.due, Due::Now) {
            write!(f, " {:?}", self.due)?;
        }
        if let Some(again) = self.again {
            write!(f, " {again:?}")?;
        }
        if let Some(ttl) = self.ttl {
            write!(f, " for {ttl} ms")?;
        }
        if let Some((filter, seq)) = &self.expect_of {
            write!(f, " after {seq} of {filter}")?;
        }
        if let Some(id) = &self.expect_id {
            write!(f, " after {id}")?;
        }
        if let Some(rollup) = self.rollup {
            write!(f, " replaces {rollup:?}")?;
        }
        f.write_str(")")
    }
}

impl Draft {
    /// Whether it depends on what is stored.
    pub(crate) fn looks(&self) -> bool {
        self.expect.is_some()
            || self.expect_of.is_some()
            || self.expect_id.is_some()
            || self.rollup.is_some()
    }

    /// Whether it may be published for later: it replaces nothing, and expects nothing but a sequence.
    pub(crate) fn may_wait(&self) -> bool {
        self.expect_of.is_none() && self.expect_id.is_none() && self.rollup.is_none()
    }

    /// Without what it expects.
    pub(crate) fn expecting_nothing(self) -> Self {
        Self {
            expect: None,
            expect_of: None,
            expect_id: None,
            ..self
        }
    }

    /// Headers and payload: what `max_message_size` counts.
    pub(crate) fn limited(&self) -> u64 {
        headers_size(&self.headers) + self.payload.len() as u64
    }

    /// What the message adds to the stream's bytes.
    pub(crate) fn size(&self) -> u64 {
        let id = self.id.as_ref().map_or(0, String::len);
        self.limited() + (self.subject.len() + id) as u64
    }
}

pub(crate) fn headers_size(headers: &[(String, String)]) -> u64 {
    headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum::<usize>() as u64
}

/// Where a dead letter came from, as its envelope says; `uid` tells whether the original is still
/// that very message.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) stream: String,
    pub(crate) seq: u64,
    pub(crate) uid: u64,
    pub(crate) subject: String,
    pub(crate) consumer: String,
    pub(crate) id: Option<String>,
}

/// A stored message.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) uid: u64,
    pub(crate) time: u64,
    pub(crate) draft: Draft,
    /// When its own time to live is over.
    pub(crate) expires: Option<u64>,
    /// Whether it was left by a subject whose last message was too old.
    pub(crate) is_marker: bool,
    pub(crate) origin: Option<Origin>,
}

/// How a message left its stream.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) by: &'static str,
    pub(crate) at: u64,
    pub(crate) subject: String,
    pub(crate) born: u64,
}

/// How a message ended for a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Acked,
    /// Without a copy.
    Dropped,
    Dead,
    Lost,
}

/// A stream.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) config: StreamConfig,
    pub(crate) stored: BTreeMap<u64, Stored>,
    pub(crate) last: u64,
    pub(crate) last_time: u64,
    /// By id: what has it, and when it was remembered.
    pub(crate) ids: BTreeMap<String, (Placed, u64)>,
    /// By number.
    pub(crate) scheduled: BTreeMap<u64, Waiting>,
    pub(crate) last_scheduled: u64,
    /// Grows when the stream may take what it refused for another reason than room.
    pub(crate) relented: u64,
    /// `room_made` when the next message that is due found no room.
    pub(crate) blocked_at: Option<u64>,
    pub(crate) consumers: BTreeMap<String, Consumer>,
    /// Grows when messages leave, or limits change.
    pub(crate) room_made: u64,
    /// What a consumer is done with since the last commit.
    pub(crate) finished: BTreeSet<u64>,
    /// What was published since then that nobody wanted, where only what is wanted stays.
    pub(crate) unwanted: BTreeSet<u64>,
    /// What was published in the running group: whether anybody wants it is judged before somebody leaves.
    pub(crate) fresh: BTreeSet<u64>,
    /// What left: which message it was, when, why, and how many consumers had been made by then.
    pub(crate) left: BTreeMap<u64, Left>,
    /// How often a subject's last message left without another in its place.
    pub(crate) emptied: u64,
    /// Whether somebody who wanted messages is gone: what nobody wants leaves with the next sweep.
    pub(crate) rejudged: bool,
}

impl Stream {
    pub(crate) fn first(&self) -> u64 {
        self.stored.keys().next().copied().unwrap_or(self.last + 1)
    }

    /// The last message that a filter matches, 0 for none.
    pub(crate) fn last_of(&self, filter: &str) -> u64 {
        let mut stored = self.stored.iter();
        let last = stored.rfind(|(_, stored)| matches(filter, &stored.draft.subject));
        last.map_or(0, |(seq, _)| *seq)
    }

    /// What a message replaces.
    pub(crate) fn replaced_by(&self, rollup: Rollup, subject: &str) -> Vec<u64> {
        let goes = |stored: &Stored| rollup == Rollup::All || stored.draft.subject == subject;
        let stored = self.stored.iter().filter(|(_, stored)| goes(stored));
        stored.map(|(seq, _)| *seq).collect()
    }

    /// Whether it ever had a message.
    pub(crate) fn was_used(&self) -> bool {
        self.last >= self.config.first_sequence.get()
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.config.access == Access::Sealed
    }

    /// Why it keeps what somebody wants to remove.
    pub(crate) fn keeps(&self, from: Deny) -> Option<&'static str> {
        if self.is_sealed() {
            Some("Sealed")
        } else {
            self.config.deny.contains(&from).then_some("Denied")
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.stored.values().map(|stored| stored.draft.size()).sum()
    }

    pub(crate) fn subjects(&self) -> u64 {
        let subjects = self.stored.values().map(|stored| &stored.draft.subject);
        subjects.collect::<BTreeSet<_>>().len() as u64
    }

    /// How many messages left, by reason.
    pub(crate) fn removed(&self) -> BTreeMap<String, u64> {
        let mut removed = BTreeMap::new();
        for left in self.left.values() {
            *removed.entry(left.by.to_owned()).or_default() += 1;
        }
        removed
    }

    pub(crate) fn captures(&self, subject: &str) -> bool {
        self.config
            .subjects
            .iter()
            .any(|filter| matches(filter, subject))
    }
}

/// Where a message is that its consumer was given and has not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Out {
        delivery: u64,
        deadline: u64,
    },
    Due {
        rank: u64,
    },
    Delayed {
        until: u64,
    },
    /// `told`: whether that was announced.
    Refused {
        reason: Reason,
        told: bool,
    },
    Parked {
        reason: Reason,
        since: u64,
    },
}

/// Why a message died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    MaxDeliver,
    Term(String),
}

/// A message that its consumer holds.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) place: Place,
    pub(crate) attempts: u64,
    pub(crate) failures: u64,
    pub(crate) crashes: u64,
    /// It was finished or parked before, so the ack floor may be above it.
    pub(crate) again: bool,
}

impl Held {
    pub(crate) fn is_out(&self) -> bool {
        matches!(self.place, Place::Out { .. })
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.place, Place::Refused { .. })
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.crashes >= 2
    }
}

/// What a consumer counts for ever.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) deliveries: u64,
    pub(crate) acked: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) dropped: u64,
    pub(crate) lost: u64,
    /// The lowest and the highest.
    pub(crate) lost_range: Option<(u64, u64)>,
    pub(crate) skipped: u64,
    pub(crate) failures: u64,
    pub(crate) crashes: u64,
}

/// A consumer.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) config: ConsumerConfig,
    /// Which consumer this is, among all that ever were; also the order of creation.
    pub(crate) born: u64,
    /// No message from here on was ever delivered.
    pub(crate) next: u64,
    /// Where it began.
    pub(crate) start: u64,
    /// As far as it was when it was reset, or was set to.
    pub(crate) reset_below: u64,
    /// Behind the last message of the stream then.
    pub(crate) reset_last: u64,
    /// Where it was when its filters were changed.
    pub(crate) filters_from: u64,
    /// Behind the last message of the stream then.
    pub(crate) filters_below: u64,
    /// The highest sequence that was delivered.
    pub(crate) highest: u64,
    pub(crate) held: BTreeMap<u64, Held>,
    pub(crate) ends: BTreeMap<u64, End>,
    pub(crate) totals: Totals,
    pub(crate) next_rank: u64,
    /// When somebody was last at work with it.
    pub(crate) active: u64,
    /// The dead-letter stream's `room_made` when all refused messages were last tried.
    pub(crate) refused_at: Option<u64>,
    /// Behind the message that was tried last: the others get their turn first.
    pub(crate) retry_from: u64,
    pub(crate) pace: Pace,
    pub(crate) replay: Replay,
    /// Since when it holds something and has finished nothing, and how much it had finished by then.
    pub(crate) since: Option<(u64, u64)>,
    pub(crate) stuck: bool,
    /// It may have held nothing for a moment, which only the store knows.
    pub(crate) unsure: bool,
}

impl Consumer {
    pub(crate) fn wants(&self, subject: &str) -> bool {
        let filters = &self.config.filters;
        filters.is_empty() || filters.iter().any(|filter| matches(filter, subject))
    }

    pub(crate) fn needs(&self, seq: u64, subject: &str) -> bool {
        self.held.contains_key(&seq) || (seq >= self.next && self.wants(subject))
    }

    pub(crate) fn count(&self, is: impl Fn(&Held) -> bool) -> u64 {
        self.held.values().filter(|held| is(held)).count() as u64
    }

    pub(crate) fn rank(&mut self) -> u64 {
        self.next_rank += 1;
        self.next_rank
    }

    /// The step of the backoff list for an attempt that is counted from 1, in microseconds.
    pub(crate) fn backoff(&self, attempt: u64) -> Option<u64> {
        let steps = &self.config.backoff;
        let at = (attempt.max(1) - 1).min((steps.len() as u64).saturating_sub(1));
        steps.get(at as usize).map(|step| step.as_micros() as u64)
    }

    pub(crate) fn lease(&self, attempt: u64) -> u64 {
        self.backoff(attempt)
            .unwrap_or(self.config.ack_wait.as_micros() as u64)
    }

    pub(crate) fn is_exhausted(&self, failures: u64) -> bool {
        self.config
            .max_deliver
            .is_some_and(|limit| failures >= limit)
    }
}

/// Whether a filter matches a subject: `*` is one token, `>` one or more at the end.
pub(crate) fn matches(filter: &str, subject: &str) -> bool {
    let filter: Vec<&str> = filter.split('.').collect();
    let subject: Vec<&str> = subject.split('.').collect();
    for (at, token) in filter.iter().enumerate() {
        match *token {
            ">" => return subject.len() > at,
            "*" if at < subject.len() => {}
            token if subject.get(at) == Some(&token) => {}
            _ => return false,
        }
    }
    filter.len() == subject.len()
}
