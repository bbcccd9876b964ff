//! Replaying: when each message may come that was in the stream before its consumer.

use super::claim::Nothing;
use super::{Consumer, State, Stored};
use crate::clock::Mono;
use crate::config::ReplayPolicy;
use std::time::Duration;

/// Where a replay is. In memory only: it begins anew when the store is opened.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    began: Option<Began>,
    /// The message that it began with was not handed over: it begins with the one that is, if it is behind this.
    taken_back: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Began {
    at: Mono,
    /// With this message, and when that was published.
    seq: u64,
    time: u64,
}

impl Began {
    fn with(stored: &Stored, at: Mono) -> Self {
        let (seq, time) = (stored.seq, stored.time);
        Self { at, seq, time }
    }

    /// When a message of this time may come.
    fn turn_of(&self, time: u64) -> Mono {
        let after = time.saturating_sub(self.time);
        self.at.plus(Duration::from_micros(after))
    }
}

/// Which message is the last that a look into the log is worth while for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplayBound {
    to: u64,
    /// The time of the last that may come; that of the first message, while there is none.
    time: Option<u64>,
}

impl ReplayBound {
    /// Whether a message has to wait, and so those behind it.
    pub(crate) fn holds_back(&mut self, stored: &Stored) -> bool {
        stored.seq <= self.to && *self.time.get_or_insert(stored.time) < stored.time
    }
}

impl Consumer {
    /// It begins, or begins again, with what is in its stream up to here.
    pub(super) fn begin_replay(&mut self, last: u64) {
        self.replay_to = match self.config.replay {
            ReplayPolicy::Instant => 0,
            ReplayPolicy::Original => last,
        };
        self.replay_anew();
    }

    /// The next message is the one that the others come after.
    pub(super) fn replay_anew(&mut self) {
        self.replay = Replay::default();
    }

    fn replays(&self, seq: u64) -> bool {
        seq >= self.next && seq <= self.replay_to
    }

    /// When a message may come, if not now.
    pub(super) fn waits_for_turn(&self, seq: u64, time: u64, now: Mono) -> Option<Mono> {
        let began = self.replay.began.filter(|_| self.replays(seq))?;
        Some(began.turn_of(time)).filter(|turn| *turn > now)
    }

    /// A message is claimed, and may be the first of a replay.
    pub(super) fn note_replayed(&mut self, stored: &Stored, now: Mono) {
        if self.replay.began.is_none() && self.replays(stored.seq) {
            self.replay.began = Some(Began::with(stored, now));
            self.replay.taken_back = None;
        }
    }

    /// What was claimed is no delivery after all.
    pub(super) fn take_back_replayed(&mut self, seq: u64) {
        if self.replay.began.is_some_and(|began| began.seq == seq) {
            self.replay.began = None;
            self.replay.taken_back = Some(seq);
        }
    }

    /// A message is handed over.
    pub(crate) fn note_handed(&mut self, stored: &Stored, now: Mono) {
        let behind = |first: &u64| (first + 1..=self.replay_to).contains(&stored.seq);
        if self.replay.taken_back.as_ref().is_some_and(behind) {
            self.replay.began = Some(Began::with(stored, now));
            self.replay.taken_back = None;
        }
    }

    /// How far it is worth while to look.
    pub(crate) fn replay_bound(&self, now: Mono) -> ReplayBound {
        let since = |began: Began| began.time.saturating_add(now.0.saturating_sub(began.at.0));
        ReplayBound {
            to: self.replay_to,
            time: self.replay.began.map(since),
        }
    }
}

impl State {
    /// Why a message that is next has to wait for its turn in a replay.
    pub(crate) fn turn_to_come(&self, id: u32, seq: u64, time: u64) -> Option<Nothing> {
        let turn = self
            .consumers
            .get(&id)?
            .waits_for_turn(seq, time, self.mono)?;
        let next = self.moment_of(turn);
        Some(Nothing::Replaying { next })
    }
}
