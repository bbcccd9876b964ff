//! The oracle's rules of publishing: all checks of a batch, then all appends.

use crate::answers::placed_line;
use crate::model::{Draft, Placed, Stream};
use crate::oracle::{Oracle, forget_ids};
use crate::repeating::Again;
use crate::scheduling::at_once;
use riverbed::{DedupMode, Deny};
use std::collections::{BTreeMap, BTreeSet};

impl Oracle {
    /// The streams that capture these subjects, in the order of their first messages.
    fn route(&self, batch: &[Draft]) -> Result<Vec<(String, Vec<usize>)>, &'static str> {
        let mut found: Vec<(String, Vec<usize>)> = Vec::new();
        for (at, draft) in batch.iter().enumerate() {
            let captures = self
                .streams
                .iter()
                .find(|(_, stream)| stream.captures(&draft.subject));
            let (name, _) = captures.ok_or("NoStream")?;
            match found.iter_mut().find(|(known, _)| known == name) {
                Some((_, places)) => places.push(at),
                None => found.push((name.clone(), vec![at])),
            }
        }
        Ok(found)
    }

    pub(crate) fn publish(&mut self, to: Option<&str>, batch: &[Draft]) -> String {
        // Without a stream there is no handle to publish with.
        if to.is_some_and(|name| !self.streams.contains_key(name)) {
            return "StreamGone".to_owned();
        }
        if batch.is_empty() {
            return "BatchSize".to_owned();
        }
        if batch
            .iter()
            .filter_map(|draft| draft.again)
            .any(Again::is_refused)
        {
            return "Repeat".to_owned();
        }
        let parts = match to {
            Some(name) => Ok(vec![(name.to_owned(), (0..batch.len()).collect())]),
            None => self.route(batch),
        };
        let placed = parts.and_then(|parts| self.publish_parts(&parts, batch));
        placed.map_or_else(str::to_owned, |placed| placed_line(&placed))
    }

    /// All or none, in all streams: every check first, then the appends.
    fn publish_parts(
        &mut self,
        parts: &[(String, Vec<usize>)],
        batch: &[Draft],
    ) -> Result<Vec<(String, Placed, bool)>, &'static str> {
        let own = |places: &[usize]| -> Vec<Draft> {
            places.iter().map(|at| batch[*at].clone()).collect()
        };
        let mut verdicts = Vec::new();
        for (name, places) in parts {
            verdicts.push(self.check_batch(name, &own(places))?);
        }
        let mut placed: BTreeMap<usize, (String, Placed, bool)> = BTreeMap::new();
        for ((name, places), verdicts) in parts.iter().zip(verdicts) {
            let stored = self.append_batch(name, &own(places), verdicts);
            for (at, (seq, duplicate)) in places.iter().zip(stored) {
                placed.insert(*at, (name.clone(), seq, duplicate));
            }
        }
        if parts.len() > 1 {
            self.met.push("several_streams");
        }
        Ok(placed.into_values().collect())
    }

    /// What each message is a duplicate of: something stored, or something of this batch.
    fn check_batch(
        &mut self,
        name: &str,
        batch: &[Draft],
    ) -> Result<Vec<Option<Result<Placed, usize>>>, &'static str> {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(name) else {
            return Err("StreamGone");
        };
        forget_ids(stream, now);
        self.retire_before(name, batch);
        if let Some(why) = misplaced(batch) {
            return Err(why);
        }
        let stream = &self.streams[name];
        let mut in_batch: BTreeMap<&str, usize> = BTreeMap::new();
        let mut subjects: Vec<&str> = Vec::new();
        let mut leaving: BTreeSet<u64> = BTreeSet::new();
        let (mut bytes, mut fresh, mut ids, mut ttls) = (0, 0, 0, 0);
        let (mut later, mut denied): (Vec<u64>, bool) = (Vec::new(), false);
        let mut verdicts: Vec<Option<Result<Placed, usize>>> = Vec::new();
        for (at, draft) in batch.iter().enumerate() {
            if !stream.captures(&draft.subject) {
                return Err("NotCaptured");
            }
            if draft.id.is_some() && stream.config.dedup_window.is_none() {
                return Err("NoDedup");
            }
            stream.admit_ttl(draft)?;
            if stream
                .config
                .max_bytes
                .is_some_and(|most| draft.size() + draft.added() > most)
                || draft.limited() + draft.added() > stream.config.max_message_size
            {
                return Err("TooLarge");
            }
            let id = draft.id.as_deref();
            let known = id
                .and_then(|id| stream.ids.get(id))
                .map(|(seq, _)| Ok(*seq));
            let known = known.or_else(|| id.and_then(|id| in_batch.get(id)).map(|at| Err(*at)));
            if known.is_none() {
                if stream.is_sealed() {
                    return Err("Sealed");
                }
                if draft.due_after(now).is_some() && !draft.may_wait() {
                    return Err("NotForLater");
                }
                if let Some(why) = unexpected(stream, draft) {
                    return Err(why);
                }
                fresh += 1;
                bytes += draft.size();
                if draft.due_after(now).is_some() {
                    later.push(draft.size());
                } else {
                    ttls += u64::from(draft.ttl.is_some());
                }
                if let Some(id) = id {
                    in_batch.insert(id, at);
                    ids += 1;
                }
                if let Some(rollup) = draft.rollup {
                    denied |= stream.keeps(Deny::Purge).is_some();
                    leaving.extend(stream.replaced_by(rollup, &draft.subject));
                }
                let is_known = stream
                    .stored
                    .values()
                    .any(|m| m.draft.subject == draft.subject);
                if !is_known && !subjects.contains(&draft.subject.as_str()) {
                    subjects.push(&draft.subject);
                }
            }
            verdicts.push(known);
        }
        if denied {
            return Err("RollupDenied");
        }
        let leaving: Vec<u64> = leaving.into_iter().collect();
        if let Some(why) = self.room_without(name, &leaving, fresh, bytes) {
            return Err(why);
        }
        stream.room_beside(&later, ttls, &leaving)?;
        let new = batch
            .iter()
            .zip(&verdicts)
            .filter(|(_, known)| known.is_none());
        let new: Vec<&Draft> = new.map(|(draft, _)| draft).collect();
        if self.subject_is_full(name, &new) {
            return Err("Full");
        }
        stream.lag_room(&new, now)?;
        if ids > 0 && stream.ids.len() as u64 + ids > stream.config.dedup_ids {
            return Err("DedupFull");
        }
        if !subjects.is_empty()
            && stream.subjects() + subjects.len() as u64 > crate::oracle::SUBJECTS
        {
            return Err("SubjectsFull");
        }
        Ok(verdicts)
    }

    fn append_batch(
        &mut self,
        name: &str,
        batch: &[Draft],
        verdicts: Vec<Option<Result<Placed, usize>>>,
    ) -> Vec<(Placed, bool)> {
        let (now, mut renewed) = (self.now, false);
        let mut placed: Vec<(Placed, bool)> = Vec::new();
        for (draft, verdict) in batch.iter().zip(verdicts) {
            placed.push(match verdict {
                Some(Ok(seq)) => {
                    renewed |= self.renew(name, draft);
                    (seq, true)
                }
                Some(Err(at)) => (placed[at].0, true),
                None => {
                    if let Some(rollup) = draft.rollup {
                        let stream = &self.streams[name];
                        let gone = stream.replaced_by(rollup, &draft.subject);
                        let had = stream.last_of(&draft.subject) > 0;
                        self.remove(name, &gone, "Rollup");
                        let stream = self.streams.get_mut(name).unwrap();
                        if had && stream.last_of(&draft.subject) == 0 {
                            // The message itself comes in their place.
                            stream.emptied -= 1;
                        }
                    }
                    let at = match draft.due_after(now) {
                        Some(due) => Placed::Scheduled(self.schedule(name, due, draft)),
                        None => Placed::Seq(self.append(name, at_once(draft), None)),
                    };
                    let stream = self.streams.get_mut(name).unwrap();
                    if let Some(id) = &draft.id {
                        let time = stream.last_time.max(now);
                        stream.ids.insert(id.clone(), (at, time));
                    }
                    (at, false)
                }
            });
        }
        if placed.iter().any(|(_, duplicate)| *duplicate) {
            self.met.push("duplicate");
        }
        // A renewed id is written, and so the stream's limits are enforced with it.
        let written = renewed || placed.iter().any(|(_, duplicate)| !duplicate);
        if written && !self.defer_limits {
            self.trim(name);
        }
        placed
    }

    /// A duplicate came; says whether it renews the id.
    fn renew(&mut self, name: &str, draft: &Draft) -> bool {
        let now = self.now;
        let stream = self.streams.get_mut(name).unwrap();
        let now = now.max(stream.last_time);
        let known = draft.id.as_ref().and_then(|id| stream.ids.get_mut(id));
        if let (DedupMode::Sliding, Some(window), Some((_, time))) =
            (stream.config.dedup_mode, stream.config.dedup_window, known)
            && now.saturating_sub(*time) >= window.as_micros() as u64 / 8
        {
            *time = now;
            self.met.push("id_renewed");
            return true;
        }
        false
    }
}

/// Only the first of a batch may expect anything; the others the last of a subject, which none before
/// them is on.
fn misplaced(batch: &[Draft]) -> Option<&'static str> {
    for (at, draft) in batch.iter().enumerate().skip(1) {
        if draft.expect.is_some() || draft.expect_id.is_some() {
            return Some("ExpectInBatch");
        }
        let Some((filter, _)) = &draft.expect_of else {
            continue;
        };
        if filter.contains(['*', '>']) {
            return Some("ExpectInBatch");
        }
        if batch[..at].iter().any(|before| before.subject == *filter) {
            return Some("ExpectOwn");
        }
    }
    None
}

/// Whether a subject can match both filters.
fn meet(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

/// What a message that is no duplicate expects, and is not so.
fn unexpected(stream: &Stream, draft: &Draft) -> Option<&'static str> {
    if draft.expect.is_some_and(|expected| expected != stream.last) {
        return Some("WrongLastSequence");
    }
    if let Some((filter, expected)) = &draft.expect_of {
        if !stream.config.subjects.iter().any(|own| meet(own, filter)) {
            return Some("NotCaptured");
        }
        if stream.last_of(filter) != *expected {
            return Some("WrongLastForSubject");
        }
    }
    let last = stream.stored.values().next_back();
    let id = last.and_then(|last| last.draft.id.clone());
    (draft.expect_id.is_some() && draft.expect_id != id).then_some("WrongLastId")
}
