//! Purging and deleting: one logical cut at once, the space in steps (R9).

use super::PurgeMark;
use super::stored::{Fact, Need};
use super::windows::window_of;
use super::{State, Stream};
use crate::config::Deny;
use crate::error::PurgeError;
use crate::event::Removal;
use crate::seq::Seq;
use crate::subject::SubjectFilter;

/// Purges by subject that may be at work on one stream.
const PURGES_MAX: usize = 16;

/// How far a purge goes.
#[derive(Clone, Debug)]
pub(crate) enum PurgeBound {
    /// Everything stored when it begins.
    All,
    /// Messages below this sequence.
    Below(u64),
}

impl State {
    /// Marks messages purged. They are gone for readers and consumers with the open group; their space
    /// and their counts follow in steps.
    pub(crate) fn begin_purge(
        &mut self,
        stream: u32,
        filter: Option<SubjectFilter>,
        bound: &PurgeBound,
    ) -> Result<(), PurgeError> {
        let now = self.removal_time();
        let Some(target) = self.streams.get_mut(&stream) else {
            return Err(PurgeError::StreamGone {
                stream: String::new(),
            });
        };
        target.permit(Deny::Purge)?;
        let end = target.last + 1;
        let below = match bound {
            PurgeBound::All => end,
            PurgeBound::Below(seq) => end.min(*seq),
        };
        if below <= target.first() {
            return Ok(());
        }
        match filter {
            None if below == end => self.remove_all(stream, Removal::Purge),
            None => {
                let first = target.first();
                target
                    .removed
                    .note_head(first, below - 1, Removal::Purge, now);
                target.cut = below;
                self.cut_consumers(stream, below, Removal::Purge);
            }
            Some(filter) => {
                if target.purges.len() >= PURGES_MAX {
                    let stream = target.config.name.clone();
                    return Err(PurgeError::TooMany {
                        stream,
                        limit: PURGES_MAX,
                    });
                }
                let at = target.first();
                target.purges.push(PurgeMark { filter, below, at });
                target.marks_group = self.group;
            }
        }
        self.touch_stream(stream);
        self.sweep_wanted = true;
        Ok(())
    }

    /// Where a stream's log could not be read for retention.
    pub(crate) fn unreadable(&self, stream: u32) -> Option<String> {
        self.streams.get(&stream)?.unreadable.clone()
    }

    /// Whether a purge is still freeing what it cut.
    pub(crate) fn is_purging(&self, stream: u32) -> bool {
        let stream = self.streams.get(&stream);
        stream.is_some_and(|stream| stream.head < stream.cut || !stream.purges.is_empty())
    }

    /// One step of the purges by subject of a stream; `budget` is how many messages it may look at.
    ///
    /// When it needs something it has kept what it came to, and goes on from there.
    pub(crate) fn purge_step(&mut self, stream: u32, budget: &mut usize) -> Result<(), Need> {
        let Some(target) = self.streams.get(&stream) else {
            return Ok(());
        };
        let Some(mark) = target.purges.first().cloned() else {
            return Ok(());
        };
        let mut dead: Vec<Fact> = Vec::new();
        let mut at = mark.at.max(target.first());
        let mut stopped = Ok(());
        while at < mark.below && *budget > 0 {
            match judge(target, at, &mark) {
                Ok(fact) => dead.extend(fact),
                Err(need) => {
                    stopped = Err(need);
                    break;
                }
            }
            at += 1;
            *budget -= 1;
        }
        for fact in &dead {
            self.kill(stream, fact.seq);
        }
        self.account_removed(stream, &dead, Removal::Purge);
        let group = self.group;
        if let Some(target) = self.streams.get_mut(&stream) {
            target.marks_group = group;
            if at >= mark.below {
                target.purges.remove(0);
            } else if let Some(mark) = target.purges.first_mut() {
                mark.at = at;
            }
        }
        self.touch_stream(stream);
        stopped
    }

    /// Deletes one message.
    pub(crate) fn delete(&mut self, stream: u32, seq: u64) -> Result<Result<(), PurgeError>, Need> {
        if self.streams.get(&stream).is_some_and(Stream::releases_ids) {
            // What is finished is not deleted any more, and its id is free.
            self.retire_before(stream)?;
        }
        let Some(target) = self.streams.get(&stream) else {
            return Ok(Err(PurgeError::StreamGone {
                stream: String::new(),
            }));
        };
        if let Err(why) = target.permit(Deny::Delete) {
            return Ok(Err(why));
        }
        let Some(fact) = stored_fact(target, seq)? else {
            let (stream, seq) = (target.config.name.clone(), Seq::new(seq));
            return Ok(Err(PurgeError::NoMessage { stream, seq }));
        };
        self.remove_one(stream, fact, Removal::Delete);
        Ok(Ok(()))
    }

    /// Removes one stored message from the inside of a stream.
    pub(crate) fn remove_one(&mut self, stream: u32, fact: Fact, by: Removal) {
        self.kill(stream, fact.seq);
        self.account_removed(stream, &[fact], by);
    }

    /// Marks a sequence deleted; its window is cached, or the stream has no holes.
    pub(super) fn kill(&mut self, stream: u32, seq: u64) {
        let group = self.group;
        let Some(target) = self.streams.get_mut(&stream) else {
            return;
        };
        target.windows.kill(seq, group);
        target.holes += 1;
        target.kills += 1;
        let window = window_of(seq);
        target.hole_from = Some(target.hole_from.map_or(window, |from| from.min(window)));
        self.touch_stream(stream);
    }
}

impl Stream {
    /// Whether a purge that is still at work reaches so far; which messages it takes, their subjects say.
    pub(crate) fn may_be_purged(&self, seq: u64) -> bool {
        seq < self.first() || self.purges.iter().any(|mark| seq < mark.below)
    }
}

/// The facts of a message that is stored and not purged.
pub(crate) fn stored_fact(stream: &Stream, seq: u64) -> Result<Option<Fact>, Need> {
    if seq < stream.first() || seq > stream.last || stream.is_hole(seq)? {
        return Ok(None);
    }
    let fact = stream.fact(seq)?;
    Ok((!stream.is_purged(seq, &fact.subject)).then_some(fact))
}

fn judge(stream: &Stream, seq: u64, mark: &PurgeMark) -> Result<Option<Fact>, Need> {
    if stream.is_hole(seq)? {
        return Ok(None);
    }
    let fact = stream.fact(seq)?;
    Ok(mark.covers(seq, &fact.subject).then_some(fact))
}
