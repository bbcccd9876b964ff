//! The oracle's rules of streams: managing them, publishing, purging, redriving.

use crate::answers::placed_line;
use crate::model::{Draft, Held, Place, Stream, matches};
use crate::oracle::{Oracle, dead_letter_stream, forget_ids, headers_without_envelope};
use riverbed::{Access, DedupMode, Deny, Retention, StreamConfig};
use std::collections::{BTreeMap, BTreeSet};

impl Oracle {
    pub(crate) fn create_stream(&mut self, config: &StreamConfig) -> String {
        if let Some(known) = self.streams.get(&config.name) {
            return if known.config == *config {
                "created"
            } else {
                "Exists"
            }
            .to_owned();
        }
        if config.access == Access::Sealed {
            return "Invalid".to_owned();
        }
        if self.overlaps(config) {
            return "SubjectOverlap".to_owned();
        }
        self.add_stream(config.clone());
        "created".to_owned()
    }

    /// The subjects of these tests overlap when they are equal, or begin with the same token.
    fn overlaps(&self, config: &StreamConfig) -> bool {
        let first = |subject: &String| subject.split('.').next().unwrap().to_owned();
        let others = self
            .streams
            .values()
            .filter(|other| other.config.name != config.name);
        let taken: Vec<String> = others
            .flat_map(|other| &other.config.subjects)
            .map(first)
            .collect();
        config
            .subjects
            .iter()
            .any(|subject| taken.contains(&first(subject)))
    }

    pub(crate) fn update_stream(&mut self, config: &StreamConfig) -> String {
        let name = &config.name;
        let Some(known) = self.streams.get(name) else {
            return "NotFound".to_owned();
        };
        if known.config.first_sequence != config.first_sequence {
            return "Fixed".to_owned();
        }
        let sealed = known.is_sealed();
        if !known.config.deny.is_subset(&config.deny) || (sealed && config.access != Access::Sealed)
        {
            return "Irrevocable".to_owned();
        }
        if !sealed && config.access == Access::Sealed {
            self.met.push("sealed");
        }
        if self.overlaps(config) {
            return "SubjectOverlap".to_owned();
        }
        for (stream, consumer) in self.senders_to(name) {
            let subject = format!("{name}.{stream}.{consumer}");
            let captured = config
                .subjects
                .iter()
                .any(|filter| matches(filter, &subject));
            let needed = self.streams[&stream].config.max_message_size;
            let forgets = crate::retaining::drops_unwanted(config);
            if !captured || forgets || config.max_message_size < needed {
                return "InUse".to_owned();
            }
        }
        let now = self.now;
        let stream = self.streams.get_mut(name).unwrap();
        let queue = |config: &StreamConfig| config.retention == Retention::WorkQueue;
        if queue(&stream.config) != queue(config) {
            return "Invalid".to_owned();
        }
        let other = stream.config.retention != config.retention;
        let unwanted = stream.config.unwanted != config.unwanted;
        if other {
            stream.finished.clear();
            stream.rejudged = false;
        }
        // What is past the window is forgotten, also when the new one is longer.
        forget_ids(stream, now);
        if config.dedup_window.is_none() {
            stream.ids.clear();
        }
        stream.config = config.clone();
        stream.room_made += 1;
        if other || unwanted {
            self.rejudge(name);
        }
        self.trim(name);
        "updated".to_owned()
    }

    pub(crate) fn delete_stream(&mut self, name: &str) -> String {
        if !self.streams.contains_key(name) {
            return "NotFound".to_owned();
        }
        if self
            .senders_to(name)
            .iter()
            .any(|(stream, _)| stream != name)
        {
            return "InUse".to_owned();
        }
        self.streams.remove(name);
        "deleted".to_owned()
    }

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
    ) -> Result<Vec<(String, u64, bool)>, &'static str> {
        let own = |places: &[usize]| -> Vec<Draft> {
            places.iter().map(|at| batch[*at].clone()).collect()
        };
        let mut verdicts = Vec::new();
        for (name, places) in parts {
            verdicts.push(self.check_batch(name, &own(places))?);
        }
        let mut placed: BTreeMap<usize, (String, u64, bool)> = BTreeMap::new();
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
    ) -> Result<Vec<Option<Result<u64, usize>>>, &'static str> {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(name) else {
            return Err("StreamGone");
        };
        forget_ids(stream, now);
        if batch.iter().any(Draft::looks) {
            self.retire(name);
        }
        if let Some(why) = misplaced(batch) {
            return Err(why);
        }
        let stream = &self.streams[name];
        let mut in_batch: BTreeMap<&str, usize> = BTreeMap::new();
        let mut subjects: Vec<&str> = Vec::new();
        let mut leaving: BTreeSet<u64> = BTreeSet::new();
        let (mut bytes, mut fresh, mut ids, mut denied) = (0, 0, 0, false);
        let mut verdicts: Vec<Option<Result<u64, usize>>> = Vec::new();
        for (at, draft) in batch.iter().enumerate() {
            if !stream.captures(&draft.subject) {
                return Err("NotCaptured");
            }
            if draft.id.is_some() && stream.config.dedup_window.is_none() {
                return Err("NoDedup");
            }
            if stream
                .config
                .max_bytes
                .is_some_and(|most| draft.size() > most)
                || draft.limited() > stream.config.max_message_size
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
                if let Some(why) = unexpected(stream, draft) {
                    return Err(why);
                }
                fresh += 1;
                bytes += draft.size();
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
        verdicts: Vec<Option<Result<u64, usize>>>,
    ) -> Vec<(u64, bool)> {
        let mut placed: Vec<(u64, bool)> = Vec::new();
        for (draft, verdict) in batch.iter().zip(verdicts) {
            placed.push(match verdict {
                Some(Ok(seq)) => {
                    self.renew(name, draft);
                    (seq, true)
                }
                Some(Err(at)) => (placed[at].0, true),
                None => {
                    if let Some(rollup) = draft.rollup {
                        let gone = self.streams[name].replaced_by(rollup, &draft.subject);
                        self.remove(name, &gone, "Rollup");
                    }
                    let seq = self.append(name, draft.clone(), None);
                    let stream = self.streams.get_mut(name).unwrap();
                    if let Some(id) = &draft.id {
                        stream.ids.insert(id.clone(), (seq, stream.last_time));
                    }
                    (seq, false)
                }
            });
        }
        if placed.iter().any(|(_, duplicate)| *duplicate) {
            self.met.push("duplicate");
        }
        if placed.iter().any(|(_, duplicate)| !duplicate) && !self.defer_limits {
            self.trim(name);
        }
        placed
    }

    /// A duplicate came.
    fn renew(&mut self, name: &str, draft: &Draft) {
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
        }
    }

    pub(crate) fn purge(
        &mut self,
        name: &str,
        filter: Option<&str>,
        up_to: Option<u64>,
        keep: Option<u64>,
    ) -> String {
        let Some(stream) = self.streams.get(name) else {
            return "StreamGone".to_owned();
        };
        if let Some(why) = stream.keeps(Deny::Purge) {
            return why.to_owned();
        }
        if up_to.is_some() && keep.is_some() {
            return "TwoBounds".to_owned();
        }
        let wanted = |subject: &str| filter.is_none_or(|filter| matches(filter, subject));
        let matching = stream
            .stored
            .iter()
            .filter(|(_, m)| wanted(&m.draft.subject));
        let mut gone: Vec<u64> = matching.map(|(seq, _)| *seq).collect();
        if let Some(up_to) = up_to {
            gone.retain(|seq| *seq < up_to);
        }
        let mut below = up_to.unwrap_or(stream.last + 1);
        if let Some(keep) = keep {
            let goes = gone.len().saturating_sub(keep as usize);
            // To keep none is to purge all, also where nothing matches; else the first that stays is the
            // bound, if there are as many as are to be kept.
            if keep > 0 {
                let enough = gone.len() as u64 >= keep;
                below = gone.get(goes).filter(|_| enough).map_or(0, |seq| *seq);
            }
            gone.truncate(goes);
        }
        if filter.is_some() && below > stream.first() {
            // The first commit marks; the limits see the stream before the marked messages go.
            self.trim(name);
            gone.retain(|seq| self.streams[name].stored.contains_key(seq));
        }
        self.remove(name, &gone, "Purge");
        if !gone.is_empty() {
            self.trim(name);
        }
        format!("purged {}", gone.len())
    }

    pub(crate) fn delete(&mut self, name: &str, seq: u64) -> String {
        let Some(stream) = self.streams.get(name) else {
            return "StreamGone".to_owned();
        };
        if let Some(why) = stream.keeps(Deny::Delete) {
            return why.to_owned();
        }
        if !stream.stored.contains_key(&seq) {
            return "NoMessage".to_owned();
        }
        self.remove(name, &[seq], "Delete");
        if !self.defer_limits {
            self.trim(name);
        }
        "deleted".to_owned()
    }

    pub(crate) fn redrive(&mut self, dead: &str, seq: u64, to_consumer: bool) -> String {
        let found = self
            .streams
            .get(dead)
            .and_then(|dead| dead.stored.get(&seq))
            .cloned();
        let Some(message) = found else {
            return "NoMessage".to_owned();
        };
        if self.streams[dead].keeps(Deny::Delete).is_some() {
            return "Kept".to_owned();
        }
        let Some(origin) = message.origin.clone() else {
            return "NotDeadLetter".to_owned();
        };
        let to = if to_consumer {
            // Only while the very message is stored that died.
            let original = self
                .streams
                .get(&origin.stream)
                .and_then(|s| s.stored.get(&origin.seq));
            let is_same = original.is_some_and(|stored| stored.uid == origin.uid);
            if !is_same || self.consumer(&origin.stream, &origin.consumer).is_none() {
                return "Gone".to_owned();
            }
            self.make_due_again(&origin.stream, &origin.consumer, origin.seq);
            origin.seq
        } else {
            if !self.streams.contains_key(&origin.stream) {
                return "Gone".to_owned();
            }
            let mut draft = message.draft.clone();
            draft.subject.clone_from(&origin.subject);
            draft.id.clone_from(&origin.id);
            let own = headers_without_envelope(&draft.headers) + draft.payload.len() as u64;
            if self.is_unwanted(&origin.stream, &draft.subject) {
                return "Refused".to_owned();
            }
            if self.refuses_letter(&origin.stream, &draft, own).is_some() {
                return "Refused".to_owned();
            }
            let target = origin.stream.clone();
            let to = self.append(&target, draft, Some(origin.clone()));
            if target != dead {
                self.trim(&target);
            }
            to
        };
        if self.streams[dead].stored.contains_key(&seq) {
            self.remove(dead, &[seq], "Delete");
        }
        self.trim(dead);
        format!("redriven to {to}")
    }

    /// A finished or parked message is due, with its attempts counted anew; one that is on its way
    /// stays as it is.
    fn make_due_again(&mut self, stream: &str, name: &str, seq: u64) {
        let consumer = self.consumer_mut(stream, name).unwrap();
        let parked = |held: &Held| matches!(held.place, Place::Parked { .. });
        if seq >= consumer.next || consumer.held.get(&seq).is_some_and(|held| !parked(held)) {
            return;
        }
        let rank = consumer.rank();
        let place = Place::Due { rank };
        let held = Held {
            place,
            attempts: 0,
            failures: 0,
            crashes: 0,
            again: true,
        };
        consumer.held.insert(seq, held);
    }

    pub(crate) fn release(&mut self, stream: &str, name: &str, seq: u64, again: bool) -> String {
        let Some(consumer) = self.consumer_mut(stream, name) else {
            return "no consumer".to_owned();
        };
        let held = consumer.held.get(&seq);
        if !held.is_some_and(|held| matches!(held.place, Place::Parked { .. })) {
            return "NotParked".to_owned();
        }
        if again {
            self.make_due_again(stream, name, seq);
        } else {
            consumer.totals.dropped += 1;
            self.finish(stream, name, seq);
        }
        "done".to_owned()
    }

    /// Whether dead letters of one stream can come to another.
    pub(crate) fn leads_to(&self, from: &str, to: &str) -> bool {
        from == to
            || self.streams.get(from).is_some_and(|stream| {
                let dead = stream.consumers.values().filter_map(dead_letter_stream);
                dead.collect::<Vec<_>>()
                    .iter()
                    .any(|dead| self.leads_to(dead, to))
            })
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

/// What a message that is no duplicate expects, and is not so.
fn unexpected(stream: &Stream, draft: &Draft) -> Option<&'static str> {
    if draft.expect.is_some_and(|expected| expected != stream.last) {
        return Some("WrongLastSequence");
    }
    if let Some((filter, expected)) = &draft.expect_of {
        let first = |subject: &str| subject.split('.').next().unwrap().to_owned();
        let own = stream.config.subjects.iter();
        if filter != ">" && !own.map(|own| first(own)).any(|own| own == first(filter)) {
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
