//! What the disk is like just now.

use anyhow::{Context, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

const BLOCK: usize = 4096;
/// More than one, so that a device does not see the same block again and again.
const BLOCKS: usize = 256;
const TIMES: usize = 40;

/// A file that is overwritten and synced again and again.
pub struct Probe {
    file: File,
    next: usize,
}

impl Probe {
    pub fn new(dir: &Path) -> Result<Self> {
        let path = dir.join("probe");
        let mut options = File::options();
        options.create(true).truncate(true).write(true);
        let file = options
            .open(&path)
            .with_context(|| format!("create {}", path.display()))?;
        file.write_all_at(&vec![0; BLOCK * BLOCKS], 0)?;
        file.sync_all()?;
        Ok(Self { file, next: 0 })
    }

    /// The median of some 4 KiB overwrites with fdatasync, in microseconds.
    pub fn median_us(&mut self) -> Result<f64> {
        let mut times = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let at = (self.next % BLOCKS * BLOCK) as u64;
            self.next += 1;
            let block = [self.next as u8; BLOCK];
            let started = Instant::now();
            self.file.write_all_at(&block, at)?;
            self.file.sync_data()?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        Ok(median(&mut times))
    }
}

/// The middle one; of an even number the upper.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
