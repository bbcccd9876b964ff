//! Rollups: a message that replaces the earlier ones of its subject, or of its stream, in its commit.
//!
//! What replaces a stream empties it without a look at it. What replaces a subject removes its messages
//! one by one, as a purge would, but in one step: so their number has a bound, and nothing is left over
//! to be told from what is stored.

use super::admit::Refused;
use super::purge::stored_fact;
use super::stored::{Fact, Need};
use super::windows::window_of;
use super::{State, Stream};
use crate::config::Deny;
use crate::error::PublishErrorKind;
use crate::event::Removal;
use crate::publish::{Publish, Rollup};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Most messages that one batch may replace by subject (R9).
const REPLACED_MAX: u64 = 65_536;

/// Subjects whose messages a call needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EarlierNeed {
    pub(crate) stream: u32,
    /// With how many messages to look for.
    pub(crate) subjects: Vec<(String, u64)>,
}

/// The messages of subjects that the log has, until the call that needed them is over.
#[derive(Debug, Default)]
pub(crate) struct Earlier(HashMap<(u32, String), Found>);

/// What was found of one subject.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The last sequence looked at.
    pub(crate) to: u64,
    /// Its messages, some of which may have been removed since.
    pub(crate) facts: Arc<Vec<Fact>>,
    /// There are no older ones.
    pub(crate) complete: bool,
}

/// What the rollups of one batch replace.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// All of the stream is replaced by some message of the batch.
    all: bool,
    /// By subject, what is stored of it.
    subjects: BTreeMap<String, Vec<Fact>>,
    messages: u64,
    bytes: u64,
    /// The stream's last sequence before the batch.
    last: u64,
}

impl Replaced {
    /// Messages and bytes that make room for what replaces them.
    pub(super) fn room(&self, stream: &Stream) -> (u64, u64) {
        if self.all {
            (stream.messages, stream.bytes)
        } else {
            (self.messages, self.bytes)
        }
    }

    /// How many of them have a time to live of their own.
    pub(super) fn ttls(&self, stream: &Stream) -> u64 {
        if self.all {
            return stream.expiries.len();
        }
        let facts = self.subjects.values().flatten();
        let brief = facts.filter(|fact| stream.expiries.contains(fact.seq));
        brief.count() as u64
    }

    /// How many messages of a subject are replaced of those that were stored before the batch.
    pub(super) fn on(&self, subject: &str) -> u64 {
        self.subjects
            .get(subject)
            .map_or(0, |facts| facts.len() as u64)
    }
}

impl State {
    /// Hands in the messages of a subject, as the log has them.
    pub(crate) fn supply_earlier(&mut self, stream: u32, subject: String, found: Found) {
        self.earlier.0.insert((stream, subject), found);
    }

    /// Forgets them, when no call is under way that may need them.
    pub(super) fn forget_earlier(&mut self) {
        self.earlier.0.clear();
    }

    /// Finds out what the rollups among these messages, which are new, replace.
    pub(super) fn plan_rollups(
        &self,
        stream: &Stream,
        messages: &[&Publish],
    ) -> Result<Replaced, Refused> {
        let mut unknown = BTreeMap::new();
        let mut replaced = Replaced {
            last: stream.last,
            ..Replaced::default()
        };
        for message in messages {
            let Some(rollup) = message.rollup else {
                continue;
            };
            if stream.permit(Deny::Purge).is_err() {
                let stream = stream.config.name.clone();
                return Err(PublishErrorKind::RollupDenied { stream }.into());
            }
            let known = replaced.all || replaced.subjects.contains_key(&message.subject);
            match rollup {
                Rollup::All => replaced.all = true,
                Rollup::Subject if known => {}
                Rollup::Subject => match self.earlier_of(stream, &message.subject) {
                    Ok(facts) => {
                        replaced.messages += facts.len() as u64;
                        replaced.bytes += facts.iter().map(|fact| fact.size).sum::<u64>();
                        replaced.subjects.insert(message.subject.clone(), facts);
                    }
                    Err(Missing::Look(count)) => {
                        unknown.insert(message.subject.clone(), count);
                    }
                    Err(Missing::Need(need)) => return Err(need.into()),
                },
            }
        }
        let counts = replaced.subjects.keys().chain(unknown.keys());
        let counts = counts.filter_map(|name| stream.subjects.get(name));
        let messages: u64 = counts.map(|subject| subject.count).sum();
        if messages > REPLACED_MAX {
            return Err(PublishErrorKind::RollupTooLarge {
                stream: stream.config.name.clone(),
                messages,
                limit: REPLACED_MAX,
            }
            .into());
        }
        if !unknown.is_empty() {
            return Err(Need::Earlier(EarlierNeed {
                stream: stream.id,
                subjects: unknown.into_iter().collect(),
            })
            .into());
        }
        if !replaced.subjects.is_empty() {
            // What the batch itself brings and replaces is marked deleted here.
            stream.is_hole(stream.last + 1)?;
        }
        Ok(replaced)
    }

    /// The messages stored on a subject.
    fn earlier_of(&self, stream: &Stream, subject: &str) -> Result<Vec<Fact>, Missing> {
        let Some(known) = stream.subjects.get(subject) else {
            return Ok(Vec::new());
        };
        let (mut facts, from) = (Vec::new(), stream.stored_to() + 1);
        let in_memory = stream.recent.iter_from(from);
        let of_it = |stored: &&super::Stored| *stored.subject == *subject;
        // What was deleted while it was still in memory has its window there too.
        let stored = |stored: &&super::Stored| {
            !stream.is_hole(stored.seq).unwrap_or(false)
                && !stream.is_purged(stored.seq, &stored.subject)
        };
        let in_memory = in_memory.filter(of_it).filter(stored).count() as u64;
        if in_memory < known.count {
            let key = (stream.id, subject.to_owned());
            let found = self.earlier.0.get(&key);
            // What came since and is in the store by now was not looked at.
            let looked = |found: &&Found| found.to >= from - 1 || found.to >= known.last;
            let wanted = known.count - in_memory;
            let found = found.filter(looked).ok_or(Missing::Look(wanted))?;
            for fact in found.facts.iter().filter(|fact| fact.seq < from) {
                if lives(stream, fact)? {
                    facts.push(fact.clone());
                }
            }
            if !found.complete && (facts.len() as u64) < wanted {
                // Some of what was found is deleted by now: there are more behind it.
                return Err(Missing::Look(found.facts.len() as u64 + wanted));
            }
        }
        for stored in stream.recent.iter_from(from).filter(of_it) {
            if let Some(fact) = stored_fact(stream, stored.seq)? {
                facts.push(fact);
            }
        }
        Ok(facts)
    }

    /// Removes what a message replaces, just before it is appended.
    pub(super) fn replace(
        &mut self,
        stream: u32,
        subject: &str,
        rollup: Rollup,
        replaced: &mut Replaced,
    ) {
        let has = |state: &Self| {
            let stream = state.streams.get(&stream);
            stream.is_some_and(|stream| stream.subjects.contains(subject))
        };
        let had = has(self);
        self.remove_replaced(stream, subject, rollup, replaced);
        if had && !has(self) {
            self.follow_emptied(stream);
        }
    }

    /// A subject that was left without a message gets one in the same commit, and so was not emptied.
    pub(super) fn follow_emptied(&mut self, stream: u32) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.emptied = stream.emptied.saturating_sub(1);
        }
    }

    fn remove_replaced(
        &mut self,
        stream: u32,
        subject: &str,
        rollup: Rollup,
        replaced: &mut Replaced,
    ) {
        if rollup == Rollup::All {
            replaced.subjects.clear();
            self.remove_all(stream, Removal::Rollup);
            return;
        }
        let mut gone = match replaced.subjects.get_mut(subject) {
            Some(facts) => std::mem::take(facts),
            None => Vec::new(),
        };
        let Some(target) = self.streams.get(&stream) else {
            return;
        };
        // And what the batch itself brought; if some of that was replaced already, its window is there.
        let own = target
            .recent
            .iter_from(target.first().max(replaced.last + 1));
        let own = own.filter(|stored| *stored.subject == *subject);
        let own = own.filter(|stored| target.windows.is_dead(stored.seq) != Some(true));
        gone.extend(own.map(|stored| Fact {
            seq: stored.seq,
            subject: Arc::clone(&stored.subject),
            size: stored.size(),
            time: stored.time,
        }));
        for fact in &gone {
            self.kill(stream, fact.seq);
        }
        self.account_removed(stream, &gone, Removal::Rollup);
    }
}

/// Why the messages of a subject are not known.
enum Missing {
    /// Nobody looked for so many.
    Look(u64),
    Need(Need),
}

impl From<Need> for Missing {
    fn from(need: Need) -> Self {
        Self::Need(need)
    }
}

fn lives(stream: &Stream, fact: &Fact) -> Result<bool, Need> {
    Ok(!stream.is_purged(fact.seq, &fact.subject) && !stream.is_hole(fact.seq)?)
}

/// The windows of these messages, whose holes are needed when they are removed.
pub(crate) fn windows_of(facts: &[Fact]) -> BTreeSet<u64> {
    facts.iter().map(|fact| window_of(fact.seq)).collect()
}
