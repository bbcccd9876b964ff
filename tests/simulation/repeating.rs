//! The oracle's rules of messages that are published again and again.

use crate::model::{Draft, Due};
use fastrand::Rng;
use riverbed::Publish;
use std::time::Duration;

const SECOND: u64 = 1_000_000;

/// What the headers of such a message take at most: their names, and three numbers.
const HEADERS: u64 = 17 + 21 + 22 + 3 * 20;

/// Expressions whose times are easily told: each so many seconds, and when in these.
const EXPRESSIONS: [(&str, u64, u64); 4] = [
    ("*/5 * * * * *", 5, 0),
    ("20 * * * * *", 60, 20),
    ("*/2 * * * *", 120, 0),
    ("1-59/2 * * * * ?", 2, 1),
];

/// How a message comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// In milliseconds.
    Every(u64),
    /// Which expression; one that is not there is wrong.
    Cron(usize),
}

impl Again {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        match rng.u8(..12) {
            0..=6 => Self::Every(rng.u64(1_000..9_000)),
            7 => Self::Every(rng.u64(..1_000)),
            _ => Self::Cron(rng.usize(..=EXPRESSIONS.len())),
        }
    }

    pub(crate) fn is_refused(self) -> bool {
        match self {
            Self::Every(ms) => ms < 1_000,
            Self::Cron(which) => which >= EXPRESSIONS.len(),
        }
    }

    pub(crate) fn set(self, message: Publish) -> Publish {
        match self {
            Self::Every(ms) => message.every(Duration::from_millis(ms)),
            Self::Cron(which) => {
                let known = EXPRESSIONS.get(which);
                message.cron(known.map_or("0 0 31 * 2 *", |known| known.0))
            }
        }
    }

    /// The first time after `now`.
    fn first(self, due: Due, now: u64) -> u64 {
        let begins = match due {
            Due::Now => None,
            Due::After(ms) => Some(now + ms * 1_000),
            Due::At(time) => Some(time),
        };
        match (self, begins) {
            (Self::Every(_), Some(begins)) if begins > now => begins,
            (Self::Every(ms), begins) => after(begins.unwrap_or(now), ms * 1_000, now),
            (Self::Cron(_), begins) => {
                self.next(0, begins.map_or(now, |at| now.max(at.saturating_sub(1))))
            }
        }
    }

    /// The first time after `now`, of a schedule that one of its times is known of.
    pub(crate) fn next(self, known: u64, now: u64) -> u64 {
        match self {
            Self::Every(ms) => after(known, ms * 1_000, now),
            Self::Cron(which) => {
                let (_, each, at) = EXPRESSIONS[which];
                after(at * SECOND, each * SECOND, now)
            }
        }
    }
}

/// The first of the times `known`, `known + each` ... that is after `now`.
fn after(known: u64, each: u64, now: u64) -> u64 {
    let mut time = known % each;
    time += now.saturating_sub(time) / each * each;
    while time <= now {
        time += each;
    }
    time
}

impl Draft {
    /// The time, if it is still to come.
    pub(crate) fn due_after(&self, now: u64) -> Option<u64> {
        match self.again {
            None => self.due.later_than(now),
            Some(again) => Some(again.first(self.due, now)),
        }
    }

    /// What every message that it becomes has beside its own.
    pub(crate) fn added(&self) -> u64 {
        self.again.map_or(0, |_| HEADERS)
    }

    /// The message of one time of a schedule.
    pub(crate) fn occurrence(&self, number: u64, due: u64, next: u64) -> Self {
        let mut draft = self.clone();
        (draft.again, draft.id) = (None, None);
        let said = [("", number), ("-Due", due), ("-Next", next)];
        let said =
            said.map(|(what, value)| (format!("Riverbed-Schedule{what}"), value.to_string()));
        draft.headers.extend(said);
        draft
    }
}
