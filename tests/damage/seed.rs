//! The stores that are damaged: every kind of row, blocks of one page and of many, closed and not.

use crate::content::Content;
use crate::journaled::Journal;
use crate::watched::Watched;
use riverbed::disk::{Disk, MemoryDisk};
use riverbed::{ConsumerConfig, ManualClock, Publish, Purge, Riverbed, Seq, Stream, StreamConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// One store, as bytes, and what is true of it.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// The same file some commits before.
    pub(crate) older: Vec<u8>,
    pub(crate) truth: Content,
    /// What the file held before its last commit, where going back to it is allowed.
    pub(crate) before: Option<Content>,
    /// The pages that opening and reading everything looks at.
    used: Vec<u64>,
    /// The file beside it.
    pub(crate) journal: Option<Journal>,
}

pub(crate) fn path() -> &'static Path {
    Path::new("/data/q.riverbed")
}

pub(crate) fn journal_path() -> &'static Path {
    Path::new("/data/q.riverbed.journal")
}

pub(crate) fn clock() -> ManualClock {
    ManualClock::new()
}

pub(crate) fn open(
    disk: impl Disk,
    path: &Path,
    clock: &ManualClock,
) -> Result<Riverbed, riverbed::OpenError> {
    Riverbed::builder()
        .without_journal()
        .disk(Arc::new(disk))
        .clock(clock.clock())
        .cache_bytes(1 << 20)
        .without_threads()
        .open(path)
}

/// The same, with a journal.
pub(crate) fn open_journaled(
    disk: impl Disk,
    path: &Path,
    clock: &ManualClock,
    segment: u64,
) -> Result<Riverbed, riverbed::OpenError> {
    Riverbed::builder()
        .disk(Arc::new(disk))
        .clock(clock.clock())
        .cache_bytes(1 << 20)
        .without_threads()
        .journal_segment(segment)
        .open(path)
}

/// A disk whose only file has these bytes.
pub(crate) fn disk_of(bytes: &[u8]) -> MemoryDisk {
    disk_of_both(bytes, None)
}

/// A disk with a store's file and, if there is one, its journal.
pub(crate) fn disk_of_both(bytes: &[u8], journal: Option<&[u8]>) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for (path, bytes) in [(path(), Some(bytes)), (journal_path(), journal)] {
        let Some(bytes) = bytes else { continue };
        let file = disk.create(path).unwrap();
        file.write_at(0, bytes).unwrap();
        file.sync().unwrap();
    }
    disk.sync_dir(path().parent().unwrap()).unwrap();
    disk
}

pub(crate) fn bytes_of(disk: &MemoryDisk) -> Vec<u8> {
    bytes_at(disk, path())
}

pub(crate) fn bytes_at(disk: &MemoryDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

pub(crate) fn seeds() -> Vec<Seed> {
    vec![closed(), killed(), idle(), small()]
}

impl Seed {
    fn new(name: &'static str, bytes: Vec<u8>, older: Vec<u8>, before: Option<Vec<u8>>) -> Self {
        Self::with_journal(name, bytes, older, before, None)
    }

    pub(crate) fn with_journal(
        name: &'static str,
        bytes: Vec<u8>,
        older: Vec<u8>,
        before: Option<Vec<u8>>,
        journal: Option<Journal>,
    ) -> Self {
        let beside = journal.as_ref().map(|journal| journal.bytes.as_slice());
        let watched = Watched::new(disk_of_both(&bytes, beside));
        let store = open(watched.clone(), path(), &clock()).unwrap();
        let truth = Content::read(&store).unwrap();
        store.close().unwrap();
        let pages = watched.work.lock().unwrap().pages.clone();
        let last = bytes.len() as u64 / crate::watched::PAGE;
        let used = pages.into_iter().filter(|page| *page < last).collect();
        let before = before.map(|bytes| {
            let store = open(disk_of(&bytes), path(), &clock()).unwrap();
            Content::read(&store).unwrap()
        });
        Self {
            name,
            bytes,
            older,
            truth,
            before,
            used,
            journal,
        }
    }

    pub(crate) fn used(&self) -> &[u64] {
        &self.used
    }
}

/// A closed store.
fn closed() -> Seed {
    let disk = MemoryDisk::new();
    let clock = clock();
    let store = fill(open(disk.clone(), path(), &clock).unwrap(), &clock);
    let older = bytes_of(&disk);
    last_commit(&store);
    store.close().unwrap();
    Seed::new("closed", bytes_of(&disk), older, None)
}

/// A store whose process was killed.
fn killed() -> Seed {
    let disk = MemoryDisk::new();
    let clock = clock();
    let store = fill(open(disk.clone(), path(), &clock).unwrap(), &clock);
    let older = bytes_of(&disk);
    last_commit(&store);
    let bytes = bytes_of(&disk.kill_image());
    Seed::new("killed", bytes, older.clone(), Some(older))
}

/// A store whose process was killed while it was open for the second time and idle.
fn idle() -> Seed {
    let disk = MemoryDisk::new();
    let clock = clock();
    let store = fill(open(disk.clone(), path(), &clock).unwrap(), &clock);
    last_commit(&store);
    store.close().unwrap();
    let older = bytes_of(&disk);
    let store = open(disk.clone(), path(), &clock).unwrap();
    let bytes = bytes_of(&disk.kill_image());
    drop(store);
    Seed::new("reopened", bytes, older.clone(), Some(older))
}

/// A closed store with a single message.
fn small() -> Seed {
    let disk = MemoryDisk::new();
    let store = open(disk.clone(), path(), &clock()).unwrap();
    let stream = store.create_stream(StreamConfig::new("one")).unwrap();
    stream
        .create_consumer(ConsumerConfig::new("worker"))
        .unwrap();
    let older = bytes_of(&disk);
    stream.publish("one", "alone").unwrap();
    store.close().unwrap();
    Seed::new("small", bytes_of(&disk), older, None)
}

fn last_commit(store: &Riverbed) {
    store.publish("orders.last", "the last commit").unwrap();
}

/// Streams, consumers and messages in every state.
pub(crate) fn fill(store: Riverbed, clock: &ManualClock) -> Riverbed {
    let orders = StreamConfig::new("orders").subjects(["orders.>"]);
    let orders = store.create_stream(orders).unwrap();
    let large = store.create_stream(StreamConfig::new("large")).unwrap();
    store.create_stream(StreamConfig::new("empty")).unwrap();
    consumers(&orders);
    publish(&orders, clock);
    for n in 0..6_u8 {
        large
            .publish("large", vec![n; 30_000 + 20_000 * usize::from(n)])
            .unwrap();
    }
    large
        .create_consumer(ConsumerConfig::new("reader"))
        .unwrap();
    deliver(&orders, clock);
    store.drive().unwrap();
    orders.delete(Seq::new(30)).unwrap();
    orders.purge(Purge::all().filter("orders.noise")).unwrap();
    store.drive().unwrap();
    store
}

fn consumers(orders: &Stream) {
    for config in [
        ConsumerConfig::new("all").ack_wait(Duration::from_secs(30)),
        ConsumerConfig::new("odd")
            .filter("orders.odd")
            .max_deliver(1),
        ConsumerConfig::new("dead")
            .filter("orders.even")
            .max_deliver(1)
            .dead_letter("graves"),
    ] {
        orders.create_consumer(config).unwrap();
    }
}

fn publish(orders: &Stream, clock: &ManualClock) {
    for batch in 0..12 {
        let message = |n: usize| {
            let subject = ["orders.odd", "orders.even", "orders.noise"][n % 3];
            let payload = format!("message {batch} {n} {}", "x".repeat(n * 7));
            Publish::new(subject, payload)
                .header("n", n.to_string())
                .id(format!("id-{batch}-{n}"))
        };
        orders.publish_batch((0..40).map(message)).unwrap();
        clock.advance(Duration::from_secs(1));
    }
}

fn deliver(orders: &Stream, clock: &ManualClock) {
    let all = orders.consumer("all").unwrap();
    for (n, message) in all.fetch(40).unwrap().into_iter().enumerate() {
        match n % 4 {
            0 => message.ack().unwrap(),
            1 => message.nak().unwrap(),
            2 => message.nak_after(Duration::from_secs(3_600)).unwrap(),
            // Left in flight.
            _ => {}
        }
    }
    for name in ["odd", "dead"] {
        let consumer = orders.consumer(name).unwrap();
        for message in consumer.fetch(5).unwrap() {
            message.nak().unwrap();
        }
    }
    clock.advance(Duration::from_secs(1));
}
