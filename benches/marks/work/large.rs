//! Large batches for long enough that whatever is put off has to be done: a journal's segments come round
//! ten times, and closing is part of the time.

use crate::Result;
use crate::bare;
use crate::bench::{Bench, Turns};
use crate::messages::{PAYLOAD, batch, payload};
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use crate::times::Times;

pub(crate) const NAME: &str = "large";
const BATCH: u64 = 10_000;
const FIGURES: [&str; 3] = ["per_second", "p50_us", "p99_us"];

pub(crate) fn run(bench: &mut Bench) -> Result {
    let options = bench.options.clone();
    let case = format!(
        "{} MiB, then closed",
        (batches(&options) * BATCH * PAYLOAD as u64) >> 20
    );
    let turns = bench.turns(
        (NAME, &case),
        FIGURES,
        [
            ("riverbed", &mut || publish(&options)),
            ("redb", &mut || write_blocks(&options)),
        ],
    )?;
    let Turns {
        medians: [[ours, p50, p99], [redb, ..]],
        probes,
    } = turns;
    bench.row(
        Row::new(NAME, case, (ours, "/s"))
            .beside("bare redb", redb)
            .at_least(0.7)
            .probes(&probes),
    )?;
    let [probe, _] = probes;
    bench.row(
        Row::new(NAME, "p99 of a batch", (p99, "us"))
            .beside("its p50", p50)
            .at_most(4.0)
            .probes(&[probe]),
    )
}

fn batches(options: &Options) -> u64 {
    let bytes = options.pick(1, 10) * options.journal_bytes();
    bytes.div_ceil(BATCH * PAYLOAD as u64)
}

/// Making the messages is the application's work and is not timed; what the library does to them is.
fn publish(options: &Options) -> Result<[f64; 3]> {
    let place = Place::new(options)?;
    let stream = place.stream()?;
    let mut times = Times::default();
    for number in 0..batches(options) {
        let messages = batch(number * BATCH, BATCH, PAYLOAD);
        times.time(|| Ok(stream.publish_batch(messages)?))?;
    }
    let mut closing = Times::default();
    closing.time(|| Ok(place.store.close()?))?;
    Ok(figures(&times, &closing))
}

fn write_blocks(options: &Options) -> Result<[f64; 3]> {
    let folder = tempfile::tempdir_in(&options.dir)?;
    let database = bare::create(&folder.path().join("redb"))?;
    let (mut times, mut next) = (Times::default(), 0);
    for number in 0..batches(options) {
        let first = number * BATCH;
        let mut payloads = Vec::with_capacity(BATCH as usize * PAYLOAD);
        for number in first..first + BATCH {
            payloads.extend_from_slice(&payload(number, PAYLOAD));
        }
        times.time(|| Ok(bare::commit_blocks(&database, &payloads, &mut next)?))?;
    }
    let mut closing = Times::default();
    closing.time(|| {
        drop(database);
        Ok(())
    })?;
    Ok(figures(&times, &closing))
}

fn figures(times: &Times, closing: &Times) -> [f64; 3] {
    let per_second = (times.count() * BATCH) as f64 / (times.seconds() + closing.seconds());
    [per_second, times.quantile_us(0.5), times.quantile_us(0.99)]
}
