//! `Counting`: the file system, with what is read and written counted.

use riverbed::disk::{Disk, DiskFile, FileDisk};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of everything that went through clones of one [`Counting`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) read: u64,
    /// Bytes written to the store's own file.
    pub(crate) to_store: u64,
    /// Bytes written to the journal beside it.
    pub(crate) to_journal: u64,
    pub(crate) syncs: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Counting {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    read: AtomicU64,
    to_store: AtomicU64,
    to_journal: AtomicU64,
    syncs: AtomicU64,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn DiskFile>,
    counters: Arc<Counters>,
    is_journal: bool,
}

impl Counting {
    pub(crate) fn counted(&self) -> Counted {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Counted {
            read: of(&counters.read),
            to_store: of(&counters.to_store),
            to_journal: of(&counters.to_journal),
            syncs: of(&counters.syncs),
        }
    }

    fn wrap(&self, file: Arc<dyn DiskFile>, path: &Path) -> Arc<dyn DiskFile> {
        let counters = Arc::clone(&self.counters);
        let is_journal = path.extension().is_some_and(|name| name == "journal");
        Arc::new(CountingFile {
            file,
            counters,
            is_journal,
        })
    }
}

impl Counted {
    /// What came since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            read: self.read - before.read,
            to_store: self.to_store - before.to_store,
            to_journal: self.to_journal - before.to_journal,
            syncs: self.syncs - before.syncs,
        }
    }
}

impl Disk for Counting {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(FileDisk::new().open(path)?, path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(FileDisk::new().create(path)?, path))
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
        let read = &self.counters.read;
        read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let written = if self.is_journal {
            &self.counters.to_journal
        } else {
            &self.counters.to_store
        };
        written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
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
