//! The workloads. Each runs for a span of time, not for a number of messages: a slow peer must not take all
//! evening, and a fast one must not be done before the disk has shown itself.

mod cycle;
mod drain;
mod latency;
mod publish;

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use crate::cell::{Cell, Workload};
use crate::queue::Queue;

/// What one run of one cell gave.
pub struct Outcome {
    pub messages: u64,
    pub seconds: f64,
    /// Times of the calls, by what was called.
    pub calls: Vec<(&'static str, Times)>,
}

pub fn run(queue: &dyn Queue, cell: &Cell, span: Duration) -> Result<Outcome> {
    match cell.workload {
        Workload::Publish => publish::threads(queue, cell, span),
        Workload::Batch => publish::batches(queue, cell, span),
        Workload::Drain => drain::run(queue, cell, span),
        Workload::Cycle => cycle::run(queue, cell, span),
        Workload::Latency => latency::run(queue, cell, span),
    }
}

/// Durations of one kind of call.
pub struct Times {
    nanoseconds: Histogram<u64>,
    total: Duration,
}

impl Times {
    pub fn new() -> Result<Self> {
        Ok(Self {
            nanoseconds: Histogram::new(3)?,
            total: Duration::ZERO,
        })
    }

    /// Runs the work and remembers how long it took.
    pub fn time<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = work()?;
        self.record(started.elapsed())?;
        Ok(result)
    }

    pub fn record(&mut self, time: Duration) -> Result<()> {
        self.total += time;
        Ok(self.nanoseconds.record(time.as_nanos() as u64)?)
    }

    pub fn add(&mut self, other: &Self) -> Result<()> {
        self.total += other.total;
        Ok(self.nanoseconds.add(&other.nanoseconds)?)
    }

    pub fn count(&self) -> u64 {
        self.nanoseconds.len()
    }

    pub fn quantile_us(&self, quantile: f64) -> f64 {
        self.nanoseconds.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// What a thread returned; its panic is an error like others.
fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|_| Err(anyhow!("a thread has panicked")))
}
