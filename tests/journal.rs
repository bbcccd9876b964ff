//! The journal beside the file of an open store, as somebody meets it who closes, moves, kills and damages stores.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use riverbed::disk::{Disk, DiskFile, MemoryDisk};
use riverbed::{ManualClock, OpenError, Riverbed, StreamConfig};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const JOURNAL: &str = "/store.journal";

fn open(disk: &MemoryDisk, clock: &ManualClock) -> Result<Riverbed, OpenError> {
    Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .clock(clock.clock())
        .without_threads()
        .open("/store")
}

fn work(store: &Riverbed, messages: usize) {
    for n in 0..messages {
        store.publish("log", format!("message {n}")).unwrap();
        store.drive().unwrap();
    }
}

fn bytes_of(disk: &MemoryDisk, path: &str) -> Vec<u8> {
    let file = disk.open(Path::new(path)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

#[derive(Clone)]
struct Hooked {
    disk: MemoryDisk,
    after_unlock: Hook,
}
impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}
#[derive(Debug)]
struct HookedFile(Arc<dyn DiskFile>, Hooked);

impl Hooked {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(HookedFile(file, self.clone()))
    }
}
impl Disk for Hooked {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.open(path)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.create(path)?))
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
impl DiskFile for HookedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
    fn unlock(&self) -> io::Result<()> {
        let unlocked = self.0.unlock();
        // The thread that closes is not scheduled for a while.
        let hook = self.1.after_unlock.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        unlocked
    }
}

#[test]
fn a_close_leaves_alone_the_journal_of_who_opens_the_store_next() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let hooked = Hooked {
        disk: disk.clone(),
        after_unlock: Hook::default(),
    };
    let first = Riverbed::builder()
        .disk(Arc::new(hooked.clone()))
        .clock(clock.clock())
        .without_threads()
        .open("/store")
        .unwrap();
    first.create_stream(StreamConfig::new("log")).unwrap();
    work(&first, 10);
    assert!(disk.exists(Path::new(JOURNAL)).unwrap());
    let next: Arc<Mutex<Option<Riverbed>>> = Arc::default();
    *hooked.after_unlock.lock().unwrap() = Some(Box::new({
        let (disk, clock, next) = (disk.clone(), clock.clone(), Arc::clone(&next));
        move || {
            // Another process.
            let store = open(&disk, &clock).unwrap();
            work(&store, 10);
            assert!(disk.exists(Path::new(JOURNAL)).unwrap());
            *next.lock().unwrap() = Some(store);
        }
    }));
    first.close().unwrap();
    let next = next.lock().unwrap().take().unwrap();
    work(&next, 10);
    let left = disk.kill_image();
    let again = open(&left, &clock).unwrap_or_else(|why| panic!("30 were acknowledged: {why}"));
    assert_eq!(again.stream("log").unwrap().info().unwrap().messages, 30);
}

fn flip_all(bytes: &mut [u8], needle: &[u8]) -> usize {
    let places: Vec<usize> = (0..bytes.len() - needle.len())
        .filter(|at| &bytes[*at..*at + needle.len()] == needle)
        .collect();
    for at in &places {
        bytes[*at] ^= 1;
    }
    places.len()
}

#[test]
fn a_damaged_block_that_was_to_grow_stops_nothing_but_its_messages() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock).unwrap();
    store.create_stream(StreamConfig::new("log")).unwrap();
    store.create_stream(StreamConfig::new("other")).unwrap();
    work(&store, 10);
    store.publish("other", "of another stream").unwrap();
    store.publish("log", "to be damaged on the disk").unwrap();
    // Idle: the database has all of it, with quick repair.
    clock.advance(Duration::from_secs(2));
    store.drive().unwrap();
    let with_it = disk.kill_image();
    store.publish("log", "one more").unwrap();
    let left = disk.kill_image();
    for (image, behind) in [(with_it, 0), (left, 1)] {
        let mut bytes = bytes_of(&image, "/store");
        assert!(flip_all(&mut bytes, b"to be damaged on the disk") > 0);
        image
            .open(Path::new("/store"))
            .unwrap()
            .write_at(0, &bytes)
            .unwrap();
        let store = open(&image, &clock).unwrap();
        let stream = store.stream("log").unwrap();
        let readable = stream.range(..).flatten().count();
        assert!(readable <= 10 + behind, "{readable}");
        let last = stream.info().unwrap().last_seq;
        assert_eq!(stream.get(last).is_ok(), behind == 1);
        assert_eq!(
            store.stream("other").unwrap().range(..).flatten().count(),
            1
        );
        store.exclude_damaged().unwrap();
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn a_healthy_stream_that_is_published_to_is_not_called_damaged() {
    let store = Riverbed::builder().disk(Arc::new(MemoryDisk::new()));
    let store = store.open("/store").unwrap();
    let log = StreamConfig::new("log").max_messages(3_000);
    let stream = store.create_stream(log).unwrap();
    for _ in 0..30 {
        stream
            .publish_batch((0..100).map(|_| ("log", vec![7; 1_000])))
            .unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                stream.publish("log", vec![7; 1_000]).unwrap();
            }
        });
        let tries = (0..60).map(|_| store.exclude_damaged().unwrap());
        let wrong = tries.flat_map(|came_to| {
            let excluded = came_to.excluded.into_iter().map(|gone| format!("{gone:?}"));
            let refused = came_to
                .refused
                .into_iter()
                .map(|refused| format!("{refused:?}"));
            // That it is never at rest may be.
            let refused = refused.filter(|why| !why.contains("NeverAtRest"));
            excluded.chain(refused).collect::<Vec<_>>()
        });
        let wrong: Vec<String> = wrong.collect();
        done.store(true, Ordering::Relaxed);
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

#[test]
fn a_store_that_was_closed_has_no_journal() {
    for n in 0..300 {
        let disk = MemoryDisk::new();
        let store = Riverbed::builder()
            .journal_segment(16 << 10)
            .disk(Arc::new(disk.clone()))
            .open("/store")
            .unwrap();
        store.create_stream(StreamConfig::new("log")).unwrap();
        for _ in 0..2 {
            store.publish("log", "x").unwrap();
        }
        for _ in 0..n % 200 {
            std::hint::spin_loop();
        }
        store.close().unwrap();
        assert!(!disk.exists(Path::new(JOURNAL)).unwrap(), "round {n}");
    }
}
