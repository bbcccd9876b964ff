//! `Zeroed`: a file that was filled with zeros and synced, and is overwritten from then on.
//!
//! Overwriting what was really written before and syncing it is the least that a durable commit costs: no
//! block is allotted, and the file system has nothing to note. It goes through the same two calls as the
//! library's own files, so what differs is only what is written.

use crate::Result;
use crate::median::median;
use riverbed::disk::{Disk, DiskFile, FileDisk};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Bytes that are written at once while it is filled.
const FILLED_AT_ONCE: usize = 1 << 20;

pub(crate) struct Zeroed {
    file: Arc<dyn DiskFile>,
    len: u64,
    at: u64,
}

impl Zeroed {
    pub(crate) fn create(path: &Path, len: u64) -> io::Result<Self> {
        let file = FileDisk::new().create(path)?;
        let zeros = vec![0; FILLED_AT_ONCE];
        for at in (0..len).step_by(FILLED_AT_ONCE) {
            file.write_at(at, &zeros)?;
        }
        file.sync()?;
        Ok(Self { file, len, at: 0 })
    }

    /// Overwrites the next bytes, and returns when they are on the disk.
    pub(crate) fn overwrite(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.at + bytes.len() as u64 > self.len {
            self.at = 0;
        }
        self.file.write_at(self.at, bytes)?;
        self.file.sync()?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// What the disk is like just now: the median of so many overwrites of 4 KiB, in microseconds.
    pub(crate) fn probe_us(&mut self, overwrites: usize) -> Result<f64> {
        let mut times = vec![0.0; overwrites];
        for time in &mut times {
            let started = Instant::now();
            self.overwrite(&[0x5a; 4096])?;
            *time = started.elapsed().as_secs_f64() * 1e6;
        }
        Ok(median(&mut times))
    }
}
