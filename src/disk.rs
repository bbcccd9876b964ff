//! The disk seam (R28): every file that riverbed touches is reached through [`Disk`].
//!
//! [`FileDisk`] is the real thing. [`MemoryDisk`] keeps files in memory, counts operations, and
//! shows what a power cut would have left behind; it is there for tests, yours included.
//!
//! ```
//! use riverbed::disk::{Disk, MemoryDisk};
//! use std::path::{Path, PathBuf};
//!
//! let disk = MemoryDisk::new();
//! let file = disk.create(Path::new("/notes"))?;
//! file.write_at(0, b"hello")?;
//! file.sync()?;
//! disk.sync_dir(Path::new("/"))?;
//! assert!(disk.crash_image(1).exists(Path::new("/notes"))?);
//! # Ok::<(), std::io::Error>(())
//! ```

mod file;
mod memory;
mod simulated;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use file::FileDisk;
pub use memory::{DiskFault, MemoryDisk};

/// A place that holds files: the real file system, or one in memory.
///
/// Implementations promise what POSIX does: a [`rename`](Disk::rename) is atomic and replaces its
/// target, an open file stays usable when its name changes, and nothing about a directory is sure
/// to survive a power cut before [`sync_dir`](Disk::sync_dir) returned.
///
/// ```
/// use riverbed::disk::{Disk, MemoryDisk};
/// use std::path::{Path, PathBuf};
/// use std::sync::Arc;
///
/// fn names_a_file(disk: &dyn Disk, path: &str) -> std::io::Result<bool> {
///     disk.exists(Path::new(path))
/// }
///
/// let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
/// assert!(!names_a_file(&*disk, "/store.riverbed")?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Disk: Debug + Send + Sync + 'static {
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] when there is none, and whatever else the disk says.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::io::ErrorKind;
    /// use std::path::{Path, PathBuf};
    ///
    /// let absent = MemoryDisk::new().open(Path::new("/absent"));
    /// assert_eq!(absent.map(|_| ()).map_err(|e| e.kind()), Err(ErrorKind::NotFound));
    /// ```
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates a new file that only its owner can read and write (mode 0600 on Unix).
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] when the name is taken, [`io::ErrorKind::NotFound`] when
    /// the directory is missing.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// let disk = MemoryDisk::new();
    /// disk.create(Path::new("/a"))?;
    /// assert!(disk.create(Path::new("/a")).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// The one name of an existing file, from wherever it is asked: without links, and from the root.
    ///
    /// What a store keeps beside its file is found by it, also when the process changes its directory. By
    /// default the path as it is.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] when there is no file, and whatever else the disk says.
    ///
    /// ```
    /// use riverbed::disk::{Disk, FileDisk};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a");
    /// FileDisk::new().create(&path)?;
    /// assert!(FileDisk::new().resolve(&path)?.is_absolute());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    /// Gives the file another name, atomically; a file that had that name is replaced.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] when `from` names nothing.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// let disk = MemoryDisk::new();
    /// disk.create(Path::new("/a"))?;
    /// disk.rename(Path::new("/a"), Path::new("/b"))?;
    /// assert!(disk.exists(Path::new("/b"))?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name; the file itself goes with its last open handle.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] when the path names nothing.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// let disk = MemoryDisk::new();
    /// disk.create(Path::new("/a"))?;
    /// disk.remove(Path::new("/a"))?;
    /// assert!(!disk.exists(Path::new("/a"))?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory (creations, renames, removals) survive a power cut.
    ///
    /// # Errors
    ///
    /// Whatever the disk says; the fate of those names is then unknown.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// let disk = MemoryDisk::new();
    /// disk.create(Path::new("/dir/a"))?;
    /// disk.sync_dir(Path::new("/dir"))?;
    /// assert!(disk.crash_image(0).exists(Path::new("/dir/a"))?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether the path names anything.
    ///
    /// # Errors
    ///
    /// When the disk can't tell, for want of a permission for example.
    ///
    /// ```
    /// use riverbed::disk::{Disk, FileDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// assert!(!FileDisk::new().exists(Path::new("/no/such/file"))?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn exists(&self, path: &Path) -> io::Result<bool>;
}

/// An open file of a [`Disk`].
///
/// ```
/// use riverbed::disk::{Disk, DiskFile, MemoryDisk};
/// use std::path::{Path, PathBuf};
///
/// fn first_byte(file: &dyn DiskFile) -> std::io::Result<u8> {
///     let mut byte = [0];
///     file.read_at(0, &mut byte)?;
///     Ok(byte[0])
/// }
///
/// let file = MemoryDisk::new().create(Path::new("/a"))?;
/// file.write_at(0, b"x")?;
/// assert_eq!(first_byte(&*file)?, b'x');
/// # Ok::<(), std::io::Error>(())
/// ```
#[allow(
    clippy::len_without_is_empty,
    reason = "a file's length is asked of the disk and may fail; nobody asks whether it is empty"
)]
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// The file's length in bytes.
    ///
    /// # Errors
    ///
    /// Whatever the disk says.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// assert_eq!(MemoryDisk::new().create(Path::new("/a"))?.len()?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn len(&self) -> io::Result<u64>;

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] when the file ends before the buffer is full.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// let file = MemoryDisk::new().create(Path::new("/a"))?;
    /// file.write_at(0, b"riverbed")?;
    /// let mut bed = [0; 3];
    /// file.read_at(5, &mut bed)?;
    /// assert_eq!(&bed, b"bed");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, growing the file when they reach past its end.
    ///
    /// # Errors
    ///
    /// Whatever the disk says; part of the bytes may have been written.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// let file = MemoryDisk::new().create(Path::new("/a"))?;
    /// file.write_at(10, b"x")?;
    /// assert_eq!(file.len()?, 11);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or grows it with zeros.
    ///
    /// # Errors
    ///
    /// Whatever the disk says, [`io::ErrorKind::StorageFull`] for example.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// let file = MemoryDisk::new().create(Path::new("/a"))?;
    /// file.set_len(4096)?;
    /// assert_eq!(file.len()?, 4096);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes everything written so far, and the length, survive a power cut.
    ///
    /// # Errors
    ///
    /// Whatever the disk says. A failed sync must not be tried again: the operating system may have
    /// forgotten what it could not write, and a second sync would then succeed without having
    /// written it.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// let disk = MemoryDisk::new();
    /// let file = disk.create(Path::new("/a"))?;
    /// disk.sync_dir(Path::new("/"))?;
    /// file.write_at(0, b"kept")?;
    /// file.sync()?;
    /// assert_eq!(disk.crash_image(7).open(Path::new("/a"))?.len()?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn sync(&self) -> io::Result<()>;

    /// Takes the exclusive lock of the file for this handle, or says that another handle has it.
    ///
    /// # Errors
    ///
    /// When the disk does not know locks.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// let disk = MemoryDisk::new();
    /// let file = disk.create(Path::new("/a"))?;
    /// assert!(file.try_lock()?);
    /// assert!(!disk.open(Path::new("/a"))?.try_lock()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn try_lock(&self) -> io::Result<bool>;

    /// Gives the lock back; without it, this does nothing. Closing the handle does the same.
    ///
    /// # Errors
    ///
    /// Whatever the disk says.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// let disk = MemoryDisk::new();
    /// let file = disk.create(Path::new("/a"))?;
    /// assert!(file.try_lock()?);
    /// file.unlock()?;
    /// assert!(disk.open(Path::new("/a"))?.try_lock()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn unlock(&self) -> io::Result<()>;

    /// Drops what the operating system caches of this file, as far as it can (R8).
    ///
    /// After a failed sync the cache may hold pages that look written and are not. The store calls
    /// this before it gives up such a file, so that the next open reads what the device has.
    ///
    /// # Errors
    ///
    /// Never with the default, which does nothing.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::{Path, PathBuf};
    ///
    /// MemoryDisk::new().create(Path::new("/a"))?.drop_cache()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }
}
