//! Bringing messages back: dead letters redriven, parked messages released or discarded.

use super::State;
use super::entries::UNDELIVERED;
use super::envelope::Envelope;
use super::purge::stored_fact;
use super::stored::{Need, Stored};
use super::stream::Appended;
use crate::config::Deny;
use crate::error::RedriveError;
use crate::event::Removal;
use crate::seq::Seq;

/// Where a dead letter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedriveTo {
    /// To the stream it came from, for all of its consumers, under a new sequence.
    Stream,
    /// To the one consumer that gave it up, as a due redelivery of the original.
    Consumer,
}

impl State {
    /// Moves a dead letter back and removes it, in one group (R20). Returns the sequence under which
    /// it will be delivered.
    pub(crate) fn redrive(
        &mut self,
        from: u32,
        seq: u64,
        to: RedriveTo,
    ) -> Result<Result<Seq, RedriveError>, Need> {
        let stream = self.stream_name(from);
        let fact = match self.streams.get(&from) {
            Some(source) => stored_fact(source, seq)?,
            None => None,
        };
        let Some(fact) = fact else {
            return Ok(Err(RedriveError::NoMessage {
                stream,
                seq: Seq::new(seq),
            }));
        };
        let kept = self
            .streams
            .get(&from)
            .map(|known| known.permit(Deny::Delete));
        if let Some(Err(why)) = kept {
            let why = why.to_string();
            return Ok(Err(RedriveError::Kept { why }));
        }
        let Some(message) = self.message(from, seq) else {
            return Err(Need::Messages(vec![(from, seq)]));
        };
        let envelope = match Envelope::read(&message) {
            Ok(envelope) => envelope,
            Err(header) => {
                let seq = Seq::new(seq);
                return Ok(Err(RedriveError::NotDeadLetter {
                    stream,
                    seq,
                    header,
                }));
            }
        };
        let moved = match to {
            RedriveTo::Consumer => self.redeliver(&envelope, &message)?,
            RedriveTo::Stream => {
                let letter = Appended {
                    subject: envelope.subject.clone(),
                    payload: message.payload.to_vec(),
                    headers: message.headers.clone(),
                    id: envelope.id.clone(),
                    id_hash: None,
                    // A copy lives as long as the stream it goes to lets it.
                    ttl: None,
                };
                self.republish(&envelope, letter)
            }
        };
        if moved.is_ok() {
            self.remove_one(from, fact, Removal::Delete);
        }
        Ok(moved)
    }

    fn republish(&mut self, envelope: &Envelope, letter: Appended) -> Result<Seq, RedriveError> {
        let Some(target) = self.stream_id(&envelope.stream) else {
            return Err(RedriveError::Gone {
                what: format!("the stream `{}`", envelope.stream),
            });
        };
        let refused = |why: crate::error::PublishErrorKind| RedriveError::Refused {
            stream: envelope.stream.clone(),
            why: why.to_string(),
        };
        if self.is_unwanted(target, &letter.subject) {
            return Err(RedriveError::Refused {
                stream: envelope.stream.clone(),
                why: "no consumer wants it, and its retention is Interest".into(),
            });
        }
        self.append_checked(target, letter).map_err(refused)
    }

    /// Makes the original due again for the consumer that gave it up. One that the consumer has not
    /// finished, or not reached, is on its way to it already.
    fn redeliver(
        &mut self,
        envelope: &Envelope,
        letter: &Stored,
    ) -> Result<Result<Seq, RedriveError>, Need> {
        let gone = |what: String| Ok(Err(RedriveError::Gone { what }));
        let stream = self.stream_id(&envelope.stream);
        let consumer = stream.and_then(|stream| self.consumer_id(stream, &envelope.consumer));
        let (Some(stream), Some(id)) = (stream, consumer) else {
            let (stream, consumer) = (&envelope.stream, &envelope.consumer);
            return gone(format!("the consumer `{consumer}` of `{stream}`"));
        };
        let stored = match self.streams.get(&stream) {
            Some(stream) => stored_fact(stream, envelope.seq)?,
            None => None,
        };
        let gone = || gone(format!("message {} of `{}`", envelope.seq, envelope.stream));
        if stored.is_none() {
            return gone();
        }
        let Some(original) = self.message(stream, envelope.seq) else {
            return Err(Need::Messages(vec![(stream, envelope.seq)]));
        };
        let is_same = original.time == envelope.time
            && *original.subject == *envelope.subject
            && *original.payload == *letter.payload;
        if !is_same {
            // A stream of the same name that was made anew has another message there.
            return gone();
        }
        let wanted = |known: &super::Consumer| known.wants(&envelope.subject);
        if !self.consumers.get(&id).is_some_and(wanted) {
            // A consumer of the same name that was made anew does not want it.
            let consumer = &envelope.consumer;
            return Ok(Err(RedriveError::Gone {
                what: format!(
                    "the consumer `{consumer}` that wanted `{}`",
                    envelope.subject
                ),
            }));
        }
        let due = self.consumers.get(&id).map_or(0, |known| known.due.len());
        if due as u64 >= crate::config::SET_ASIDE_MAX {
            let stream = envelope.stream.clone();
            let why = format!(
                "its consumer `{}` has {due} messages due",
                envelope.consumer
            );
            return Ok(Err(RedriveError::Refused { stream, why }));
        }
        self.make_due_again(id, envelope.seq);
        Ok(Ok(Seq::new(envelope.seq)))
    }

    /// Makes a finished or parked message due, with its attempts counted anew.
    fn make_due_again(&mut self, id: u32, seq: u64) {
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return;
        };
        if seq >= consumer.next || consumer.pending.contains(seq) {
            return;
        }
        consumer.lift(seq);
        consumer.pending.insert(seq);
        *consumer.entries.change(seq) = UNDELIVERED;
        let rank = consumer.fresh_rank();
        consumer.queue_due(seq, rank);
        self.touch_consumer(id);
    }

    /// Makes a parked message due again.
    pub(crate) fn release_parked(&mut self, id: u32, seq: u64) -> Result<(), RedriveError> {
        self.check_parked(id, seq)?;
        self.make_due_again(id, seq);
        Ok(())
    }

    /// Ends a parked message for its consumer.
    pub(crate) fn discard_parked(&mut self, id: u32, seq: u64) -> Result<(), RedriveError> {
        self.check_parked(id, seq)?;
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.finish(seq);
            consumer.totals.dropped += 1;
        }
        self.touch_consumer(id);
        Ok(())
    }

    fn check_parked(&self, id: u32, seq: u64) -> Result<(), RedriveError> {
        let consumer = self.consumers.get(&id);
        if consumer.is_some_and(|consumer| consumer.parked.contains(&seq)) {
            return Ok(());
        }
        let consumer = consumer.map_or_else(String::new, |known| known.config.name.clone());
        Err(RedriveError::NotParked {
            consumer,
            seq: Seq::new(seq),
        })
    }
}
