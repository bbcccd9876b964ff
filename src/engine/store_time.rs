//! Store time: calendar time that never goes back while a store is open (R3).

use crate::clock::{Clock, Mono, Timestamp};

/// Store time runs with the monotonic clock from an anchor. At open the anchor is the later of the
/// wall clock and the last stored time; later it only moves ahead, when the wall clock did so while
/// the monotonic clock stood still (a suspended machine) or was set right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreTime {
    anchor: u64,
    anchored_at: Mono,
}

impl StoreTime {
    pub(crate) fn anchored(clock: &Clock, last_stored: u64) -> Self {
        let anchor = clock.now().as_micros().max(last_stored);
        Self {
            anchor,
            anchored_at: clock.mono(),
        }
    }

    /// Store time at a moment of the monotonic clock.
    pub(crate) fn at(&self, mono: Mono) -> u64 {
        self.anchor
            .saturating_add(mono.0.saturating_sub(self.anchored_at.0))
    }

    /// When the monotonic clock reaches a store time.
    pub(crate) fn mono_at(&self, time: u64) -> Mono {
        Mono(
            self.anchored_at
                .0
                .saturating_add(time.saturating_sub(self.anchor)),
        )
    }

    /// Follows a wall clock that is ahead.
    pub(crate) fn re_anchor(&mut self, wall: Timestamp, mono: Mono) {
        if wall.as_micros() > self.at(mono) {
            (self.anchor, self.anchored_at) = (wall.as_micros(), mono);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StoreTime;
    use crate::clock::{ManualClock, Timestamp};
    use std::time::Duration;

    #[test]
    fn store_time_follows_the_wall_ahead_and_never_back() {
        let hand = ManualClock::new();
        let clock = hand.clock();
        let start = clock.now();
        let mut time = StoreTime::anchored(&clock, 0);
        hand.set_calendar(Timestamp::from_micros(1));
        hand.advance(Duration::from_secs(1));
        time.re_anchor(clock.now(), clock.mono());
        assert_eq!(
            time.at(clock.mono()),
            start.plus(Duration::from_secs(1)).as_micros()
        );
        hand.set_calendar(start.plus(Duration::from_secs(3600)));
        time.re_anchor(clock.now(), clock.mono());
        assert_eq!(
            time.at(clock.mono()),
            start.plus(Duration::from_secs(3600)).as_micros()
        );
    }

    #[test]
    fn store_time_starts_no_earlier_than_what_is_stored() {
        let clock = ManualClock::new().clock();
        let stored = clock.now().as_micros() + 5;
        let time = StoreTime::anchored(&clock, stored);
        assert_eq!(time.at(clock.mono()), stored);
        assert_eq!(time.at(time.mono_at(stored + 7)), stored + 7);
    }
}
