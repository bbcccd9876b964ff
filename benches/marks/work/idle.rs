//! A commit beside many streams and consumers that nobody uses.

use crate::Result;
use crate::bench::{Bench, Turns};
use crate::callers::Callers;
use crate::messages::SUBJECT;
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use riverbed::{ConsumerConfig, StreamConfig};

pub(crate) const NAME: &str = "idle";

pub(crate) fn run(bench: &mut Bench) -> Result {
    let options = bench.options.clone();
    let idle = options.pick(50, 1_000);
    let turns = bench.turns(
        (NAME, "publish"),
        ["p50_us", "p99_us"],
        [
            ("beside idle ones", &mut || publish(&options, idle)),
            ("alone", &mut || publish(&options, 0)),
        ],
    )?;
    let Turns {
        medians: [[p50, p99], [alone, alone_p99]],
        probes,
    } = turns;
    let row = |name: &str, ours, alone| {
        let case = format!("{idle} streams and consumers, {name}");
        Row::new(NAME, case, (ours, "us"))
            .beside("one of each", alone)
            .probes(&probes)
    };
    bench.row(row("p50", p50, alone).at_most(1.1))?;
    bench.row(row("p99", p99, alone_p99))
}

fn publish(options: &Options, idle: usize) -> Result<[f64; 2]> {
    let place = Place::new(options)?;
    for number in 0..idle {
        let config = StreamConfig::new(format!("idle-{number}"));
        let stream = place.store.create_stream(config)?;
        stream.create_consumer(ConsumerConfig::new("nobody"))?;
    }
    let stream = place.stream()?;
    stream.create_consumer(ConsumerConfig::new("reader"))?;
    let call = |payload| Ok(stream.publish(SUBJECT, payload).map(drop)?);
    Callers::run(1, options.span() / 5, call)?;
    let callers = Callers::run(1, options.span(), call)?;
    Ok([0.5, 0.99].map(|quantile| callers.times.quantile_us(quantile)))
}
