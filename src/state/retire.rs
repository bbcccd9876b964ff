//! Retention by interest and of work queues: a message leaves in the group that finishes it for the last
//! consumer that wanted it.

use super::consumer::Consumer;
use super::purge::stored_fact;
use super::stored::{Fact, Need};
use super::stream::Finished;
use super::{State, Stream};
use crate::config::{Retention, StreamConfig};
use crate::event::Removal;

impl State {
    /// Removes what the open group finished. It is part of that group, whatever its size: an ack and the
    /// removal that follows from it are never apart.
    pub(crate) fn retire_finished(&mut self) -> Result<(), Need> {
        self.collect_finished();
        let open: Vec<u32> = self.open.streams.iter().copied().collect();
        for id in open {
            self.retire(id)?;
        }
        Ok(())
    }

    /// The same of one stream, before somebody is told what it stores, replaces that, or begins again in it.
    pub(crate) fn retire_before(&mut self, id: u32) -> Result<(), Need> {
        self.collect_finished();
        self.retire(id)
    }

    /// Whether consumers are done with something that the open group does not account for yet.
    pub(crate) fn has_finished(&self) -> bool {
        let mut open = self.open.consumers.iter();
        open.any(|id| {
            let known = self.consumers.get(id);
            known.is_some_and(|known| !known.done.is_empty())
        })
    }

    /// Whether anybody may still be given a message, or has it and is not done with it.
    pub(crate) fn is_needed(&self, stream: &Stream, seq: u64, subject: &str) -> bool {
        let mut consumers = stream.consumers.iter();
        consumers.any(|id| {
            let known = self.consumers.get(id);
            known.is_some_and(|known| known.needs(seq, subject))
        })
    }

    /// Whether a message on this subject would leave as soon as it is stored.
    pub(crate) fn is_unwanted(&self, stream: u32, subject: &str) -> bool {
        let Some(known) = self.streams.get(&stream) else {
            return false;
        };
        known.config.drops_unwanted() && !self.is_needed(known, known.last + 1, subject)
    }

    /// Whether, with these settings, a message leaves that is stored: a consumer that wants it is past it,
    /// or nobody needs to be, and none needs it.
    pub(super) fn is_finished(
        &self,
        stream: &Stream,
        config: &StreamConfig,
        seq: u64,
        subject: &str,
    ) -> bool {
        let mut consumers = stream
            .consumers
            .iter()
            .filter_map(|id| self.consumers.get(id));
        (config.drops_unwanted() || consumers.any(|known| known.had(seq, subject)))
            && !self.is_needed(stream, seq, subject)
    }

    /// What consumers are done with, and what nobody wanted, or was set past, when it was published.
    pub(super) fn collect_finished(&mut self) {
        for id in self.open.consumers.clone() {
            let Some(consumer) = self.consumers.get_mut(&id) else {
                continue;
            };
            let (stream, done) = (consumer.stream, std::mem::take(&mut consumer.done));
            let Some(known) = self.streams.get_mut(&stream) else {
                continue;
            };
            if known.config.removes_finished() && !done.is_empty() {
                let done = done.into_iter().map(|seq| (seq, Finished::Done));
                known.finished.extend(done);
                self.touch_stream(stream);
            }
        }
        for id in self.open.streams.clone() {
            let Some(known) = self.streams.get(&id) else {
                continue;
            };
            let mut unwanted = Vec::new();
            if known.config.removes_finished() {
                let fresh = known.recent.iter_from(known.judged_to + 1);
                let finished = fresh.filter(|stored| {
                    self.is_finished(known, &known.config, stored.seq, &stored.subject)
                });
                unwanted.extend(finished.map(|stored| {
                    let how = self.how_finished(known, stored.seq, &stored.subject);
                    (stored.seq, how)
                }));
            }
            if let Some(known) = self.streams.get_mut(&id) {
                known.judged_to = known.last;
                for (seq, how) in unwanted {
                    known.finished.entry(seq).or_insert(how);
                }
            }
        }
    }

    /// Removes the finished messages of a stream that nobody needs. When it needs something it has kept
    /// what it came to, and goes on from there.
    fn retire(&mut self, id: u32) -> Result<(), Need> {
        let (mut gone, mut done, mut stopped) = (Vec::new(), Vec::new(), Ok(()));
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.config.removes_finished()
        {
            stream.finished.clear();
        }
        loop {
            let Some(stream) = self.streams.get(&id) else {
                return Ok(());
            };
            // What can't be read stays until it is excluded, or the store opened again.
            let next = stream.finished.first_key_value();
            let next = next.map(|(seq, how)| (*seq, *how));
            let Some((seq, how)) = next.filter(|_| stream.unreadable.is_none()) else {
                break;
            };
            match self.retired(stream, seq) {
                Ok(Some(fact)) => {
                    gone.push(fact);
                    done.extend((how == Finished::Done).then_some(seq));
                }
                Ok(None) => {}
                Err(need) => {
                    stopped = Err(need);
                    break;
                }
            }
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.finished.pop_first();
            }
        }
        self.remove_facts(id, &gone, Removal::Retention);
        self.release_ids(id, &done);
        stopped
    }

    /// Releases the ids of messages that consumers are done with, where that is asked for.
    fn release_ids(&mut self, id: u32, done: &[u64]) {
        let releases = |known: &&mut Stream| known.releases_ids();
        if let Some(stream) = self.streams.get_mut(&id).filter(releases) {
            for seq in done {
                stream.dedup.release(*seq);
            }
        }
    }

    /// Whether somebody had a message that leaves, or nobody wanted it.
    fn how_finished(&self, stream: &Stream, seq: u64, subject: &str) -> Finished {
        let mut consumers = stream
            .consumers
            .iter()
            .filter_map(|id| self.consumers.get(id));
        // What a reset passed over nobody has done.
        let did = |known: &Consumer| seq >= known.reset_below && known.had(seq, subject);
        if consumers.any(did) {
            Finished::Done
        } else {
            Finished::Unwanted
        }
    }

    /// The facts of a message that is stored and that nobody needs.
    fn retired(&self, stream: &Stream, seq: u64) -> Result<Option<Fact>, Need> {
        let fact = stored_fact(stream, seq)?;
        Ok(fact.filter(|fact| !self.is_needed(stream, seq, &fact.subject)))
    }

    /// Takes messages out of a stream, in the order of sequences: those at its head without a trace, the
    /// others as holes.
    pub(super) fn remove_facts(&mut self, id: u32, gone: &[Fact], by: Removal) {
        for fact in gone {
            match self.streams.get_mut(&id) {
                Some(stream) if stream.head == fact.seq => stream.head += 1,
                _ => self.kill(id, fact.seq),
            }
        }
        self.account_removed(id, gone, by);
        if let Some(stream) = self.streams.get_mut(&id).filter(|_| !gone.is_empty()) {
            stream.free_to_head();
        }
    }

    /// The consumers of a stream, or what they want, changed: what is stored is looked at again, in steps.
    pub(crate) fn rejudge(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let interest = stream.config.retention == Retention::Interest;
        if !interest || stream.config.is_sealed() || stream.messages == 0 {
            return;
        }
        if stream.config.drops_unwanted() && stream.consumers.is_empty() {
            let finished = stream.finished.iter();
            let done = finished.filter(|(_, how)| **how == Finished::Done);
            let done: Vec<u64> = done.map(|(seq, _)| *seq).collect();
            self.release_ids(id, &done);
            self.remove_all(id, Removal::Retention);
            return;
        }
        stream.rejudged = Some((stream.first(), stream.last + 1));
        self.touch_stream(id);
        self.sweep_wanted = true;
    }

    /// One step for all streams that are looked at again; `budget` is how many messages it may look at.
    pub(crate) fn continue_rejudging(&mut self, budget: &mut usize) -> Result<bool, Need> {
        let at_work = |stream: &&Stream| stream.rejudged.is_some() && stream.unreadable.is_none();
        let ids: Vec<u32> = self.streams_that(at_work).collect();
        for id in &ids {
            self.rejudge_step(*id, budget)?;
        }
        Ok(!ids.is_empty())
    }

    fn rejudge_step(&mut self, id: u32, budget: &mut usize) -> Result<(), Need> {
        let Some(stream) = self.streams.get(&id) else {
            return Ok(());
        };
        let Some((from, below)) = stream.rejudged else {
            return Ok(());
        };
        let (mut at, mut gone, mut stopped) = (from.max(stream.first()), Vec::new(), Ok(()));
        if !stream.config.removes_finished() {
            at = below;
        }
        let finished =
            |fact: &Fact| self.is_finished(stream, &stream.config, fact.seq, &fact.subject);
        while at < below && *budget > 0 {
            match stored_fact(stream, at) {
                Ok(fact) => gone.extend(fact.filter(finished)),
                Err(need) => {
                    stopped = Err(need);
                    break;
                }
            }
            at += 1;
            *budget -= 1;
        }
        let done =
            |fact: &&Fact| self.how_finished(stream, fact.seq, &fact.subject) == Finished::Done;
        let done: Vec<u64> = gone.iter().filter(done).map(|fact| fact.seq).collect();
        self.remove_facts(id, &gone, Removal::Retention);
        self.release_ids(id, &done);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.rejudged = (at < below).then_some((at, below));
        }
        self.touch_stream(id);
        stopped
    }
}
