//! `Watched`: a disk that knows what was asked of it, and refuses what no damage can justify.

use riverbed::disk::{Disk, DiskFile};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What was asked so far.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) calls: u64,
    pub(crate) bytes: u64,
    /// The pages that were read.
    pub(crate) pages: BTreeSet<u64>,
    /// What went too far.
    pub(crate) exceeded: Option<String>,
}

/// Bytes that all reads of one case may ask for, and calls.
const BYTES_MAX: u64 = 2 << 30;
const CALLS_MAX: u64 = 300_000;
/// How long a file may become.
const FILE_MAX: u64 = 64 << 20;
/// How much one read may ask for: more than the largest page of the stores here.
const READ_MAX: usize = 16 << 20;

pub(crate) const PAGE: u64 = 4096;

#[derive(Clone, Debug)]
pub(crate) struct Watched {
    inner: Arc<dyn Disk>,
    pub(crate) work: Arc<Mutex<Work>>,
}

#[derive(Debug)]
struct WatchedFile {
    inner: Arc<dyn DiskFile>,
    work: Arc<Mutex<Work>>,
}

impl Watched {
    pub(crate) fn new(inner: impl Disk) -> Self {
        Self {
            inner: Arc::new(inner),
            work: Arc::default(),
        }
    }

    fn file(&self, inner: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(WatchedFile {
            inner,
            work: Arc::clone(&self.work),
        })
    }
}

impl Work {
    fn judge(&mut self, what: &str, too_much: bool) -> io::Result<()> {
        self.calls += 1;
        if too_much || self.calls > CALLS_MAX || self.bytes > BYTES_MAX {
            self.exceeded.get_or_insert_with(|| what.to_owned());
            return Err(io::Error::other("more work than any damage can justify"));
        }
        Ok(())
    }
}

impl Disk for Watched {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.inner.open(path)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.inner.create(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }
}

impl DiskFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut work = self.work.lock().unwrap();
        work.bytes += buf.len() as u64;
        let what = format!("a read of {} bytes at {offset}", buf.len());
        work.judge(&what, buf.len() > READ_MAX)?;
        let last = offset + buf.len().max(1) as u64 - 1;
        work.pages.extend(offset / PAGE..=last / PAGE);
        drop(work);
        self.inner.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        self.work
            .lock()
            .unwrap()
            .judge(&format!("a write up to {end}"), end > FILE_MAX)?;
        self.inner.write_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.work
            .lock()
            .unwrap()
            .judge(&format!("a length of {len}"), len > FILE_MAX)?;
        self.inner.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }
    fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }
    fn drop_cache(&self) -> io::Result<()> {
        self.inner.drop_cache()
    }
}
