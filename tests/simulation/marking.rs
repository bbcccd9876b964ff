//! The oracle's rules of subject delete markers.

use crate::model::{Draft, Stream};
use crate::oracle::Oracle;

impl Stream {
    pub(crate) fn markers(&self) -> u64 {
        self.stored.values().filter(|m| m.is_marker).count() as u64
    }

    /// The subjects that have nothing else than these and whose last message is no marker, in the order of those.
    pub(crate) fn leaving_markers(&self, gone: &[u64], by: &str) -> Vec<String> {
        let ttl = self.config.subject_delete_marker_ttl;
        if ttl.is_none() || !["MaxAge", "MessageTtl"].contains(&by) {
            return Vec::new();
        }
        let subject = |seq: &u64| self.stored[seq].draft.subject.clone();
        let is_last = |seq: &u64| self.last_of(&subject(seq)) == *seq;
        let stays = |subject: &str| {
            let mut stored = self.stored.iter();
            stored.any(|(seq, m)| m.draft.subject == subject && !gone.contains(seq))
        };
        let leaving = gone
            .iter()
            .filter(|seq| is_last(seq) && !self.stored[*seq].is_marker);
        leaving
            .map(subject)
            .filter(|subject| !stays(subject))
            .collect()
    }
}

impl Oracle {
    pub(crate) fn leave_markers(&mut self, name: &str, subjects: Vec<String>, by: &str) {
        let reason = if by == "MaxAge" {
            "max_age"
        } else {
            "message_ttl"
        };
        for subject in subjects {
            let ttl = self.streams[name].config.subject_delete_marker_ttl.unwrap();
            let marker = Draft {
                subject,
                headers: vec![("Riverbed-Marker-Reason".to_owned(), reason.to_owned())],
                ttl: Some(ttl.as_millis() as u64),
                ..Draft::default()
            };
            let seq = self.append(name, marker, None);
            let stream = self.streams.get_mut(name).unwrap();
            stream.stored.get_mut(&seq).unwrap().is_marker = true;
            stream.emptied -= 1;
            self.met.push("marker_left");
        }
    }
}
