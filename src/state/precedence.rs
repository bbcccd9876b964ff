//! Which fetches are served, and before which others.

use super::State;
use super::claim::Nothing;
use crate::config::AckPolicy;

/// When a fetch is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Precedence {
    /// Those with a lower one come first.
    pub(crate) priority: u8,
    /// Only when so many messages wait to be delivered.
    pub(crate) min_pending: Option<u64>,
    /// Only when so many are in flight; with both, one of them is enough.
    pub(crate) min_ack_pending: Option<u64>,
}

impl State {
    /// Why a fetch would never be served, whatever happens to the consumer's messages.
    pub(crate) fn never_served(&self, id: u32, precedence: Precedence) -> Option<&'static str> {
        let config = &self.consumers.get(&id)?.config;
        let least = precedence.min_ack_pending?;
        if precedence.min_pending.is_some() {
            return None;
        }
        if config.ack_policy == AckPolicy::None {
            return Some("with AckPolicy::None nothing is ever in flight; use min_pending");
        }
        (least >= config.max_ack_pending).then_some(
            "nothing is delivered when max_ack_pending are in flight; stay below that, or use min_pending",
        )
    }

    /// Why a fetch is not served although there are messages. Where there are none, it is for others to say.
    pub(crate) fn below_minimum(&self, id: u32, precedence: Precedence) -> Option<Nothing> {
        let (min_pending, min_out) = (precedence.min_pending, precedence.min_ack_pending);
        if min_pending.is_none() && min_out.is_none() {
            return None;
        }
        let consumer = self.consumers.get(&id)?;
        let in_flight = consumer.leases.len() as u64;
        if min_out.is_some_and(|least| in_flight >= least) {
            return None;
        }
        let pending = self.pending_count(id) + consumer.due.len() as u64;
        let enough = pending == 0 || min_pending.is_some_and(|least| pending >= least);
        (!enough).then_some(Nothing::BelowMinimum { pending, in_flight })
    }
}
