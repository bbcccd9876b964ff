//! The oracle's rules of ids that are free again when consumers are done with the message.

use crate::model::{Draft, Placed, Stream};
use crate::oracle::{Oracle, forget_ids};
use riverbed::{DedupRelease, Retention, StreamConfig};
use std::collections::BTreeSet;

/// Whether ids would be released that nobody could, or that there are none of.
pub(crate) fn releases_in_vain(config: &StreamConfig) -> bool {
    config.dedup_release == DedupRelease::Finished
        && (config.retention == Retention::Limits || config.dedup_window.is_none())
}

impl Stream {
    fn releases(&self) -> bool {
        self.config.dedup_release == DedupRelease::Finished
    }
}

impl Oracle {
    /// Forgets the ids of messages that consumers are done with, and that left.
    pub(crate) fn release_ids(&mut self, name: &str, done: &BTreeSet<u64>) {
        let stream = self.streams.get_mut(name).unwrap();
        if !stream.releases() {
            return;
        }
        let before = stream.ids.len();
        let is_done = |placed: &Placed| matches!(placed, Placed::Seq(seq) if done.contains(seq));
        stream.ids.retain(|_, (placed, _)| !is_done(placed));
        if stream.ids.len() < before {
            self.met.push("id_released");
        }
    }

    /// What is finished leaves before messages come that depend on what is stored, or on which ids are free.
    pub(crate) fn retire_before(&mut self, name: &str, batch: &[Draft]) {
        if batch.iter().any(Draft::looks) {
            self.retire(name);
        } else if batch.iter().any(|draft| draft.id.is_some()) {
            self.retire_releasing(name);
        }
    }

    /// What is finished leaves before something else takes it, where that makes a difference to its id.
    pub(crate) fn retire_releasing(&mut self, name: &str) {
        if self.streams.get(name).is_some_and(Stream::releases) {
            self.retire(name);
        }
    }

    /// A message for later was sent as the last of its stream: its id leads there, if it is remembered still.
    pub(crate) fn id_of_sent(&mut self, name: &str, number: u64, draft: &Draft) {
        let now = self.now;
        let stream = self.streams.get_mut(name).unwrap();
        if !stream.releases() {
            return;
        }
        forget_ids(stream, now);
        let sent = (Placed::Seq(stream.last), stream.last_time);
        let known = draft.id.as_ref().and_then(|id| stream.ids.get_mut(id));
        if let Some(known) = known.filter(|(placed, _)| *placed == Placed::Scheduled(number)) {
            *known = sent;
            self.met.push("id_sent");
        }
    }
}
