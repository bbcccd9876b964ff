//! `Scan`: the blocks that identify themselves in the bytes of a file, whatever else is left of it, and
//! in those of the journal beside it.
//!
//! Nothing here depends on redb: a block says by itself whose it is and where it belongs, under its
//! checksum, and so do a row and a record of the journal.

mod bytes;
mod parts;
mod records;

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use self::bytes::Bytes;
use self::parts::newest;
use super::ahead;
use super::header::{HEADER_LEN, Header};
use super::mark::{self, Expected};
use super::pages::may_be_unclean;
use super::pages::rows::rows;
use super::tables;
use crate::changes::Table;
use crate::format::journal::{HEAD_LEN, Head};
use crate::format::rows::{StreamConfigRow, decode_row};

const PAGE: u64 = 4096;
/// The largest page in which rows are looked for.
const ROWS_PAGE: u64 = 64 << 10;

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Store,
    Journal,
}

/// Messages of a block that follow each other, and where the block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) origin: Origin,
    pub(crate) at: u64,
    pub(crate) len: usize,
    pub(crate) store: u64,
    pub(crate) stream: u32,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    /// The time of the block's last record.
    pub(crate) last_time: u64,
    /// Whether what is around it is whole, too, as far as that is known.
    pub(crate) whole: bool,
}

/// What the files still say of themselves.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The messages of one store, in the order of streams and sequences. Each is in one of these at
    /// most: in that of the newest block that has it.
    pub(crate) parts: Vec<Found>,
    /// Blocks that were found in the store's file.
    pub(crate) in_store: usize,
    /// Blocks that were found in the journal, if there is one.
    pub(crate) in_journal: Option<usize>,
    pub(crate) streams: BTreeMap<u32, String>,
    /// Pages that could not be read.
    pub(crate) unreadable: u64,
    /// Whether the store's file speaks of a journal.
    pub(crate) expects_journal: bool,
}

impl Scan {
    /// The journal's place, beside the store's.
    pub(crate) fn journal_path(store: &Path) -> PathBuf {
        ahead::journal_path(store)
    }

    pub(crate) fn of<R: Read + Seek>(source: &mut R, journal: Option<&mut R>) -> io::Result<Self> {
        let mut file = Bytes::of(source)?;
        let mut journal = journal.map(Bytes::of).transpose()?;
        let mut found = file.blocks(Origin::Store);
        let mut beside = journal
            .as_mut()
            .map(|journal| journal.blocks(Origin::Journal));
        let store = whose(&mut file, &found, journal.as_mut(), beside.as_deref());
        let (mut streams, mut expects_journal) = (BTreeMap::new(), false);
        if let Some(store) = store {
            found.retain(|run| run.store == store);
            expects_journal = file.rows(store, &mut streams);
        }
        let in_store = blocks_of(&found);
        let mut in_journal = None;
        if let (Some(journal), Some(store), Some(beside)) = (&mut journal, store, &mut beside) {
            beside.retain(|run| run.store == store);
            in_journal = Some(blocks_of(beside));
            let whole = journal.records(store, &mut streams);
            for run in &mut *beside {
                run.whole = records::holds(&whole, run.at);
            }
            found.append(beside);
        }
        Ok(Self {
            parts: newest(found),
            in_store,
            in_journal: in_journal.or(journal.as_ref().map(|_| 0)),
            streams,
            unreadable: file.unreadable + journal.map_or(0, |journal| journal.unreadable),
            expects_journal,
        })
    }

    /// The bytes of a block that was found, in the file of its origin.
    pub(crate) fn read<R: Read + Seek>(source: &mut R, found: &Found) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; found.len];
        source.seek(SeekFrom::Start(found.at))?;
        source.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Most blocks decide whose file it is: its header may be gone, and blocks of others may lie in pages
/// that were never overwritten. The journal has a word only where the store's file says nothing, since
/// it may be another's.
fn whose<R: Read + Seek>(
    file: &mut Bytes<'_, R>,
    found: &[Found],
    journal: Option<&mut Bytes<'_, R>>,
    beside: Option<&[Found]>,
) -> Option<u64> {
    most_common(found)
        .or_else(|| {
            let page = file.read(0, HEADER_LEN);
            let header = Header::decode(page.first_chunk()?, Path::new(""));
            header.ok().map(|header| header.store)
        })
        .or_else(|| {
            let head = Head::decode(&journal?.read(0, HEAD_LEN));
            head.ok().map(|head| head.store)
        })
        .or_else(|| most_common(beside?))
}

fn most_common(found: &[Found]) -> Option<u64> {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for run in found {
        *counts.entry(run.store).or_default() += 1;
    }
    let (store, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    Some(store)
}

/// How many blocks these are of, as they lie in the file.
fn blocks_of(found: &[Found]) -> usize {
    found.chunk_by(|one, next| one.at == next.at).count()
}

impl<R: Read + Seek> Bytes<'_, R> {
    /// What rows that identify themselves say: the names of streams, and whether a journal is expected.
    fn rows(&mut self, store: u64, streams: &mut BTreeMap<u32, String>) -> bool {
        let first = self.read(HEADER_LEN, PAGE);
        let mut expected = false;
        let mut at = HEADER_LEN;
        while at < self.len {
            let page = self.read(at, PAGE);
            let mut len = PAGE;
            // Only a leaf can hold rows.
            while page.first() == Some(&1) && len <= ROWS_PAGE {
                let page = self.read(at, len);
                for (key, sealed) in rows(&page) {
                    if let Some((id, name)) = stream_name(store, key, sealed) {
                        streams.insert(id, name);
                    }
                    expected |= expects_journal(store, key, sealed);
                }
                len *= 2;
            }
            at += PAGE;
        }
        // A file that was closed has none, whatever an old page of it says.
        expected && may_be_unclean(&first)
    }
}

fn stream_name(store: u64, key: &[u8], sealed: &[u8]) -> Option<(u32, String)> {
    let (key, value) = tables::row_of(store, Table::StreamConfig, key, sealed)?;
    let row = decode_row::<StreamConfigRow>(value).ok()?;
    Some((key.id, row.config.name))
}

fn expects_journal(store: u64, key: &[u8], sealed: &[u8]) -> bool {
    let row = tables::row_of(store, Table::Meta, key, sealed);
    row.is_some_and(|(key, value)| {
        key == mark::KEY && matches!(Expected::decode(Some(value)), Ok(Expected::This(_)))
    })
}
