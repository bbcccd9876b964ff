//! Everything at once: two producers and two consumers.

use crate::Result;
use crate::bench::{Bench, Turns};
use crate::callers::join;
use crate::messages::{PAYLOAD, SUBJECT, batch};
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use crate::work::floor;
use riverbed::{Batch, Consumer, ConsumerConfig, Fetch, Stream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const NAME: &str = "cycle";
const PRODUCERS: usize = 2;
const CONSUMERS: usize = 2;
const BATCH: u64 = 1_000;
/// Messages that may wait; then the producers pause, so that it is a queue that is worked on and not a log
/// that grows.
const AHEAD: u64 = 8 * BATCH;
const PATIENCE: Duration = Duration::from_secs(30);
const LEN: u64 = 64 << 20;

/// How a consumer goes on from one batch to the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    FetchThenAck,
    AckAndFetch,
}

struct Cycle {
    way: Way,
    stream: Stream,
    published: AtomicU64,
    acked: AtomicU64,
    producing: AtomicUsize,
    /// A thread failed: the others stop.
    failed: AtomicBool,
}

pub(crate) fn run(bench: &mut Bench) -> Result {
    let options = bench.options.clone();
    let mut file = bench.zeroed(LEN)?;
    let mut floor = || {
        let [rate, ..] = floor::zeroed_batches(&mut file, options.span(), BATCH)?;
        Ok([rate])
    };
    let turns = bench.turns(
        (NAME, "cycle"),
        ["per_second"],
        [
            ("riverbed", &mut || turn(&options, Way::FetchThenAck)),
            ("riverbed, ack_and_fetch", &mut || {
                turn(&options, Way::AckAndFetch)
            }),
            ("floor", &mut floor),
        ],
    )?;
    let Turns {
        medians: [[apart], [together], [floor]],
        probes: [probe_apart, probe_together, probe_floor],
    } = turns;
    for (case, rate, probe) in [
        ("fetch, then ack", apart, probe_apart),
        ("ack_and_fetch", together, probe_together),
    ] {
        bench.row(
            Row::new(NAME, case, (rate, "/s"))
                .beside("floor, publish alone", floor)
                .at_least(0.3)
                .probes(&[probe, probe_floor]),
        )?;
    }
    Ok(())
}

fn turn(options: &Options, way: Way) -> Result<[f64; 1]> {
    let place = Place::new(options)?;
    let stream = place.stream()?;
    let config = ConsumerConfig::new("worker").max_ack_pending(4 * BATCH);
    let consumer = stream.create_consumer(config)?;
    let cycle = Cycle {
        way,
        stream,
        published: AtomicU64::new(0),
        acked: AtomicU64::new(0),
        producing: AtomicUsize::new(PRODUCERS),
        failed: AtomicBool::new(false),
    };
    let started = Instant::now();
    thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|_| scope.spawn(|| cycle.noting(cycle.produce(options.span()))))
            .collect();
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|_| scope.spawn(|| cycle.noting(cycle.consume(&consumer))))
            .collect();
        producers.into_iter().chain(consumers).try_for_each(join)
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let acked = consumer.info()?.acked;
    if acked != cycle.published.load(Ordering::SeqCst) {
        return Err(format!("{acked} messages were acked, not as many as were published").into());
    }
    Ok([acked as f64 / seconds])
}

impl Cycle {
    fn noting(&self, result: Result) -> Result {
        if result.is_err() {
            self.failed.store(true, Ordering::SeqCst);
        }
        result
    }

    fn is_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    fn waiting(&self) -> u64 {
        let published = self.published.load(Ordering::SeqCst);
        published.saturating_sub(self.acked.load(Ordering::SeqCst))
    }

    fn produce(&self, span: Duration) -> Result {
        let started = Instant::now();
        let work = || {
            while started.elapsed() < span && !self.is_failed() {
                if self.waiting() >= AHEAD {
                    thread::sleep(Duration::from_micros(50));
                    continue;
                }
                self.stream.publish_batch(batch(0, BATCH, PAYLOAD))?;
                self.published.fetch_add(BATCH, Ordering::SeqCst);
            }
            Ok(())
        };
        let result = work();
        self.producing.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn consume(&self, consumer: &Consumer) -> Result {
        let (mut held, mut came) = (None, Instant::now());
        while !self.is_failed() {
            if self.producing.load(Ordering::SeqCst) == 0 && self.waiting() == 0 {
                break;
            }
            let got = self.next(consumer, &mut held)?;
            if got > 0 {
                came = Instant::now();
            } else if came.elapsed() > PATIENCE {
                return Err(format!("nothing has come from {SUBJECT} for long").into());
            }
        }
        Ok(())
    }

    /// Fetches the next batch and acks it, or acks the last one with it. Returns how many were acked.
    fn next(&self, consumer: &Consumer, held: &mut Option<Batch>) -> Result<u64> {
        let fetch = Fetch::new(BATCH as usize).max_wait(Duration::from_millis(20));
        let acked = if let Some(batch) = held.take() {
            let (acked, next) = consumer.ack_and_fetch(&batch, fetch)?;
            *held = (!next.is_empty()).then_some(next);
            acked
        } else {
            let batch = consumer.fetch(fetch)?;
            if self.way == Way::AckAndFetch && !batch.is_empty() {
                *held = Some(batch);
                return Ok(0);
            }
            batch.ack()?
        };
        if !acked.refused.is_empty() {
            return Err(format!("{} acks were refused", acked.refused.len()).into());
        }
        self.acked.fetch_add(acked.acked as u64, Ordering::SeqCst);
        Ok(acked.acked as u64)
    }
}
