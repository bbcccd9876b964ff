//! What became of one sequence, from what the state still knows of it.

use super::removals::Remembered;
use super::stored::{Fact, Need};
use super::{Consumer, State, Stream, envelope};
use crate::clock::{Mono, Timestamp};
use crate::config::DeliverPolicy;
use crate::event::Removal;
use crate::explain::{ConsumerFate, MessageFate};
use crate::format::rows::{Extent, Place, RemovalRow};

/// Where a copy of the message may be, if it was dead-lettered.
#[derive(Clone, Debug)]
pub(crate) struct Copies {
    /// The dead-letter stream.
    pub(crate) id: u32,
    pub(crate) name: String,
    /// The subject of this consumer's copies.
    pub(crate) subject: String,
    /// When the message was published, if that is known.
    pub(crate) published: Option<u64>,
}

/// What is known of the message itself.
struct Known {
    /// As long as the log holds it.
    fact: Option<Fact>,
    /// What took it, and in which row of the stream's removals that is.
    taken: Option<(RemovalRow, Option<u64>)>,
}

/// What is known of one sequence.
#[derive(Debug)]
pub(crate) struct Explained {
    pub(crate) message: MessageFate,
    /// By consumer: what became of it, and where a copy may be of what the consumer is done with.
    pub(crate) consumers: Vec<(String, ConsumerFate, Option<Copies>)>,
}

impl State {
    /// What became of a sequence in a stream, and for some of its consumers; nothing, if there is no such stream.
    pub(crate) fn explain(
        &mut self,
        id: u32,
        seq: u64,
        consumers: &[u32],
    ) -> Result<Option<Explained>, Need> {
        // What consumers are done with leaves in the same commit.
        self.retire_before(id)?;
        let Some(stream) = self.streams.get(&id) else {
            return Ok(None);
        };
        let whom = consumers.iter().filter_map(|id| self.consumers.get(id));
        let first = stream.config.first_sequence.get();
        if !(first..=stream.last).contains(&seq) {
            let nothing = |known: &Consumer| {
                let name = known.config.name.clone();
                (name, ConsumerFate::NoMessage, None)
            };
            return Ok(Some(Explained {
                message: if seq < first {
                    MessageFate::NeverStored
                } else {
                    MessageFate::NotYetStored
                },
                consumers: whom.map(nothing).collect(),
            }));
        }
        let (message, known) = self.message_fate(stream, seq)?;
        let explained = |consumer: &Consumer| {
            let fate = self.consumer_fate(consumer, seq, &known);
            let copies = match fate {
                ConsumerFate::Finished | ConsumerFate::Passed | ConsumerFate::Unknown => {
                    self.copies(stream, consumer, &known)
                }
                _ => None,
            };
            (consumer.config.name.clone(), fate, copies)
        };
        Ok(Some(Explained {
            message,
            consumers: whom.map(explained).collect(),
        }))
    }

    fn message_fate(&self, stream: &Stream, seq: u64) -> Result<(MessageFate, Known), Need> {
        let fact = if seq < stream.head || stream.is_hole(seq)? {
            None
        } else {
            Some(stream.fact(seq)?)
        };
        let remembered = stream.removed.find(seq);
        let (fate, taken) = match (&fact, remembered) {
            (Some(fact), _) if !stream.is_purged(seq, &fact.subject) => {
                let (subject, published) = (fact.subject.to_string(), fact.time);
                let published = Timestamp::from_micros(published);
                (MessageFate::Stored { subject, published }, None)
            }
            (_, Remembered::Left(range, row)) => (removed(&range), Some((range, Some(row)))),
            (Some(fact), _) => {
                // A purge by subject has not come to it yet: it began after the message was published.
                let range = RemovalRow {
                    first: seq,
                    last: seq,
                    by: Removal::Purge,
                    extent: Extent::All,
                    since: fact.time,
                    until: self.removal_time().max(fact.time),
                };
                (removed(&range), Some((range, None)))
            }
            (None, Remembered::LeftOrGone(range, _)) => {
                let until = Some(Timestamp::from_micros(range.until));
                (MessageFate::Forgotten { until }, None)
            }
            (None, _) => (MessageFate::Forgotten { until: None }, None),
        };
        Ok((fate, Known { fact, taken }))
    }

    fn consumer_fate(&self, consumer: &Consumer, seq: u64, known: &Known) -> ConsumerFate {
        let Some(fact) = &known.fact else {
            return gone_fate(consumer, seq, known);
        };
        let unfinished = consumer.needs(seq, &fact.subject);
        match &known.taken {
            Some((range, _)) if unfinished => lost(range),
            _ if consumer.holds(seq) => self.held_fate(consumer, seq),
            _ if seq < consumer.filters_from => other_filters(consumer, seq),
            _ if !consumer.wants(&fact.subject) => ConsumerFate::NotMatched,
            _ if unfinished => ConsumerFate::Waiting { deliveries: 0 },
            _ if seq < consumer.reset_below => ConsumerFate::Passed,
            _ if seq < consumer.start => early(consumer),
            _ => done(consumer),
        }
    }

    fn held_fate(&self, consumer: &Consumer, seq: u64) -> ConsumerFate {
        let entry = consumer.entries.get(seq);
        let deliveries = entry.attempts;
        match &entry.place {
            Place::InFlight => {
                let lease = consumer.leases.get(&seq);
                let at = |mono: Mono| self.time_of(mono);
                ConsumerFate::InFlight {
                    delivery: deliveries,
                    since: lease.and_then(|lease| lease.since).map(at),
                    until: lease.and_then(|lease| lease.deadline).map(at),
                }
            }
            Place::Due => ConsumerFate::Waiting { deliveries },
            Place::Delayed { until } => ConsumerFate::Delayed {
                until: Timestamp::from_micros(*until),
                deliveries,
            },
            Place::Condemned { reason } => ConsumerFate::Refused {
                to: consumer
                    .config
                    .dead_letter_stream()
                    .unwrap_or_default()
                    .to_owned(),
                reason: reason.into(),
            },
            Place::Parked { reason, since } => ConsumerFate::Parked {
                since: Timestamp::from_micros(*since),
                reason: reason.into(),
                deliveries,
            },
        }
    }

    /// The store time of a moment of the monotonic clock, which counts the same microseconds.
    fn time_of(&self, mono: Mono) -> Timestamp {
        let (now, then) = (self.read_time, self.mono.0);
        let time = now.saturating_add(mono.0.saturating_sub(then));
        Timestamp::from_micros(time.saturating_sub(then.saturating_sub(mono.0)))
    }

    /// Where a copy may be of what a consumer is done with.
    fn copies(&self, stream: &Stream, consumer: &Consumer, known: &Known) -> Option<Copies> {
        let name = consumer.config.dead_letter_stream()?;
        let id = self.stream_id(name)?;
        let subject = envelope::subject(name, &stream.config.name, &consumer.config.name);
        (consumer.totals.dead_lettered > 0).then(|| Copies {
            id,
            name: name.to_owned(),
            subject: subject.to_string(),
            published: known.fact.as_ref().map(|fact| fact.time),
        })
    }
}

/// What became of a message that is gone: its subject is, too.
fn gone_fate(consumer: &Consumer, seq: u64, known: &Known) -> ConsumerFate {
    let row = known.taken.and_then(|(_, row)| row);
    let was_there = row.map(|row| row >= consumer.removals_from);
    let filtered = !consumer.filters.is_empty();
    let by = known.taken.map(|(range, _)| range.by);
    let lost_by = match consumer.lost.find(seq) {
        // What took the rest took nothing that left for another reason.
        Remembered::Left(range, _) if range.extent == Extent::Rest && Some(range.by) != by => {
            Remembered::Nothing
        }
        found => found,
    };
    match (lost_by, was_there) {
        (Remembered::Left(range, _), _) if range.extent == Extent::All => lost(&range),
        (_, Some(false)) => ConsumerFate::BeforeCreated,
        // Its subject left with it, and with that whether the filters of that time matched it.
        _ if seq < consumer.filters_below => ConsumerFate::Unknown,
        (Remembered::Nothing, Some(true)) if seq < consumer.reset_below => ConsumerFate::Passed,
        // It may have been finished before the reset.
        _ if seq < consumer.reset_below => ConsumerFate::Unknown,
        (Remembered::Left(range, _), Some(true)) if !filtered => lost(&range),
        (Remembered::Nothing, Some(true)) if seq < consumer.start => early(consumer),
        (Remembered::Nothing, Some(true)) if seq < consumer.next && !filtered => done(consumer),
        (Remembered::Nothing, Some(true)) if seq < consumer.next => ConsumerFate::Passed,
        (Remembered::Nothing, Some(true)) if filtered => ConsumerFate::NotMatched,
        _ => ConsumerFate::Unknown,
    }
}

/// Of a message that came to the consumer's place when it had other filters.
fn other_filters(consumer: &Consumer, seq: u64) -> ConsumerFate {
    if seq < consumer.start {
        early(consumer)
    } else {
        ConsumerFate::Passed
    }
}

/// Of what is before the start only the last message of each subject may have been delivered.
fn early(consumer: &Consumer) -> ConsumerFate {
    if consumer.config.deliver == DeliverPolicy::LastPerSubject {
        ConsumerFate::Passed
    } else {
        ConsumerFate::BeforeStart
    }
}

/// A consumer that never gave a message up has acked what it is done with.
fn done(consumer: &Consumer) -> ConsumerFate {
    if consumer.totals.dead_lettered == 0 && consumer.totals.dropped == 0 {
        ConsumerFate::Acked
    } else {
        ConsumerFate::Finished
    }
}

fn removed(range: &RemovalRow) -> MessageFate {
    MessageFate::Removed {
        by: range.by,
        since: Timestamp::from_micros(range.since),
        until: Timestamp::from_micros(range.until),
    }
}

fn lost(range: &RemovalRow) -> ConsumerFate {
    ConsumerFate::Lost {
        by: range.by,
        since: Timestamp::from_micros(range.since),
        until: Timestamp::from_micros(range.until),
    }
}
