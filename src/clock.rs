//! Time as the store sees it, and waiting for it.
//!
//! Leases run on a monotonic clock, calendar times (ages, delays, dedup windows) on store time, which
//! never goes back (R3). Both come from a [`Clock`], which also owns waiting (R5), so that a test that
//! advances a [`ManualClock`] wakes whoever waits for the time it moved to.

use crate::sync::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in calendar time, in microseconds since the Unix epoch.
///
/// # Examples
///
/// ```
/// use riverbed::Timestamp;
/// use std::time::Duration;
///
/// let noon = Timestamp::from_micros(43_200_000_000);
/// assert_eq!(noon.plus(Duration::from_secs(1)).since(noon), Duration::from_secs(1));
/// assert_eq!(noon.to_string(), "1970-01-01T12:00:00.000000Z");
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Makes a timestamp from microseconds since the Unix epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The timestamp in microseconds since the Unix epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The wall clock's time now.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// The timestamp `later` after this one.
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(micros(later)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, micros))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_micros(time.0)
    }
}

impl fmt::Display for Timestamp {
    /// In UTC, as `2026-11-22T02:30:00.000000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // The Gregorian calendar repeats every 146,097 days. Years begin in March here, so that a leap day is
        // the last of its year.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = 400 * era + year + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T")?;
        write!(f, "{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

/// A duration in whole microseconds, at most `u64::MAX`.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds on the clock's monotonic side; only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mono(pub(crate) u64);

impl Mono {
    pub(crate) fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(micros(later)))
    }
}

/// Where a store's time comes from: the system, or a test's hand.
///
/// # Examples
///
/// ```
/// use riverbed::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let hand = ManualClock::new();
/// let clock: Clock = hand.clock();
/// let before = clock.now();
/// hand.advance(Duration::from_secs(30));
/// assert_eq!(clock.now().since(before), Duration::from_secs(30));
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { origin: Instant },
    Manual(Arc<Manual>),
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl Clock {
    /// The system's wall clock and monotonic clock.
    pub fn system() -> Self {
        Self(Source::System {
            origin: Instant::now(),
        })
    }

    /// The calendar time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => Timestamp::now(),
            Source::Manual(manual) => manual.time.lock().wall,
        }
    }

    pub(crate) fn mono(&self) -> Mono {
        match &self.0 {
            Source::System { origin } => Mono(micros(origin.elapsed())),
            Source::Manual(manual) => manual.time.lock().mono,
        }
    }

    /// Waits until the signal is raised (and lowers it) or the time has come.
    pub(crate) fn wait(&self, signal: &Arc<Signal>, until: Option<Mono>) -> Woken {
        if let Source::Manual(manual) = &self.0 {
            manual.register(signal);
        }
        let mut raised = signal.raised.lock();
        loop {
            if std::mem::take(&mut *raised) {
                return Woken::Signalled;
            }
            let now = self.mono();
            if until.is_some_and(|until| now >= until) {
                return Woken::TimeCame;
            }
            match (&self.0, until) {
                (Source::System { .. }, Some(until)) => {
                    let left = Duration::from_micros(until.0.saturating_sub(now.0));
                    raised = signal.woken.wait_for(raised, left);
                }
                _ => raised = signal.woken.wait(raised),
            }
        }
    }
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    Signalled,
    TimeCame,
}

/// Something one thread waits on; raising it before the wait is remembered.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: Mutex<bool>,
    woken: Condvar,
}

impl Signal {
    pub(crate) fn raise(&self) {
        *self.raised.lock() = true;
        self.woken.notify_one();
    }

    /// Makes the waiter look at the clock again.
    fn nudge(&self) {
        let _held = self.raised.lock();
        self.woken.notify_all();
    }
}

#[derive(Debug)]
struct Manual {
    time: Mutex<ManualTime>,
    waiting: Mutex<Vec<Weak<Signal>>>,
}

#[derive(Debug)]
struct ManualTime {
    wall: Timestamp,
    mono: Mono,
}

impl Manual {
    fn register(&self, signal: &Arc<Signal>) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|known| known.strong_count() > 0);
        let known = waiting
            .iter()
            .any(|known| known.as_ptr() == Arc::as_ptr(signal));
        if !known {
            waiting.push(Arc::downgrade(signal));
        }
    }

    fn wake(&self) {
        let waiting = self.waiting.lock().clone();
        for signal in waiting.iter().filter_map(Weak::upgrade) {
            signal.nudge();
        }
    }
}

/// A clock that only a test moves.
///
/// It starts at 2020-01-01 00:00:00 UTC. Advancing it wakes every thread of a store that waits for a
/// time that has come, so no test needs to sleep.
///
/// # Examples
///
/// ```
/// use riverbed::ManualClock;
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let before = clock.clock().now();
/// clock.advance(Duration::from_millis(5));
/// assert!(clock.clock().now() > before);
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Manual>);

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// A clock that stands still at 2020-01-01 00:00:00 UTC.
    pub fn new() -> Self {
        let time = ManualTime {
            wall: Timestamp::from_micros(1_577_836_800_000_000),
            mono: Mono(1),
        };
        Self(Arc::new(Manual {
            time: Mutex::new(time),
            waiting: Mutex::default(),
        }))
    }

    /// The clock to give to a store's builder.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(Arc::clone(&self.0)))
    }

    /// Moves both the calendar and the monotonic side ahead.
    pub fn advance(&self, by: Duration) {
        {
            let mut time = self.0.time.lock();
            time.wall = time.wall.plus(by);
            time.mono = time.mono.plus(by);
        }
        self.0.wake();
    }

    /// Sets the calendar alone, as an operator or a time daemon does; it may go back.
    pub fn set_calendar(&self, to: Timestamp) {
        self.0.time.lock().wall = to;
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::{ManualClock, Signal, Woken};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn advancing_wakes_a_waiter() {
        let hand = ManualClock::new();
        let clock = hand.clock();
        let until = clock.mono().plus(Duration::from_secs(30));
        let signal = Arc::new(Signal::default());
        let waiter = std::thread::spawn({
            let (clock, signal) = (clock.clone(), Arc::clone(&signal));
            move || clock.wait(&signal, Some(until))
        });
        hand.advance(Duration::from_secs(30));
        assert_eq!(waiter.join().unwrap(), Woken::TimeCame);
        signal.raise();
        assert_eq!(clock.wait(&signal, None), Woken::Signalled);
    }
}
