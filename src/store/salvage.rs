//! `Scan`: the blocks that identify themselves in the bytes of a file, whatever else is left of it.
//!
//! Nothing here depends on redb: a block says by itself whose it is and where it belongs, under its
//! checksum, and so does a row.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use super::header::HEADER_LEN;
use super::pages::rows::rows;
use super::tables;
use crate::changes::Table;
use crate::format::rows::{StreamConfigRow, decode_row};
use crate::format::{Block, HEADER_LEN as BLOCK_HEADER_LEN};

/// What a block begins with.
const MAGIC: &[u8] = b"RvBk";
const PAGE: u64 = 4096;
/// Bytes that are looked through at once.
const WINDOW: u64 = 1 << 20;
/// The largest page in which names of streams are looked for.
const ROWS_PAGE: u64 = 64 << 10;

/// A block, and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) at: u64,
    pub(crate) len: usize,
    pub(crate) store: u64,
    pub(crate) stream: u32,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) last_time: u64,
}

/// What a file still says of itself.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The blocks of one store, in the order of streams and sequences; of blocks that begin with the
    /// same message, the newest comes first.
    pub(crate) blocks: Vec<Found>,
    pub(crate) streams: BTreeMap<u32, String>,
    /// Pages that could not be read.
    pub(crate) unreadable: u64,
}

/// A file that may be unreadable in places.
struct Bytes<'a, R> {
    source: &'a mut R,
    len: u64,
    unreadable: u64,
}

impl Scan {
    pub(crate) fn of<R: Read + Seek>(source: &mut R) -> io::Result<Self> {
        let len = source.seek(SeekFrom::End(0))?;
        let mut bytes = Bytes {
            source,
            len,
            unreadable: 0,
        };
        let mut blocks = bytes.blocks();
        let Some(store) = most_common(&blocks) else {
            let unreadable = bytes.unreadable;
            return Ok(Self {
                blocks,
                streams: BTreeMap::new(),
                unreadable,
            });
        };
        blocks.retain(|block| block.store == store);
        blocks.sort_by_key(|block| {
            let newest = std::cmp::Reverse((block.last_time, block.last_seq));
            (block.stream, block.first_seq, newest)
        });
        let unreadable = bytes.unreadable;
        let streams = bytes.streams(store);
        Ok(Self {
            blocks,
            streams,
            unreadable,
        })
    }

    /// The bytes of a block that was found.
    pub(crate) fn read<R: Read + Seek>(source: &mut R, found: &Found) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; found.len];
        source.seek(SeekFrom::Start(found.at))?;
        source.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Most blocks decide whose file it is: its header may be gone, and blocks of others may lie in pages
/// that were never overwritten.
fn most_common(blocks: &[Found]) -> Option<u64> {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for block in blocks {
        *counts.entry(block.store).or_default() += 1;
    }
    let (store, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    Some(store)
}

impl<R: Read + Seek> Bytes<'_, R> {
    fn blocks(&mut self) -> Vec<Found> {
        let mut blocks = Vec::new();
        let mut at = 0;
        while at < self.len {
            // A magic number may lie across the end of the window.
            let window = self.read(at, WINDOW + MAGIC.len() as u64 - 1);
            let mut within = 0;
            while let Some(next) = find(&window, within) {
                match self.block(at + next as u64) {
                    Some(found) => {
                        within = next + found.len;
                        blocks.push(found);
                    }
                    None => within = next + 1,
                }
            }
            at += WINDOW.max(within as u64);
        }
        blocks
    }

    fn block(&mut self, at: u64) -> Option<Found> {
        let header = self.read(at, BLOCK_HEADER_LEN as u64);
        let len = Block::declared_len(&header).ok()?;
        if at.checked_add(len as u64)? > self.len {
            return None;
        }
        let bytes = self.read(at, len as u64);
        let block = Block::open_any(&bytes).ok()?;
        block.verify().ok()?;
        Some(Found {
            at,
            len,
            store: block.store(),
            stream: block.stream(),
            first_seq: block.first_seq(),
            last_seq: block.last_seq(),
            last_time: block.last_time().ok()?,
        })
    }

    /// The names of streams, from rows that identify themselves.
    fn streams(&mut self, store: u64) -> BTreeMap<u32, String> {
        let mut streams = BTreeMap::new();
        let mut at = HEADER_LEN;
        while at < self.len {
            let page = self.read(at, PAGE);
            let mut len = PAGE;
            // Only a leaf can hold rows.
            while page.first() == Some(&1) && len <= ROWS_PAGE {
                let page = self.read(at, len);
                for (key, sealed) in rows(&page) {
                    let row = tables::row_of(store, Table::StreamConfig, key, sealed);
                    if let Some((id, value)) = row
                        && let Ok(row) = decode_row::<StreamConfigRow>(value)
                    {
                        streams.insert(id, row.config.name);
                    }
                }
                len *= 2;
            }
            at += PAGE;
        }
        streams
    }

    /// Bytes of the file, as many as there are; pages that can't be read are zeros.
    fn read(&mut self, at: u64, len: u64) -> Vec<u8> {
        let len = len.min(self.len.saturating_sub(at));
        let mut bytes = vec![0; len as usize];
        if self.fill(at, &mut bytes).is_ok() {
            return bytes;
        }
        for (n, page) in bytes.chunks_mut(PAGE as usize).enumerate() {
            if self.fill(at + n as u64 * PAGE, page).is_err() {
                page.fill(0);
                self.unreadable += 1;
            }
        }
        bytes
    }

    fn fill(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.source.seek(SeekFrom::Start(at))?;
        self.source.read_exact(bytes)
    }
}

/// Where the next magic number begins.
fn find(window: &[u8], from: usize) -> Option<usize> {
    let rest = window.get(from..)?;
    let found = rest.windows(MAGIC.len()).position(|bytes| bytes == MAGIC)?;
    Some(from + found)
}
