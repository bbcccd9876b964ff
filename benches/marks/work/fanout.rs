//! Consumers of one stream are independent: what ten of them get, beside what one gets.

use crate::Result;
use crate::bench::{Bench, Turns};
use crate::callers::join;
use crate::drain::Drain;
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use riverbed::ConsumerConfig;
use std::thread;
use std::time::Instant;

pub(crate) const NAME: &str = "fanout";
const FETCH: usize = 1_000;
const CONSUMERS: usize = 10;

pub(crate) fn run(bench: &mut Bench) -> Result {
    let options = bench.options.clone();
    let turns = bench.turns(
        (NAME, "drain"),
        ["per_second"],
        [
            ("ten", &mut || drain(&options, CONSUMERS)),
            ("one", &mut || drain(&options, 1)),
        ],
    )?;
    let Turns {
        medians: [[ten], [one]],
        probes,
    } = turns;
    bench.row(
        Row::new(NAME, "deliveries of ten consumers", (ten, "/s"))
            .beside("of one", one)
            .probes(&probes),
    )
}

/// Deliveries a second, all consumers together.
fn drain(options: &Options, consumers: usize) -> Result<[f64; 1]> {
    let messages = options.pick(20_000, 100_000);
    let mut place = Place::new(options)?;
    place.filled(messages)?;
    place.reopen(options.builder())?;
    let stream = place.stream()?;
    let mut all = Vec::new();
    for number in 0..consumers {
        let config = ConsumerConfig::new(format!("{number}"));
        all.push(stream.create_consumer(config)?);
    }
    let started = Instant::now();
    thread::scope(|scope| {
        let running: Vec<_> = all
            .iter()
            .map(|consumer| scope.spawn(move || Drain::run(consumer, FETCH, messages)))
            .collect();
        running
            .into_iter()
            .try_for_each(|drain| join(drain).map(drop))
    })?;
    let deliveries = messages * consumers as u64;
    Ok([deliveries as f64 / started.elapsed().as_secs_f64()])
}
