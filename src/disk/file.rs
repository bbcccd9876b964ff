//! `FileDisk`: the file system of the operating system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Disk, DiskFile};

/// The real [`Disk`]: the file system of the operating system.
///
/// ```
/// use riverbed::disk::{Disk, FileDisk};
///
/// let dir = tempfile::tempdir()?;
/// let file = FileDisk::new().create(&dir.path().join("a"))?;
/// file.write_at(0, b"hello")?;
/// file.sync()?;
/// assert_eq!(file.len()?, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FileDisk;

impl FileDisk {
    /// The file system of the operating system.
    ///
    /// ```
    /// use riverbed::disk::FileDisk;
    ///
    /// let disk = FileDisk::new();
    /// # let _ = disk;
    /// ```
    pub const fn new() -> Self {
        Self
    }
}

impl Disk for FileDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(OpenFile::new(file)?))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Arc::new(OpenFile::new(options.open(path)?)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // Windows can neither open a directory as a file nor needs it: NTFS journals its names.
        if cfg!(windows) {
            return Ok(());
        }
        File::open(dir)?.sync_all()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }
}

/// One open file, and the length up to which its last sync is known to have covered it.
#[derive(Debug)]
struct OpenFile {
    file: File,
    /// The length that needs no sync of the file's metadata.
    synced_len: AtomicU64,
    len: AtomicU64,
}

impl OpenFile {
    fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self {
            file,
            synced_len: AtomicU64::new(len),
            len: AtomicU64::new(len),
        })
    }
}

impl DiskFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        at::read_exact(&self.file, offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.len
            .fetch_max(offset.saturating_add(bytes.len() as u64), Ordering::AcqRel);
        at::write_all(&self.file, offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.len.store(len, Ordering::Release);
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        // `sync_data` has to cover a changed length too, but not every file system has always done
        // so, and lengths change rarely.
        let len = self.len.load(Ordering::Acquire);
        if self.synced_len.swap(len, Ordering::AcqRel) == len {
            self.file.sync_data()
        } else {
            self.file.sync_all()
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    // Pages that still wait to be written stay; those that only look written, as after a failed sync,
    // go, and are read from the device the next time. Elsewhere there is no such call.
    #[cfg(target_os = "linux")]
    fn drop_cache(&self) -> io::Result<()> {
        rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }
}

#[cfg(unix)]
mod at {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    pub(super) fn read_exact(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        file.read_exact_at(buf, offset)
    }

    pub(super) fn write_all(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }
}

#[cfg(windows)]
mod at {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::FileExt;

    pub(super) fn read_exact(file: &File, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let read = file.seek_read(buf, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buf = buf.get_mut(read..).unwrap_or_default();
            offset += read as u64;
        }
        Ok(())
    }

    pub(super) fn write_all(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = file.seek_write(bytes, offset)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(written..).unwrap_or_default();
            offset += written as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Disk, FileDisk};

    #[test]
    fn a_file_keeps_what_is_written_across_lengths_and_names() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let file = FileDisk.create(&a).unwrap();
        assert!(FileDisk.create(&a).is_err());
        file.write_at(3, b"xyz").unwrap();
        file.sync().unwrap();
        file.set_len(5).unwrap();
        file.sync().unwrap();
        FileDisk.rename(&a, &b).unwrap();
        FileDisk.sync_dir(dir.path()).unwrap();
        assert_eq!(std::fs::read(&b).unwrap(), b"\0\0\0xy");
        assert!(FileDisk.open(&a).is_err());
        FileDisk.remove(&b).unwrap();
        assert!(!FileDisk.exists(&b).unwrap());
    }

    #[test]
    fn dropping_the_cache_succeeds_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = FileDisk.create(&dir.path().join("a")).unwrap();
        file.drop_cache().unwrap();
        file.write_at(0, &vec![7; 100_000]).unwrap();
        file.sync().unwrap();
        file.write_at(50_000, b"not synced").unwrap();
        file.drop_cache().unwrap();
        assert_eq!(file.len().unwrap(), 100_000);
        let mut bytes = vec![0; 100_000];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes[50_000..50_010], b"not synced");
        assert!(bytes[50_010..].iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_lock_holds_against_another_handle_of_this_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let first = FileDisk.create(&path).unwrap();
        let second = FileDisk.open(&path).unwrap();
        assert!(first.try_lock().unwrap());
        assert!(!second.try_lock().unwrap());
        first.unlock().unwrap();
        assert!(second.try_lock().unwrap());
        drop(second);
        assert!(first.try_lock().unwrap());
    }
}
