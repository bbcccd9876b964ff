//! `MemoryDisk`: files in memory, with power cuts and failures on demand.

mod chance;
mod file;
mod names;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use self::chance::Chance;
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

    /// Gives the power back: operations work again.
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
        self.state.lock().fail_from = None;
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

    /// The disk as a power cut at this moment could leave it; `seed` chooses among the
    /// possibilities.
    ///
    /// What was synced is there. Of what was not, any 512-byte sectors may be: seed 0 loses them
    /// all, seed 1 keeps them all, other seeds choose at random. Of the changes of names that no
    /// sync of the directory covered, a first part survives, as with a file system that journals
    /// its metadata in order.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::Path;
    ///
    /// let disk = MemoryDisk::new();
    /// disk.create(Path::new("/a"))?;
    /// assert!(!disk.crash_image(0).exists(Path::new("/a"))?);
    /// assert!(disk.crash_image(1).exists(Path::new("/a"))?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn crash_image(&self, seed: u64) -> MemoryDisk {
        let state = self.state.lock();
        let mut chance = Chance::new(seed);
        let mut names = state.durable_names.clone();
        let kept = chance.part_of(state.unsynced_names.len());
        for change in state.unsynced_names.iter().take(kept) {
            change.apply(&mut names);
        }
        let mut settle = |id: &u64| {
            let content = state.files.get(id)?.after_power_cut(|| chance.survives());
            Some((*id, SimulatedFile::settled(content)))
        };
        let files: BTreeMap<_, _> = names.values().filter_map(&mut settle).collect();
        let image = State {
            files,
            durable_names: names.clone(),
            names,
            next: state.next,
            capacity: state.capacity,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(image)),
        }
    }

    /// The disk as killing the process at this moment would leave it: nothing written is lost, and
    /// the locks are free. What was not synced still is not: a power cut later may take it.
    ///
    /// ```
    /// use riverbed::disk::{Disk, MemoryDisk};
    /// use std::path::Path;
    ///
    /// let disk = MemoryDisk::new();
    /// let held = disk.create(Path::new("/a"))?;
    /// assert!(held.try_lock()?);
    /// let killed = disk.kill_image();
    /// assert!(killed.open(Path::new("/a"))?.try_lock()?);
    /// assert!(!killed.crash_image(0).exists(Path::new("/a"))?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn kill_image(&self) -> MemoryDisk {
        let mut state = self.state.lock().clone();
        state.operations = 0;
        state.bytes_read = 0;
        state.fail_from = None;
        for file in state.files.values_mut() {
            file.locked_by = None;
        }
        Self {
            state: Arc::new(Mutex::new(state)),
        }
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
