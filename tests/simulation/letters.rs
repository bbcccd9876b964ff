//! What is given up: dead letters, and what their stream refuses.

use crate::model::{Consumer, Draft, End, Held, Origin, Place, Reason, Stored};
use crate::oracle::{Oracle, SUBJECTS};
use riverbed::OnExhausted;

pub(crate) fn dead_letter_stream(consumer: &Consumer) -> Option<String> {
    match &consumer.config.on_exhausted {
        OnExhausted::DeadLetter { stream } => Some(stream.clone()),
        _ => None,
    }
}

fn is_envelope(name: &str) -> bool {
    name.starts_with("Riverbed-Dead-")
}

pub(crate) fn headers_without_envelope(headers: &[(String, String)]) -> u64 {
    let own = headers.iter().filter(|(name, _)| !is_envelope(name));
    own.map(|(name, value)| name.len() + value.len())
        .sum::<usize>() as u64
}

/// The copy of a message that goes to the dead-letter stream, envelope included.
fn letter(
    message: &Stored,
    stream: &str,
    consumer: &str,
    seq: u64,
    held: &Held,
    reason: &Reason,
    dead: &str,
) -> Draft {
    let own = message
        .draft
        .headers
        .iter()
        .filter(|(name, _)| !is_envelope(name));
    let mut headers: Vec<(String, String)> = own.cloned().collect();
    let mut add =
        |name: &str, value: String| headers.push((format!("Riverbed-Dead-{name}"), value));
    add("Stream", stream.to_owned());
    add("Sequence", seq.to_string());
    add("Subject", message.draft.subject.clone());
    add("Time", message.time.to_string());
    add("Consumer", consumer.to_owned());
    add("Deliveries", held.attempts.to_string());
    add("Failures", held.failures.to_string());
    add("Crashes", held.crashes.to_string());
    match reason {
        Reason::MaxDeliver => add("Reason", "max_deliver".to_owned()),
        Reason::Term(detail) => {
            add("Reason", "term".to_owned());
            add("Detail", detail.clone());
        }
    }
    if let Some(id) = &message.draft.id {
        add("Id", id.clone());
    }
    Draft {
        subject: format!("{dead}.{stream}.{consumer}"),
        payload: message.draft.payload.clone(),
        headers,
        ..Draft::default()
    }
}

impl Oracle {
    /// Ends the deliveries of a message, in exactly one of three ways (G5).
    pub(crate) fn give_up(&mut self, stream: &str, name: &str, seq: u64, reason: Reason) {
        let now = self.now;
        let consumer = self.consumer_mut(stream, name).unwrap();
        match (consumer.config.on_exhausted.clone(), &reason) {
            (OnExhausted::DeadLetter { stream: dead }, _) => {
                self.dead_letter(stream, name, seq, reason, &dead);
            }
            (OnExhausted::Park, Reason::MaxDeliver) => {
                consumer.held.get_mut(&seq).unwrap().place = Place::Parked { reason, since: now };
                self.tell(format!("parked {stream}/{name} {seq}"), 1);
                self.met.push("parked");
            }
            _ => {
                consumer.totals.dropped += 1;
                self.finish(stream, name, seq, End::Dropped);
                self.tell(format!("dropped {stream}/{name} {seq}"), 1);
                self.met.push("dropped");
            }
        }
    }

    fn dead_letter(&mut self, stream: &str, name: &str, seq: u64, reason: Reason, dead: &str) {
        let message = self.streams[stream].stored[&seq].clone();
        let held = self.consumer(stream, name).unwrap().held[&seq].clone();
        let draft = letter(&message, stream, name, seq, &held, &reason, dead);
        let origin = Origin {
            stream: stream.to_owned(),
            seq,
            uid: message.uid,
            subject: message.draft.subject.clone(),
            consumer: name.to_owned(),
            id: message.draft.id.clone(),
        };
        let own = headers_without_envelope(&draft.headers) + draft.payload.len() as u64;
        if let Some(_why) = self.refuses_letter(dead, &draft, own) {
            let room = self.streams.get(dead).map(|dead| dead.room_made);
            let consumer = self.consumer_mut(stream, name).unwrap();
            if consumer.count(Held::is_refused) == 0 {
                consumer.refused_at = room;
            }
            let held = consumer.held.get_mut(&seq).unwrap();
            if !matches!(held.place, Place::Refused { told: true, .. }) {
                held.place = Place::Refused { reason, told: true };
                self.tell(format!("refused {stream}/{name} {seq}"), 1);
                self.met.push("refused");
            }
            return;
        }
        let to_seq = self.append(dead, draft, Some(origin));
        let consumer = self.consumer_mut(stream, name).unwrap();
        consumer.totals.dead_lettered += 1;
        self.finish(stream, name, seq, End::Dead);
        self.tell(format!("dead {stream}/{name} {seq} to {dead} {to_seq}"), 1);
        self.met.push("dead_lettered");
    }

    /// Why a stream refuses a message that skips dedup and expectations.
    pub(crate) fn refuses_letter(&self, to: &str, draft: &Draft, own: u64) -> Option<&'static str> {
        let Some(target) = self.streams.get(to) else {
            return Some("StreamGone");
        };
        if target.is_sealed() {
            return Some("Sealed");
        }
        if !target.captures(&draft.subject) {
            return Some("NotCaptured");
        }
        let known = target
            .stored
            .values()
            .any(|stored| stored.draft.subject == draft.subject);
        if !known && target.subjects() >= SUBJECTS {
            return Some("SubjectsFull");
        }
        if !target.ttl_room(u64::from(draft.ttl.is_some())) {
            return Some("TtlFull");
        }
        if target
            .config
            .max_bytes
            .is_some_and(|most| draft.size() > most)
            || own > target.config.max_message_size
        {
            return Some("TooLarge");
        }
        self.room_for(to, 1, draft.size()).or_else(|| {
            let full = self.subject_is_full(to, &[draft]);
            full.then_some("Full")
        })
    }

    /// Tries refused messages again, if their dead-letter stream made room since.
    pub(crate) fn retry_refused(&mut self, stream: &str, name: &str) {
        let consumer = self.consumer(stream, name).unwrap();
        let dead = dead_letter_stream(consumer).and_then(|dead| self.streams.get(&dead));
        let room = dead.map(|dead| dead.room_made);
        if consumer.count(Held::is_refused) == 0 || (room.is_some() && room == consumer.refused_at)
        {
            return;
        }
        let refused = |(seq, held): (&u64, &Held)| match &held.place {
            Place::Refused { reason, .. } => Some((*seq, reason.clone())),
            _ => None,
        };
        let from = consumer.retry_from;
        let mut refused: Vec<(u64, Reason)> = consumer.held.iter().filter_map(refused).collect();
        refused.sort_by_key(|(seq, _)| (*seq < from, *seq));
        self.consumer_mut(stream, name).unwrap().refused_at = room;
        for (seq, reason) in refused {
            self.consumer_mut(stream, name).unwrap().retry_from = seq + 1;
            self.give_up(stream, name, seq, reason);
            self.met.push("refused_again_tried");
        }
    }
}
