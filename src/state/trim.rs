//! Retention: what leaves a stream at its head, because of a limit, its age or a purge.

use super::stored::{Fact, Need};
use super::stream::Stream;
use super::{Drop, State};
use crate::clock::micros;
use crate::config::Discard;
use crate::event::Removal;

/// What a step of trimming came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trimmed {
    /// Nothing is left to remove.
    Done,
    /// The step was full; go on in another group.
    More,
}

impl State {
    /// Removes what the open group finished, then what limits and purges no longer allow from the heads of
    /// its streams.
    ///
    /// `budget` is how many messages limits and purges may remove in the whole group (R9).
    pub(crate) fn enforce_limits(&mut self, budget: &mut usize) -> Result<Trimmed, Need> {
        self.retire_finished()?;
        let mut outcome = Trimmed::Done;
        let open: Vec<u32> = self.open.streams.iter().copied().collect();
        for id in open {
            let subjects = self.trim_subjects(id, budget)?;
            if self.trim(id, budget)? == Trimmed::More || subjects == Trimmed::More {
                outcome = Trimmed::More;
                self.sweep_wanted = true;
            }
        }
        Ok(outcome)
    }

    /// One step of trimming a stream's head.
    pub(crate) fn trim(&mut self, id: u32, budget: &mut usize) -> Result<Trimmed, Need> {
        let now = self.now;
        let stopped = loop {
            let readable = |stream: &&mut Stream| stream.unreadable.is_none();
            let Some(stream) = self.streams.get_mut(&id).filter(readable) else {
                return Ok(Trimmed::Done);
            };
            let mut gone: Vec<Fact> = Vec::new();
            let (mut by, from) = (None, stream.head);
            let walked = walk(stream, now, *budget, &mut gone, &mut by);
            *budget -= gone.len();
            let to = stream.head - 1;
            let last = stream.last;
            if let Some(by) = by {
                self.note_trimmed(id, (from, to), by);
                self.account_noted(id, &gone, by);
            } else if to + 1 > from {
                // Deleted messages are behind it now.
                self.touch_stream(id);
            }
            let marked = self.streams.get(&id).is_some_and(|known| known.last > last);
            match walked? {
                Stop::Reason => {}
                // The markers may be more than the stream may keep.
                Stop::Done if marked => {}
                Stop::Full => break Trimmed::More,
                Stop::Done => break Trimmed::Done,
            }
        };
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(Trimmed::Done);
        };
        if stream.first() > stream.last {
            stream.drop_to = stream.last + 1;
        }
        if stream.drop_to - stream.dropped_to > super::stream::FREED_AT_ONCE {
            self.drops.insert(Drop::Blocks(id));
            self.sweep_wanted = true;
        }
        Ok(stopped)
    }
}

impl State {
    /// All that was left between two sequences leaves at the head. What a purge took is noted when it is told.
    fn note_trimmed(&mut self, id: u32, (from, to): (u64, u64), by: Removal) {
        let now = self.removal_time();
        let stream = self.streams.get_mut(&id);
        if let Some(stream) = stream.filter(|_| by != Removal::Purge) {
            stream.removed.note_head(from, to, by, now);
        }
    }
}

/// Why a walk stopped.
enum Stop {
    Done,
    Full,
    /// The next message goes for another reason.
    Reason,
}

/// Moves the head past holes and past what must go, and collects what goes. All that is collected in
/// one call goes for the same reason.
fn walk(
    stream: &mut Stream,
    now: u64,
    room: usize,
    gone: &mut Vec<Fact>,
    by: &mut Option<Removal>,
) -> Result<Stop, Need> {
    let mut bytes = 0;
    while stream.head <= stream.last {
        if stream.is_hole(stream.head)? {
            stream.holes -= 1;
            stream.head += 1;
            continue;
        }
        let Some(reason) = reason_to_go(stream, gone.len() as u64, bytes, now)? else {
            break;
        };
        if gone.len() >= room {
            return Ok(Stop::Full);
        }
        if by.is_some_and(|by| by != reason) {
            return Ok(Stop::Reason);
        }
        let fact = stream.fact(stream.head)?;
        *by = Some(reason);
        bytes += fact.size;
        stream.head += 1;
        gone.push(fact);
    }
    Ok(Stop::Done)
}

/// Why the message at the head must go, when so much is on its way out already.
fn reason_to_go(
    stream: &Stream,
    gone: u64,
    gone_bytes: u64,
    now: u64,
) -> Result<Option<Removal>, Need> {
    let config = &stream.config;
    if stream.head < stream.cut {
        return Ok(Some(Removal::Purge));
    }
    if config.is_sealed() {
        return Ok(None);
    }
    // What is too old leaves a marker: so it does not matter what the markers of others take from a limit.
    if config.subject_delete_marker_ttl.is_some() && is_too_old(stream, now)? {
        return Ok(Some(Removal::MaxAge));
    }
    let over = |value: u64, most: Option<u64>| most.is_some_and(|most| value > most);
    if over(stream.messages - gone, config.max_messages) && config.discard == Discard::Old {
        return Ok(Some(Removal::MaxMessages));
    }
    if over(stream.bytes - gone_bytes, config.max_bytes) && config.discard == Discard::Old {
        return Ok(Some(Removal::MaxBytes));
    }
    Ok(is_too_old(stream, now)?.then_some(Removal::MaxAge))
}

/// Whether the message at the head is.
fn is_too_old(stream: &Stream, now: u64) -> Result<bool, Need> {
    let Some(age) = stream.config.max_age else {
        return Ok(false);
    };
    let fact = stream.fact(stream.head)?;
    Ok(fact.time.saturating_add(micros(age)) <= now)
}

impl Stream {
    /// When the message at the head expires: `Some(0)` when it must be looked at to know. A head that
    /// can't be read expires never.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        let age = self.config.max_age?;
        if self.messages == 0 || self.unreadable.is_some() || self.config.is_sealed() {
            return None;
        }
        let fact = self.fact(self.head);
        Some(fact.map_or(0, |fact| fact.time.saturating_add(micros(age))))
    }
}
