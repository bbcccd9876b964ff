//! The oracle's rates: when each unit could have come at the latest, and still kept the rate.

use crate::oracle::Oracle;
use riverbed::{ConsumerConfig, Rate};

/// What a consumer may be given when.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    messages: Option<Schedule>,
    bytes: Option<Schedule>,
}

/// When the next unit would come, if all came evenly; times are in microseconds divided by the amount.
#[derive(Clone, Debug)]
struct Schedule {
    rate: Rate,
    next: u128,
}

impl Schedule {
    fn time(&self, now: u64) -> u128 {
        u128::from(now) * u128::from(self.rate.amount)
    }

    fn step(&self) -> u128 {
        self.rate.per.as_micros()
    }

    fn of_new(rate: Rate, now: u64) -> Self {
        let mut made = Self { rate, next: 0 };
        made.next = made.time(now);
        made
    }

    fn spent(rate: Rate, now: u64) -> Self {
        let mut made = Self::of_new(rate, now);
        made.take(rate.burst, now);
        made
    }

    fn take(&mut self, units: u64, now: u64) {
        self.next = self.next.max(self.time(now)) + u128::from(units) * self.step();
    }

    /// A unit may come ahead of its time by the burst without the unit itself.
    fn earliest(&self) -> u64 {
        let ahead = u128::from(self.rate.burst - 1) * self.step();
        let earliest = self.next.saturating_sub(ahead);
        earliest.div_ceil(u128::from(self.rate.amount)) as u64
    }
}

impl Pace {
    fn of(config: &ConsumerConfig, make: impl Fn(Rate) -> Schedule) -> Self {
        Self {
            messages: config.rate_limit.map(&make),
            bytes: config.rate_limit_bytes.map(&make),
        }
    }

    pub(crate) fn of_new(config: &ConsumerConfig, now: u64) -> Self {
        Self::of(config, |rate| Schedule::of_new(rate, now))
    }

    /// As it is when the store was opened.
    pub(crate) fn spent(config: &ConsumerConfig, now: u64) -> Self {
        Self::of(config, |rate| Schedule::spent(rate, now))
    }

    /// Another rate begins as if it was used up; says whether there is one.
    pub(crate) fn change(&mut self, config: &ConsumerConfig, now: u64) -> bool {
        let spent = Self::spent(config, now);
        let (mut any, both) = (
            false,
            [
                (&mut self.messages, spent.messages),
                (&mut self.bytes, spent.bytes),
            ],
        );
        for (known, wanted) in both {
            let rate = |known: &Option<Schedule>| known.as_ref().map(|known| known.rate);
            if rate(known) != rate(&wanted) {
                *known = wanted;
                any = true;
            }
        }
        any
    }

    pub(crate) fn waits_until(&self, now: u64) -> Option<u64> {
        let both = self.messages.iter().chain(&self.bytes);
        let until = both.map(Schedule::earliest).max();
        until.filter(|until| *until > now)
    }

    pub(crate) fn take(&mut self, bytes: u64, now: u64) {
        for (known, units) in [(&mut self.messages, 1), (&mut self.bytes, bytes)] {
            if let Some(known) = known {
                known.take(units, now);
            }
        }
    }
}

impl Oracle {
    /// Messages are delivered.
    pub(crate) fn use_rate(&mut self, stream: &str, name: &str, seqs: &[u64]) {
        let now = self.now;
        let stored = &self.streams[stream].stored;
        let sizes: Vec<u64> = seqs.iter().map(|seq| stored[seq].draft.size()).collect();
        let more =
            crate::compare::pending(&self.streams[stream], self.consumer(stream, name).unwrap());
        let consumer = self.consumer_mut(stream, name).unwrap();
        for size in sizes {
            consumer.pace.take(size, now);
        }
        let left = consumer.pace.waits_until(now).is_some();
        let bytes = &consumer.pace.bytes;
        let overdrawn = bytes.as_ref().is_some_and(|known| {
            known.next > known.time(now) + u128::from(known.rate.burst) * known.step()
        });
        if left && more > seqs.len() as u64 {
            self.met.push("rate_cut");
        }
        if overdrawn {
            self.met.push("rate_overdrawn");
        }
    }
}
