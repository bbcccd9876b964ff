//! What crashes leave: images of a `MemoryDisk`.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::MemoryDisk;
use super::chance::Chance;
use super::state::State;
use crate::disk::simulated::SimulatedFile;

impl MemoryDisk {
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
            digest: state.digest,
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
        state.faults.clear();
        state.bad_syncs.clear();
        state.bad_reads.clear();
        state.faults_met = 0;
        for file in state.files.values_mut() {
            file.locked_by = None;
        }
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }
}
