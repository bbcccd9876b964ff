//! Publishers are held back for the slowest consumer of a stream that is bounded by it.

use super::{Consumer, State, Stream};
use crate::error::PublishErrorKind;
use crate::publish::Publish;

impl State {
    /// Refuses new messages that would leave a consumer further behind than the stream allows. What a rollup
    /// among them replaces counts until it has left.
    pub(super) fn lag_room(
        &self,
        stream: &Stream,
        fresh: &[&Publish],
        now: u64,
    ) -> Result<(), PublishErrorKind> {
        let Some(limit) = stream.config.max_lag_messages else {
            return Ok(());
        };
        if fresh.is_empty() {
            return Ok(());
        }
        let over = |id: &u32| {
            let consumer = self.consumers.get(id)?;
            let most = consumer.lag_at_most(stream) + fresh.len() as u64;
            if !consumer.holds_publishers() || most <= limit {
                return None;
            }
            let wanted = consumer.count_wanted(stream, fresh, now);
            let lag = self.lag(consumer);
            (wanted > 0 && lag + wanted > limit).then_some((lag, consumer))
        };
        // The first of those that are as far behind.
        let over = stream.consumers.iter().rev().filter_map(over);
        let Some((lag, consumer)) = over.max_by_key(|(lag, _)| *lag) else {
            return Ok(());
        };
        Err(PublishErrorKind::LagExceeded {
            stream: stream.config.name.clone(),
            consumer: consumer.config.name.clone(),
            lag,
            limit,
        })
    }

    /// How many messages a consumer has to do.
    pub(super) fn lag(&self, consumer: &Consumer) -> u64 {
        self.pending_count(consumer.id) + consumer.unfinished()
    }

    /// The newest group that changed how far the consumers of a stream are behind.
    pub(crate) fn lag_group(&self, stream: u32) -> u64 {
        let consumers = self.streams.get(&stream).into_iter();
        let consumers = consumers.flat_map(|stream| &stream.consumers);
        let groups = consumers.filter_map(|id| Some(self.consumers.get(id)?.group));
        groups.max().unwrap_or(0)
    }

    /// A consumer is gone: publishers who waited for it go on.
    pub(super) fn end_lag(&mut self, stream: u32) {
        self.open.eased.insert(stream);
    }

    /// The stream of a consumer, if its publishers may wait for it.
    pub(super) fn lag_bounded(&self, consumer: u32) -> Option<u32> {
        let stream = self.consumers.get(&consumer)?.stream;
        let bounded = self.streams.get(&stream)?.config.max_lag_messages;
        bounded.map(|_| stream)
    }
}

impl Consumer {
    fn holds_publishers(&self) -> bool {
        self.config.inactive_threshold.is_none()
    }

    /// What it was given and has to do; the condemned were given up.
    pub(super) fn unfinished(&self) -> u64 {
        self.pending.len() - self.condemned.len() as u64
    }

    /// A bound of its lag that takes no look at subjects.
    pub(super) fn lag_at_most(&self, stream: &Stream) -> u64 {
        let ahead = (stream.last + 1).saturating_sub(self.next.max(stream.first()));
        ahead + self.unfinished()
    }

    /// How many of these messages, appended next, it wants. Those for later count from the moment at which
    /// they are accepted.
    fn count_wanted(&self, stream: &Stream, fresh: &[&Publish], now: u64) -> u64 {
        let mut seq = stream.last;
        let mut wanted = 0;
        for message in fresh {
            let later = message.is_for_later(now);
            seq += u64::from(!later);
            let its = (later || seq >= self.next) && self.wants(&message.subject);
            wanted += u64::from(its);
        }
        wanted
    }
}
