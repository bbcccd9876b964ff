//! `MemoryDisk`: files in memory, with power cuts and failures on demand.

mod chance;
mod fault;
mod file;
mod image;
mod names;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

pub use self::fault::DiskFault;
use self::file::MemoryFile;
use self::names::NameChange;
use self::state::State;
use super::simulated::SimulatedFile;
use super::{Disk, DiskFile};

/// A [`Disk`] in memory, for tests: it counts operations, fails on demand, and shows what a power
/// cut or a kill would leave behind.
///
/// A clone is another handle on the same disk. Directories need not be created: every path is
/// allowed. Each write, sync, change of length, creation, rename, removal and sync of a directory
/// is one *operation*; reads are not counted.
///
/// ```
/// use riverbed::disk::{Disk, MemoryDisk};
/// use std::path::Path;
///
/// let disk = MemoryDisk::new();
/// let file = disk.create(Path::new("/a"))?;
/// file.write_at(0, b"never synced")?;
/// assert_eq!(disk.operations(), 2);
/// // A killed process loses nothing that it wrote; a power cut may lose it all.
/// assert_eq!(disk.kill_image().open(Path::new("/a"))?.len()?, 12);
/// assert!(!disk.crash_image(0).exists(Path::new("/a"))?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

impl MemoryDisk {
    /// An empty disk.
    ///
    /// ```
    /// use riverbed::disk::MemoryDisk;
    ///
    /// assert_eq!(MemoryDisk::new().operations(), 0);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations were asked for so far, failed ones included.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::Path;
    ///
    /// let disk = MemoryDisk::new();
    /// disk.create(Path::new("/a"))?.sync()?;
    /// assert_eq!(disk.operations(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// How many bytes were read so far.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::Path;
    ///
    /// let disk = MemoryDisk::new();
    /// let file = disk.create(Path::new("/a"))?;
    /// file.write_at(0, b"riverbed")?;
    /// file.read_at(0, &mut [0; 5])?;
    /// assert_eq!(disk.bytes_read(), 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bytes_read(&self) -> u64 {
        self.state.lock().bytes_read
    }

    /// Takes the power away at operation `number` (the first one is 0): that one and everything
    /// after it fails, reads too, and changes nothing.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::Path;
    ///
    /// let disk = MemoryDisk::new();
    /// disk.fail_from(1);
    /// let file = disk.create(Path::new("/a"))?;
    /// assert!(file.write_at(0, b"x").is_err());
    /// assert!(file.len().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fail_from(&self, number: u64) {
        self.state.lock().fail_from = Some(number);
    }

    /// Gives the power back and forgets the faults that were not met: operations work again.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::Path;
    ///
    /// let disk = MemoryDisk::new();
    /// disk.fail_from(0);
    /// assert!(disk.create(Path::new("/a")).is_err());
    /// disk.stop_failing();
    /// assert!(disk.create(Path::new("/a")).is_ok());
    /// ```
    pub fn stop_failing(&self) {
        let mut state = self.state.lock();
        state.fail_from = None;
        state.faults.clear();
        state.bad_syncs.clear();
        state.bad_reads.clear();
    }

    /// Bounds the bytes of all files together; growing past it answers
    /// [`io::ErrorKind::StorageFull`]. `None` lifts the bound.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::io::ErrorKind;
    /// use std::path::Path;
    ///
    /// let disk = MemoryDisk::new();
    /// disk.set_capacity(Some(4096));
    /// let full = disk.create(Path::new("/a"))?.set_len(4097);
    /// assert_eq!(full.map_err(|e| e.kind()), Err(ErrorKind::StorageFull));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Makes one operation go wrong, by its number (the first one is 0); others work.
    ///
    /// ```
    /// use riverbed::disk::{Disk, DiskFault, MemoryDisk};
    /// use std::path::Path;
    ///
    /// let disk = MemoryDisk::new();
    /// disk.fault_at(1, DiskFault::Refused);
    /// let file = disk.create(Path::new("/a"))?;
    /// assert!(file.write_at(0, b"x").is_err());
    /// assert!(file.write_at(0, b"x").is_ok());
    /// assert_eq!(disk.faults_met(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fault_at(&self, number: u64, fault: DiskFault) {
        self.state.lock().faults.insert(number, fault);
    }

    /// Makes one sync of a file go wrong: `0` is the next one.
    ///
    /// ```
    /// use riverbed::disk::{Disk, DiskFault, MemoryDisk};
    /// use std::path::Path;
    ///
    /// let disk = MemoryDisk::new();
    /// let file = disk.create(Path::new("/a"))?;
    /// file.write_at(0, b"x")?;
    /// disk.fault_sync_after(0, DiskFault::LostSync { seed: 0 });
    /// assert!(file.sync().is_err());
    /// // The write is lost, but reads back until the cache is dropped; no later sync writes it.
    /// file.sync()?;
    /// let mut found = [9];
    /// file.read_at(0, &mut found)?;
    /// assert_eq!(found, *b"x");
    /// file.drop_cache()?;
    /// file.read_at(0, &mut found)?;
    /// assert_eq!(found, [0]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fault_sync_after(&self, syncs: u64, fault: DiskFault) {
        let mut state = self.state.lock();
        let number = state.syncs + syncs;
        state.bad_syncs.insert(number, fault);
    }

    /// How many bytes all files have together.
    #[doc(hidden)]
    pub fn used(&self) -> u64 {
        let state = self.state.lock();
        state
            .files
            .values()
            .map(|file| file.live().len() as u64)
            .sum()
    }

    /// Makes one read fail: `0` is the next one.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::Path;
    ///
    /// let disk = MemoryDisk::new();
    /// let file = disk.create(Path::new("/a"))?;
    /// file.write_at(0, b"x")?;
    /// disk.fail_read_after(1);
    /// assert!(file.read_at(0, &mut [0]).is_ok());
    /// assert!(file.read_at(0, &mut [0]).is_err());
    /// assert!(file.read_at(0, &mut [0]).is_ok());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fail_read_after(&self, reads: u64) {
        let mut state = self.state.lock();
        let number = state.reads + reads;
        state.bad_reads.insert(number);
    }

    /// How many operations and reads went wrong because they were told to.
    ///
    /// ```
    /// use riverbed::disk::MemoryDisk;
    ///
    /// assert_eq!(MemoryDisk::new().faults_met(), 0);
    /// ```
    pub fn faults_met(&self) -> u64 {
        self.state.lock().faults_met
    }

    /// A digest of every change in order, so that two runs can be told to be the same.
    #[doc(hidden)]
    pub fn digest(&self) -> u64 {
        self.state.lock().digest
    }

    fn handle(&self, state: &mut State, file: u64) -> Arc<dyn DiskFile> {
        let handle = state.next;
        state.next += 1;
        Arc::new(MemoryFile {
            state: Arc::clone(&self.state),
            file,
            handle,
        })
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.powered()?;
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(&mut state, file))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.operate()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.next;
        state.next += 1;
        state.files.insert(file, SimulatedFile::default());
        state.rename(NameChange::Add {
            path: path.to_owned(),
            file,
        });
        Ok(self.handle(&mut state, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename(NameChange::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename(NameChange::Remove {
            path: path.to_owned(),
        });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        let changes = std::mem::take(&mut state.unsynced_names);
        let (now, later): (Vec<_>, Vec<_>) = changes.into_iter().partition(|c| c.is_in(dir));
        for change in now {
            change.apply(&mut state.durable_names);
        }
        state.unsynced_names = later;
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state.lock();
        state.powered()?;
        Ok(state.names.contains_key(path))
    }
}
