//! `State`: everything a `MemoryDisk` knows, behind its one lock.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::chance::Chance;
use super::fault::DiskFault;
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
    /// Operations that go wrong, by their number.
    pub(super) faults: BTreeMap<u64, DiskFault>,
    pub(super) syncs: u64,
    /// Syncs that go wrong, by their number.
    pub(super) bad_syncs: BTreeMap<u64, DiskFault>,
    pub(super) reads: u64,
    /// Reads that fail, by their number.
    pub(super) bad_reads: BTreeSet<u64>,
    /// Faults that were met.
    pub(super) faults_met: u64,
    /// Of everything that was changed, in order.
    pub(super) digest: u64,
    pub(super) capacity: Option<u64>,
}

impl State {
    /// Counts an operation, or refuses it when the power is gone or a fault says so.
    pub(super) fn operate(&mut self) -> io::Result<()> {
        self.operate_or_half()?.map_or(Ok(()), |_| Err(refused()))
    }

    /// Counts an operation that a fault may leave half done; the caller does the half and fails.
    pub(super) fn operate_or_half(&mut self) -> io::Result<Option<DiskFault>> {
        let number = self.operations;
        self.operations += 1;
        if self.fail_from.is_some_and(|from| number >= from) {
            self.faults_met += 1;
            return Err(no_power());
        }
        let Some(fault) = self.faults.remove(&number) else {
            return Ok(None);
        };
        self.faults_met += 1;
        match fault {
            DiskFault::Refused => Err(refused()),
            DiskFault::Full => Err(io::ErrorKind::StorageFull.into()),
            DiskFault::Torn { .. } | DiskFault::LostSync { .. } => Ok(Some(fault)),
        }
    }

    pub(super) fn write(&mut self, file: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let fault = self.operate_or_half()?;
        self.room_for(file, offset.saturating_add(bytes.len() as u64))?;
        self.note(offset, bytes);
        let file = self.file(file)?;
        match fault {
            None => file.write(offset, bytes),
            Some(DiskFault::Torn { seed }) => {
                let mut chance = Chance::new(seed);
                file.write_torn(offset, bytes, || chance.survives());
                return Err(refused());
            }
            Some(_) => return Err(refused()),
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, file: u64) -> io::Result<()> {
        let mut fault = self.operate_or_half()?;
        self.note(file, b"sync");
        let number = self.syncs;
        self.syncs += 1;
        if let Some(bad) = self.bad_syncs.remove(&number) {
            self.faults_met += 1;
            fault = Some(bad);
        }
        let file = self.file(file)?;
        match fault {
            None => file.sync(),
            Some(DiskFault::LostSync { seed }) => {
                let mut chance = Chance::new(seed);
                file.sync_and_lose(|| chance.survives());
                return Err(refused());
            }
            Some(_) => return Err(refused()),
        }
        Ok(())
    }

    /// Counts a read, or refuses it.
    pub(super) fn read(&mut self) -> io::Result<()> {
        self.powered()?;
        let number = self.reads;
        self.reads += 1;
        if self.bad_reads.remove(&number) {
            self.faults_met += 1;
            return Err(refused());
        }
        Ok(())
    }

    /// FNV-1a over words of what is done, so that two runs can be told to be the same.
    pub(super) fn note(&mut self, place: u64, bytes: &[u8]) {
        let mut mix = |word: u64| {
            self.digest = (self.digest ^ word)
                .wrapping_mul(0x0100_0000_01b3)
                .rotate_left(23);
        };
        mix(place);
        mix(bytes.len() as u64);
        for word in bytes.chunks(8) {
            let mut whole = [0; 8];
            for (to, from) in whole.iter_mut().zip(word) {
                *to = *from;
            }
            mix(u64::from_le_bytes(whole));
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

fn refused() -> io::Error {
    io::Error::other("the simulated disk failed")
}
