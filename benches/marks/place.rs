//! `Place`: a store in a folder of its own.

use crate::Result;
use crate::messages::{PAYLOAD, SUBJECT, batch};
use crate::options::Options;
use riverbed::{Builder, Riverbed, Stream, StreamConfig};
use std::path::PathBuf;
use tempfile::TempDir;

/// Messages of a batch while a backlog is made.
const BATCH: u64 = 10_000;

/// A store; it is closed, and its folder removed, when this is dropped.
pub(crate) struct Place {
    pub(crate) store: Riverbed,
    folder: TempDir,
}

impl Place {
    /// A new store of the kind that the options ask for.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        Self::with(options, options.builder())
    }

    pub(crate) fn with(options: &Options, builder: Builder) -> Result<Self> {
        let folder = tempfile::tempdir_in(&options.dir)?;
        let store = builder.open(folder.path().join("store"))?;
        Ok(Self { store, folder })
    }

    /// Closes the store and opens it again, with nothing of it in memory.
    pub(crate) fn reopen(&mut self, builder: Builder) -> Result {
        self.store.close()?;
        self.store = builder.open(self.path())?;
        Ok(())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The journal's file stands beside the store's.
    pub(crate) fn journal_path(&self) -> PathBuf {
        self.folder.path().join("store.journal")
    }

    /// The stream that most workloads publish to.
    pub(crate) fn stream(&self) -> Result<Stream> {
        Ok(self.store.create_stream(StreamConfig::new(SUBJECT))?)
    }

    /// That stream with so many messages in it.
    pub(crate) fn filled(&self, messages: u64) -> Result<Stream> {
        let stream = self.stream()?;
        for first in (0..messages).step_by(BATCH as usize) {
            let size = BATCH.min(messages - first);
            stream.publish_batch(batch(first, size, PAYLOAD))?;
        }
        Ok(stream)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The store's threads end before its folder goes. Who wants to know how closing went has closed it.
        let _: std::result::Result<(), _> = self.store.close();
    }
}
