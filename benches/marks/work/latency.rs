//! From the call of publish until a consumer that was waiting has the message.

use crate::Result;
use crate::bench::{Bench, Turns};
use crate::callers::{Callers, join};
use crate::messages::{PAYLOAD, SUBJECT, payload};
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use crate::times::Times;
use riverbed::{Consumer, ConsumerConfig, Fetch, Stream, StreamConfig};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const NAME: &str = "latency";
const FIGURES: [&str; 3] = ["p50_us", "p99_us", "p999_us"];
/// Before each publish, so that the consumer's next fetch waits already.
const PAUSE: Duration = Duration::from_micros(200);
const PATIENCE: Duration = Duration::from_secs(5);
/// The slowest of a thousand wants thousands.
const LONGER: u32 = 3;

pub(crate) fn run(bench: &mut Bench) -> Result {
    case(bench, "paced", 0)?;
    case(bench, "beside 4 publishers", 4)
}

/// What it takes, beside a publish alone under the same load: threads that publish to another stream.
fn case(bench: &mut Bench, case: &str, load: usize) -> Result {
    let options = bench.options.clone();
    let turns = bench.turns(
        (NAME, case),
        FIGURES,
        [
            ("receive", &mut || under_load(&options, load, receive)),
            ("publish", &mut || under_load(&options, load, publish)),
        ],
    )?;
    let Turns {
        medians: [[p50, p99, p999], [commit, commit_p99, commit_p999]],
        probes,
    } = turns;
    let row = |name: &str, ours, commit| {
        Row::new(NAME, format!("{case}, {name}"), (ours, "us"))
            .beside("a publish alone", commit)
            .probes(&probes)
    };
    bench.row(row("p50", p50, commit).at_most(1.5))?;
    bench.row(row("p99", p99, commit_p99))?;
    bench.row(row("p999", p999, commit_p999))
}

/// Runs it while so many threads publish to a stream of their own in the same store.
fn under_load(
    options: &Options,
    threads: usize,
    work: fn(&Stream, Duration) -> Result<Times>,
) -> Result<[f64; 3]> {
    let place = Place::new(options)?;
    let (stream, over) = (place.stream()?, AtomicBool::new(false));
    let load = place.store.create_stream(StreamConfig::new("load"))?;
    let times = thread::scope(|scope| {
        let publish = || {
            while !over.load(Ordering::Relaxed) {
                load.publish("load", payload(0, PAYLOAD))?;
            }
            Ok(())
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(publish)).collect();
        let times = work(&stream, options.span() * LONGER);
        over.store(true, Ordering::Relaxed);
        let ended: Result = running.into_iter().try_for_each(join);
        ended.and(times)
    })?;
    Ok([0.5, 0.99, 0.999].map(|quantile| times.quantile_us(quantile)))
}

/// One durable commit: as often as the other, with the same pause.
fn publish(stream: &Stream, span: Duration) -> Result<Times> {
    let publish = |payload| Ok(stream.publish(SUBJECT, payload).map(drop)?);
    Callers::run(1, span / 10, publish)?;
    let (started, mut times) = (Instant::now(), Times::default());
    while times.count() == 0 || started.elapsed() < span {
        thread::sleep(PAUSE);
        let payload = payload(times.count(), PAYLOAD);
        times.time(|| publish(payload))?;
    }
    Ok(times)
}

fn receive(stream: &Stream, span: Duration) -> Result<Times> {
    let consumer = stream.create_consumer(ConsumerConfig::new("waiting"))?;
    let (came, comes) = channel();
    let mut times = Times::default();
    thread::scope(|scope| {
        let consuming = scope.spawn(move || consume(&consumer, &came));
        let mut work = || {
            let started = Instant::now();
            let mut first = true;
            while first || started.elapsed() < span {
                thread::sleep(PAUSE);
                let payload = payload(times.count(), PAYLOAD);
                let called = Instant::now();
                stream.publish(SUBJECT, payload)?;
                let at: Instant = comes.recv_timeout(PATIENCE)?;
                // The first one finds the consumer in any state.
                if !first {
                    times.record(at.saturating_duration_since(called));
                }
                first = false;
            }
            Ok(())
        };
        let result: Result = work();
        drop(comes);
        // What ends the consumer is a message that nobody wants to know of.
        let last = stream.publish(SUBJECT, "over");
        join(consuming)?;
        last?;
        result
    })?;
    Ok(times)
}

fn consume(consumer: &Consumer, came: &Sender<Instant>) -> Result {
    loop {
        let batch = consumer.fetch(Fetch::new(1).max_wait(PATIENCE))?;
        let at = Instant::now();
        if batch.is_empty() {
            return Err("nothing comes any more".into());
        }
        batch.ack()?;
        // Told only after the ack, so that the next publish does not wait for it.
        if came.send(at).is_err() {
            return Ok(());
        }
    }
}
