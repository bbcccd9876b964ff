//! What a publisher expects of a stream before its message is stored.
//!
//! The last message of a subject is known from memory while it is stored. Once it was removed, which
//! one is the last then is read from the log.

use super::State;
use super::admit::Refused;
use super::stored::Need;
use super::stream::Stream;
use super::subjects::Subject;
use crate::error::PublishErrorKind;
use crate::publish::{Expect, Publish};
use crate::seq::Seq;
use crate::subject::SubjectFilter;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The last messages that were looked for in the log, until the call that needed them is over.
///
/// Nothing that a filter matches is stored between what was found and `to`, and nothing will be:
/// what is removed never comes back.
#[derive(Debug, Default)]
pub(crate) struct Lasts(HashMap<(u32, String), Looked>);

/// What a look into the log came to.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    /// The last sequence looked at.
    pub(crate) to: u64,
    /// The first sequence looked at.
    pub(crate) from: u64,
    /// What was found, and its subject.
    pub(crate) found: Option<(u64, Arc<str>)>,
}

/// A look into the log for the last message that a filter matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastNeed {
    pub(crate) stream: u32,
    pub(crate) filter: SubjectFilter,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl State {
    /// Hands in what a look into the log came to.
    pub(crate) fn supply_last(&mut self, need: &LastNeed, looked: Looked) {
        let key = (need.stream, need.filter.as_str().to_owned());
        let known = self.streams.get(&need.stream);
        let looked = match self.lasts.0.remove(&key) {
            Some(before) if looked.to < before.to => {
                let goes_on = match &before.found {
                    // Right below what was found then and is removed since.
                    Some((seq, subject)) => {
                        *seq == looked.to + 1 && known.is_none_or(|s| s.is_gone(*seq, subject))
                    }
                    None => before.from == looked.to + 1,
                };
                let to = before.to;
                // Else it was asked for before another caller looked further.
                if goes_on {
                    Looked { to, ..looked }
                } else {
                    before
                }
            }
            _ => looked,
        };
        self.lasts.0.insert(key, looked);
    }

    /// A call is under way that looks into the log.
    pub(crate) fn begin_looks(&mut self) {
        self.lookers += 1;
    }

    /// It is over. When no other one is, what was found is forgotten.
    pub(crate) fn end_looks(&mut self) {
        self.lookers = self.lookers.saturating_sub(1);
        if self.lookers == 0 {
            self.lasts.0.clear();
            self.forget_earlier();
        }
    }
}

/// Which messages of a batch may expect what: the first of a stream anything, the others the last of a
/// subject that none before them changes.
pub(super) fn check_places(messages: &[Publish]) -> Result<(), PublishErrorKind> {
    if messages
        .iter()
        .skip(1)
        .all(|message| message.expect.is_none())
    {
        return Ok(());
    }
    let mut before: HashSet<&str> = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        if at > 0
            && let Some(expect) = &message.expect
        {
            if expect.last.is_some() || expect.last_id.is_some() {
                return Err(PublishErrorKind::ExpectInBatch { at });
            }
            if let Some((subject, _)) = &expect.last_for_subject {
                let filter: SubjectFilter = subject.parse()?;
                if !filter.is_literal() {
                    return Err(PublishErrorKind::ExpectInBatch { at });
                }
                if before.contains(subject.as_str()) {
                    let subject = subject.clone();
                    return Err(PublishErrorKind::ExpectOwn { at, subject });
                }
            }
        }
        before.insert(&message.subject);
    }
    Ok(())
}

/// A message for later comes to its stream as any other would: at that time nobody judges what it replaces
/// or expects.
pub(super) fn check_for_later(message: &Publish, at: usize) -> Result<(), PublishErrorKind> {
    let expect = message.expect.as_deref();
    let setting = if message.rollup.is_some() {
        "rollup"
    } else if expect.is_some_and(|expect| expect.last_for_subject.is_some()) {
        "expect_last_for_subject"
    } else if expect.is_some_and(|expect| expect.last_id.is_some()) {
        "expect_last_id"
    } else {
        return Ok(());
    };
    Err(PublishErrorKind::NotForLater { at, setting })
}

/// What the rules of expectations look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expectations<'a> {
    pub(super) state: &'a State,
    pub(super) stream: &'a Stream,
}

impl Stream {
    /// Whether a message is known to be removed.
    fn is_gone(&self, seq: u64, subject: &str) -> bool {
        self.is_purged(seq, subject) || self.is_hole(seq) == Ok(true)
    }
}

impl Expectations<'_> {
    /// Refuses a message that is not a duplicate and expects what is not so.
    pub(super) fn judge(&self, expect: &Expect) -> Result<(), Refused> {
        let name = || self.stream.config.name.clone();
        if let Some(expected) = expect.last
            && expected != self.stream.last
        {
            let (stream, actual) = (name(), Seq::new(self.stream.last));
            let wrong = PublishErrorKind::WrongLastSequence {
                stream,
                expected,
                actual,
            };
            return Err(wrong.into());
        }
        if let Some((subject, expected)) = &expect.last_for_subject {
            let filter: SubjectFilter = subject.parse().map_err(PublishErrorKind::from)?;
            if !self.stream.filters.iter().any(|own| own.overlaps(&filter)) {
                let (stream, subject) = (name(), subject.clone());
                return Err(PublishErrorKind::NotCaptured { stream, subject }.into());
            }
            let actual = Seq::new(self.last_of(&filter)?);
            if *expected != actual {
                let wrong = PublishErrorKind::WrongLastForSubject {
                    stream: name(),
                    subject: subject.clone(),
                    expected: *expected,
                    actual,
                };
                return Err(wrong.into());
            }
        }
        if let Some(expected) = &expect.last_id {
            let actual = self.last_id()?;
            if actual.as_ref() != Some(expected) {
                let wrong = PublishErrorKind::WrongLastId {
                    stream: name(),
                    expected: expected.clone(),
                    actual,
                };
                return Err(wrong.into());
            }
        }
        Ok(())
    }

    /// The id of the last message stored, if it has one.
    fn last_id(&self) -> Result<Option<String>, Need> {
        let stream = self.stream;
        if stream.messages == 0 || stream.last < stream.first() {
            return Ok(None);
        }
        let last = if stream.is_hole(stream.last)? {
            None
        } else {
            let message = self.message(stream.last)?;
            let purged = stream.is_purged(message.seq, &message.subject);
            (!purged).then_some(message)
        };
        if let Some(message) = last {
            return Ok(message.id.clone());
        }
        match self.last_of(&SubjectFilter::everything())? {
            0 => Ok(None),
            seq => Ok(self.message(seq)?.id.clone()),
        }
    }

    fn message(&self, seq: u64) -> Result<Arc<super::Stored>, Need> {
        let wanted = (self.stream.id, seq);
        let found = self.state.message(wanted.0, wanted.1);
        found.ok_or_else(|| Need::Messages(vec![wanted]))
    }

    /// The sequence of the last message stored that a filter matches; 0 if there is none.
    fn last_of(&self, filter: &SubjectFilter) -> Result<u64, Need> {
        let stream = self.stream;
        // Of the subjects whose last message is stored the last; the others may have one behind it.
        let (mut exact, mut bound) = (0, 0);
        for subject in stream.subjects.matching(std::slice::from_ref(filter)) {
            if is_stored(stream, subject) {
                exact = exact.max(subject.last);
            } else {
                bound = bound.max(subject.last);
            }
        }
        if bound < stream.first() || bound < exact {
            return Ok(exact);
        }
        let from = stream.first().max(exact + 1);
        match self.newest_in_memory(filter, from, bound) {
            Some(seq) => Ok(seq),
            None => self.newest_in_log(filter, exact, bound.min(stream.stored_to())),
        }
    }

    fn newest_in_memory(&self, filter: &SubjectFilter, from: u64, to: u64) -> Option<u64> {
        let stream = self.stream;
        let messages = stream.recent.iter_from(from);
        let lives = |stored: &&super::Stored| {
            // What was deleted while it was still in memory has its window there too.
            filter.matches(&stored.subject)
                && !stream.is_hole(stored.seq).unwrap_or(false)
                && !stream.is_purged(stored.seq, &stored.subject)
        };
        let messages = messages.take_while(|stored| stored.seq <= to);
        messages.filter(lives).last().map(|stored| stored.seq)
    }

    /// The last one from behind `exact` to `to`, else `exact`.
    fn newest_in_log(&self, filter: &SubjectFilter, exact: u64, to: u64) -> Result<u64, Need> {
        let stream = self.stream;
        let first = stream.first().max(exact + 1);
        let need = |to: u64| {
            Err(Need::Last(LastNeed {
                stream: stream.id,
                filter: filter.clone(),
                from: first,
                to,
            }))
        };
        if to < first {
            return Ok(exact);
        }
        let key = (stream.id, filter.as_str().to_owned());
        let Some(looked) = self.state.lasts.0.get(&key).filter(|known| known.to >= to) else {
            return need(to);
        };
        match &looked.found {
            Some((seq, _)) if *seq < first => Ok(exact),
            Some((seq, subject)) if stream.is_hole(*seq)? || stream.is_purged(*seq, subject) => {
                // It was removed since.
                if *seq > first {
                    need(seq - 1)
                } else {
                    Ok(exact)
                }
            }
            Some((seq, _)) => Ok(*seq),
            None if looked.from > first => need(looked.from - 1),
            None => Ok(exact),
        }
    }
}

/// Whether the last message that a subject ever had is stored.
fn is_stored(stream: &Stream, subject: &Subject) -> bool {
    !subject.last_gone && !stream.is_purged(subject.last, &subject.name)
}

#[cfg(test)]
mod tests {
    use super::{LastNeed, Looked, State};
    use crate::config::StreamConfig;
    use crate::state::{Recovered, Room};
    use std::sync::Arc;

    #[test]
    fn a_look_that_others_overtook_is_not_taken_for_what_goes_on_behind_theirs() {
        let room = Room::default();
        let mut state: State = Recovered::default()
            .finish([0; 16], 1, (9, 9, 9), room)
            .unwrap();
        let stream = state
            .create_stream(StreamConfig::new("s").validated().unwrap())
            .unwrap();
        let need = |to| LastNeed {
            stream,
            filter: "s".parse().unwrap(),
            from: 1,
            to,
        };
        let found = |to, seq| Looked {
            to,
            from: 1,
            found: Some((seq, Arc::from("s"))),
        };
        state.supply_last(&need(1_002), found(1_002, 1_001));
        state.supply_last(&need(1_000), found(1_000, 90));
        let known = state.lasts.0.values().next().unwrap();
        assert_eq!((known.to, known.found.as_ref().unwrap().0), (1_002, 1_001));
    }
}
