//! What must always hold, said of the state itself, and what the raw tables must agree with.

use super::removals::Memory;
use super::{Consumer, State, Stream};
use crate::changes::RowKey;
use crate::format::rows::{DedupId, Place};
use crate::subject::SubjectFilter;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a stream's blocks and holes must add up to.
#[derive(Clone, Debug)]
pub(crate) struct StreamAudit {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) head: u64,
    pub(crate) last: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) holes: u64,
    /// When messages expire that have a time to live of their own, and whether they are delete markers.
    pub(crate) expiries: BTreeMap<u64, (u64, bool)>,
    /// Messages that wait for their time: when each is due, its size, and whether it comes again.
    pub(crate) scheduled: BTreeMap<u64, (u64, u64, bool)>,
    /// What is remembered of what left.
    pub(crate) removed: Memory,
    /// The rows of message ids, without what is forgotten; rows up to the second are to go.
    pub(crate) ids: (BTreeMap<u64, Vec<DedupId>>, Option<u64>),
    /// Ids from then and before may be forgotten; all, where none are remembered.
    pub(crate) ids_over: Option<u64>,
    /// Key of the hash of message ids.
    pub(crate) secret: [u8; 16],
    /// Nothing of it is stored from here on.
    pub(crate) first: u64,
    /// By subject: how many messages, and bounds of the last one and of the first.
    pub(crate) subjects: BTreeMap<Arc<str>, (u64, u64, u64)>,
    /// The subjects whose last message is below that bound.
    pub(crate) last_gone: BTreeSet<Arc<str>>,
    pub(crate) consumers: Vec<ConsumerAudit>,
    /// What must be stored of the stream and its consumers themselves.
    pub(crate) rows: Vec<(RowKey, Vec<u8>)>,
    /// Whether every stored message must be one that some consumer needs.
    pub(crate) only_needed: bool,
}

/// What a consumer must find in the stream.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerAudit {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) next: u64,
    pub(crate) filters: Arc<[SubjectFilter]>,
    /// Messages that match and were never delivered.
    pub(crate) pending: u64,
    /// Messages that it holds, in order.
    pub(crate) held: Vec<u64>,
    /// What is remembered of what it lost.
    pub(crate) lost: Memory,
}

impl State {
    /// Everything that is wrong with the state itself; nothing, if all is well.
    pub(crate) fn audit(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for stream in self.streams.values() {
            audit_stream(stream, &mut wrong);
        }
        for consumer in self.consumers.values() {
            audit_consumer(consumer, &mut wrong);
            let known = self.streams.get(&consumer.stream);
            let holds = |first, last| {
                consumer.pending.count_range(first, last) > 0
                    || consumer.parked.range(first..=last).next().is_some()
            };
            let last = known.map_or(0, |stream| stream.last);
            if !consumer.lost.adds_up(last, holds) {
                let name = &consumer.config.name;
                wrong.push(format!("consumer `{name}`: what it lost does not add up"));
            }
            let early = known.is_some_and(|stream| stream.early.contains(&consumer.id));
            if early != (consumer.next > last + 1) {
                let name = &consumer.config.name;
                wrong.push(format!(
                    "consumer `{name}`: its stream does not know that it waits at {}",
                    consumer.next
                ));
            }
            if !known.is_some_and(|stream| stream.consumers.contains(&consumer.id)) {
                wrong.push(format!(
                    "consumer {}: its stream does not know it",
                    consumer.id
                ));
            }
        }
        wrong
    }

    /// What the raw tables of every stream must agree with.
    pub(crate) fn audits(&self) -> Vec<StreamAudit> {
        self.streams
            .values()
            .map(|stream| self.stream_audit(stream))
            .collect()
    }

    /// The same of one stream, if there is such a stream.
    pub(crate) fn audit_of(&self, stream: u32) -> Option<StreamAudit> {
        let stream = self.streams.get(&stream)?;
        Some(self.stream_audit(stream))
    }

    /// The numbers of all streams, in the order in which they were created.
    pub(crate) fn stream_ids(&self) -> Vec<u32> {
        self.streams.keys().copied().collect()
    }

    fn stream_audit(&self, stream: &Stream) -> StreamAudit {
        let subject = |known: &super::subjects::Subject| {
            (
                Arc::clone(&known.name),
                (known.count, known.last, known.first),
            )
        };
        let consumers = stream
            .consumers
            .iter()
            .filter_map(|id| self.consumers.get(id));
        let consumer = |known: &Consumer| ConsumerAudit {
            id: known.id,
            name: known.config.name.clone(),
            next: known.next,
            filters: Arc::clone(&known.filters),
            pending: self.pending_count(known.id),
            lost: known.lost.memory(),
            held: {
                let parked = known.parked.iter().copied();
                let mut held: Vec<u64> = known.pending.iter().chain(parked).collect();
                held.sort_unstable();
                held
            },
        };
        StreamAudit {
            id: stream.id,
            name: stream.config.name.clone(),
            head: stream.head,
            last: stream.last,
            messages: stream.messages,
            bytes: stream.bytes,
            holes: stream.holes,
            subjects: stream.subjects.iter().map(subject).collect(),
            expiries: stream.expiries.iter().collect(),
            removed: stream.removed.memory(),
            ids: stream.dedup.memory(),
            ids_over: stream.dedup_horizon(self.now),
            secret: self.secret,
            first: stream.first(),
            scheduled: {
                let waiting = stream.scheduled.iter_from(0);
                waiting
                    .map(|(number, known)| (number, (known.due, known.size, known.repeats)))
                    .collect()
            },
            last_gone: {
                let gone = stream.subjects.iter().filter(|subject| subject.last_gone);
                gone.map(|subject| Arc::clone(&subject.name)).collect()
            },
            rows: {
                let own = [stream.config_row(), stream.state_row()];
                let of = |known: &Consumer| [known.config_row(), known.state_row()];
                own.into_iter()
                    .chain(consumers.clone().flat_map(of))
                    .collect()
            },
            consumers: consumers.map(consumer).collect(),
            only_needed: stream.config.drops_unwanted()
                && stream.rejudged.is_none()
                && stream.unreadable.is_none(),
        }
    }
}

fn audit_stream(stream: &Stream, wrong: &mut Vec<String>) {
    let name = &stream.config.name;
    let mut check = |right: bool, what: &str| {
        if !right {
            wrong.push(format!("stream `{name}`: {what}"));
        }
    };
    check(
        stream.head >= 1 && stream.head <= stream.last + 1,
        "its head is outside",
    );
    check(stream.cut <= stream.last + 1, "its cut is beyond its end");
    let span = stream.last + 1 - stream.head;
    check(
        stream.messages + stream.holes == span,
        "messages and holes do not fill its span",
    );
    let counted: u64 = stream.subjects.iter().map(|subject| subject.count).sum();
    check(
        counted == stream.messages,
        "its subjects do not add up to its messages",
    );
    check(
        stream.subjects.iter().all(|subject| subject.count > 0),
        "it keeps an empty subject",
    );
    check(
        stream.subjects.iter().all(|s| s.total >= s.count),
        "a subject has more than it had",
    );
    check(
        stream.published >= stream.messages,
        "it has more messages than were published",
    );
    let removed: u64 = stream.departed.values().sum();
    check(
        stream.messages + removed == stream.published,
        "what is stored and what left are not what was published",
    );
    check(
        stream.expiries.adds_up(),
        "what expires by itself does not add up",
    );
    check(
        stream.removed.adds_up(stream.last, |_, _| false),
        "what left does not add up",
    );
    check(stream.dedup.adds_up(), "the ids it remembers do not add up");
    check(
        stream.scheduled.adds_up(),
        "what waits for its time does not add up",
    );
    check(
        stream.drop_to <= stream.last + 1,
        "it frees blocks beyond its end",
    );
}

fn audit_consumer(consumer: &Consumer, wrong: &mut Vec<String>) {
    let name = &consumer.config.name;
    let mut check = |right: bool, what: &str| {
        if !right {
            wrong.push(format!("consumer `{name}`: {what}"));
        }
    };
    let places = consumer.leases.len()
        + consumer.due.len()
        + consumer.delayed.len()
        + consumer.condemned.len();
    check(
        consumer.pending.len() == places as u64,
        "its pending messages are not in one place each",
    );
    let bytes: u64 = consumer.leases.values().map(|lease| lease.bytes).sum();
    check(
        consumer.leased_bytes == bytes,
        "its leased bytes do not add up",
    );
    let in_flight = |seq: &u64| consumer.entries.get(*seq).place == Place::InFlight;
    check(
        consumer.leases.keys().all(in_flight),
        "a lease is on a message that is not in flight",
    );
    check(
        consumer
            .leases
            .keys()
            .all(|seq| consumer.pending.contains(*seq)),
        "a stray lease",
    );
    check(
        consumer.entries.iter().all(|(seq, _)| consumer.holds(seq)),
        "an entry is on a message that it does not hold",
    );
    check(
        consumer.entries.counts() == consumer.entries.count(),
        "its redelivered messages and suspects do not add up",
    );
    check(
        consumer
            .pending
            .last()
            .is_none_or(|last| last < consumer.next),
        "pending beyond next",
    );
    check(
        consumer.floor < consumer.next,
        "its floor is beyond its place",
    );
    let deadlines = consumer
        .leases
        .values()
        .filter(|lease| lease.deadline.is_some())
        .count();
    check(
        consumer.expiry.len() == deadlines,
        "its deadlines do not belong to its leases",
    );
    let suspects = consumer
        .due
        .iter()
        .filter(|(_, seq)| consumer.is_suspect(*seq))
        .count();
    check(
        consumer.suspects_due.len() == suspects,
        "its suspects are not the due ones",
    );
}
