//! What `max_store_bytes` bounds, held against the pages that a disk really has to keep.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use riverbed::disk::{Disk, DiskFile, MemoryDisk};
use riverbed::{
    ConsumerConfig, Fetch, Limits, ManualClock, Publish, PublishErrorKind, Purge, Riverbed, Seq,
};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PAGE: u64 = 4096;
const MAX: u64 = 32 << 20;
const RESERVE: u64 = 4 << 20;

/// A disk that knows which pages were ever written: what a sparse file takes.
#[derive(Clone, Debug, Default)]
struct Sparse {
    disk: MemoryDisk,
    written: Arc<Mutex<BTreeSet<u64>>>,
}

#[derive(Debug)]
struct SparseFile {
    file: Arc<dyn DiskFile>,
    written: Arc<Mutex<BTreeSet<u64>>>,
}

impl Sparse {
    fn held_bytes(&self) -> u64 {
        self.written.lock().unwrap().len() as u64 * PAGE
    }

    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let written = Arc::clone(&self.written);
        Arc::new(SparseFile { file, written })
    }
}

impl Disk for Sparse {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.disk.open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.disk.create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
}

impl DiskFile for SparseFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let pages = offset / PAGE..(offset + bytes.len() as u64).div_ceil(PAGE);
        self.written.lock().unwrap().extend(pages);
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.written
            .lock()
            .unwrap()
            .retain(|page| page * PAGE < len);
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
}

/// A store at its limit for a long time: publishers that push, a consumer that acks, and purges,
/// all with messages of `sizes`. Returns the most that the disk had to hold.
fn churn(sizes: &[usize], rounds: u64) -> u64 {
    let (disk, clock) = (Sparse::default(), ManualClock::new());
    let mut limits = Limits::default();
    limits.max_store_bytes = Some(MAX);
    limits.store_reserve_bytes = RESERVE;
    let store = Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .clock(clock.clock())
        .limits(limits)
        .without_threads()
        .open("/store")
        .unwrap();
    let config = riverbed::StreamConfig::new("s").subjects(["s.>"]);
    let stream = store.create_stream(config).unwrap();
    let consumer = stream.create_consumer(ConsumerConfig::new("c")).unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut refused = 0;
    for _ in 0..rounds {
        let count = rng.usize(1..400);
        let batch = (0..count).map(|_| {
            let size = sizes[rng.usize(..sizes.len())];
            Publish::new(if rng.bool() { "s.a" } else { "s.b" }, vec![b'x'; size])
        });
        let batch: Vec<Publish> = batch.collect();
        if let Err(why) = stream.publish_batch(batch) {
            assert!(
                matches!(why.kind, PublishErrorKind::StoreFull { .. }),
                "{why}"
            );
            refused += 1;
            // Make room as a user would: everything acked goes, and now and then one subject.
            let floor = consumer.info().unwrap().ack_floor;
            let purge = if rng.u8(..8) == 0 {
                Purge::default().filter("s.b")
            } else {
                Purge::default().up_to(Seq::new(floor.get()))
            };
            stream.purge(purge).unwrap();
        }
        let batch = consumer
            .fetch(Fetch::new(rng.usize(1..250)).no_wait())
            .unwrap();
        batch.ack().unwrap();
        clock.advance(Duration::from_millis(100));
        store.drive().unwrap();
        if rng.u8(..30) == 0 {
            let info = stream.info().unwrap();
            let (first, last) = (info.first_seq.get(), info.last_seq.get());
            let few = rng.u64(first..=first + (last - first) / 10);
            stream.purge(Purge::default().up_to(Seq::new(few))).unwrap();
        }
    }
    assert!(refused > 3, "{refused} refusals: the limit was hardly met");
    assert!(store.info().unwrap().used_bytes <= MAX);
    assert_eq!(store.check().unwrap(), [""; 0]);
    disk.held_bytes()
}

/// `Limits::max_store_bytes` says to leave half as much again.
fn is_bounded(sizes: &[usize]) {
    let rounds = if cfg!(debug_assertions) { 300 } else { 1_500 };
    let held = churn(sizes, rounds);
    println!(
        "{sizes:?}: at most {} % of max_store_bytes",
        held * 100 / MAX
    );
    assert!(held <= MAX + MAX / 2, "{held} bytes of disk for {MAX}");
}

#[test]
fn a_store_of_small_messages_at_its_limit_stays_within_its_disk() {
    is_bounded(&[2_000, 1_500, 1_000, 100]);
}

#[test]
fn a_store_of_awkward_messages_at_its_limit_stays_within_its_disk() {
    is_bounded(&[2_100, 4_200, 33_000, 66_000, 10]);
}
