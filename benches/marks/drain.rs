//! `Drain`: one consumer that fetches and acks what there is.

use crate::Result;
use crate::times::Times;
use riverbed::{Consumer, Fetch};

/// What draining took.
#[derive(Default)]
pub(crate) struct Drain {
    pub(crate) delivered: u64,
    pub(crate) times: Times,
}

impl Drain {
    /// Fetches by so many and acks each fetch whole, until so many were delivered. Fewer are an error.
    pub(crate) fn run(consumer: &Consumer, fetch: usize, messages: u64) -> Result<Self> {
        let mut drain = Self::default();
        while drain.delivered < messages {
            let got = drain.times.time(|| {
                let fetched = consumer.fetch(Fetch::new(fetch).no_wait())?;
                let acked = fetched.ack()?;
                if fetched.is_empty() || !acked.refused.is_empty() {
                    let why = fetched.empty_reason();
                    return Err(format!("the drain ended early: {why:?}").into());
                }
                Ok(fetched.len() as u64)
            })?;
            drain.delivered += got;
        }
        Ok(drain)
    }

    pub(crate) fn us_a_message(&self) -> f64 {
        self.times.seconds() * 1e6 / self.delivered as f64
    }
}
