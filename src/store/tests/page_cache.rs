//! A failed sync under a page cache that then calls the lost pages clean, as Linux does (R8).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{apply, content, open, put, row};
use crate::changes::Table;
use crate::disk::{Disk, DiskFile, MemoryDisk};
use crate::store::{OpenError, Store, StoreError};

const PAGE: u64 = 4096;

/// The pages of one file that are in memory.
#[derive(Debug, Default)]
struct Cache {
    pages: BTreeMap<u64, Vec<u8>>,
    dirty: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Switches {
    /// How many syncs of files succeed before one fails.
    good: Mutex<Option<usize>>,
    /// Whether a request to drop the cache is ignored.
    keep: AtomicBool,
    /// Whether it was asked for.
    dropped: AtomicBool,
    /// Syncs of files that were tried.
    syncs: AtomicUsize,
}

/// A disk behind a page cache. `device` is what a power cut leaves.
#[derive(Debug, Default)]
struct CachedDisk {
    device: MemoryDisk,
    caches: Mutex<HashMap<PathBuf, Arc<Mutex<Cache>>>>,
    switches: Arc<Switches>,
}

#[derive(Debug)]
struct CachedFile {
    device: Arc<dyn DiskFile>,
    cache: Arc<Mutex<Cache>>,
    switches: Arc<Switches>,
}

impl CachedDisk {
    /// Lets a sync fail once, after this many that don't.
    fn fail_a_sync_after(&self, good: usize) {
        *self.switches.good.lock() = Some(good);
    }

    fn dropped(&self) -> bool {
        self.switches.dropped.load(Ordering::Relaxed)
    }

    fn syncs(&self) -> usize {
        self.switches.syncs.load(Ordering::Relaxed)
    }

    fn file(&self, path: &Path, device: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let cache = self
            .caches
            .lock()
            .entry(path.to_owned())
            .or_default()
            .clone();
        let switches = Arc::clone(&self.switches);
        Arc::new(CachedFile {
            device,
            cache,
            switches,
        })
    }
}

impl Disk for CachedDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path, self.device.open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path, self.device.create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut caches = self.caches.lock();
        let moved = caches.remove(from).unwrap_or_default();
        caches.insert(to.to_owned(), moved);
        self.device.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.caches.lock().remove(path);
        self.device.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.device.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.device.exists(path)
    }
}

impl CachedFile {
    /// Lets `each` see the parts of a range: page, where in the page, where in the range.
    fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
        (0..len).map(move |n| {
            let at = offset + n as u64;
            (at / PAGE, (at % PAGE) as usize, n)
        })
    }

    /// Reads a page in.
    fn page<'a>(&self, cache: &'a mut Cache, page: u64) -> &'a mut Vec<u8> {
        cache.pages.entry(page).or_insert_with(|| {
            let mut bytes = vec![0; PAGE as usize];
            let there = self
                .device
                .len()
                .unwrap()
                .saturating_sub(page * PAGE)
                .min(PAGE);
            let (start, _) = bytes.split_at_mut(there as usize);
            self.device.read_at(page * PAGE, start).unwrap();
            bytes
        })
    }
}

impl DiskFile for CachedFile {
    fn len(&self) -> io::Result<u64> {
        self.device.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset + buf.len() as u64 > self.len()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut cache = self.cache.lock();
        for (page, at, n) in Self::parts(offset, buf.len()) {
            buf[n] = self.page(&mut cache, page)[at];
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        if end > self.len()? {
            self.device.set_len(end)?;
        }
        let mut cache = self.cache.lock();
        for (page, at, n) in Self::parts(offset, bytes.len()) {
            self.page(&mut cache, page)[at] = bytes[n];
            cache.dirty.insert(page);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut cache = self.cache.lock();
        // Pages that are cut, and the one that the cut goes through, are read in anew.
        drop(cache.pages.split_off(&(len / PAGE)));
        drop(cache.dirty.split_off(&(len / PAGE)));
        self.device.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.switches.syncs.fetch_add(1, Ordering::Relaxed);
        let mut cache = self.cache.lock();
        let dirty = std::mem::take(&mut cache.dirty);
        let mut good = self.switches.good.lock();
        let left = good.take();
        *good = left.and_then(|left| left.checked_sub(1));
        if left == Some(0) {
            // The pages are clean from now on, and nowhere but here.
            return Err(io::Error::other("the device lost a write"));
        }
        for page in dirty {
            let room = self.device.len()? - page * PAGE;
            let bytes = &cache.pages[&page][..room.min(PAGE) as usize];
            self.device.write_at(page * PAGE, bytes)?;
        }
        self.device.sync()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.device.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.device.unlock()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.switches.dropped.store(true, Ordering::Relaxed);
        if !self.switches.keep.load(Ordering::Relaxed) {
            let cache = &mut *self.cache.lock();
            cache.pages.retain(|page, _| cache.dirty.contains(page));
        }
        Ok(())
    }
}

/// A store with two rows, and with two more whose sync has failed.
fn after_a_failed_sync(disk: &CachedDisk) -> Store {
    let store = open(disk).unwrap();
    apply(
        &store,
        vec![
            put(Table::Meta, 0, 1, b"kept"),
            put(Table::Holes, 1, 1, &[1; 9000]),
        ],
    )
    .unwrap();
    disk.fail_a_sync_after(0);
    let lost = apply(
        &store,
        vec![
            put(Table::Meta, 0, 2, b"lost"),
            put(Table::Holes, 1, 2, &[2; 9000]),
        ],
    );
    assert!(matches!(lost, Err(StoreError::Io(_))), "{lost:?}");
    store
}

fn close_failed(disk: &CachedDisk, store: &Store) {
    let syncs = disk.syncs();
    assert!(matches!(store.close(), Err(StoreError::Io(_))));
    assert_eq!(disk.syncs(), syncs, "a failed sync is not tried again");
}

/// The store opens as the device has it, and what it acknowledges then is on the device.
fn check_reopened(disk: &CachedDisk) {
    let store = open(disk).unwrap();
    assert_eq!(row(&store, Table::Meta, 0, 1).unwrap(), b"kept");
    assert_eq!(row(&store, Table::Meta, 0, 2), None);
    let new = put(Table::Holes, 1, 2, &[3; 9000]);
    apply(&store, vec![put(Table::Meta, 0, 3, b"new"), new]).unwrap();
    let seen = content(&store).unwrap();
    let cut = open(&disk.device.crash_image(0)).unwrap();
    assert_eq!(content(&cut).unwrap(), seen);
}

#[test]
fn a_reopen_after_a_failed_sync_sees_what_the_device_has() {
    let disk = CachedDisk::default();
    let store = after_a_failed_sync(&disk);
    close_failed(&disk, &store);
    check_reopened(&disk);
}

#[test]
fn so_does_the_next_process_when_this_one_ends_without_a_close() {
    let disk = CachedDisk::default();
    let _store = after_a_failed_sync(&disk);
    // The page cache outlives the process.
    let next = CachedDisk {
        device: disk.device.kill_image(),
        caches: Mutex::new(disk.caches.lock().clone()),
        ..CachedDisk::default()
    };
    check_reopened(&next);
}

#[test]
fn without_the_drop_a_reopen_would_see_a_group_that_is_nowhere() {
    let disk = CachedDisk::default();
    disk.switches.keep.store(true, Ordering::Relaxed);
    let store = after_a_failed_sync(&disk);
    close_failed(&disk, &store);
    let store = open(&disk).unwrap();
    assert_eq!(row(&store, Table::Meta, 0, 2).unwrap(), b"lost");
}

#[test]
fn a_failed_sync_of_the_close_itself_drops_the_cache() {
    for good in 0.. {
        let disk = CachedDisk::default();
        let store = open(&disk).unwrap();
        apply(&store, vec![put(Table::Meta, 0, 1, b"kept")]).unwrap();
        disk.fail_a_sync_after(good);
        let closed = store.close();
        assert_eq!(disk.dropped(), closed.is_err(), "{good}");
        if closed.is_ok() {
            assert!(good > 1);
            return;
        }
        assert!(matches!(closed, Err(StoreError::Io(_))), "{closed:?}");
        check_reopened(&disk);
    }
}

#[test]
fn a_failed_sync_while_opening_drops_the_cache() {
    let healthy = CachedDisk::default();
    let store = open(&healthy).unwrap();
    apply(&store, vec![put(Table::Meta, 0, 1, b"kept")]).unwrap();
    // A killed process leaves a file that redb repairs, and syncs, when it is opened.
    let disk = CachedDisk {
        device: healthy.device.kill_image(),
        ..CachedDisk::default()
    };
    disk.fail_a_sync_after(0);
    assert!(matches!(open(&disk), Err(OpenError::Io { .. })));
    assert_eq!((disk.dropped(), disk.syncs()), (true, 1));
    let store = open(&disk).unwrap();
    assert_eq!(row(&store, Table::Meta, 0, 1).unwrap(), b"kept");
}

#[test]
fn a_failed_sync_while_creating_is_not_tried_again() {
    for good in 0.. {
        let disk = CachedDisk::default();
        disk.fail_a_sync_after(good);
        if open(&disk).is_ok() {
            assert!(good > 1);
            return;
        }
        assert_eq!((disk.dropped(), disk.syncs()), (true, good + 1));
        open(&disk).unwrap();
    }
}
