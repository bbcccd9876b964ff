//! What the real store is given to publish, at once and in a pipeline.

use crate::answers::Answer;
use crate::answers::{nothing, placed_line, publish_error, said, stream_error};
use crate::model::{Draft, Due, Placed};
use crate::op::{Op, Then};
use crate::real::Real;
use riverbed::{Publish, PublishAck, PublishErrorKind, Seq, StreamError, Timestamp, Unavailable};
use std::time::Duration;

fn publish(draft: &Draft) -> Publish {
    let mut message = Publish::new(draft.subject.clone(), draft.payload.clone());
    for (name, value) in &draft.headers {
        message = message.header(name.clone(), value.clone());
    }
    if let Some(id) = &draft.id {
        message = message.id(id.clone());
    }
    if let Some(seq) = draft.expect {
        message = message.expect_last(Seq::new(seq));
    }
    message = match draft.due {
        Due::Now => message,
        Due::After(ms) => message.after(Duration::from_millis(ms)),
        Due::At(time) => message.at(Timestamp::from_micros(time)),
    };
    if let Some(again) = draft.again {
        message = again.set(message);
    }
    if let Some(ttl) = draft.ttl {
        message = message.ttl(Duration::from_millis(ttl));
    }
    if let Some((filter, seq)) = &draft.expect_of {
        message = message.expect_last_for_subject(filter.clone(), Seq::new(*seq));
    }
    if let Some(id) = &draft.expect_id {
        message = message.expect_last_id(id.clone());
    }
    if let Some(rollup) = draft.rollup {
        message = message.rollup(rollup);
    }
    if draft.payload.len() % 2 == 1 {
        // No room comes up while nobody else is at work: the answer is the same.
        message = message.wait_for_room(Duration::ZERO);
    }
    message
}

impl Real {
    pub(crate) fn publish(&self, to: Option<&str>, batch: &[Draft]) -> Result<Answer, Answer> {
        let messages: Vec<Publish> = batch.iter().map(publish).collect();
        let single = messages.len() == 1;
        let one = || messages[0].clone();
        let published = match to {
            Some(name) => {
                let stream = self
                    .store()
                    .stream(name)
                    .map_err(|why| stream_error(why, "StreamGone"))?;
                if single {
                    stream.publish_message(one()).map(|ack| vec![ack])
                } else {
                    stream.publish_batch(messages.clone())
                }
            }
            None if single => self.store().publish_message(one()).map(|ack| vec![ack]),
            None => self.store().publish_batch(messages.clone()),
        };
        Ok(match published {
            Ok(acks) => {
                let at = |ack: &PublishAck| match ack.scheduled {
                    Some(number) => {
                        assert_eq!(ack.seq, Seq::new(0), "what waits has no sequence");
                        Placed::Scheduled(number)
                    }
                    None => Placed::Seq(ack.seq.get()),
                };
                let placed = acks
                    .iter()
                    .map(|ack| (ack.stream.to_string(), at(ack), ack.duplicate));
                placed_line(&placed.collect::<Vec<_>>()).into()
            }
            Err(why) => {
                if !matches!(why.kind, PublishErrorKind::Unavailable(_)) {
                    assert_eq!(why.messages, messages, "what was refused comes back");
                }
                publish_error(&why)
            }
        })
    }

    pub(crate) fn took(&mut self, batch: riverbed::Batch) -> Answer {
        let reason = batch.empty_reason();
        self.fetched = batch.into_iter().collect();
        if self.fetched.is_empty() {
            return nothing(reason.expect("an empty fetch says why")).into();
        }
        assert_eq!(reason, None, "a fetch with messages is not empty");
        let mut words = Vec::new();
        for message in &self.fetched {
            words.push(format!(
                "{} {} ({},{},{})",
                message.seq(),
                crate::compare::fingerprint(message.payload()),
                message.deliveries(),
                message.failures(),
                message.crashes()
            ));
            if message.payload_len() > message.payload().len() {
                words.push(format!("of {}", message.payload_len()));
            }
        }
        format!("fetched {}", words.join(", ")).into()
    }

    /// Publishes without waiting; returns the answer of each that was accepted or refused.
    pub(crate) fn pipeline(&self, to: &str, drafts: &[Draft]) -> Result<Vec<String>, Unavailable> {
        let stream = match self.store().stream(to) {
            Ok(stream) => stream,
            Err(StreamError::Unavailable(why)) => return Err(why),
            Err(_) => return Ok(drafts.iter().map(|_| "StreamGone".to_owned()).collect()),
        };
        let mut answers = Vec::new();
        for draft in drafts {
            match stream.publish_async(publish(draft)) {
                // The handle is dropped: that cancels nothing (R23).
                Ok(_) => answers.push("accepted".to_owned()),
                Err(why) => match publish_error(&why) {
                    Answer::Said(why) => answers.push(why),
                    Answer::Down(why) => return Err(why),
                },
            }
        }
        Ok(answers)
    }

    pub(crate) fn finish_pipeline(&mut self, to: &str, then: &Then) -> Answer {
        match then {
            Then::Fetch {
                stream,
                consumer,
                n,
            } => {
                let bytes = u64::MAX;
                let (stream, consumer) = (stream.clone(), consumer.clone());
                self.perform(&Op::Fetch {
                    stream,
                    consumer,
                    n: *n,
                    bytes,
                })
            }
            _ => match self.store().stream(to).map(|stream| stream.flush()) {
                Ok(Ok(())) => said("flushed"),
                Ok(Err(why)) => Answer::Down(why),
                Err(why) => stream_error(why, "flushed"),
            },
        }
    }
}
