//! `Times`: how long the calls of one kind took.

use crate::Result;
use std::time::{Duration, Instant};

#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Runs the work and remembers how long it took.
    pub(crate) fn time<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = work()?;
        self.record(started.elapsed());
        Ok(result)
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.0.iter().sum::<Duration>().as_secs_f64()
    }

    /// The microseconds that such a part of the calls did not exceed; 0 when there were none.
    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        let mut sorted = self.0.clone();
        let at = (sorted.len() as f64 * quantile) as usize;
        let Some(last) = sorted.len().checked_sub(1) else {
            return 0.0;
        };
        let (_, found, _) = sorted.select_nth_unstable(at.min(last));
        found.as_secs_f64() * 1e6
    }
}
