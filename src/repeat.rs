//! `Repeat`: messages that are published again and again, by an interval or by a cron expression.

use crate::clock::micros;
use crate::cron;
use crate::error::RepeatError;
use crate::publish::{Due, Publish};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The shortest interval.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// In the place of a time: it never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// The number of the schedule that published a message.
pub(crate) const SCHEDULE: &str = "Riverbed-Schedule";
/// When it was due, in microseconds since the Unix epoch.
pub(crate) const DUE: &str = "Riverbed-Schedule-Due";
/// When the next one is due.
pub(crate) const NEXT: &str = "Riverbed-Schedule-Next";

/// What these headers take at most.
pub(crate) const HEADERS_MAX: u64 = (SCHEDULE.len() + DUE.len() + NEXT.len() + 3 * 20) as u64;

/// How a message is published again and again; see [`Publish::every`] and [`Publish::cron`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Repeat {
    /// At this interval.
    Every(Duration),
    /// At the times of a cron expression, in UTC.
    Cron(String),
}

impl Publish {
    /// Makes the message a schedule: it is published again and again, so long after each other, first after
    /// one interval, or at the time of [`after`](Self::after) or [`at`](Self::at). Times are counted from the
    /// first one, whenever a message was sent. At least 1 s.
    ///
    /// Like a message for later the schedule is durable at once, and has a [number](crate::PublishAck::scheduled)
    /// under which [`Stream::scheduled`](crate::Stream::scheduled) lists it and
    /// [`Stream::cancel_scheduled`](crate::Stream::cancel_scheduled) ends it; until then it counts as one
    /// message that waits ([`StreamInfo::schedules`](crate::StreamInfo::schedules) tells how many of them
    /// repeat). At each of its times a copy of the message is appended to the stream, in the commit that
    /// stores the next time.
    ///
    /// **Missed times** are not made up for one by one. If the store was closed, the machine suspended, or the
    /// stream without room when it was time, *one* message is published as soon as it can be, however many
    /// times have passed, and then the schedule goes on with the next time that is still to come.
    ///
    /// Each message has the headers `Riverbed-Schedule` (the schedule's number), `Riverbed-Schedule-Due` (when
    /// it was due; of times that were missed, the first) and `Riverbed-Schedule-Next` (when the next one is),
    /// both in microseconds since the Unix epoch. It has the schedule's [time to live](Self::ttl), and no id:
    /// the [id](Self::id) is the schedule's, so that publishing it twice within the dedup window makes one.
    ///
    /// # Crash safety
    ///
    /// A crash neither doubles nor loses a message: it is in the stream together with the next time, or the
    /// time is still due when the store is opened.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ManualClock, Publish, Riverbed, StreamConfig};
    /// use std::time::Duration;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let clock = ManualClock::new();
    /// let builder = Riverbed::builder().clock(clock.clock()).without_threads();
    /// let store = builder.open(folder.path().join("store"))?;
    /// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
    /// let hourly = Publish::new("jobs", "clean up").every(Duration::from_secs(3600));
    /// let number = jobs.publish_message(hourly)?.scheduled;
    /// for _ in 0..3 {
    ///     clock.advance(Duration::from_secs(3600));
    ///     store.drive()?;
    /// }
    /// assert_eq!(jobs.info()?.messages, 3);
    /// jobs.cancel_scheduled(number.unwrap_or_default())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn every(mut self, interval: Duration) -> Self {
        self.repeat = Some(Box::new(Repeat::Every(interval)));
        self
    }

    /// Makes the message a schedule like [`every`](Self::every), at the times of a cron expression, in UTC;
    /// with [`after`](Self::after) or [`at`](Self::at) not before that time.
    ///
    /// Six fields: second, minute, hour, day of the month, month and day of the week (0 or 7 is Sunday); or
    /// five, without the second, which is then 0. A field is `*`, a number, a name (`JAN`, `MON`), a list
    /// (`1,15`), a range (`MON-FRI`) or a step (`*/5`); `L` is the last day, `MON#2` the second Monday, `15W` the
    /// working day nearest to the 15th. Where the day of the month and that of the week are both given, either
    /// will do. `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` stand for what they say.
    ///
    /// An expression that is wrong, or whose time never comes (the 30th of February), is refused when it is
    /// published, and the [error](RepeatError) says where it is wrong.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Publish, PublishErrorKind, RepeatError, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let reports = store.create_stream(StreamConfig::new("reports"))?;
    /// reports.publish_message(Publish::new("reports", "daily").cron("0 30 9 * * MON-FRI"))?;
    /// let half_past_nine = reports.scheduled(0, 1)?[0].due;
    /// assert_eq!(half_past_nine.as_micros() / 1_000_000 % 86_400, 9 * 3600 + 30 * 60);
    ///
    /// let wrong = Publish::new("reports", "never").cron("0 61 9 * * *");
    /// let refused = reports.publish_message(wrong).unwrap_err().kind;
    /// assert!(matches!(refused, PublishErrorKind::Repeat(RepeatError::Cron { place: 2, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cron(mut self, expression: impl Into<String>) -> Self {
        self.repeat = Some(Box::new(Repeat::Cron(expression.into())));
        self
    }

    /// When it is to be in its stream, if that is still to come.
    pub(crate) fn due_after(&self, now: u64) -> Option<u64> {
        match &self.repeat {
            None => self.due.later_than(now),
            Some(repeat) => Some(repeat.first(self.due, now)),
        }
    }

    /// Whether that is still to come; of a schedule without a look for the time.
    pub(crate) fn is_for_later(&self, now: u64) -> bool {
        self.repeat.is_some() || self.due.later_than(now).is_some()
    }

    /// The headers that come to each message of a schedule.
    pub(crate) const fn repeat_headers(&self) -> u64 {
        if self.repeat.is_some() {
            HEADERS_MAX
        } else {
            0
        }
    }
}

impl Repeat {
    /// Refuses what comes too often, or never.
    pub(crate) fn check(&self, due: Due, now: u64) -> Result<(), RepeatError> {
        match self {
            Self::Every(every) if *every < EVERY_MIN => Err(RepeatError::TooOften {
                every: *every,
                least: EVERY_MIN,
            }),
            Self::Every(_) => Ok(()),
            Self::Cron(expression) => cron::check(expression, due.later_than(now).unwrap_or(now)),
        }
    }

    /// The first time after `now`.
    fn first(&self, due: Due, now: u64) -> u64 {
        let begins = match due {
            Due::Now => None,
            Due::After(delay) => Some(now.saturating_add(micros(delay))),
            Due::At(time) => Some(time.as_micros()),
        };
        match (self, begins) {
            (Self::Every(every), None) => now.saturating_add(micros(*every)),
            (Self::Every(_), Some(begins)) if begins > now => begins,
            (Self::Cron(expression), Some(begins)) if begins > now => {
                cron::next(expression, begins.saturating_sub(1))
            }
            (_, begins) => self.next(begins.unwrap_or(now), now),
        }
    }

    /// The first time after `now`, of a schedule whose first time was `first`.
    pub(crate) fn next(&self, first: u64, now: u64) -> u64 {
        match self {
            Self::Every(_) if now < first => first,
            Self::Every(every) => {
                let every = micros(*every).max(1);
                let passed = ((now - first) / every).saturating_add(1);
                first.saturating_add(passed.saturating_mul(every))
            }
            Self::Cron(expression) => cron::next(expression, now),
        }
    }

    /// Whether this is one of the times of a schedule whose first time was `first`.
    pub(crate) fn comes_at(&self, first: u64, time: u64) -> bool {
        time >= first && (time == NEVER || self.next(first, time.saturating_sub(1)) == time)
    }
}

#[cfg(test)]
mod tests {
    use super::{Due, NEVER, Repeat};
    use crate::clock::Timestamp;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn an_interval_is_counted_from_the_first_time() {
        let every = Repeat::Every(Duration::from_secs(10));
        assert_eq!(every.first(Due::Now, 7), 7 + 10 * SECOND);
        assert_eq!(
            every.first(Due::After(Duration::from_secs(3)), 7),
            7 + 3 * SECOND
        );
        let at = |time| Due::At(Timestamp::from_micros(time));
        assert_eq!(every.first(at(5), 5), 5 + 10 * SECOND);
        assert_eq!(every.first(at(5), 25 * SECOND), 5 + 30 * SECOND);
        assert_eq!(every.next(5, 5 + 10 * SECOND), 5 + 20 * SECOND);
        assert!(every.comes_at(5, 5) && every.comes_at(5, 5 + 30 * SECOND));
        assert!(!every.comes_at(5, 6) && !every.comes_at(5, 4));
        let long = Repeat::Every(Duration::MAX);
        assert_eq!(long.first(Due::Now, 7), NEVER);
        assert!(long.comes_at(NEVER, NEVER));
    }

    #[test]
    fn a_cron_expression_begins_not_before_its_time() {
        let minutes = Repeat::Cron("* * * * *".to_owned());
        assert_eq!(minutes.first(Due::Now, 60 * SECOND), 120 * SECOND);
        let at = |time| Due::At(Timestamp::from_micros(time));
        assert_eq!(minutes.first(at(180 * SECOND), 5), 180 * SECOND);
        assert_eq!(minutes.first(at(180 * SECOND + 1), 5), 240 * SECOND);
        assert_eq!(minutes.first(at(5), 180 * SECOND), 240 * SECOND);
        assert!(minutes.comes_at(60 * SECOND, 240 * SECOND));
        assert!(!minutes.comes_at(60 * SECOND, 241 * SECOND));
    }
}
