//! How fast a consumer delivers: a bucket for its messages and one for their bytes.
//!
//! The bucket is the generic cell rate algorithm of ITU-T I.371 (Annex A), in its form as a leaky bucket with
//! a continuous state: a meter that each unit raises and time drains. It knows no clock, and counts in whole
//! numbers, so that nothing is lost by rounding.

use super::claim::Nothing;
use super::sweep::Moment;
use super::{Consumer, State};
use crate::clock::{Mono, micros};
use crate::config::{ConsumerConfig, Rate};
use std::time::Duration;

/// How far a consumer has used its rates, and when whoever waits for them looks again. In memory only.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// None until the consumer is at work.
    buckets: Option<Buckets>,
    /// When the sweeper wakes a fetch that waits.
    pub(super) wakes_at: Option<Mono>,
}

#[derive(Debug)]
struct Buckets {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
}

/// A meter of what came.
#[derive(Clone, Debug)]
struct Bucket {
    rate: Rate,
    /// What came and has not drained, in units of `1 / per`: a unit that comes raises it by `per`, and each
    /// microsecond lowers it by `amount`.
    level: u128,
    /// As of then.
    at: Mono,
}

impl Bucket {
    /// Nothing came for long.
    fn drained(rate: Rate, at: Mono) -> Self {
        let level = 0;
        Self { rate, level, at }
    }

    /// All that may come at once has just come.
    fn spent(rate: Rate, at: Mono) -> Self {
        let mut bucket = Self::drained(rate, at);
        bucket.level = bucket.brim();
        bucket
    }

    fn unit(&self) -> u128 {
        u128::from(micros(self.rate.per))
    }

    fn brim(&self) -> u128 {
        u128::from(self.rate.burst) * self.unit()
    }

    fn level_at(&self, now: Mono) -> u128 {
        let passed = u128::from(now.0.saturating_sub(self.at.0));
        self.level
            .saturating_sub(passed * u128::from(self.rate.amount))
    }

    /// How many units may come now.
    fn room(&self, now: Mono) -> u64 {
        let room = self.brim().saturating_sub(self.level_at(now)) / self.unit();
        u64::try_from(room).unwrap_or(u64::MAX)
    }

    /// When the next unit may come.
    fn next(&self, now: Mono) -> Mono {
        let over = (self.level_at(now) + self.unit()).saturating_sub(self.brim());
        let left = over.div_ceil(u128::from(self.rate.amount));
        now.plus(Duration::from_micros(
            u64::try_from(left).unwrap_or(u64::MAX),
        ))
    }

    fn take(&mut self, units: u64, now: Mono) {
        self.level = self.level_at(now) + u128::from(units) * self.unit();
        self.at = self.at.max(now);
    }
}

impl Buckets {
    fn of(config: &ConsumerConfig, bucket: impl Fn(Rate) -> Bucket) -> Self {
        Self {
            messages: config.rate_limit.map(&bucket),
            bytes: config.rate_limit_bytes.map(&bucket),
        }
    }
}

impl Pace {
    /// Of a consumer that is made now: it has all its bursts.
    pub(super) fn of_new(config: &ConsumerConfig, now: Mono) -> Self {
        Self {
            buckets: Some(Buckets::of(config, |rate| Bucket::drained(rate, now))),
            wakes_at: None,
        }
    }

    /// Of one that was found when the store was opened: it may have used them up just before.
    pub(super) fn go_on(&mut self, config: &ConsumerConfig, now: Mono) {
        self.buckets
            .get_or_insert_with(|| Buckets::of(config, |rate| Bucket::spent(rate, now)));
    }

    /// The configuration changed: a rate that is another one begins as if it was used up.
    pub(super) fn change(&mut self, config: &ConsumerConfig, now: Mono) {
        let Some(old) = self.buckets.take() else {
            return;
        };
        let known = [old.messages, old.bytes];
        let bucket = |wanted: Option<Rate>, known: Option<Bucket>| {
            let rate = wanted?;
            let same = known.filter(|known| known.rate == rate);
            Some(same.unwrap_or_else(|| Bucket::spent(rate, now)))
        };
        // Whoever waits looks anew.
        self.wakes_at = None;
        let [messages, bytes] = known;
        self.buckets = Some(Buckets {
            messages: bucket(config.rate_limit, messages),
            bytes: bucket(config.rate_limit_bytes, bytes),
        });
    }

    fn each(&self) -> impl Iterator<Item = &Bucket> {
        let both = self.buckets.iter();
        both.flat_map(|both| both.messages.iter().chain(&both.bytes))
    }

    /// When the next message may come, if not now.
    pub(super) fn waits_until(&self, now: Mono) -> Option<Mono> {
        let next = self.each().map(|bucket| bucket.next(now)).max();
        next.filter(|next| *next > now)
    }

    /// How many messages may come now, as far as their number goes.
    fn messages(&self, now: Mono) -> u64 {
        let messages = self.buckets.as_ref().and_then(|all| all.messages.as_ref());
        messages.map_or(u64::MAX, |bucket| bucket.room(now))
    }

    /// After how many bytes no further message may come.
    fn bytes(&self, now: Mono) -> u64 {
        let bytes = self.buckets.as_ref().and_then(|all| all.bytes.as_ref());
        bytes.map_or(u64::MAX, |bucket| bucket.room(now))
    }

    /// A message that came did not come after all.
    fn give_back(&mut self, bytes: u64) {
        let Some(all) = &mut self.buckets else { return };
        for (bucket, units) in [(&mut all.messages, 1), (&mut all.bytes, bytes)] {
            if let Some(bucket) = bucket {
                let units = u128::from(units) * bucket.unit();
                bucket.level = bucket.level.saturating_sub(units);
            }
        }
    }

    /// A message comes.
    pub(super) fn take(&mut self, bytes: u64, now: Mono) {
        let Some(all) = &mut self.buckets else { return };
        if let Some(bucket) = &mut all.messages {
            bucket.take(1, now);
        }
        if let Some(bucket) = &mut all.bytes {
            bucket.take(bytes, now);
        }
    }
}

impl Consumer {
    /// What was claimed is no delivery after all, and uses up nothing.
    pub(super) fn give_back_rate(&mut self, seq: u64) {
        if let Some(lease) = self.leases.get(&seq) {
            self.pace.give_back(lease.bytes);
        }
    }

    /// For how many messages a look into the log is worth while.
    pub(super) fn messages_by_rate(&self, now: Mono) -> usize {
        let room = self.pace.messages(now).max(1);
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// After how many bytes its rate lets no further message come.
    pub(crate) fn bytes_by_rate(&self, now: Mono) -> u64 {
        self.pace.bytes(now)
    }
}

impl State {
    /// Why a consumer's messages have to wait, if there are any and its rate does not let one come now.
    pub(super) fn limited_by_rate(&self, consumer: &Consumer) -> Option<Nothing> {
        let next = consumer.pace.waits_until(self.mono)?;
        let some = !consumer.due.is_empty() || self.pending_count(consumer.id) > 0;
        some.then(|| Nothing::RateLimited {
            next: self.moment_of(next),
        })
    }

    /// A time of the monotonic clock on both clocks, as far as they go on together.
    pub(super) fn moment_of(&self, mono: Mono) -> Moment {
        let left = mono.0.saturating_sub(self.mono.0);
        let now = self.read_time.saturating_add(left);
        Moment { mono, now }
    }

    /// A fetch waits for this time: the sweeper wakes one then.
    pub(crate) fn wake_at(&mut self, id: u32, at: Mono) {
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.pace.wakes_at = Some(at);
            self.alarm.at_mono(Some(at));
        }
    }

    /// Whether a fetch waits for a time before which nothing can come.
    pub(crate) fn waits_for_time(&self, id: u32) -> bool {
        // A turn in a replay does not count: what is next may be removed, or the replay begun again, meanwhile.
        self.consumers.get(&id).is_some_and(|known| {
            let next = known.pace.waits_until(self.mono);
            next.is_some_and(|next| known.pace.wakes_at.is_some_and(|at| at <= next))
        })
    }

    /// Times that waiting fetches wait for have come.
    pub(super) fn end_rate_waits(&mut self, now: Mono) {
        for consumer in self.consumers.values_mut() {
            consumer.pace.wakes_at = consumer.pace.wakes_at.filter(|at| *at > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bucket;
    use crate::clock::Mono;
    use crate::config::Rate;
    use std::time::Duration;

    #[test]
    fn as_many_come_in_the_long_run_as_the_rate_says_and_no_rounding_adds_up() {
        // Three in a second do not divide its microseconds.
        let mut bucket = Bucket::drained(Rate::per_second(3).burst(2), Mono(7));
        let (mut now, mut came) = (Mono(7), Vec::new());
        while now < Mono(7 + 100_000_000) {
            bucket.take(1, now);
            came.push(now.0 - 7);
            now = bucket.next(now);
        }
        assert_eq!(came.len(), 301);
        assert_eq!(came[..5], [0, 0, 333_334, 666_667, 1_000_000]);
    }

    #[test]
    fn what_was_not_used_is_kept_up_to_the_burst() {
        let mut bucket = Bucket::drained(Rate::per_second(10).burst(4), Mono(0));
        bucket.take(3, Mono(0));
        assert_eq!(bucket.room(Mono(0)), 1);
        assert_eq!(bucket.room(Mono(250_000)), 3);
        assert_eq!(bucket.room(Mono(u64::MAX)), 4);
        let spent = Bucket::spent(Rate::per_second(10).burst(4), Mono(5));
        assert_eq!(
            (spent.room(Mono(5)), spent.next(Mono(5))),
            (0, Mono(100_005))
        );
    }

    #[test]
    fn a_debt_is_paid_before_the_next_unit_comes() {
        let mut bucket = Bucket::drained(Rate::per_second(100).burst(10), Mono(0));
        bucket.take(60, Mono(0));
        assert_eq!(bucket.next(Mono(0)), Mono(510_000));
        assert_eq!(bucket.room(Mono(509_999)), 0);
        assert_eq!(bucket.room(Mono(510_000)), 1);
    }

    #[test]
    fn the_largest_rates_do_not_overflow() {
        let day = Duration::from_secs(24 * 3600);
        let mut bucket = Bucket::spent(Rate::new(u64::MAX, day), Mono(0));
        bucket.take(u64::MAX, Mono(0));
        assert_eq!(bucket.room(Mono(u64::MAX)), u64::MAX);
        let slowest = Bucket::spent(Rate::new(1, day).burst(u64::MAX), Mono(u64::MAX));
        assert_eq!(slowest.next(Mono(u64::MAX)), Mono(u64::MAX));
    }
}
