//! Publishing without waiting for each message.

use crate::Result;
use crate::bench::Bench;
use crate::messages::{PAYLOAD, SUBJECT, payload};
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use std::collections::VecDeque;
use std::time::Instant;

pub(crate) const NAME: &str = "pipelined";

pub(crate) fn run(bench: &mut Bench) -> Result {
    let options = bench.options.clone();
    for outstanding in [1, 16, 256, 4_096] {
        let case = format!("{outstanding} on their way");
        let mut ours = || publish(&options, outstanding);
        let turns = bench.turns((NAME, &case), ["per_second"], [("riverbed", &mut ours)])?;
        let [[rate]] = turns.medians;
        bench.row(Row::new(NAME, case, (rate, "/s")).probes(&turns.probes))?;
    }
    Ok(())
}

/// One thread waits for the oldest message as soon as so many are on their way, and for all at the end.
fn publish(options: &Options, outstanding: usize) -> Result<[f64; 1]> {
    let place = Place::new(options)?;
    let stream = place.stream()?;
    let (mut count, mut handles) = (0, VecDeque::with_capacity(outstanding));
    let started = Instant::now();
    while started.elapsed() < options.span() {
        if handles.len() >= outstanding
            && let Some(oldest) = handles.pop_front()
        {
            riverbed::PublishHandle::wait(&oldest)?;
        }
        handles.push_back(stream.publish_async((SUBJECT, payload(count, PAYLOAD)))?);
        count += 1;
    }
    stream.flush()?;
    Ok([count as f64 / started.elapsed().as_secs_f64()])
}
