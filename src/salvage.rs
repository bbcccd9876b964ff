//! What can be saved from a store that no longer opens.
//!
//! Every block of messages says by itself, under a checksum, which store, stream and sequences it
//! belongs to. So they are found in the bare bytes of a file, whatever became of the rest of it.
//!
//! The file is only read. What comes out is what the *file* holds, and that is not always what the
//! *store* held: a block stays in the file until its space is used again, so messages that were purged,
//! acked away or removed by a limit may come back. What consumers had done is not salvaged.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use crate::format::Block;
use crate::message::StoredMessage;
use crate::state::Stored;
use crate::store::{Found, Scan};

/// A file that was searched for messages.
///
/// Only an index is kept in memory: a few dozen bytes for each block.
///
/// # Examples
///
/// ```
/// use riverbed::salvage::Salvage;
/// use riverbed::{Publish, Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("broken");
/// # let broken = Riverbed::open(&path)?;
/// # broken.create_stream(StreamConfig::new("notes"))?.publish("notes", "remember")?;
/// # broken.close()?;
/// # let mut bytes = std::fs::read(&path)?;
/// # bytes[..5000].fill(0);
/// # std::fs::write(&path, bytes)?;
/// assert!(Riverbed::open(&path).is_err());
///
/// let store = Riverbed::open(folder.path().join("new"))?;
/// for salvaged in Salvage::open(&path)?.messages() {
///     let (name, message) = (salvaged.stream_name(), salvaged.message);
///     let stream = store.create_stream(StreamConfig::new(name).subjects([">"]))?;
///     let headers = message.headers().clone();
///     stream.publish_message(Publish::new(message.subject(), message.payload()).headers(headers))?;
/// }
/// assert_eq!(store.stream("notes")?.info()?.messages, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Salvage<R> {
    source: R,
    scan: Scan,
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvaged {
    /// The number of its stream.
    pub stream_number: u32,
    /// The name of its stream, if a row that says so was found.
    pub stream: Option<String>,
    /// The message, with its sequence and time.
    pub message: StoredMessage,
}

impl Salvaged {
    /// The name of its stream, or one made of its number: `stream-7`.
    pub fn stream_name(&self) -> String {
        let numbered = || format!("stream-{}", self.stream_number);
        self.stream.clone().unwrap_or_else(numbered)
    }
}

impl Salvage<File> {
    /// Searches a file, which may be large and is read twice.
    ///
    /// # Errors
    ///
    /// The file can't be opened. Places in it that can't be read are passed over, see
    /// [`unreadable_pages`](Self::unreadable_pages).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }
}

impl<R: Read + Seek> Salvage<R> {
    /// Searches bytes from anywhere.
    ///
    /// # Errors
    ///
    /// The length is unknown.
    pub fn of(mut source: R) -> io::Result<Self> {
        let scan = Scan::of(&mut source)?;
        Ok(Self { source, scan })
    }

    /// The streams whose names were found: number and name.
    pub fn streams(&self) -> impl Iterator<Item = (u32, &str)> {
        self.scan
            .streams
            .iter()
            .map(|(number, name)| (*number, name.as_str()))
    }

    /// The blocks that were found, older versions of the same one included.
    pub fn blocks(&self) -> usize {
        self.scan.blocks.len()
    }

    /// Pages of 4 KiB that the device did not give.
    pub const fn unreadable_pages(&self) -> u64 {
        self.scan.unreadable
    }

    /// Every message that was found, by stream and sequence. Where two versions of a message were
    /// found, as a crash can leave them, the newer one is shown.
    pub fn messages(self) -> SalvagedMessages<R> {
        SalvagedMessages {
            salvage: self,
            block: 0,
            stream: 0,
            next_seq: 0,
            ready: Vec::new().into_iter(),
        }
    }
}

/// An iterator over salvaged messages; made by [`Salvage::messages`].
#[derive(Debug)]
pub struct SalvagedMessages<R> {
    salvage: Salvage<R>,
    block: usize,
    stream: u32,
    /// What is before this was shown.
    next_seq: u64,
    ready: std::vec::IntoIter<Stored>,
}

impl<R: Read + Seek> SalvagedMessages<R> {
    /// The messages of a block that were not shown yet.
    fn read(&mut self, found: &Found) -> Vec<Stored> {
        if found.stream != self.stream {
            (self.stream, self.next_seq) = (found.stream, 0);
        }
        if found.last_seq < self.next_seq {
            return Vec::new();
        }
        // It could be read a moment ago; if it can't any more, it is as if it had not been found.
        let Ok(bytes) = Scan::read(&mut self.salvage.source, found) else {
            return Vec::new();
        };
        let Ok(block) = Block::open_any(&bytes) else {
            return Vec::new();
        };
        // A filler is no message, and hides no older block that still holds the excluded one.
        let messages = block.records().filter_map(Result::ok);
        let fresh: Vec<_> = messages
            .filter(|record| record.seq >= self.next_seq && !record.is_filler())
            .collect();
        if let Some(last) = fresh.last() {
            self.next_seq = last.seq.saturating_add(1);
        }
        fresh
            .into_iter()
            .map(|record| Stored {
                seq: record.seq,
                time: record.time,
                subject: Arc::from(record.subject),
                id: record.id.map(str::to_owned),
                headers: record.headers.to_headers(),
                payload: record.payload.to_vec().into(),
            })
            .collect()
    }
}

impl<R: Read + Seek> Iterator for SalvagedMessages<R> {
    type Item = Salvaged;

    fn next(&mut self) -> Option<Salvaged> {
        loop {
            if let Some(stored) = self.ready.next() {
                return Some(Salvaged {
                    stream_number: self.stream,
                    stream: self.salvage.scan.streams.get(&self.stream).cloned(),
                    message: StoredMessage::new(Arc::new(stored)),
                });
            }
            let found = *self.salvage.scan.blocks.get(self.block)?;
            self.block += 1;
            self.ready = self.read(&found).into_iter();
        }
    }
}
