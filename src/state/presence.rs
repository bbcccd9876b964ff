//! Whether a consumer is at work: paused ones deliver nothing, inactive ones are deleted.

use super::stored::Need;
use super::trim::Trimmed;
use super::{Consumer, State};
use crate::clock::{Mono, Timestamp};
use crate::event::Event;

/// Inactive consumers that one step deletes.
const EXPIRED_AT_ONCE: usize = 64;

impl State {
    /// Pauses a consumer until a time, or ends its pause; says whether there is such a consumer.
    pub(crate) fn set_pause(&mut self, id: u32, until: Option<Timestamp>) -> bool {
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return false;
        };
        if consumer.config.pause_until == until {
            return true;
        }
        let mut config = (*consumer.config).clone();
        config.pause_until = until;
        consumer.config = config.into();
        if consumer.paused_until(self.now).is_some() {
            consumer.replay_anew();
        }
        let change = consumer.config_change();
        self.open.changes.push(change);
        self.alarm.at_time(until.map(Timestamp::as_micros));
        self.touch_consumer(id);
        true
    }

    /// Somebody is at work with a consumer.
    pub(crate) fn note_activity(&mut self, id: u32, mono: Mono) {
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.last_active = mono;
            self.alarm.at_mono(consumer.expires_at());
        }
    }

    /// Deletes consumers that were inactive for too long; says whether more may be.
    pub(super) fn expire_consumers(
        &mut self,
        mono: Mono,
        budget: &mut usize,
    ) -> Result<bool, Need> {
        let over = |known: &&Consumer| known.expires_at().is_some_and(|at| at <= mono);
        let ids: Vec<u32> = self.consumers_that(over).take(EXPIRED_AT_ONCE).collect();
        if !ids.is_empty() {
            // What leaves with the open group is lost to those that are still there when it was staged.
            if self.enforce_limits(budget)? == Trimmed::More {
                return Ok(true);
            }
        }
        for id in &ids {
            let Some(consumer) = self.consumers.get(id) else {
                continue;
            };
            let inactive = consumer.config.inactive_threshold.unwrap_or_default();
            let (stream, consumer) = (consumer.stream, consumer.config.name.clone());
            let stream = self.stream_name(stream);
            self.delete_consumer(*id);
            self.tell(Event::ConsumerExpired {
                stream,
                consumer,
                inactive,
            });
        }
        Ok(ids.len() == EXPIRED_AT_ONCE)
    }
}

impl Consumer {
    /// A message is taken away from it. Whoever held it was at work until now.
    pub(super) fn lose(&mut self, seq: u64, mono: Mono) {
        if self.leases.contains_key(&seq) {
            self.last_active = self.last_active.max(mono);
        }
        self.finish(seq);
    }

    /// When its pause ends, in store time; nothing, if it is not paused.
    pub(crate) fn paused_until(&self, now: u64) -> Option<u64> {
        let until = self.config.pause_until?.as_micros();
        (until > now).then_some(until)
    }

    /// When it is deleted, should nobody come back to it.
    pub(super) fn expires_at(&self) -> Option<Mono> {
        let after = self.config.inactive_threshold?;
        let at_work = self.waiting > 0 || !self.leases.is_empty();
        (!at_work).then(|| self.last_active.plus(after))
    }
}
