//! Facts for infos, computed from the state whenever somebody asks.

use super::{Consumer, State};
use crate::clock::Timestamp;
use crate::config::StreamConfig;
use crate::event::DeadReason;
use crate::format::rows::Place;
use crate::info::{ConsumerInfo, StreamInfo};
use crate::seq::Seq;

/// A parked message, as far as the state knows it.
#[derive(Clone, Debug)]
pub(crate) struct PendingPlace {
    pub(crate) seq: u64,
    pub(crate) deliveries: u64,
    pub(crate) failures: u64,
    pub(crate) reason: DeadReason,
    pub(crate) since: u64,
}

/// Where the oldest unfinished message of a consumer is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Oldest {
    pub(crate) held: Option<u64>,
    pub(crate) undelivered_from: Option<u64>,
}

impl State {
    pub(crate) fn stream_info(&self, id: u32, now: u64) -> Option<StreamInfo> {
        let stream = self.streams.get(&id)?;
        let refused = |consumer: &Consumer| consumer.condemned.len() as u64;
        let name = stream.config.name.as_str();
        let senders = self
            .consumers
            .values()
            .filter(|consumer| consumer.config.dead_letter_stream() == Some(name));
        Some(StreamInfo {
            config: StreamConfig::clone(&stream.config),
            messages: stream.messages,
            bytes: stream.bytes,
            first_seq: Seq::new(stream.first()),
            last_seq: Seq::new(stream.last),
            last_time: (stream.published > 0).then_some(Timestamp::from_micros(stream.last_time)),
            subjects: stream.subjects.len(),
            emptied_subjects: stream.emptied,
            deleted: stream.holes,
            removed: stream.departed.clone(),
            dedup_ids: stream.dedup.len(),
            expiring: stream.expiries.len(),
            delete_markers: stream.expiries.markers(),
            scheduled: stream.scheduled.len(),
            scheduled_bytes: stream.scheduled.bytes(),
            schedules: stream.scheduled.repeating(),
            scheduled_due: stream.scheduled.count_due(now),
            consumers: stream.consumers.len() as u64,
            refused_dead_letters: senders.map(refused).sum(),
        })
    }

    /// Messages that match a consumer and were never delivered to it.
    pub(crate) fn pending_count(&self, id: u32) -> u64 {
        let total = self.total_wanted(id);
        let accounted = self.consumers.get(&id).map_or(0, |known| known.accounted);
        debug_assert!(total >= accounted, "what is accounted for was published");
        total.saturating_sub(accounted)
    }

    /// Messages that match a consumer and were ever published, as far as their subjects are known.
    pub(super) fn total_wanted(&self, id: u32) -> u64 {
        let Some(consumer) = self.consumers.get(&id) else {
            return 0;
        };
        let Some(stream) = self.streams.get(&consumer.stream) else {
            return 0;
        };
        if consumer.filters.is_empty() {
            stream.published
        } else {
            stream.subjects.total_matching(&consumer.filters)
        }
    }

    /// Puts how far a consumer's cursor came into the open group, so that an info that tells it is
    /// durable (R1) and neither `delivered` nor the ack floor ever goes back.
    pub(crate) fn save_cursor(&mut self, id: u32) {
        if self.consumers.get(&id).is_some_and(Consumer::passed_over) {
            self.touch_consumer(id);
        }
    }

    /// Everything but the age of the oldest unfinished message. Beside it come the sequence of the
    /// oldest that is held, and where the oldest that was never delivered is to be looked for.
    pub(crate) fn consumer_info(&self, id: u32) -> Option<(ConsumerInfo, Oldest)> {
        let consumer = self.consumers.get(&id)?;
        let stream = self.streams.get(&consumer.stream)?;
        let pending = self.pending_count(id);
        let floor = consumer
            .pending
            .first()
            .map_or(consumer.next - 1, |first| first - 1);
        let held = [consumer.pending.first(), consumer.parked.first().copied()];
        let oldest = Oldest {
            held: held.into_iter().flatten().min(),
            undelivered_from: (pending > 0).then_some(consumer.next.max(stream.first())),
        };
        let counts = consumer.entries.counts();
        let info = ConsumerInfo {
            config: (*consumer.config).clone(),
            stream: stream.config.name.clone(),
            deliveries: consumer.totals.deliveries,
            delivered: Seq::new(consumer.next - 1),
            ack_floor: Seq::new(floor.max(consumer.floor)),
            pending,
            in_flight: consumer.leases.len() as u64,
            due: consumer.due.len() as u64,
            delayed: consumer.delayed.len() as u64,
            parked: consumer.parked.len() as u64,
            refused: consumer.condemned.len() as u64,
            redelivered: counts.redelivered,
            suspects: counts.suspects,
            acked: consumer.totals.acked,
            dead_lettered: consumer.totals.dead_lettered,
            dropped: consumer.totals.dropped,
            lost: consumer.totals.lost,
            lost_range: consumer
                .totals
                .lost_range
                .map(|(first, last)| (Seq::new(first), Seq::new(last))),
            skipped: consumer.totals.skipped,
            failures: consumer.totals.failures,
            crashes: consumer.totals.crashes,
            waiting: consumer.waiting,
            oldest_unfinished: None,
        };
        Some((info, oldest))
    }

    /// The parked messages of a consumer from a sequence on, at most `limit`.
    pub(crate) fn parked(&self, id: u32, from: u64, limit: usize) -> Vec<PendingPlace> {
        let Some(consumer) = self.consumers.get(&id) else {
            return Vec::new();
        };
        let place = |seq: &u64| {
            let entry = consumer.entries.get(*seq);
            let Place::Parked { reason, since } = &entry.place else {
                return None;
            };
            let (deliveries, failures) = (entry.attempts, entry.failures);
            Some(PendingPlace {
                seq: *seq,
                deliveries,
                failures,
                reason: reason.into(),
                since: *since,
            })
        };
        consumer
            .parked
            .range(from..)
            .filter_map(place)
            .take(limit)
            .collect()
    }
}
