//! What a work queue asks of its consumers: each message is for one of them.

use super::{Consumer, State};
use crate::config::{AckPolicy, ConsumerConfig, DeliverPolicy, Retention, StreamConfig};
use crate::error::{ConsumerError, InvalidSetting, StreamError};
use crate::subject::SubjectFilter;

impl State {
    /// Refuses a consumer that would share messages of a work queue with another, or skip some; `own` is
    /// the consumer itself when it is updated.
    pub(crate) fn fits_work_queue(
        &self,
        stream: u32,
        config: &ConsumerConfig,
        own: Option<u32>,
    ) -> Result<(), ConsumerError> {
        let Some(queue) = self.streams.get(&stream) else {
            return Ok(());
        };
        if queue.config.retention != Retention::WorkQueue {
            return Ok(());
        }
        if config.deliver != DeliverPolicy::All {
            let why = "the stream's `retention` is WorkQueue, where a message that no consumer delivers stays for ever; use DeliverPolicy::All";
            return Err(InvalidSetting::new("deliver", why).into());
        }
        if config.ack_policy == AckPolicy::None {
            let why = "the stream's `retention` is WorkQueue, where a message would leave before anybody has done its work; use AckPolicy::Explicit";
            return Err(InvalidSetting::new("ack_policy", why).into());
        }
        let filters = config.parsed_filters();
        let others = queue.consumers.iter().filter(|id| Some(**id) != own);
        for other in others.filter_map(|id| self.consumers.get(id)) {
            if let Some((subject, taken)) = shared(&filters, &other.filters) {
                return Err(ConsumerError::WorkQueueOverlap {
                    stream: queue.config.name.clone(),
                    subject,
                    taken,
                    other: other.config.name.clone(),
                });
            }
        }
        Ok(())
    }
}

impl State {
    /// Refuses other filters that leave out what the consumer may hold: another one could be given it, too.
    pub(super) fn shares_nothing(
        &self,
        consumer: &Consumer,
        config: &ConsumerConfig,
    ) -> Result<(), ConsumerError> {
        let queue = self.streams.get(&consumer.stream);
        let is_queue = queue.is_some_and(|known| known.config.retention == Retention::WorkQueue);
        let messages = consumer.pending.len() + consumer.parked.len() as u64;
        if !is_queue || messages == 0 || covers(&config.parsed_filters(), &consumer.filters) {
            return Ok(());
        }
        let name = config.name.clone();
        Err(ConsumerError::WouldShare { name, messages })
    }
}

/// Whether filters match all that others match; no filter means every subject.
fn covers(filters: &[SubjectFilter], others: &[SubjectFilter]) -> bool {
    let within = |other: &SubjectFilter| filters.iter().any(|filter| other.is_subset_of(filter));
    filters.is_empty() || (!others.is_empty() && others.iter().all(within))
}

/// A filter of each that can match the same subject; no filter means every subject.
pub(super) fn shared(
    filters: &[SubjectFilter],
    taken: &[SubjectFilter],
) -> Option<(String, String)> {
    let name = |filters: &[SubjectFilter]| {
        filters
            .first()
            .map_or_else(|| ">".to_owned(), ToString::to_string)
    };
    if filters.is_empty() || taken.is_empty() {
        return Some((name(filters), name(taken)));
    }
    filters.iter().find_map(|one| {
        let other = taken.iter().find(|other| other.overlaps(one))?;
        Some((one.to_string(), other.to_string()))
    })
}

/// A stream becomes a work queue, or stops being one, only when it is made.
pub(super) fn keeps_retention(
    known: &StreamConfig,
    updated: &StreamConfig,
) -> Result<(), StreamError> {
    let queue = |config: &StreamConfig| config.retention == Retention::WorkQueue;
    if queue(known) == queue(updated) {
        return Ok(());
    }
    let why = "an update can't turn a stream into a work queue or back, because its consumers follow other rules; create another stream";
    Err(InvalidSetting::new("retention", why).into())
}
