//! A journal whose records are synced later: what a power cut may leave of it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;

use super::journal::{SEGMENT, groups, open_beside};
use super::{apply, put};
use crate::changes::{Change, Table};
use crate::disk::{Disk, DiskFault, DiskFile, MemoryDisk};
use crate::store::ahead::Then;
use crate::store::{OpenError, Store, Syncing};

fn open(disk: &MemoryDisk) -> Result<Store, OpenError> {
    open_beside(disk, Arc::new(disk.clone()), SEGMENT, Syncing::Later)
}

/// A group with bytes enough for a power cut to tear them.
fn group(n: u64) -> Vec<Change> {
    vec![put(Table::ConsumerState, 1, n, &[n as u8; 700])]
}

/// A store with so many groups that are synced, and more that are not.
fn with_groups(disk: &MemoryDisk, synced: u64, unsynced: u64) -> Store {
    with_groups_beside(disk, Arc::new(disk.clone()), synced, unsynced)
}

fn with_groups_beside(
    disk: &MemoryDisk,
    beside: Arc<dyn Disk>,
    synced: u64,
    unsynced: u64,
) -> Store {
    let store = open_beside(disk, beside, SEGMENT, Syncing::Later).unwrap();
    for n in 0..4 {
        apply(&store, vec![put(Table::ConsumerState, 2, n, b"x")]).unwrap();
    }
    store.checkpoint().unwrap();
    for n in 4..6 {
        apply(&store, vec![put(Table::ConsumerState, 2, n, b"x")]).unwrap();
    }
    assert!(store.has_journal());
    for n in 0..synced {
        apply(&store, group(n)).unwrap();
    }
    store.sync().unwrap();
    for n in synced..synced + unsynced {
        apply(&store, group(n)).unwrap();
    }
    store
}

#[test]
fn a_power_cut_leaves_a_beginning_of_the_groups() {
    let disk = MemoryDisk::new();
    let _store = with_groups(&disk, 3, 6);
    let mut counts = Vec::new();
    for seed in 0..200 {
        let left = groups(&open(&disk.crash_image(seed)).unwrap());
        assert!((3..=9).contains(&left), "{left} of seed {seed}");
        counts.push(left);
    }
    assert!(
        counts.contains(&3) && counts.iter().any(|left| (4..9).contains(left)),
        "{counts:?}"
    );
}

#[test]
fn a_lap_is_synced_before_the_next_one_is_written() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 2, 5);
    let _frozen = store.ahead.freeze(Then::GoOn).unwrap();
    // redb does not have them yet, and publishers go on.
    for n in 7..10 {
        apply(&store, group(n)).unwrap();
    }
    for seed in 0..200 {
        let left = groups(&open(&disk.crash_image(seed)).unwrap());
        assert!((7..=10).contains(&left), "{left} of seed {seed}");
    }
}

#[test]
fn a_power_cut_while_what_was_left_unsynced_is_brought_to_redb_loses_no_older_group() {
    let disk = MemoryDisk::new();
    let _store = with_groups(&disk, 3, 6);
    let killed = || disk.kill_image();
    for at in 0.. {
        let image = killed();
        image.fail_from(at);
        let opened = open(&image);
        let done = opened.is_ok();
        drop(opened);
        for seed in [0, 1, at + 2, at + 500] {
            let store = open(&image.crash_image(seed));
            let left = groups(&store.unwrap_or_else(|why| panic!("cut at {at}: {why}")));
            assert!(
                (3..=9).contains(&left),
                "{left} after a cut at {at}, seed {seed}"
            );
            assert!(!done || left == 9, "{left} of a store that was open");
        }
        if done {
            break;
        }
    }
}

#[test]
fn a_sync_runs_beside_groups_that_are_written() {
    let disk = MemoryDisk::new();
    let store = with_groups(&disk, 1, 1);
    std::thread::scope(|scope| {
        scope.spawn(|| (2..80).for_each(|n| apply(&store, group(n)).unwrap()));
        for _ in 0..20 {
            store.sync().unwrap();
            store.checkpoint().unwrap();
        }
    });
    assert_eq!(groups(&store), 80);
    store.sync().unwrap();
    assert!(!store.has_unsynced());
    assert_eq!(groups(&open(&disk.crash_image(0)).unwrap()), 80);
}

type Act = Box<dyn FnOnce() + Send>;

/// A disk on which something happens when a sync of a file is over, and before it is answered.
#[derive(Default)]
struct Slow {
    disk: MemoryDisk,
    act: Arc<Mutex<Option<Act>>>,
}

impl fmt::Debug for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

struct SlowFile {
    file: Arc<dyn DiskFile>,
    act: Arc<Mutex<Option<Act>>>,
}

impl fmt::Debug for SlowFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl Slow {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let act = Arc::clone(&self.act);
        Arc::new(SlowFile { file, act })
    }
}

impl Disk for Slow {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path).map(|file| self.file(file))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path).map(|file| self.file(file))
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

impl DiskFile for SlowFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let synced = self.file.sync();
        let act = self.act.lock().take();
        if let Some(act) = act {
            act();
        }
        synced
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.file.drop_cache()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}

/// A store whose journal is on such a disk, with groups that are not synced.
fn slow(unsynced: u64) -> (MemoryDisk, Arc<Mutex<Option<Act>>>, Arc<Store>) {
    let disk = MemoryDisk::new();
    let act = Arc::default();
    let slow = Slow {
        disk: disk.clone(),
        act: Arc::clone(&act),
    };
    let store = with_groups_beside(&disk, Arc::new(slow), 0, unsynced);
    (disk, act, Arc::new(store))
}

#[test]
fn what_is_written_during_a_sync_is_not_synced_by_it() {
    let (disk, act, store) = slow(2);
    let writer = Arc::clone(&store);
    *act.lock() = Some(Box::new(move || apply(&writer, group(2)).unwrap()));
    store.sync().unwrap();
    assert!(act.lock().is_none() && store.has_unsynced());
    apply(&store, group(3)).unwrap();
    let mut counts = Vec::new();
    for seed in 0..200 {
        // The last one may be whole behind one that is lost.
        let left = groups(&open(&disk.crash_image(seed)).unwrap());
        assert!((2..=4).contains(&left), "{left} of seed {seed}");
        counts.push(left);
    }
    assert!(counts.contains(&2) && counts.contains(&4), "{counts:?}");
}

#[test]
fn a_sync_beside_one_that_fails_says_so_too() {
    let (disk, act, store) = slow(2);
    let other = Arc::clone(&store);
    let (said, heard) = mpsc::channel();
    *act.lock() = Some(Box::new(move || {
        std::thread::spawn(move || said.send(other.sync().is_ok()));
        // It gets the time to ask the disk, which would tell it that all is well.
        (0..10_000).for_each(|_| std::thread::yield_now());
    }));
    disk.fault_sync_after(0, DiskFault::LostSync { seed: 4 });
    store.sync().unwrap_err();
    assert!(!heard.recv().unwrap(), "what it answered for is lost");
}
