//! The oracle's rules of streams: managing them, purging, redriving.

use crate::lagging::makes_no_sense;
use crate::letters::{dead_letter_stream, headers_without_envelope};
use crate::model::{End, Held, Place, matches};
use crate::op::May;
use crate::oracle::{Oracle, forget_ids};
use riverbed::{Access, Deny, Retention, StreamConfig};

impl Oracle {
    pub(crate) fn create_stream(&mut self, config: &StreamConfig) -> String {
        if makes_no_sense(config) {
            return "Invalid".to_owned();
        }
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

    pub(crate) fn update_stream(&mut self, config: &StreamConfig, may: May) -> String {
        let name = &config.name;
        if makes_no_sense(config) {
            return "Invalid".to_owned();
        }
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
        let queue = |config: &StreamConfig| config.retention == Retention::WorkQueue;
        if queue(&self.streams[name].config) != queue(config) {
            return "Invalid".to_owned();
        }
        if may == May::Keep
            && let Some(why) = self.would_remove(config)
        {
            return why;
        }
        if !sealed && config.access == Access::Sealed {
            self.met.push("sealed");
        }
        if self.streams[name].config.dedup_release != config.dedup_release {
            self.retire(name);
        }
        let now = self.now;
        let stream = self.streams.get_mut(name).unwrap();
        let other = stream.config.retention != config.retention;
        let unwanted = stream.config.unwanted != config.unwanted;
        if other {
            stream.finished.clear();
            stream.unwanted.clear();
            stream.rejudged = false;
        }
        // What is past the window is forgotten, also when the new one is longer.
        forget_ids(stream, now);
        if config.dedup_window.is_none() {
            stream.ids.clear();
        }
        stream.config = config.clone();
        stream.room_made += 1;
        stream.relented += 1;
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
        self.retire_releasing(name);
        let stream = &self.streams[name];
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
        self.retire_releasing(name);
        if !self.streams[name].stored.contains_key(&seq) {
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
            self.finish(stream, name, seq, End::Dropped);
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
