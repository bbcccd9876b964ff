//! What can be saved from a store that no longer opens.
//!
//! Every block of messages says by itself, under a checksum, which store, stream and sequences it
//! belongs to. So they are found in the bare bytes of a file, whatever became of the rest of it.
//!
//! So are those in the journal, which stands beside a store that was not closed: messages that were
//! acknowledged last may be only there. [`Salvage::open`] reads it, too, so keep the two files together.
//!
//! The files are only read. What comes out is what the *files* hold, and that is not always what the
//! *store* held: a block stays in a file until its space is used again, so messages that were purged,
//! acked away or removed by a limit may come back, and one that was just being published when the
//! process died may be there although nobody was told so. Of several versions of a message the newest is
//! shown. What consumers had done is not salvaged.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use crate::format::Block;
use crate::message::StoredMessage;
use crate::state::Stored;
use crate::store::{Found, Origin, Scan};

/// A file that was searched for messages, with the journal beside it if there is one.
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
    journal: Option<R>,
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
    /// Searches a file, which may be large and is read twice, and the journal beside it, which has its
    /// name with `.journal` behind it.
    ///
    /// # Errors
    ///
    /// The file can't be opened, or there is a journal that can't be. Places that can't be read are
    /// passed over, see [`unreadable_pages`](Self::unreadable_pages).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        // The journal stands beside the file itself, not beside a link to it.
        let path = std::fs::canonicalize(path)?;
        let source = File::open(&path)?;
        match File::open(Scan::journal_path(&path)) {
            Ok(journal) => Self::with_journal(source, journal),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Self::of(source),
            Err(why) => Err(why),
        }
    }
}

impl<R: Read + Seek> Salvage<R> {
    /// Searches bytes from anywhere: those of a store's file alone.
    ///
    /// # Errors
    ///
    /// The length is unknown.
    pub fn of(source: R) -> io::Result<Self> {
        Self::search(source, None)
    }

    /// Searches bytes from anywhere: those of a store's file, and those of its journal.
    ///
    /// # Errors
    ///
    /// The length of one is unknown.
    pub fn with_journal(source: R, journal: R) -> io::Result<Self> {
        Self::search(source, Some(journal))
    }

    fn search(mut source: R, mut journal: Option<R>) -> io::Result<Self> {
        let scan = Scan::of(&mut source, journal.as_mut())?;
        Ok(Self {
            source,
            journal,
            scan,
        })
    }

    /// The streams whose names were found: number and name.
    pub fn streams(&self) -> impl Iterator<Item = (u32, &str)> {
        self.scan
            .streams
            .iter()
            .map(|(number, name)| (*number, name.as_str()))
    }

    /// The blocks that were found in both files, older versions of the same one included.
    pub fn blocks(&self) -> usize {
        self.scan.in_store + self.journal_blocks().unwrap_or_default()
    }

    /// Those of the blocks that were found in the journal; `None` if no journal was read.
    pub const fn journal_blocks(&self) -> Option<usize> {
        self.scan.in_journal
    }

    /// Whether the file was not closed, speaks of a journal, and none was read: messages that were
    /// acknowledged last may be in it. Look for it where the file came from. An older page of the file
    /// that speaks of an older journal counts as well, since nobody can tell.
    pub const fn misses_journal(&self) -> bool {
        self.scan.expects_journal && self.scan.in_journal.is_none()
    }

    /// Pages of 4 KiB that the device did not give.
    pub const fn unreadable_pages(&self) -> u64 {
        self.scan.unreadable
    }

    /// Every message that was found, once, by stream and sequence. Where two versions of a message were
    /// found, as a crash can leave them, the one of the newer block is shown.
    pub fn messages(self) -> SalvagedMessages<R> {
        SalvagedMessages {
            salvage: self,
            part: 0,
            stream: 0,
            ready: Vec::new().into_iter(),
        }
    }
}

/// An iterator over salvaged messages; made by [`Salvage::messages`].
#[derive(Debug)]
pub struct SalvagedMessages<R> {
    salvage: Salvage<R>,
    part: usize,
    stream: u32,
    ready: std::vec::IntoIter<Stored>,
}

impl<R: Read + Seek> SalvagedMessages<R> {
    /// The messages of a part of a block. It could be read a moment ago; if it can't any more, it is as
    /// if it had not been found.
    fn read(&mut self, found: &Found) -> Option<Vec<Stored>> {
        let source = match found.origin {
            Origin::Store => &mut self.salvage.source,
            Origin::Journal => self.salvage.journal.as_mut()?,
        };
        let bytes = Scan::read(source, found).ok()?;
        let block = Block::open_any(&bytes).ok()?;
        let records = (found.first_seq..=found.last_seq).map(|seq| block.record_at_seq(seq));
        let messages = records.filter_map(Result::ok).map(|record| Stored {
            seq: record.seq,
            time: record.time,
            subject: Arc::from(record.subject),
            id: record.id.map(str::to_owned),
            headers: record.headers.to_headers(),
            payload: record.payload.to_vec().into(),
        });
        Some(messages.collect())
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
            let found = *self.salvage.scan.parts.get(self.part)?;
            self.part += 1;
            self.stream = found.stream;
            self.ready = self.read(&found).unwrap_or_default().into_iter();
        }
    }
}
