//! queue-file: a ring of records in one file, one producer or consumer at a time.

use anyhow::{Context, Result};
use queue_file::QueueFile;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::embedded::{Embedded, Store};
use crate::queue::{Peer, Queue, Sink};
use crate::version;

pub struct Ring;

impl Peer for Ring {
    fn name(&self) -> &'static str {
        "queue-file"
    }

    fn version(&self) -> String {
        version::of("queue-file")
    }

    fn durability(&self) -> &'static str {
        "the records and the header are written with sync_writes, an fdatasync after each of them"
    }

    fn consuming(&self) -> &'static str {
        "a fetch only reads and counts nothing; an ack moves the head of the ring, synced; one consumer"
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let mut file = QueueFile::open(dir.join("queue")).context("open the queue")?;
        file.set_sync_writes(true);
        // Wiping what was removed is no part of being durable, and it costs a write each time.
        file.set_overwrite_on_remove(false);
        Ok(Box::new(Embedded::new(RingStore(Mutex::new(file)))))
    }
}

struct RingStore(Mutex<QueueFile>);

impl RingStore {
    fn file(&self) -> MutexGuard<'_, QueueFile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for RingStore {
    /// How many from the head on.
    type Claim = usize;

    fn append(&self, messages: &mut dyn Iterator<Item = &[u8]>) -> Result<()> {
        Ok(self.file().add_n(messages)?)
    }

    fn claim(&self, max: usize, claim: &mut usize, sink: &mut Sink) -> Result<usize> {
        let file = self.file();
        let mut elements = file.iter();
        while *claim < max
            && let Some(element) = elements.borrowed_next()
        {
            sink(element);
            *claim += 1;
        }
        Ok(*claim)
    }

    fn ack(&self, claim: usize) -> Result<()> {
        match claim {
            0 => Ok(()),
            messages => Ok(self.file().remove_n(messages)?),
        }
    }

    fn consumers(&self) -> usize {
        1
    }
}
