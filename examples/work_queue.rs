//! A work queue whose process is killed in the middle of its work and resumed.
//!
//! ```text
//! cargo run --release --example work_queue
//! ```
//!
//! The program starts itself a second time as the process that does the work, with four worker threads,
//! and kills that one with SIGKILL (elsewhere: its counterpart) after a while, three times. Then it opens
//! the same store and finishes the work. No job is lost. A job that was done but not yet acked when the
//! process died is done again: that is what *at least once* means, and the program counts them.

use riverbed::{Consumer, ConsumerConfig, Message, Publish, Riverbed, StreamConfig};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const JOBS: u64 = 5_000;
const WORKERS: usize = 4;
const KILLS: u64 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|arg| arg == "--work") {
        let path = args.next().ok_or("--work needs the path of a store")?;
        return work(Path::new(&path));
    }

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("jobs.riverbed");
    let store = Riverbed::open(&path)?;
    let jobs = store.create_stream(StreamConfig::new("jobs"))?;
    jobs.create_consumer(ConsumerConfig::new("workers"))?;
    // One atomic batch: all of the jobs or none.
    jobs.publish_batch((1..=JOBS).map(|number| Publish::new("jobs", number.to_string())))?;
    store.close()?;
    println!("{JOBS} jobs are stored.");

    // How often each job was done.
    let mut done = BTreeMap::<u64, u64>::new();
    for kill in 1..=KILLS {
        let seen = work_and_kill(&path, JOBS / (KILLS + 1), &mut done)?;
        println!("process {kill} did {seen} jobs with {WORKERS} threads, and was killed at work");
    }

    let store = Riverbed::open(&path)?;
    let workers = store.stream("jobs")?.consumer("workers")?;
    let info = workers.info()?;
    println!(
        "opened again: {} jobs are acked, {} are left, those that were at work included",
        info.acked,
        info.pending + info.due + info.in_flight,
    );
    for job in finish(&workers)? {
        *done.entry(job).or_default() += 1;
    }
    let missing = (1..=JOBS).filter(|job| !done.contains_key(job)).count();
    let twice = done.values().filter(|times| **times > 1).count();
    let acked = workers.info()?.acked;
    println!("the rest is done: {acked} acked, {missing} missing, {twice} done more than once");
    store.close()?;
    if acked != JOBS || missing != 0 {
        return Err("a job was lost".into());
    }
    Ok(())
}

/// Runs this program as a worker process and kills it when it has done so many jobs.
fn work_and_kill(
    path: &Path,
    jobs: u64,
    done: &mut BTreeMap<u64, u64>,
) -> Result<u64, Box<dyn Error>> {
    let mut process = Command::new(std::env::current_exe()?)
        .arg("--work")
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = process.stdout.take().ok_or("the worker has no output")?;
    let mut seen = 0;
    // What the process wrote before it died is still in the pipe, so reading goes on to the end.
    for line in BufReader::new(output).lines() {
        // The last line may be cut short by the kill.
        let line = line?;
        let Some(Ok(job)) = line.strip_suffix('.').map(str::parse::<u64>) else {
            continue;
        };
        *done.entry(job).or_default() += 1;
        seen += 1;
        if seen == jobs {
            process.kill()?;
        }
    }
    process.wait()?;
    Ok(seen)
}

/// The worker process: it does jobs until it is killed.
fn work(path: &Path) -> Result<(), Box<dyn Error>> {
    let store = Riverbed::open(path)?;
    let workers = store.stream("jobs")?.consumer("workers")?;
    let _runner = workers.run(WORKERS, |message: &Message| {
        // The job's effect: a line that the parent reads.
        let job = String::from_utf8_lossy(message.payload());
        writeln!(std::io::stdout().lock(), "{job}.")
    })?;
    loop {
        std::thread::park();
    }
}

/// Does what is left, in this thread, a batch at a time.
fn finish(workers: &Consumer) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut done = Vec::new();
    loop {
        let info = workers.info()?;
        if info.pending + info.due + info.delayed + info.in_flight == 0 {
            return Ok(done);
        }
        let batch = workers.fetch(500)?;
        for message in &batch {
            done.push(String::from_utf8_lossy(message.payload()).parse()?);
        }
        batch.ack()?;
    }
}
