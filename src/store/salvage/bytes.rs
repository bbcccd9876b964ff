//! `Bytes`: a file that may be unreadable in places, and the blocks in it.

use std::io::{self, Read, Seek, SeekFrom};

use super::{Found, Origin, PAGE};
use crate::format::{Block, HEADER_LEN as BLOCK_HEADER_LEN};

/// What a block begins with.
const MAGIC: &[u8] = b"RvBk";
/// Bytes that are looked through at once.
const WINDOW: u64 = 1 << 20;

pub(super) struct Bytes<'a, R> {
    source: &'a mut R,
    pub(super) len: u64,
    pub(super) unreadable: u64,
}

impl<'a, R: Read + Seek> Bytes<'a, R> {
    pub(super) fn of(source: &'a mut R) -> io::Result<Self> {
        let len = source.seek(SeekFrom::End(0))?;
        Ok(Self {
            source,
            len,
            unreadable: 0,
        })
    }

    /// The messages of all blocks, in the order of the file.
    pub(super) fn blocks(&mut self, origin: Origin) -> Vec<Found> {
        let mut found = Vec::new();
        self.each(MAGIC, |bytes, at| bytes.block(at, origin, &mut found));
        found
    }

    /// Shows every place at which a magic number stands, but for those in what was taken: `take` says
    /// how long that is.
    pub(super) fn each(
        &mut self,
        magic: &[u8],
        mut take: impl FnMut(&mut Self, u64) -> Option<usize>,
    ) {
        let mut at = 0;
        while at < self.len {
            // A magic number may lie across the end of the window.
            let window = self.read(at, WINDOW + magic.len() as u64 - 1);
            let mut within = 0;
            while let Some(next) = find(&window, magic, within) {
                within = next + take(self, at + next as u64).unwrap_or(1);
            }
            at += WINDOW.max(within as u64);
        }
    }

    /// The messages of the block that stands here, if one does, and its length.
    fn block(&mut self, at: u64, origin: Origin, found: &mut Vec<Found>) -> Option<usize> {
        let header = self.read(at, BLOCK_HEADER_LEN as u64);
        let len = Block::declared_len(&header).ok()?;
        if at.checked_add(len as u64)? > self.len {
            return None;
        }
        let bytes = self.read(at, len as u64);
        let block = Block::open_any(&bytes).ok()?;
        block.verify().ok()?;
        let run = Found {
            origin,
            at,
            len,
            store: block.store(),
            stream: block.stream(),
            first_seq: block.first_seq(),
            last_seq: block.last_seq(),
            last_time: block.last_time().ok()?,
            whole: true,
        };
        found.extend(runs(&block).map(|(first_seq, last_seq)| Found {
            first_seq,
            last_seq,
            ..run
        }));
        Some(len)
    }

    /// Bytes of the file, as many as there are; pages that can't be read are zeros.
    pub(super) fn read(&mut self, at: u64, len: u64) -> Vec<u8> {
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

/// The sequences of a block, from and to, without its fillers: those are no messages, and hide no older
/// block that still holds the excluded ones.
fn runs(block: &Block<'_>) -> impl Iterator<Item = (u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for record in block.records().filter_map(Result::ok) {
        if record.is_filler() {
            continue;
        }
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(record.seq) => *last = record.seq,
            _ => runs.push((record.seq, record.seq)),
        }
    }
    runs.into_iter()
}

/// Where the next magic number begins.
fn find(window: &[u8], magic: &[u8], from: usize) -> Option<usize> {
    let rest = window.get(from..)?;
    let found = rest.windows(magic.len()).position(|bytes| bytes == magic)?;
    Some(from + found)
}
