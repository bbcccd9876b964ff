//! Publishing, beside the least that makes the same bytes durable.

use crate::Result;
use crate::bench::{Bench, Turns};
use crate::callers::Callers;
use crate::group::{Group, STRATEGIES, Strategy, put};
use crate::messages::{PAYLOAD, SUBJECT, batch};
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use crate::times::Times;
use crate::zeroed::Zeroed;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

pub(crate) const NAME: &str = "floor";
/// Bytes of the floor's file.
const LEN: u64 = 64 << 20;
const FIGURES: [&str; 3] = ["per_second", "p50_us", "p99_us"];

pub(crate) fn run(bench: &mut Bench) -> Result {
    one_thread(bench)?;
    threads(bench, 8)?;
    threads(bench, 32)?;
    batches(bench, 100, 0.6)?;
    batches(bench, 1_000, 0.5)
}

/// Alone, a publish is one commit, and the floor one write and one sync.
fn one_thread(bench: &mut Bench) -> Result {
    let (case, options) = ("1 thread", bench.options.clone());
    let mut file = bench.zeroed(LEN)?;
    let mut floor = || zeroed_batches(&mut file, options.span(), 1);
    let turns = bench.turns(
        (NAME, case),
        FIGURES,
        [
            ("riverbed", &mut || publishers(&options, 1)),
            ("floor", &mut floor),
        ],
    )?;
    let Turns {
        medians: [[_, p50, p99], [_, floor_p50, floor_p99]],
        probes,
    } = turns;
    let row = |name: &str, ours, floor| {
        Row::new(NAME, format!("{case}, {name}"), (ours, "us"))
            .beside("floor", floor)
            .probes(&probes)
    };
    bench.row(row("p50", p50, floor_p50).at_most(1.3))?;
    bench.row(row("p99", p99, floor_p99))
}

/// Many callers share syncs; the floor's do so by several strategies, and the best is the floor.
fn threads(bench: &mut Bench, threads: usize) -> Result {
    let (case, options) = (format!("{threads} threads"), bench.options.clone());
    let file = Mutex::new(bench.zeroed(LEN)?);
    let [mut plain, mut gathering, mut handing, mut both] = STRATEGIES.map(|strategy| {
        let (file, span) = (&file, options.span());
        move || grouped(file, strategy, threads, span)
    });
    let [one, two, three, four] = STRATEGIES.map(|strategy| strategy.name);
    let turns = bench.turns(
        (NAME, &case),
        FIGURES,
        [
            ("riverbed", &mut || publishers(&options, threads)),
            (one, &mut plain),
            (two, &mut gathering),
            (three, &mut handing),
            (four, &mut both),
        ],
    )?;
    let Turns {
        medians: [[ours, p50, p99], floors @ ..],
        probes: [probe, floor_probes @ ..],
    } = turns;
    let best = STRATEGIES
        .iter()
        .zip(&floors)
        .zip(floor_probes)
        .max_by(|((_, [one, ..]), _), ((_, [other, ..]), _)| one.total_cmp(other));
    if let Some(((strategy, [rate, floor_p50, floor_p99]), floor_probe)) = best {
        let probes = [probe, floor_probe];
        let row = |name: &str, figure, beside| {
            Row::new(NAME, format!("{case}{name}"), figure)
                .beside(strategy.name, beside)
                .probes(&probes)
        };
        bench.row(row("", (ours, "/s"), *rate).at_least(0.85))?;
        bench.row(row(", p50", (p50, "us"), *floor_p50))?;
        bench.row(row(", p99", (p99, "us"), *floor_p99))?;
    }
    Ok(())
}

/// Only the time in the calls counts: making the messages is the program's work.
fn batches(bench: &mut Bench, size: u64, mark: f64) -> Result {
    let (case, options) = (format!("batches of {size}"), bench.options.clone());
    let mut file = bench.zeroed(LEN)?;
    let mut floor = || zeroed_batches(&mut file, options.span(), size);
    let turns = bench.turns(
        (NAME, &case),
        FIGURES,
        [
            ("riverbed", &mut || publish_batches(&options, size)),
            ("floor", &mut floor),
        ],
    )?;
    let Turns {
        medians: [[ours, ..], [floor, ..]],
        probes,
    } = turns;
    bench.row(
        Row::new(NAME, case, (ours, "/s"))
            .beside("floor", floor)
            .at_least(mark)
            .probes(&probes),
    )
}

/// So many threads, each of which publishes one message after the other to one stream.
fn publishers(options: &Options, threads: usize) -> Result<[f64; 3]> {
    let place = Place::new(options)?;
    let stream = place.stream()?;
    let publish = |payload| Ok(stream.publish(SUBJECT, payload).map(drop)?);
    // Growing the file for the first time is nobody's everyday cost.
    Callers::run(1, options.span() / 5, publish)?;
    Ok(figures(&Callers::run(threads, options.span(), publish)?))
}

fn grouped(
    file: &Mutex<Zeroed>,
    strategy: Strategy,
    threads: usize,
    span: Duration,
) -> Result<[f64; 3]> {
    let group = Group::new(file, strategy);
    let publish = |payload: Vec<u8>| group.publish(&payload);
    Callers::run(1, span / 5, publish)?;
    Ok(figures(&Callers::run(threads, span, publish)?))
}

fn figures(callers: &Callers) -> [f64; 3] {
    let quantile = |quantile| callers.times.quantile_us(quantile);
    [callers.per_second, quantile(0.5), quantile(0.99)]
}

fn publish_batches(options: &Options, size: u64) -> Result<[f64; 3]> {
    let place = Place::new(options)?;
    let stream = place.stream()?;
    let mut publish = |messages| Ok(stream.publish_batch(messages).map(drop)?);
    repeat(options.span() / 5, size, batch_of, &mut publish)?;
    repeat(options.span(), size, batch_of, &mut publish)
}

fn batch_of(first: u64, size: u64) -> Vec<riverbed::Publish> {
    batch(first, size, PAYLOAD)
}

/// The floor at such a batch, which other workloads compare with, too.
pub(super) fn zeroed_batches(file: &mut Zeroed, span: Duration, size: u64) -> Result<[f64; 3]> {
    let make = |first, size| {
        let payloads: Vec<Vec<u8>> = (first..first + size)
            .map(|number| crate::messages::payload(number, PAYLOAD))
            .collect();
        payloads
    };
    let mut bytes = Vec::new();
    repeat(span, size, make, &mut |payloads: Vec<Vec<u8>>| {
        bytes.clear();
        for payload in &payloads {
            put(&mut bytes, payload);
        }
        Ok(file.overwrite(&bytes)?)
    })
}

/// Calls for this long, and times only the calls.
fn repeat<T>(
    span: Duration,
    size: u64,
    make: impl Fn(u64, u64) -> T,
    call: &mut impl FnMut(T) -> Result,
) -> Result<[f64; 3]> {
    let (started, mut times) = (Instant::now(), Times::default());
    while times.count() == 0 || started.elapsed() < span {
        let batch = make(times.count() * size, size);
        times.time(|| call(batch))?;
    }
    let per_second = (times.count() * size) as f64 / times.seconds();
    Ok([per_second, times.quantile_us(0.5), times.quantile_us(0.99)])
}
