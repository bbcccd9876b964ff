//! The oracle's rule of streams that are bounded by their slowest consumer.

use crate::model::{Draft, Held, Place, Stream};
use crate::releasing::releases_in_vain;
use riverbed::StreamConfig;

/// Whether two settings of a stream contradict each other, of those that histories choose.
pub(crate) fn makes_no_sense(config: &StreamConfig) -> bool {
    let both = config.max_lag_messages.zip(config.max_messages);
    both.is_some_and(|(lag, most)| lag > most) || releases_in_vain(config)
}

impl Stream {
    /// No consumer may be too far behind with these messages, too.
    pub(crate) fn lag_room(&self, fresh: &[&Draft], now: u64) -> Result<(), &'static str> {
        let Some(limit) = self.config.max_lag_messages else {
            return Ok(());
        };
        let given_up =
            |held: &Held| matches!(held.place, Place::Parked { .. } | Place::Refused { .. });
        let over = self.consumers.values().any(|consumer| {
            let (mut seq, mut wanted) = (self.last, 0);
            for draft in fresh {
                let later = draft.due.later_than(now).is_some();
                seq += u64::from(!later);
                if consumer.wants(&draft.subject) && (later || seq >= consumer.next) {
                    wanted += 1;
                }
            }
            let to_do = consumer.count(|held| !given_up(held));
            let lag = crate::compare::pending(self, consumer) + to_do;
            consumer.config.inactive_threshold.is_none() && wanted > 0 && lag + wanted > limit
        });
        if over { Err("LagExceeded") } else { Ok(()) }
    }
}
