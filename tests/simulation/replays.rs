//! The oracle's replays: what was in a stream before its consumer comes with the intervals of old.

use crate::model::Consumer;
use crate::oracle::Oracle;
use riverbed::ReplayPolicy;

/// Where a replay is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay {
    /// The last message that is replayed; 0 if none is.
    pub(crate) to: u64,
    /// When the first of them came, and when that had been published.
    began: Option<(u64, u64)>,
}

impl Replay {
    pub(crate) fn anew(&mut self) {
        self.began = None;
    }
}

impl Consumer {
    /// It begins, or begins again, when the stream is so long.
    pub(crate) fn begin_replay(&mut self, last: u64) {
        let original = self.config.replay == ReplayPolicy::Original;
        let to = if original { last } else { 0 };
        self.replay = Replay { to, began: None };
    }

    fn is_replayed(&self, seq: u64) -> bool {
        seq <= self.replay.to && !self.held.contains_key(&seq)
    }

    /// When the message may come, if not now.
    pub(crate) fn turn(&self, seq: u64, time: u64, now: u64) -> Option<u64> {
        let (at, first) = self.replay.began.filter(|_| self.is_replayed(seq))?;
        let turn = at + time.saturating_sub(first);
        (turn > now).then_some(turn)
    }
}

impl Oracle {
    /// How many of the messages that come next may come now, as far as their turns go.
    pub(crate) fn in_turn(&self, stream: &str, consumer: &Consumer, seqs: &[u64]) -> usize {
        let stored = &self.streams[stream].stored;
        let mut after = consumer.clone();
        let held_back = |seq: &u64| {
            let time = stored[seq].time;
            let late = after.turn(*seq, time, self.now).is_some();
            if after.is_replayed(*seq) {
                after.replay.began.get_or_insert((self.now, time));
            }
            late
        };
        seqs.iter().position(held_back).unwrap_or(seqs.len())
    }

    /// Messages are about to be delivered.
    pub(crate) fn replay(&mut self, stream: &str, name: &str, seqs: &[u64]) {
        let now = self.now;
        let known = self.streams.get_mut(stream).unwrap();
        let consumer = known.consumers.get_mut(name).unwrap();
        for seq in seqs {
            if consumer.is_replayed(*seq) {
                let began = consumer.replay.began;
                let time = known.stored[seq].time;
                let (at, first) = *consumer.replay.began.get_or_insert((now, time));
                self.met.push(match began {
                    None => "replay_began",
                    Some(_) if at + time.saturating_sub(first) < now => "replayed_late",
                    Some(_) => "replayed_in_time",
                });
            }
        }
    }
}
