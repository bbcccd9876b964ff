//! Many leases lapse at once, while somebody publishes to another stream.

use crate::Result;
use crate::bench::Bench;
use crate::callers::{Callers, join};
use crate::messages::{PAYLOAD, payload};
use crate::place::Place;
use crate::report::Row;
use crate::times::Times;
use riverbed::{Consumer, ConsumerConfig, Fetch, StreamConfig};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const NAME: &str = "leases";
/// Messages of one fetch: a fetch has a limit, so it takes some.
const FETCH: usize = 50_000;
/// How often it is asked whether all leases have lapsed.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(bench: &mut Bench) -> Result {
    case(bench, "redelivered", |config| config)?;
    case(bench, "dead letters", |config| {
        config.max_deliver(1).dead_letter("dead")
    })
}

fn case(bench: &mut Bench, case: &str, given: fn(ConsumerConfig) -> ConsumerConfig) -> Result {
    let options = bench.options.clone();
    let leases = options.pick(10_000, 100_000);
    let place = Place::new(&options)?;
    let stream = place.filled(leases)?;
    let config = ConsumerConfig::new("worker")
        .max_ack_pending(leases)
        .ack_wait(options.pick(Duration::from_millis(500), Duration::from_secs(3)));
    let ack_wait = config.ack_wait;
    let consumer = stream.create_consumer(given(config))?;
    let other = place.store.create_stream(StreamConfig::new("other"))?;
    let publish = |payload| Ok(other.publish("other", payload).map(drop)?);
    Callers::run(1, options.span() / 5, publish)?;
    let (quiet, quiet_probe) = bench.probed(|| Callers::run(1, options.span() * 2, publish))?;

    let ((meanwhile, took), probe) = bench.probed(|| {
        let first = fetch_all(&consumer, leases)?;
        thread::sleep((first + ack_wait).saturating_duration_since(Instant::now()));
        while_lapsing(&consumer, leases, publish)
    })?;
    let [quiet, after] = [&quiet.times, &meanwhile].map(|times| times.quantile_us(0.99));
    bench.row(
        Row::new(NAME, format!("{case}, p99 of a publish"), (after, "us"))
            .beside("p99 when quiet", quiet)
            .at_most(20.0)
            .probes(&[probe, quiet_probe]),
    )?;
    let longest = meanwhile.quantile_us(1.0) / 1e3;
    bench.row(Row::new(
        NAME,
        format!("{case}, longest publish"),
        (longest, "ms"),
    ))?;
    let case = format!("{case}, until {leases} had lapsed");
    bench.row(Row::new(NAME, case, (took.as_secs_f64(), "s")))
}

/// Returns when the first messages came, whose leases lapse first.
fn fetch_all(consumer: &Consumer, messages: u64) -> Result<Instant> {
    let (mut fetched, mut first) = (0, None);
    while fetched < messages {
        let batch = consumer.fetch(Fetch::new(FETCH).no_wait())?;
        if batch.is_empty() {
            let why = batch.empty_reason();
            return Err(format!("{fetched} of {messages} came: {why:?}").into());
        }
        fetched += batch.len() as u64;
        first = first.or(Some(Instant::now()));
    }
    Ok(first.unwrap_or_else(Instant::now))
}

/// Publishes from when the first lease lapses until the last one has, and says how long that took.
fn while_lapsing(
    consumer: &Consumer,
    leases: u64,
    publish: impl Fn(Vec<u8>) -> Result + Sync,
) -> Result<(Times, Duration)> {
    let (over, started) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let mut times = Times::default();
            while !over.load(Ordering::Relaxed) {
                let payload = payload(times.count(), PAYLOAD);
                times.time(|| publish(payload))?;
            }
            Ok(times)
        });
        let result = lapsed(consumer, leases, started);
        over.store(true, Ordering::Relaxed);
        let times = join(publishing)?;
        result?;
        Ok((times, started.elapsed()))
    })
}

/// Waits until every message is to be delivered again, or is a dead letter.
fn lapsed(consumer: &Consumer, leases: u64, started: Instant) -> Result {
    loop {
        let info = consumer.info()?;
        if info.due + info.dead_lettered == leases {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err("the leases do not lapse".into());
        }
        thread::sleep(LOOK);
    }
}
