//! Subject delete markers: a subject whose last message is too old leaves a message that says so.

use super::room::disk_bytes;
use super::stored::Fact;
use super::stream::Appended;
use super::{State, Stream};
use crate::clock::micros;
use crate::event::Removal;
use crate::headers::Headers;
use std::collections::HashSet;
use std::sync::Arc;

/// Why the message that the marker is left by was removed.
pub(crate) const REASON: &str = "Riverbed-Marker-Reason";

/// What the marker of a removal says; nothing, if it leaves none.
const fn reason(by: Removal) -> Option<&'static str> {
    match by {
        Removal::MaxAge => Some("max_age"),
        Removal::MessageTtl => Some("message_ttl"),
        _ => None,
    }
}

impl Stream {
    /// The subjects that leave a marker if nothing is left of them, in the order of their last messages among
    /// these. A marker leaves none. A purge that is still at work makes no difference: what its age takes before
    /// that comes to it is counted as too old everywhere.
    pub(super) fn leaving_markers(&self, gone: &[Fact], by: Removal) -> Vec<Arc<str>> {
        if self.config.subject_delete_marker_ttl.is_none() || reason(by).is_none() {
            return Vec::new();
        }
        let mut seen: HashSet<&str> = HashSet::new();
        let last = gone.iter().rev().filter(|fact| seen.insert(&fact.subject));
        let leaves = last.filter(|fact| !self.expiries.is_marker(fact.seq));
        let mut subjects: Vec<Arc<str>> = leaves.map(|fact| Arc::clone(&fact.subject)).collect();
        subjects.reverse();
        subjects
    }
}

impl State {
    /// Appends a marker on each of these subjects that has no message left, whatever the stream's limits: it
    /// takes the place of one that was there.
    pub(super) fn leave_markers(&mut self, id: u32, subjects: Vec<Arc<str>>, by: Removal) {
        let (now, group) = (self.now, self.group);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let (Some(ttl), Some(reason)) = (stream.config.subject_delete_marker_ttl, reason(by))
        else {
            return;
        };
        let before = stream.last;
        for subject in subjects {
            if stream.subjects.contains(&subject) {
                continue;
            }
            let headers: Headers = [(REASON, reason)].into_iter().collect();
            let size = (subject.len() + headers.encoded_size()) as u64;
            let marker = Appended {
                subject: subject.to_string(),
                payload: Vec::new(),
                headers,
                id: None,
                id_hash: None,
                ttl: Some(micros(ttl)),
            };
            let seq = stream.append(marker, now, group);
            stream.expiries.mark(seq);
            // The marker follows on the subject.
            stream.emptied = stream.emptied.saturating_sub(1);
            self.room.stage(disk_bytes(size));
            self.open.bytes += size;
        }
        if stream.last > before {
            self.open.marked.insert(id);
            self.after_append(id);
        }
    }
}
