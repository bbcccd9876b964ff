//! walrus-rust: a write-ahead log with a read position per topic.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use crate::cell::Cell;
use crate::embedded::{Embedded, Store};
use crate::queue::{Peer, Queue, Sink};
use crate::version;

const TOPIC: &str = "bench";
/// More than this in a batch it refuses.
const BATCH: usize = 2_000;
/// Read by the crate when an instance is opened.
pub const DATA_DIR: &str = "WALRUS_DATA_DIR";
pub const QUIET: &str = "WALRUS_QUIET";

pub struct Wal;

impl Peer for Wal {
    fn name(&self) -> &'static str {
        "walrus-rust"
    }

    fn version(&self) -> String {
        version::of("walrus-rust")
    }

    fn durability(&self) -> &'static str {
        "FsyncSchedule::SyncEach: written through O_SYNC and followed by fsync, in a batch entry by entry; a failed single write is not reported"
    }

    fn consuming(&self) -> &'static str {
        "a fetch stores the position (StrictlyAtOnce: a new index file, synced and renamed); there is no ack, so a crash after it loses the message"
    }

    fn refuses(&self, cell: &Cell) -> Option<&'static str> {
        (cell.batch() > BATCH).then_some("takes at most 2,000 messages in a batch")
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        // Its root is a variable of the environment, which main sets to the parent of this folder.
        let root = std::env::var_os(DATA_DIR).context("WALRUS_DATA_DIR is not set")?;
        ensure!(
            dir.parent() == Some(Path::new(&root)),
            "the folder is not below WALRUS_DATA_DIR"
        );
        let key = dir.file_name().context("a folder without a name")?;
        let walrus = Walrus::with_consistency_and_schedule_for_key(
            &key.to_string_lossy(),
            ReadConsistency::StrictlyAtOnce,
            FsyncSchedule::SyncEach,
        )?;
        Ok(Box::new(Embedded::new(WalStore {
            walrus,
            size: AtomicUsize::new(0),
            writing: Mutex::new(()),
        })))
    }
}

struct WalStore {
    walrus: Walrus,
    /// Of the payloads: it can only be asked for so many bytes.
    size: AtomicUsize,
    /// It refuses to write while another thread writes a batch, and leaves the waiting to its user.
    writing: Mutex<()>,
}

impl Store for WalStore {
    type Claim = ();

    fn append(&self, messages: &mut dyn Iterator<Item = &[u8]>) -> Result<()> {
        let messages: Vec<&[u8]> = messages.collect();
        if let Some(message) = messages.first() {
            self.size.store(message.len(), Ordering::Relaxed);
        }
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match messages.as_slice() {
            [message] => Ok(self.walrus.append_for_topic(TOPIC, message)?),
            batch => Ok(self.walrus.batch_append_for_topic(TOPIC, batch)?),
        }
    }

    fn claim(&self, max: usize, (): &mut (), sink: &mut Sink) -> Result<usize> {
        if max == 1 {
            let entry = self.walrus.read_next(TOPIC, true)?;
            if let Some(entry) = &entry {
                sink(&entry.data);
            }
            return Ok(usize::from(entry.is_some()));
        }
        let bytes = max * self.size.load(Ordering::Relaxed);
        let entries = self.walrus.batch_read_for_topic(TOPIC, bytes, true)?;
        for entry in &entries {
            sink(&entry.data);
        }
        Ok(entries.len())
    }

    fn ack(&self, (): ()) -> Result<()> {
        Ok(())
    }
}
