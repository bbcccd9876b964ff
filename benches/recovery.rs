//! How long opening takes after a clean close, after a kill while idle, and after a kill at work.
//!
//! ```text
//! cargo bench --bench recovery                                   # 100,000 messages of 100 bytes
//! cargo bench --bench recovery -- --messages 1000000
//! cargo bench --bench recovery -- --messages 1000000 --payload 1024 --dir PATH
//! ```
//!
//! A process of its own publishes in batches of 10,000, and ends as the case says: it closes the store;
//! or it waits two seconds and aborts; or it aborts right after a commit. Then the store is opened
//! through a disk that counts the bytes read. The file comes from the page cache where memory allows
//! (`--cold` drops it first, as far as the system lets a process do that), so the bytes are what holds
//! on another machine, and the seconds are what a fast device would take.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a benchmark"
)]

use riverbed::disk::{Disk, DiskFile, FileDisk};
use riverbed::{ConsumerConfig, Fetch, Riverbed, StreamConfig};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CASES: [&str; 3] = ["closed", "killed while idle", "killed at work"];
const BATCH: u64 = 10_000;

struct Options {
    messages: u64,
    payload: usize,
    dir: PathBuf,
    cold: bool,
    /// In the process that is going to end: the store and how.
    child: Option<(PathBuf, String)>,
}

fn main() {
    let options = options();
    if let Some((path, case)) = &options.child {
        return fill(&options, path, case);
    }
    println!(
        "{} messages of {} bytes, one consumer that fetched none",
        options.messages, options.payload
    );
    for case in CASES {
        measure(&options, case);
    }
}

fn options() -> Options {
    let mut options = Options {
        messages: 100_000,
        payload: 100,
        dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        cold: false,
        child: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut text = || args.next().expect("a value");
        match arg.as_str() {
            "--bench" => {}
            "--messages" => options.messages = text().parse().expect("a number"),
            "--payload" => options.payload = text().parse().expect("a number"),
            "--dir" => options.dir = text().into(),
            "--cold" => options.cold = true,
            "--child" => options.child = Some((text().into(), text())),
            other => panic!("unknown option {other}; see the head of benches/recovery.rs"),
        }
    }
    options
}

/// Fills a store, and ends as the case says.
fn fill(options: &Options, path: &Path, case: &str) {
    let store = Riverbed::open(path).unwrap();
    let stream = store.create_stream(StreamConfig::new("log")).unwrap();
    stream
        .create_consumer(ConsumerConfig::new("reader"))
        .unwrap();
    let payload = vec![7; options.payload];
    let mut published = 0;
    while published < options.messages {
        let batch = BATCH.min(options.messages - published);
        let messages = (0..batch).map(|_| ("log", payload.clone()));
        stream.publish_batch(messages).unwrap();
        published += batch;
    }
    match case {
        "closed" => store.close().unwrap(),
        "killed while idle" => {
            std::thread::sleep(Duration::from_secs(2));
            std::process::abort();
        }
        _ => {
            stream.publish("log", "the last word").unwrap();
            std::process::abort();
        }
    }
}

fn measure(options: &Options, case: &str) {
    let folder = tempfile::tempdir_in(&options.dir).unwrap();
    let path = folder.path().join("store");
    let (messages, payload) = (options.messages.to_string(), options.payload.to_string());
    Command::new(std::env::current_exe().unwrap())
        .args(["--messages", &messages, "--payload", &payload, "--child"])
        .arg(&path)
        .arg(case)
        .output()
        .unwrap();
    if options.cold {
        std::fs::File::open(&path).unwrap().sync_all().unwrap();
        FileDisk::new().open(&path).unwrap().drop_cache().unwrap();
    }
    let disk = Counting::default();
    let started = Instant::now();
    let store = Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .open(&path)
        .unwrap();
    let opened = started.elapsed();
    let reader = store.stream("log").unwrap().consumer("reader").unwrap();
    let batch = reader.fetch(Fetch::new(1).no_wait()).unwrap();
    let first = started.elapsed();
    assert_eq!(batch.len(), 1);
    assert!(store.stream("log").unwrap().info().unwrap().messages >= options.messages);
    let info = store.info().unwrap();
    let read = disk.read.load(Ordering::Relaxed);
    println!(
        "{case:17}: {:7.1} ms to open, {:7.1} ms to the first message, {:8.1} MiB read ({:.2} of {:.0} MiB in use)",
        opened.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e3,
        mib(read),
        read as f64 / info.used_bytes as f64,
        mib(info.used_bytes),
    );
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The file system, with what is read from it counted.
#[derive(Clone, Debug, Default)]
struct Counting {
    read: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn DiskFile>,
    read: Arc<AtomicU64>,
}

impl Counting {
    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let read = Arc::clone(&self.read);
        Arc::new(CountingFile { file, read })
    }
}

impl Disk for Counting {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(FileDisk::new().open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(FileDisk::new().create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        FileDisk::new().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        FileDisk::new().remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        FileDisk::new().sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        FileDisk::new().exists(path)
    }
}

impl DiskFile for CountingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.file.drop_cache()
    }
}
