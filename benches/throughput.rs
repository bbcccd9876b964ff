//! Publish, fetch and ack at batches of 1, 100 and 10,000 messages of 100 bytes, beside bare redb doing
//! the least that the same promise costs, in the same run.
//!
//! ```text
//! cargo bench --bench throughput                        # the table; some two minutes
//! cargo bench --bench throughput -- --quick             # the same, shorter and noisier
//! cargo bench --bench throughput -- --backlog 10000000  # the memory that a backlog takes
//! ```
//!
//! Also: `--batch N` for one batch size, `--repetitions N`, `--dir PATH` for the disk to measure (else a
//! folder under `target/`; a temporary folder may be in memory, which would measure nothing).
//!
//! What bare redb does for each operation, always with one durable commit (`Durability::Immediate`), as
//! riverbed has here:
//!
//! * publish: the payloads alone, as values of up to 65,520 bytes, one row a block;
//! * fetch: one row of 64 bytes, standing for the claim, and the blocks read;
//! * ack: one row of 64 bytes;
//! * ack+fetch: the same row once, and the blocks read.
//!
//! It writes no subjects, times, checksums or offsets, so it is a floor, not a rival. The disk decides
//! most of the figures, so each one stands beside a probe: the median of 4 KiB appends with a data sync,
//! taken right before and right after. Riverbed and redb take turns, and who begins changes with each
//! repetition. Medians of the repetitions are printed; every repetition is a line of JSON under
//! `target/tmp/throughput.jsonl`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::print_literal
)]

#[path = "marks/bare.rs"]
mod bare;
#[path = "marks/median.rs"]
mod median;

use bare::{BLOCK, BLOCKS, CACHE, commit_blocks};
use median::median;
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use riverbed::{Consumer, ConsumerConfig, Fetch, Publish, Riverbed, Stream, StreamConfig};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PAYLOAD: usize = 100;
const STATE: TableDefinition<u64, &[u8]> = TableDefinition::new("state");
const OPERATIONS: [&str; 4] = ["publish", "fetch", "ack", "ack+fetch"];

struct Options {
    dir: PathBuf,
    batches: Vec<usize>,
    repetitions: usize,
    quick: bool,
    backlog: Option<u64>,
}

fn main() {
    let options = options();
    match options.backlog {
        Some(messages) => backlog(&options.dir, messages),
        None => throughput(&options),
    }
}

fn options() -> Options {
    let mut args = std::env::args().skip(1).peekable();
    let mut options = Options {
        dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        batches: vec![1, 100, 10_000],
        repetitions: 5,
        quick: false,
        backlog: None,
    };
    let mut bench = false;
    while let Some(arg) = args.next() {
        let mut number = || {
            args.next()
                .and_then(|text| text.parse::<u64>().ok())
                .expect("a number")
        };
        match arg.as_str() {
            "--bench" => bench = true,
            "--quick" => options.quick = true,
            "--batch" => options.batches = vec![number() as usize],
            "--repetitions" => options.repetitions = number() as usize,
            "--backlog" => options.backlog = Some(number()),
            "--dir" => options.dir = args.next().expect("a path").into(),
            other => panic!("unknown option {other}; see the head of benches/throughput.rs"),
        }
    }
    // `cargo test --benches` runs this too, to see that it works.
    if !bench || options.quick {
        options.quick = true;
        options.repetitions = options.repetitions.min(2);
    }
    options
}

/// What one operation, repeated, took.
#[derive(Clone, Copy, Default)]
struct Taken {
    per_second: f64,
    median_us: f64,
    probe_us: f64,
}

/// Times of one operation on one side.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.0.push(started.elapsed());
        result
    }

    fn taken(self, batch: usize, probe_us: f64) -> Taken {
        let total: Duration = self.0.iter().sum();
        let messages = (self.0.len() * batch) as f64;
        let mut each: Vec<f64> = self.0.iter().map(|time| time.as_secs_f64() * 1e6).collect();
        Taken {
            per_second: messages / total.as_secs_f64(),
            median_us: median(&mut each),
            probe_us,
        }
    }
}

fn throughput(options: &Options) {
    println!(
        "messages of {PAYLOAD} bytes; stores in {}",
        options.dir.display()
    );
    println!("durability: riverbed returns when the commit is synced; redb Durability::Immediate");
    println!(
        "medians of {} repetitions; probe: 4 KiB append + data sync\n",
        options.repetitions
    );
    println!(
        "{:>6} {:<10} {:>13} {:>9} {:>7} {:>13} {:>9} {:>7} {:>6}",
        "batch",
        "operation",
        "riverbed/s",
        "call us",
        "probe",
        "redb/s",
        "call us",
        "probe",
        "ratio"
    );
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("throughput.jsonl");
    let mut json = File::create(&path).unwrap();
    for batch in &options.batches {
        cells(options, *batch, &mut json);
    }
    println!("\nevery repetition: {}", path.display());
}

/// Measures every operation at one batch size and prints their lines.
fn cells(options: &Options, batch: usize, json: &mut File) {
    let mut calls = match batch {
        0..10 => 2_000,
        10..1_000 => 1_000,
        _ => 150,
    };
    if options.quick {
        calls /= 10;
    }
    let (mut ours, mut bare) = (Vec::<[Taken; 4]>::new(), Vec::<[Taken; 4]>::new());
    for repetition in 0..options.repetitions {
        if repetition % 2 == 0 {
            ours.push(riverbed_side(&options.dir, batch, calls));
            bare.push(redb_side(&options.dir, batch, calls));
        } else {
            bare.push(redb_side(&options.dir, batch, calls));
            ours.push(riverbed_side(&options.dir, batch, calls));
        }
        let (Some(ours), Some(bare)) = (ours.last(), bare.last()) else {
            continue;
        };
        for (operation, (ours, bare)) in OPERATIONS.iter().zip(ours.iter().zip(bare)) {
            for (side, taken) in [("riverbed", ours), ("redb", bare)] {
                writeln!(
                    json,
                    r#"{{"batch":{batch},"operation":"{operation}","side":"{side}","repetition":{repetition},"calls":{calls},"messages_per_second":{:.0},"call_us_median":{:.1},"probe_us":{:.1}}}"#,
                    taken.per_second, taken.median_us, taken.probe_us
                )
                .unwrap();
            }
        }
    }
    for (at, operation) in OPERATIONS.iter().enumerate() {
        let mid = |side: &[[Taken; 4]], of: fn(&Taken) -> f64| {
            median(
                &mut side
                    .iter()
                    .filter_map(|run| run.get(at))
                    .map(of)
                    .collect::<Vec<_>>(),
            )
        };
        let (us, them) = (mid(&ours, |t| t.per_second), mid(&bare, |t| t.per_second));
        println!(
            "{batch:>6} {operation:<10} {us:>13.0} {:>9.0} {:>7.0} {them:>13.0} {:>9.0} {:>7.0} {:>6.2}",
            mid(&ours, |t| t.median_us),
            mid(&ours, |t| t.probe_us),
            mid(&bare, |t| t.median_us),
            mid(&bare, |t| t.probe_us),
            us / them,
        );
    }
}

/// The median of a small append with a sync, in microseconds: what the disk is like just now.
fn probe(dir: &Path) -> f64 {
    let path = dir.join("probe");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)
        .unwrap();
    let block = [0x5a; 4096];
    let mut times = Times::default();
    for _ in 0..100 {
        times.time(|| {
            file.write_all(&block).unwrap();
            file.sync_data().unwrap();
        });
    }
    std::fs::remove_file(&path).unwrap();
    times.taken(1, 0.0).median_us
}

/// The mean of a probe before and one after.
fn probed<T>(dir: &Path, work: impl FnOnce() -> T) -> (T, f64) {
    let before = probe(dir);
    let result = work();
    (result, f64::midpoint(before, probe(dir)))
}

fn riverbed_side(dir: &Path, batch: usize, calls: usize) -> [Taken; 4] {
    let folder = tempfile::tempdir_in(dir).unwrap();
    let store = Riverbed::open(folder.path().join("store")).unwrap();
    let stream = store.create_stream(StreamConfig::new("bench")).unwrap();
    let consumer = |name: &str| {
        let config = ConsumerConfig::new(name).max_ack_pending(batch as u64 * 2);
        stream.create_consumer(config).unwrap()
    };
    let (one, other) = (consumer("one"), consumer("other"));
    // Growing the file for the first time is nobody's everyday cost.
    publish(&stream, batch, calls.div_ceil(20));

    let (times, disk) = probed(dir, || publish(&stream, batch, calls));
    let publish = times.taken(batch, disk);
    let ((fetch, ack), disk) = probed(dir, || fetch_then_ack(&one, batch, calls));
    let (fetch, ack) = (fetch.taken(batch, disk), ack.taken(batch, disk));
    let (times, disk) = probed(dir, || ack_and_fetch(&other, batch, calls));
    store.close().unwrap();
    [publish, fetch, ack, times.taken(batch, disk)]
}

/// Making the messages is the application's work and is not timed; what the library does to them is.
fn publish(stream: &Stream, batch: usize, calls: usize) -> Times {
    let mut times = Times::default();
    for _ in 0..calls {
        let messages: Vec<Publish> = (0..batch)
            .map(|number| Publish::new("bench", payload(number)))
            .collect();
        times.time(|| stream.publish_batch(messages).unwrap());
    }
    times
}

fn payload(number: usize) -> Vec<u8> {
    let mut payload =
        format!(r#"{{"order":{number},"customer":"a name","item":"lamp","price":"#).into_bytes();
    payload.resize(PAYLOAD, b'7');
    payload
}

fn fetch_then_ack(consumer: &Consumer, batch: usize, calls: usize) -> (Times, Times) {
    let (mut fetch, mut ack) = (Times::default(), Times::default());
    for _ in 0..calls {
        let messages = fetch.time(|| consumer.fetch(Fetch::new(batch).no_wait()).unwrap());
        assert_eq!(messages.len(), batch);
        let answer = ack.time(|| messages.ack().unwrap());
        assert!(answer.refused.is_empty());
    }
    (fetch, ack)
}

fn ack_and_fetch(consumer: &Consumer, batch: usize, calls: usize) -> Times {
    let mut times = Times::default();
    let mut messages = consumer.fetch(Fetch::new(batch).no_wait()).unwrap();
    for _ in 1..calls {
        let fetch = Fetch::new(batch).no_wait();
        let (answer, next) = times.time(|| consumer.ack_and_fetch(&messages, fetch).unwrap());
        assert!(answer.refused.is_empty());
        assert_eq!(next.len(), batch);
        messages = next;
    }
    times
}

fn redb_side(dir: &Path, batch: usize, calls: usize) -> [Taken; 4] {
    let folder = tempfile::tempdir_in(dir).unwrap();
    let database = bare::create(&folder.path().join("store")).unwrap();
    let mut next = 0;
    let mut write = |calls: usize| {
        let mut times = Times::default();
        for _ in 0..calls {
            let payloads: Vec<u8> = (0..batch).flat_map(payload).collect();
            times.time(|| commit_blocks(&database, &payloads, &mut next).unwrap());
        }
        times
    };
    write(calls.div_ceil(20));
    let (times, disk) = probed(dir, || write(calls));
    let publish = times.taken(batch, disk);

    let blocks = (batch * PAYLOAD).div_ceil(BLOCK) as u64;
    let mut at = 0;
    let mut read = |database: &Database| {
        let bytes = read_blocks(database, at, blocks);
        assert_eq!(bytes, batch * PAYLOAD);
        at += blocks;
    };
    let (times, disk) = probed(dir, || {
        let (mut fetch, mut ack) = (Times::default(), Times::default());
        for _ in 0..calls {
            fetch.time(|| (read(&database), commit_state(&database)));
            ack.time(|| commit_state(&database));
        }
        (fetch, ack)
    });
    let (fetch, ack) = (times.0.taken(batch, disk), times.1.taken(batch, disk));
    at = 0;
    let (times, disk) = probed(dir, || {
        let mut times = Times::default();
        for _ in 1..calls {
            let bytes = times.time(|| {
                commit_state(&database);
                read_blocks(&database, at, blocks)
            });
            assert_eq!(bytes, batch * PAYLOAD);
            at += blocks;
        }
        times
    });
    [publish, fetch, ack, times.taken(batch, disk)]
}

fn commit_state(database: &Database) {
    let mut transaction = database.begin_write().unwrap();
    transaction.set_durability(Durability::Immediate).unwrap();
    transaction
        .open_table(STATE)
        .unwrap()
        .insert(0, [0x5a; 64].as_slice())
        .unwrap();
    transaction.commit().unwrap();
}

fn read_blocks(database: &Database, from: u64, blocks: u64) -> usize {
    let table = database.begin_read().unwrap().open_table(BLOCKS).unwrap();
    let rows = table.range(from..from + blocks).unwrap();
    rows.map(|row| row.unwrap().1.value().to_vec().len()).sum()
}

/// Publishes a backlog that nobody fetches, and says what memory the process took.
fn backlog(dir: &Path, messages: u64) {
    let folder = tempfile::tempdir_in(dir).unwrap();
    let path = folder.path().join("store");
    println!("publishing {messages} messages of {PAYLOAD} bytes, 10,000 a batch");
    println!("before: {}", memory());
    let started = Instant::now();
    let store = Riverbed::builder().cache_bytes(CACHE).open(&path).unwrap();
    let stream = store.create_stream(StreamConfig::new("bench")).unwrap();
    stream
        .create_consumer(ConsumerConfig::new("nobody"))
        .unwrap();
    let mut published = 0;
    while published < messages {
        let batch = (messages - published).min(10_000) as usize;
        publish(&stream, batch, 1);
        published += batch as u64;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "after {seconds:.1} s ({:.0} messages/s): {}",
        messages as f64 / seconds,
        memory()
    );
    verdict();
    store.close().unwrap();

    let started = Instant::now();
    let store = Riverbed::builder().cache_bytes(CACHE).open(&path).unwrap();
    let consumer = store.stream("bench").unwrap().consumer("nobody").unwrap();
    let opened = started.elapsed();
    let first = consumer.fetch(Fetch::new(1).no_wait()).unwrap();
    assert_eq!(first.len(), 1);
    println!(
        "opened again in {:.1} ms: {}",
        opened.as_secs_f64() * 1e3,
        memory()
    );
}

/// What the system says about this process's memory, where it says so.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let said: Vec<String> = status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    if said.is_empty() {
        "the system does not say".to_owned()
    } else {
        said.join(", ")
    }
}

/// The bound that riverbed promises: the cache and 64 MiB more.
fn verdict() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak
        .and_then(|text| text.split_whitespace().next())
        .and_then(|n| n.parse::<usize>().ok());
    let Some(kib) = kib else { return };
    let bound = (CACHE + (64 << 20)) >> 10;
    let word = if kib <= bound { "within" } else { "OVER" };
    println!(
        "the peak of {} MiB is {word} the bound of {} MiB (cache + 64 MiB)",
        kib >> 10,
        bound >> 10
    );
}
