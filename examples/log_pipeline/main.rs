//! Real log files through a durable stream, with three consumers at once.
//!
//! ```text
//! cargo run --release --example log_pipeline -- --store logs.riverbed /var/log/*.log
//! ```
//!
//! Every line is published on `logs.<file>.<severity>` with the id `<full path>:<line>`. One consumer
//! counts everything, one sees warnings and errors through its filter, one parses each line and
//! terminates what it can't parse into the dead-letter stream `logs-dead`.
//!
//! Kill it at any moment and run it again with the same store: lines that were stored before are
//! recognised by their ids, deliveries that were cut off are made again, and every total comes out as if
//! nothing had happened. The last line of the output is there for a script to check:
//!
//! ```text
//! lines=N published=N duplicates=N counted=N filtered=N parsed=N dead_lettered=N
//! ```
//!
//! The first three are of this run, the others are the store's durable totals.

mod args;
mod consumers;
mod input;
mod lines;
mod parse;
mod progress;

use args::Args;
use consumers::{Consumers, DEAD, Found};
use progress::{FailureFlag, Progress};
use riverbed::{Riverbed, Stream, StreamConfig};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// Lines are recognised for this long. Within it, a file may be read again at no harm.
const DEDUP_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);
/// Ids that may be remembered; a line more is refused with an error, never counted twice.
const DEDUP_IDS: u64 = 100_000_000;
/// Batches read ahead while one is on its way to the disk.
const READ_AHEAD: usize = 2;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{}", args::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprint!("{why}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("log_pipeline: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let sources = input::sources(&args.files).map_err(|why| why.to_string())?;
    let bytes = sources
        .iter()
        .map(|source| source.bytes)
        .sum::<Option<u64>>();
    let progress = Progress::new(bytes, args.steps);
    progress.step("opening");
    let store = Riverbed::open(&args.store)?;
    let logs = store.create_stream(
        StreamConfig::new("logs")
            .subjects(["logs.>"])
            .dedup_window(DEDUP_WINDOW)
            .dedup_ids(DEDUP_IDS),
    )?;
    // Made here and not on demand: without a limit it never refuses a line.
    let dead = StreamConfig::new(DEAD)
        .subjects([format!("{DEAD}.>")])
        .without_dedup();
    let dead = store.create_stream(dead)?;
    let consumers = Consumers::create(&logs, args.batch)?;
    progress.step("opened");

    let started = Instant::now();
    let found = pipeline(&logs, &consumers, sources, args.batch, &progress)?;
    let elapsed = started.elapsed();
    progress.step("drained");
    report(&consumers, &logs, &dead, &found, &progress, elapsed)?;
    store.close()?;
    Ok(())
}

/// Reads, publishes and consumes, each in threads of its own, until nothing is left.
fn pipeline(
    logs: &Stream,
    consumers: &Consumers,
    sources: Vec<input::Source>,
    batch: usize,
    progress: &Progress,
) -> Result<Found, Failure> {
    let (to, ready) = mpsc::sync_channel(READ_AHEAD);
    let mut found = Found::default();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let flag = FailureFlag::new(progress);
            input::read_all(sources, batch, &to).inspect(|()| flag.all_is_fine())
        });
        let writer = scope.spawn(move || publish(logs, ready, progress));
        let drains = [
            scope.spawn(|| {
                consumers::drain(&consumers.count, batch, progress, "counted", |_| Ok(()))
            }),
            scope.spawn(|| {
                consumers::drain(&consumers.alerts, batch, progress, "filtered", |_| Ok(()))
            }),
            scope.spawn(|| {
                consumers::drain(&consumers.parse, batch, progress, "parsed", |messages| {
                    consumers::parse_batch(messages, &mut found)
                })
            }),
        ];
        let read = joined(reader);
        let written = joined(writer);
        progress.all_published.store(true, SeqCst);
        let drained = drains.into_iter().map(joined).collect::<Vec<_>>();
        read?;
        written?;
        drained
            .into_iter()
            .try_for_each(|done| done.map_err(Failure::from))
    })?;
    Ok(found)
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Each lot is one atomic batch and one commit. Lines that an earlier run stored come back as
/// duplicates, and the rest of the lot is stored.
fn publish(
    logs: &Stream,
    ready: mpsc::Receiver<input::Lot>,
    progress: &Progress,
) -> Result<(), Failure> {
    let flag = FailureFlag::new(progress);
    for lot in ready {
        if progress.has_failed() {
            break;
        }
        let acks = logs.publish_batch(lot.messages)?;
        let duplicates = acks.iter().filter(|ack| ack.duplicate).count() as u64;
        progress.took(lot.taken, acks.len() as u64 - duplicates, duplicates);
    }
    progress.reading_done();
    flag.all_is_fine();
    Ok(())
}

fn report(
    consumers: &Consumers,
    logs: &Stream,
    dead: &Stream,
    found: &Found,
    progress: &Progress,
    elapsed: Duration,
) -> Result<(), Failure> {
    let published = progress.published.load(SeqCst);
    let duplicates = progress.duplicates.load(SeqCst);
    let lines = published + duplicates;
    let (count, alerts) = (consumers.count.info()?, consumers.alerts.info()?);
    let (parse, stored) = (consumers.parse.info()?, logs.info()?.messages);
    let mut out = io::stdout().lock();
    let speed = u128::from(lines) * 1_000 / elapsed.as_millis().max(1);
    writeln!(
        out,
        "this run: {lines} lines in {:.2} s, {speed} lines/s",
        elapsed.as_secs_f64()
    )?;
    for (format, lines, fields) in found.by_format() {
        writeln!(
            out,
            "  {format:<9} {lines:>9} parsed; one of them: {fields}"
        )?;
    }
    writeln!(
        out,
        "\n{:<9} {:>10} {:>14} {:>12}",
        "consumer", "acked", "dead-lettered", "deliveries"
    )?;
    for info in [&count, &alerts, &parse] {
        let name = &info.config.name;
        writeln!(
            out,
            "{name:<9} {:>10} {:>14} {:>12}",
            info.acked, info.dead_lettered, info.deliveries
        )?;
    }
    writeln!(
        out,
        "\nstored: {stored} lines in `logs`, {} in `{DEAD}`",
        dead.info()?.messages
    )?;
    writeln!(
        out,
        "lines={lines} published={published} duplicates={duplicates} counted={} filtered={} \
         parsed={} dead_lettered={}",
        count.acked, alerts.acked, parse.acked, parse.dead_lettered
    )?;
    out.flush()?;
    if count.acked != stored || parse.acked + parse.dead_lettered != stored {
        return Err(format!("the totals do not add up to the {stored} lines stored").into());
    }
    Ok(())
}
