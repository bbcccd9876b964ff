//! A limit of messages for each subject: the oldest of a subject leaves in the group that brings one too
//! many.
//!
//! A subject knows a sequence that none of its messages is below. Which message is its oldest is looked
//! for from there: in the log, whose blocks say which subjects they have, and in memory.

use super::rollup::Replaced;
use super::stored::{Fact, Need};
use super::trim::Trimmed;
use super::{State, Stream};
use crate::config::Discard;
use crate::error::PublishErrorKind;
use crate::event::Removal;
use crate::publish::{Publish, Rollup};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Subjects that have more messages than they may, and what was found out about the first of them.
#[derive(Debug, Default)]
pub(crate) struct Crowded {
    subjects: BTreeSet<Arc<str>>,
    hint: Option<Hint>,
}

/// The log holds no message of the subject from `from` on that is before `seq`.
#[derive(Debug)]
struct Hint {
    subject: Arc<str>,
    from: u64,
    seq: u64,
}

impl Crowded {
    pub(crate) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes in what a search of the log came to: the first message that it holds, or where it ended.
    pub(crate) fn supply(&mut self, subject: Arc<str>, from: u64, seq: u64) {
        self.hint = Some(Hint { subject, from, seq });
    }
}

impl State {
    /// Removes the oldest messages of the subjects of a stream that have too many.
    pub(crate) fn trim_subjects(&mut self, id: u32, budget: &mut usize) -> Result<Trimmed, Need> {
        loop {
            let Some(stream) = self.streams.get_mut(&id) else {
                return Ok(Trimmed::Done);
            };
            let Some(subject) = stream.next_crowded() else {
                return Ok(Trimmed::Done);
            };
            if *budget == 0 {
                return Ok(Trimmed::More);
            }
            *budget -= 1;
            match stream.oldest_of(&subject)? {
                Some(fact) => self.remove_oldest(id, fact),
                // It counts a message that is not there: check() says so, and nothing else is taken for it.
                None => drop(stream.crowded.subjects.remove(&subject)),
            }
        }
    }

    fn remove_oldest(&mut self, id: u32, fact: Fact) {
        let (seq, subject) = (fact.seq, Arc::clone(&fact.subject));
        let at_head = self
            .streams
            .get(&id)
            .is_some_and(|stream| stream.head == seq);
        if at_head {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.head += 1;
            }
        } else {
            self.kill(id, seq);
        }
        self.account_removed(id, &[fact], Removal::MaxMessagesPerSubject);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.free_to_head();
            stream.subjects.raise_first(&subject, seq + 1);
            stream.note_only(&subject);
        }
    }
}

impl Stream {
    /// Notes a subject that has more messages than it may.
    pub(super) fn note_crowded(&mut self, subject: &Arc<str>) {
        let Some(most) = self.config.max_messages_per_subject else {
            return;
        };
        let known = self.subjects.get(subject);
        if known.is_some_and(|known| known.count > most) {
            self.crowded.subjects.insert(Arc::clone(subject));
        }
    }

    /// Looks for such subjects among all, after the limit was changed or the store was opened.
    pub(crate) fn find_crowded(&mut self) {
        self.crowded.clear();
        if let Some(most) = self.config.max_messages_per_subject {
            let over = self.subjects.iter().filter(|known| known.count > most);
            self.crowded.subjects = over.map(|known| Arc::clone(&known.name)).collect();
        }
    }

    /// Whether messages are to be removed because of it.
    pub(crate) fn is_crowded(&self) -> bool {
        !self.crowded.is_empty() && self.limits_subjects()
    }

    /// While a purge is at work, subjects count what it will take, so that they can't be judged.
    fn limits_subjects(&self) -> bool {
        self.config.discard_per_subject == Discard::Old
            && !self.config.is_sealed()
            && self.unreadable.is_none()
            && self.head >= self.cut
            && self.purges.is_empty()
    }

    /// Where a subject's one message is, if that is its newest and still in memory.
    fn note_only(&mut self, subject: &str) {
        let one = self.subjects.get(subject).filter(|known| known.count == 1);
        let Some(last) = one.map(|known| known.last) else {
            return;
        };
        // What was deleted while it was in memory has its window there, too.
        let lives = !self.windows.is_dead(last).unwrap_or(false);
        if lives && self.recent.get(last).is_some() {
            self.subjects.raise_first(subject, last);
        }
    }

    /// The next subject that still has too many messages.
    fn next_crowded(&mut self) -> Option<Arc<str>> {
        let most = self.config.max_messages_per_subject?;
        if !self.limits_subjects() {
            return None;
        }
        while let Some(subject) = self.crowded.subjects.first() {
            let known = self.subjects.get(subject);
            if known.is_some_and(|known| known.count > most) {
                return Some(Arc::clone(subject));
            }
            self.crowded.subjects.pop_first();
        }
        None
    }

    /// The facts of the oldest message of a subject, if it has one.
    fn oldest_of(&mut self, subject: &Arc<str>) -> Result<Option<Fact>, Need> {
        let known = self.subjects.get(subject);
        let mut at = known.map_or(1, |known| known.first).max(self.first());
        while let Some(found) = self.candidate(subject, at)? {
            // A message that only a hint names may have been removed since.
            if !self.is_hole(found)? {
                let fact = self.fact(found)?;
                if *fact.subject == **subject {
                    return Ok(Some(fact));
                }
            }
            at = found + 1;
            self.subjects.raise_first(subject, at);
        }
        Ok(None)
    }

    /// The first sequence from `at` on that may hold a message of the subject.
    fn candidate(&self, subject: &Arc<str>, at: u64) -> Result<Option<u64>, Need> {
        let stored_to = self.stored_to();
        if at <= stored_to {
            let hint = self.crowded.hint.as_ref();
            let hint = hint.filter(|hint| hint.subject == *subject && hint.from <= at);
            match hint {
                Some(hint) if at <= hint.seq && hint.seq <= stored_to => return Ok(Some(hint.seq)),
                Some(hint) if at <= hint.seq => {}
                _ if self
                    .cached_subject(at)
                    .is_some_and(|known| *known == **subject) =>
                {
                    return Ok(Some(at));
                }
                _ => {
                    let (stream, subject) = (self.id, Arc::clone(subject));
                    let to = stored_to;
                    return Err(Need::Oldest {
                        stream,
                        subject,
                        from: at,
                        to,
                    });
                }
            }
        }
        let mut recent = self.recent.iter_from(at.max(stored_to + 1));
        let found = recent.find(|stored| *stored.subject == **subject);
        Ok(found.map(|stored| stored.seq))
    }

    fn cached_subject(&self, seq: u64) -> Option<Arc<str>> {
        Some(self.fact(seq).ok()?.subject)
    }

    /// Refuses messages of a subject that has as many as it may, where new ones are discarded; what they
    /// replace leaves before they come.
    pub(super) fn room_on_subjects(
        &self,
        fresh: &[&Publish],
        replaced: &Replaced,
    ) -> Result<(), PublishErrorKind> {
        let Some(most) = self.config.max_messages_per_subject else {
            return Ok(());
        };
        if self.config.discard_per_subject == Discard::Old {
            return Ok(());
        }
        let (mut counts, mut emptied): (HashMap<&str, u64>, bool) = (HashMap::new(), false);
        for message in fresh {
            let subject = message.subject.as_str();
            if message.rollup == Some(Rollup::All) {
                counts.clear();
                emptied = true;
            }
            let stored = |subject| match self.subjects.get(subject) {
                Some(known) if !emptied => known.count,
                _ => 0,
            };
            if message.rollup == Some(Rollup::Subject) {
                let rest = stored(subject).saturating_sub(replaced.on(subject));
                counts.insert(subject, rest);
            }
            let count = counts.entry(subject).or_insert_with(|| stored(subject));
            *count += 1;
            if *count > most {
                return Err(self.full_subject(subject, most));
            }
        }
        Ok(())
    }

    /// The same for one message that replaces none.
    pub(super) fn room_on_subject(&self, subject: &str) -> Result<(), PublishErrorKind> {
        let full = |most: &u64| {
            self.subjects
                .get(subject)
                .is_some_and(|known| known.count >= *most)
        };
        match self.config.max_messages_per_subject.filter(full) {
            Some(most) if self.config.discard_per_subject == Discard::New => {
                Err(self.full_subject(subject, most))
            }
            _ => Ok(()),
        }
    }

    fn full_subject(&self, subject: &str, most: u64) -> PublishErrorKind {
        PublishErrorKind::Full {
            stream: self.config.name.clone(),
            limit: format!("{most} of {most} messages on `{subject}`"),
        }
    }
}
