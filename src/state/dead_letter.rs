//! Giving a message up: into the dead-letter stream, to the parked ones, or away (G5).

use super::envelope::{self, Envelope};
use super::room::disk_bytes;
use super::stored::{Need, Stored};
use super::stream::Appended;
use super::sweep::STEP_BYTES;
use super::{Consumer, State};
use crate::config::OnExhausted;
use crate::error::PublishErrorKind;
use crate::event::{DeadReason, Event, Removal, Whose};
use crate::format::rows::{Place, Reason};
use crate::seq::Seq;

impl From<&DeadReason> for Reason {
    fn from(reason: &DeadReason) -> Self {
        match reason {
            DeadReason::MaxDeliver => Self::MaxDeliver,
            DeadReason::Term(detail) => Self::Term(detail.clone()),
        }
    }
}

impl From<&Reason> for DeadReason {
    fn from(reason: &Reason) -> Self {
        match reason {
            Reason::MaxDeliver => Self::MaxDeliver,
            Reason::Term(detail) => Self::Term(detail.clone()),
        }
    }
}

impl State {
    /// Ends the deliveries of a message that its consumer holds, and says whether it was there to be given up:
    /// one that a purge took, which has not come to it yet, is lost to that and becomes nothing else (G5).
    pub(crate) fn give_up(&mut self, id: u32, seq: u64, reason: DeadReason) -> Result<bool, Need> {
        let reason = match reason {
            DeadReason::Term(detail) => DeadReason::Term(envelope::cut_reason(&detail)),
            DeadReason::MaxDeliver => DeadReason::MaxDeliver,
        };
        let Some(consumer) = self.consumers.get(&id) else {
            return Ok(false);
        };
        if self.is_purged(consumer.stream, seq)? {
            self.lose(id, &[seq], Removal::Purge);
            return Ok(false);
        }
        let whose = self.whose(id, seq);
        match (&consumer.config.on_exhausted, &reason) {
            (OnExhausted::DeadLetter { stream }, _) => {
                let to = stream.clone();
                self.dead_letter(id, seq, &reason, &to, whose)?;
            }
            // A terminated message is not worth keeping where no dead-letter stream is named.
            (OnExhausted::Park, DeadReason::MaxDeliver) => {
                self.park(id, seq, &reason);
                self.tell(Event::Parked { whose, reason });
            }
            (OnExhausted::Park | OnExhausted::Drop, _) => {
                if let Some(consumer) = self.consumers.get_mut(&id) {
                    consumer.finish(seq);
                    consumer.totals.dropped += 1;
                }
                self.tell(Event::Dropped { whose, reason });
            }
        }
        self.touch_consumer(id);
        Ok(true)
    }

    /// Which message of which consumer, for events.
    pub(crate) fn whose(&self, id: u32, seq: u64) -> Whose {
        let consumer = self.consumers.get(&id);
        Whose {
            stream: consumer.map_or_else(String::new, |consumer| self.stream_name(consumer.stream)),
            consumer: consumer.map_or_else(String::new, |known| known.config.name.clone()),
            seq: Seq::new(seq),
            deliveries: consumer.map_or(0, |consumer| consumer.entries.get(seq).attempts),
        }
    }

    fn park(&mut self, id: u32, seq: u64, reason: &DeadReason) {
        let since = self.now;
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return;
        };
        consumer.lift(seq);
        consumer.pending.remove(seq);
        consumer.parked.insert(seq);
        consumer.entries.change(seq).place = Place::Parked {
            reason: reason.into(),
            since,
        };
    }

    /// The move: out of the consumer and into the dead-letter stream, in one group. A stream that
    /// refuses leaves the message condemned: it stays, is shown, and is tried again when room is made.
    fn dead_letter(
        &mut self,
        id: u32,
        seq: u64,
        reason: &DeadReason,
        to: &str,
        whose: Whose,
    ) -> Result<(), Need> {
        let Some(consumer) = self.consumers.get(&id) else {
            return Ok(());
        };
        let source = consumer.stream;
        if self.unreadable.contains(&(source, seq)) {
            self.condemn(id, seq, reason, to, whose, "its bytes can't be read");
            return Ok(());
        }
        let Some(message) = self.message(source, seq) else {
            return Err(Need::Messages(vec![(source, seq)]));
        };
        let letter = self.letter(id, &message, reason, to);
        match self.append_letter(to, letter) {
            Ok(to_seq) => {
                if let Some(consumer) = self.consumers.get_mut(&id) {
                    consumer.finish(seq);
                    consumer.totals.dead_lettered += 1;
                }
                let to = to.to_owned();
                self.tell(Event::DeadLettered {
                    whose,
                    reason: reason.clone(),
                    to,
                    to_seq,
                });
            }
            Err(why) => {
                let room_made = self.stream_id(to).and_then(|to| self.room_made(to));
                if let Some(consumer) = self.consumers.get_mut(&id) {
                    // Others that wait may not have been tried since room was made: it is not for this
                    // one to say that they were.
                    if consumer.condemned.is_empty() {
                        consumer.refused_at = room_made;
                    }
                }
                self.condemn(id, seq, reason, to, whose, &why.to_string());
            }
        }
        Ok(())
    }

    /// Keeps what was refused, and says so the first time, whoever condemned it.
    fn condemn(
        &mut self,
        id: u32,
        seq: u64,
        reason: &DeadReason,
        to: &str,
        whose: Whose,
        why: &str,
    ) {
        let condemned = |consumer: &Consumer| consumer.condemned.contains(&seq);
        if !self.consumers.get(&id).is_some_and(condemned) {
            self.set_condemned(id, seq, reason);
        }
        let first = |consumer: &mut Consumer| consumer.untold.remove(&seq);
        if self.consumers.get_mut(&id).is_some_and(first) {
            let (to, why) = (to.to_owned(), why.to_owned());
            self.tell(Event::DeadLetterRefused { whose, to, why });
        }
    }

    /// Gives a message up in two steps: now it is out of delivery, the sweeper moves it.
    pub(crate) fn set_condemned(&mut self, id: u32, seq: u64, reason: &DeadReason) {
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return;
        };
        consumer.lift(seq);
        consumer.entries.change(seq).place = Place::Condemned {
            reason: reason.into(),
        };
        consumer.condemned.insert(seq);
        consumer.untold.insert(seq);
        if consumer.retry_left > 0 {
            // It may stand before one that the round has not come to.
            consumer.retry_left += 1;
        }
        self.condemned_in.insert(id);
        self.touch_consumer(id);
    }

    fn letter(&self, id: u32, message: &Stored, reason: &DeadReason, to: &str) -> Appended {
        let whose = self.whose(id, message.seq);
        let entry = self
            .consumers
            .get(&id)
            .map(|consumer| consumer.entries.get(message.seq).clone());
        let last_failure = u64::from(*reason == DeadReason::MaxDeliver);
        let envelope = Envelope {
            stream: whose.stream.clone(),
            seq: message.seq,
            subject: message.subject.to_string(),
            time: message.time,
            consumer: whose.consumer.clone(),
            deliveries: whose.deliveries,
            failures: entry.as_ref().map_or(0, |entry| match entry.place {
                // The failure that condemned it is counted already.
                Place::Condemned { .. } => entry.failures,
                _ => entry.failures + last_failure,
            }),
            crashes: entry.as_ref().map_or(0, |entry| entry.crashes),
            reason: reason.clone(),
            id: message.id.clone(),
        };
        Appended {
            subject: envelope::subject(to, &whose.stream, &whose.consumer).to_string(),
            payload: message.payload.to_vec(),
            headers: envelope.wrap(&message.headers),
            id: None,
            id_hash: None,
            // A copy lives as long as the stream it goes to lets it.
            ttl: None,
        }
    }

    /// Appends to a dead-letter stream by its own rules; the envelope is outside the header limit, and
    /// ids and expectations play no part (R19).
    fn append_letter(&mut self, to: &str, letter: Appended) -> Result<Seq, PublishErrorKind> {
        let gone = || PublishErrorKind::StreamGone {
            stream: to.to_owned(),
        };
        let id = self.stream_id(to).ok_or_else(gone)?;
        self.append_checked(id, letter)
    }

    /// Appends a message that skips dedup and expectations, if the stream has room for it.
    pub(crate) fn append_checked(
        &mut self,
        id: u32,
        letter: Appended,
    ) -> Result<Seq, PublishErrorKind> {
        let (now, group, subjects_max) = (self.now, self.group, self.subjects_max);
        let gone = || PublishErrorKind::StreamGone {
            stream: String::new(),
        };
        let stream = self.streams.get_mut(&id).ok_or_else(gone)?;
        let name = || stream.config.name.clone();
        stream.admit_open()?;
        if !stream.captures(&letter.subject) {
            let subject = letter.subject.clone();
            return Err(PublishErrorKind::NotCaptured {
                stream: name(),
                subject,
            });
        }
        if !stream.subjects.contains(&letter.subject) && stream.subjects.len() >= subjects_max {
            return Err(PublishErrorKind::SubjectsFull {
                stream: name(),
                limit: subjects_max,
            });
        }
        stream.ttl_room(0, u64::from(letter.ttl.is_some()), self.ttl_max)?;
        let own = envelope::own_size(&letter.headers) + letter.payload.len();
        let id_len = letter.id.as_ref().map_or(0, String::len);
        let headers = letter.headers.encoded_size();
        let stored = letter.subject.len() + id_len + headers + letter.payload.len();
        stream.admit_size(own as u64, stored as u64)?;
        stream.room_for(1, stored as u64)?;
        stream.room_on_subject(&letter.subject)?;
        let disk = disk_bytes(stored as u64);
        self.room.for_move(disk)?;
        self.room.stage(disk);
        let seq = stream.append(letter, now, group);
        self.open.bytes += stored as u64;
        self.after_append(id);
        Ok(Seq::new(seq))
    }

    /// How often room was made that a dead letter to this stream may have waited for.
    pub(crate) fn room_made(&self, to: u32) -> Option<u64> {
        let stream = self.streams.get(&to)?;
        Some(stream.removals + self.room.freed)
    }

    /// Tries again to move condemned messages of a consumer whose dead-letter stream made room.
    /// Returns whether more are left that are worth trying at once.
    ///
    /// A round tries each of them once, in steps, from where the last one ended; what is in memory by
    /// chance makes no difference to the order.
    pub(crate) fn retry_condemned(&mut self, id: u32, limit: usize) -> Result<bool, Need> {
        let Some(consumer) = self.consumers.get(&id) else {
            return Ok(false);
        };
        let to = consumer
            .config
            .dead_letter_stream()
            .and_then(|name| self.stream_id(name));
        let room_made = to.and_then(|to| self.room_made(to));
        let goes_on = consumer.retry_left > 0;
        let nothing_new = room_made.is_some() && room_made == consumer.refused_at;
        if consumer.condemned.is_empty() || (nothing_new && !goes_on) {
            return Ok(false);
        }
        if self.open.bytes >= STEP_BYTES {
            return Ok(true);
        }
        let source = consumer.stream;
        let readable = |seq: &u64| to.is_none() || !self.unreadable.contains(&(source, *seq));
        // What can't be read is tried once, to be announced.
        let worth_it = |seq: &u64| readable(seq) || consumer.untold.contains(seq);
        let (later, earlier) = (
            consumer.condemned.range(consumer.retry_from..),
            consumer.condemned.range(..consumer.retry_from),
        );
        let round = later.chain(earlier).copied().filter(worth_it);
        let left = if goes_on {
            consumer.retry_left
        } else {
            round.clone().count()
        };
        let at_hand = |seq: u64| {
            if !readable(&seq) || (to.is_none() && !self.may_be_purged(source, seq)) {
                return Some(0);
            }
            self.message(source, seq).map(|message| message.size())
        };
        let step: Vec<u64> = round.take(limit.min(left)).collect();
        let step = first_step(&step, at_hand).map_err(|missing| {
            Need::Messages(missing.into_iter().map(|seq| (source, seq)).collect())
        })?;
        if let Some(consumer) = self.consumers.get_mut(&id) {
            if !goes_on {
                consumer.refused_at = room_made;
            }
            consumer.retry_left = if step.is_empty() { 0 } else { left };
        }
        for seq in step {
            let Some(consumer) = self.consumers.get_mut(&id) else {
                return Ok(false);
            };
            // One that is refused again (it may never fit) does not hold up those behind it.
            consumer.retry_from = seq + 1;
            consumer.retry_left -= 1;
            let Place::Condemned { reason } = consumer.entries.get(seq).place.clone() else {
                continue;
            };
            self.give_up(id, seq, DeadReason::from(&reason))?;
        }
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return Ok(false);
        };
        if consumer.condemned.is_empty() {
            consumer.retry_left = 0;
        }
        Ok(consumer.retry_left > 0)
    }
}

impl State {
    /// Whether a purge that is at work took a message. Where nobody can read what it is, it did not.
    fn is_purged(&self, stream: u32, seq: u64) -> Result<bool, Need> {
        if !self.may_be_purged(stream, seq) {
            return Ok(false);
        }
        let Some(message) = self.message(stream, seq) else {
            return Err(Need::Messages(vec![(stream, seq)]));
        };
        let known = self.streams.get(&stream);
        Ok(known.is_some_and(|known| known.is_purged(seq, &message.subject)))
    }

    /// Whether it takes a look at a message to know that no purge took it.
    pub(super) fn may_be_purged(&self, stream: u32, seq: u64) -> bool {
        let known = self.streams.get(&stream);
        known.is_some_and(|known| known.may_be_purged(seq))
            && !self.unreadable.contains(&(stream, seq))
    }
}

/// As many of these messages, in order, as one step moves; or those that must be read first.
fn first_step(
    seqs: &[u64],
    size_at_hand: impl Fn(u64) -> Option<u64>,
) -> Result<Vec<u64>, Vec<u64>> {
    let (mut step, mut bytes) = (Vec::new(), 0);
    for (at, seq) in seqs.iter().enumerate() {
        if bytes >= STEP_BYTES {
            break;
        }
        let Some(size) = size_at_hand(*seq) else {
            let rest = seqs.iter().skip(at).copied();
            return Err(rest.filter(|seq| size_at_hand(*seq).is_none()).collect());
        };
        bytes += size;
        step.push(*seq);
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::{STEP_BYTES, first_step};

    #[test]
    fn a_step_keeps_the_order_whatever_is_at_hand() {
        let seqs = [4, 5, 1, 2];
        assert_eq!(first_step(&seqs, |_| Some(10)).unwrap(), seqs);
        let missing = first_step(&seqs, |seq| (seq != 5 && seq != 2).then_some(10));
        assert_eq!(missing.unwrap_err(), [5, 2]);
    }

    #[test]
    fn a_step_ends_where_its_bytes_do() {
        let size = |seq| (seq != 9).then_some(STEP_BYTES / 2);
        assert_eq!(first_step(&[1, 2, 9, 3], size).unwrap(), [1, 2]);
        assert_eq!(first_step(&[1, 9], size).unwrap_err(), [9]);
        assert!(first_step(&[], size).unwrap().is_empty());
    }
}
