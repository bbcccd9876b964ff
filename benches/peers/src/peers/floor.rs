//! The bare disk: the least that anybody has to do for the same promise.
//!
//! It is a floor, not a queue: no checksums, no way to open it again. A publish writes the payloads behind
//! each other and syncs; a fetch reads them back and syncs a record of 64 bytes, as the claim; an ack syncs
//! such a record. Threads share syncs by the group commit in `group.rs`.

use anyhow::{Context, Result};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::embedded::{Embedded, Store};
use crate::queue::{Peer, Queue, Sink};

/// Bytes of the preallocated file: more than any cell leaves unread.
const RING: u64 = 384 << 20;
const RECORD: [u8; 64] = [0x5a; 64];
/// Where the records of claims and acks go in the preallocated file.
const RECORDS: u64 = 4096;
/// The preallocated file, made once and used again by every cell of a run.
const KEPT: &str = "floor-zero.preallocated";

pub struct FloorAppend;
pub struct FloorZero;

impl Peer for FloorAppend {
    fn name(&self) -> &'static str {
        "floor-append"
    }

    fn version(&self) -> String {
        "-".to_owned()
    }

    fn durability(&self) -> &'static str {
        "the payloads are appended to a growing file and fdatasync has returned"
    }

    fn consuming(&self) -> &'static str {
        "each fetch and each ack appends 64 bytes to a second file, with fdatasync"
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let open = |name: &str| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            options.open(dir.join(name)).context("create a file")
        };
        let records = Records {
            file: open("records")?,
            at: 0,
            growing: true,
        };
        Ok(Box::new(Embedded::grouped(Floor::new(
            open("log")?,
            0,
            None,
            records,
        ))))
    }
}

impl Peer for FloorZero {
    fn name(&self) -> &'static str {
        "floor-zero"
    }

    fn version(&self) -> String {
        "-".to_owned()
    }

    fn durability(&self) -> &'static str {
        "the payloads overwrite part of a file that was filled with zeros and synced before, and fdatasync has returned"
    }

    fn consuming(&self) -> &'static str {
        "each fetch and each ack overwrites 64 bytes of the same file, with fdatasync"
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let path = dir.parent().unwrap_or(dir).join(KEPT);
        let ready = std::fs::metadata(&path).is_ok_and(|file| file.len() == RING);
        if !ready {
            fill(&path).context("fill the preallocated file")?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let records = Records {
            file: file.try_clone()?,
            at: 0,
            growing: false,
        };
        Ok(Box::new(Embedded::grouped(Floor::new(
            file,
            RECORDS,
            Some(RING),
            records,
        ))))
    }
}

/// Really written, not only allocated: an overwrite of allocated but unwritten blocks changes the file
/// system's own records, and that costs a second write.
fn fill(path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..RING >> 20 {
        file.write_all(&zeros)?;
    }
    Ok(file.sync_all()?)
}

struct Records {
    file: File,
    at: u64,
    growing: bool,
}

impl Records {
    fn put(&mut self) -> Result<()> {
        self.file.write_all_at(&RECORD, self.at)?;
        if self.growing {
            self.at += RECORD.len() as u64;
        }
        Ok(self.file.sync_data()?)
    }
}

/// Where the log ends, and what of it is still to be read.
struct Ends {
    write: u64,
    durable: u64,
    read: u64,
    /// Where the messages before the turn of a preallocated file ended, until they are read.
    turned: Option<u64>,
    buffer: Vec<u8>,
}

struct Floor {
    file: File,
    first: u64,
    wrap: Option<u64>,
    ends: Mutex<Ends>,
    records: Mutex<Records>,
}

impl Floor {
    fn new(file: File, first: u64, wrap: Option<u64>, records: Records) -> Self {
        let ends = Ends {
            write: first,
            durable: first,
            read: first,
            turned: None,
            buffer: Vec::new(),
        };
        Self {
            file,
            first,
            wrap,
            ends: Mutex::new(ends),
            records: Mutex::new(records),
        }
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> Result<()> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.put()
    }
}

impl Store for Floor {
    type Claim = ();

    fn append(&self, messages: &mut dyn Iterator<Item = &[u8]>) -> Result<()> {
        // One leader at a time comes here, so the buffer is free.
        let (mut buffer, mut at) = {
            let mut ends = self.ends();
            (std::mem::take(&mut ends.buffer), ends.write)
        };
        buffer.clear();
        for message in messages {
            buffer.extend_from_slice(&(message.len() as u32).to_le_bytes());
            buffer.extend_from_slice(message);
        }
        let full = |end: u64| at + buffer.len() as u64 > end;
        let turns = self.wrap.is_some_and(full);
        let end = at;
        if turns {
            at = self.first;
        }
        self.file.write_all_at(&buffer, at)?;
        self.file.sync_data()?;
        let mut ends = self.ends();
        ends.write = at + buffer.len() as u64;
        if turns {
            ends.turned = Some(end);
        }
        ends.durable = ends.write;
        ends.buffer = buffer;
        Ok(())
    }

    fn claim(&self, max: usize, (): &mut (), sink: &mut Sink) -> Result<usize> {
        let (from, to) = {
            let mut ends = self.ends();
            if ends.turned.is_some_and(|end| ends.read >= end) {
                ends.turned = None;
                ends.read = self.first;
            }
            (ends.read, ends.turned.unwrap_or(ends.durable))
        };
        if from >= to {
            return Ok(0);
        }
        // Enough for `max` messages as long as the first of them.
        let mut length = [0; 4];
        self.file.read_exact_at(&mut length, from)?;
        let each = u64::from(u32::from_le_bytes(length)) + 4;
        let mut bytes = vec![0; (each * max as u64).min(to - from) as usize];
        self.file.read_exact_at(&mut bytes, from)?;
        let (mut taken, mut rest) = (0, bytes.as_slice());
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let Some((message, after)) = after.split_at_checked(length) else {
                break;
            };
            sink(message);
            taken += 1;
            rest = after;
        }
        self.ends().read = from + (bytes.len() - rest.len()) as u64;
        self.record()?;
        Ok(taken)
    }

    fn ack(&self, (): ()) -> Result<()> {
        self.record()
    }
}
