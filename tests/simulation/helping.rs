//! The oracle's rule of fetches that wait until there is enough.

use crate::delivering::Plan;
use crate::model::{Held, Place};
use crate::oracle::Oracle;
use riverbed::AckPolicy;

impl Oracle {
    pub(crate) fn help(
        &mut self,
        stream: &str,
        name: &str,
        n: usize,
        min_pending: Option<u64>,
        min_ack_pending: Option<u64>,
    ) -> String {
        self.end_delays(stream, name);
        let now = self.now;
        let Some(consumer) = self.consumer_mut(stream, name) else {
            return "no consumer".to_owned();
        };
        // Whoever asks is at work, whatever the answer.
        consumer.active = now;
        let consumer = self.consumer(stream, name).unwrap();
        let config = &consumer.config;
        let never =
            |least: u64| least >= config.max_ack_pending || config.ack_policy == AckPolicy::None;
        if min_pending.is_none() && min_ack_pending.is_some_and(never) {
            return "Precedence".to_owned();
        }
        let due = consumer.count(|held| matches!(held.place, Place::Due { .. }));
        let pending = crate::compare::pending(&self.streams[stream], consumer) + due;
        let out = consumer.count(Held::is_out);
        let enough = min_pending.is_some_and(|least| pending >= least)
            || min_ack_pending.is_some_and(|least| out >= least)
            || (min_pending.is_none() && min_ack_pending.is_none());
        // How large the next message is, is looked at only by who may take it.
        let size = |seq: &u64| self.streams[stream].stored[seq].draft.size();
        let held = consumer.held.iter().filter(|(_, held)| held.is_out());
        let bytes: u64 = held.map(|(seq, _)| size(seq)).sum();
        let has_room = out == 0 || bytes < consumer.config.max_ack_pending_bytes;
        let takes = match self.plan(stream, name, n, u64::MAX) {
            Plan::Take(_) => true,
            Plan::Nothing(why) => {
                why.starts_with("Replaying") || (has_room && why.starts_with("InFlightBytes"))
            }
            Plan::Gone | Plan::TooBig(_) => false,
        };
        if takes && !enough {
            return format!("nothing: BelowMinimum {pending} {out}");
        }
        self.fetch(stream, name, n, u64::MAX)
    }
}
