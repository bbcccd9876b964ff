//! `State`: everything a `MemoryDisk` knows, behind its one lock.

use std::collections::BTreeMap;
use std::io;

use super::names::{NameChange, Names};
use crate::disk::simulated::SimulatedFile;

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) files: BTreeMap<u64, SimulatedFile>,
    pub(super) names: Names,
    pub(super) durable_names: Names,
    pub(super) unsynced_names: Vec<NameChange>,
    pub(super) next: u64,
    pub(super) operations: u64,
    pub(super) bytes_read: u64,
    pub(super) fail_from: Option<u64>,
    pub(super) capacity: Option<u64>,
}

impl State {
    /// Counts an operation, or refuses it when the power is gone.
    pub(super) fn operate(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        match self.fail_from {
            Some(from) if number >= from => Err(no_power()),
            _ => Ok(()),
        }
    }

    /// Refuses when the power is gone; for what is not counted.
    pub(super) fn powered(&self) -> io::Result<()> {
        match self.fail_from {
            Some(from) if self.operations > from => Err(no_power()),
            _ => Ok(()),
        }
    }

    pub(super) fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    pub(super) fn room_for(&self, file: u64, len: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity else {
            return Ok(());
        };
        let length = |(id, f): (&u64, &SimulatedFile)| {
            let live = f.live().len() as u64;
            if *id == file { live.max(len) } else { live }
        };
        let grows = self
            .files
            .get(&file)
            .is_some_and(|f| len > f.live().len() as u64);
        if grows && self.files.iter().map(length).sum::<u64>() > capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(super) fn file(&mut self, file: u64) -> io::Result<&mut SimulatedFile> {
        self.files
            .get_mut(&file)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn no_power() -> io::Error {
    io::Error::other("the simulated disk has lost power")
}
