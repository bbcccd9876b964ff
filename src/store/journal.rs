//! `Journal`: the file beside the store that makes a group durable before redb has it (RULES J1 to J11).
//!
//! A group is one record, appended to a part of the file that was filled before, and one sync. At most one
//! record is not synced at any time (J2).

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::StoreError;
use super::fault::Faults;
use super::open::directory;
use super::tables;
use crate::changes::{Change, Changes, RowKey, Table};
use crate::disk::{Disk, DiskFile};
use crate::format::journal::{
    HEAD_LEN, Head, Place, SEGMENTS, decode_record, encode_record, follows, holds_record,
    record_len,
};
use crate::format::{decode_changes, encode_changes};

/// The row that says which journal redb expects, and from where on.
pub(super) const KEY: RowKey = RowKey::new(Table::Meta, 0, u64::MAX);

/// Bytes that are written at once to fill a new file.
const FILLED_AT_ONCE: usize = 1 << 20;
/// A group that takes a greater part of a segment goes to redb at once (J7).
const LARGEST_PART: u64 = 8;

/// Up to where redb has what is in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Which journal.
    pub(super) journal: u64,
    /// The lap whose records redb does not have.
    pub(super) lap: u64,
    /// The last record that redb has.
    pub(super) number: u64,
    /// Its checksum.
    pub(super) after: u64,
}

const EXPECTED: u8 = 1;
const NOT_EXPECTED: u8 = 0;

impl Mark {
    /// The row that says so; without a mark, that no journal is expected.
    pub(super) fn change(mark: Option<Self>) -> Change {
        let mut value = vec![if mark.is_some() {
            EXPECTED
        } else {
            NOT_EXPECTED
        }];
        if let Some(mark) = mark {
            for field in [mark.journal, mark.lap, mark.number, mark.after] {
                value.extend_from_slice(&field.to_le_bytes());
            }
        }
        Change::Put { key: KEY, value }
    }

    /// What the row says: the journal that is expected, if one is.
    pub(super) fn decode(row: &[u8]) -> Result<Option<Self>, StoreError> {
        let damaged = || StoreError::Damaged {
            place: tables::row_name(KEY),
        };
        match row.split_first() {
            Some((&NOT_EXPECTED, [])) => Ok(None),
            Some((&EXPECTED, fields)) if fields.len() == 32 => {
                let mut fields = fields.chunks_exact(8).map(|field| {
                    let field = field.first_chunk::<8>().copied();
                    field.map(u64::from_le_bytes)
                });
                let mut next = || fields.next().flatten().ok_or_else(damaged);
                Ok(Some(Self {
                    journal: next()?,
                    lap: next()?,
                    number: next()?,
                    after: next()?,
                }))
            }
            _ => Err(damaged()),
        }
    }
}

/// Whether a group can be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Fits,
    /// Not in this lap.
    Full,
    /// In none: it goes to redb at once.
    TooLarge,
}

/// An open journal, and where its next record goes.
#[derive(Debug)]
pub(super) struct Journal {
    file: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
    head: Head,
    lap: u64,
    /// Bytes of the lap that are written.
    written: u64,
    number: u64,
    after: u64,
}

impl Journal {
    /// Makes a file, filled and synced, with its name (J8). What is there is replaced; when it can't be made,
    /// what there is of it goes.
    pub(super) fn create(
        disk: &dyn Disk,
        path: &Path,
        head: Head,
        faults: &Arc<Faults>,
    ) -> io::Result<Self> {
        Self::fill(disk, path, head, faults).inspect_err(|_| {
            // It is only litter, and the next one replaces it.
            let _: io::Result<()> = disk.remove(path);
        })
    }

    fn fill(disk: &dyn Disk, path: &Path, head: Head, faults: &Arc<Faults>) -> io::Result<Self> {
        match disk.remove(path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        let file = disk.create(path)?;
        let mut bytes = vec![0; FILLED_AT_ONCE];
        let mut at = 0;
        while at < head.file_len() {
            let len = (head.file_len() - at).min(FILLED_AT_ONCE as u64);
            bytes.truncate(usize::try_from(len).unwrap_or(FILLED_AT_ONCE));
            file.write_at(at, &bytes)?;
            at += len;
        }
        file.write_at(0, &head.encode())?;
        file.sync()?;
        disk.sync_dir(directory(path))?;
        Ok(Self {
            file,
            faults: Arc::clone(faults),
            head,
            lap: 1,
            written: 0,
            number: 0,
            after: 0,
        })
    }

    /// Removes the file of a journal that redb does not expect: one that was being made, or let go, when
    /// the process died. What is not a journal of this store is not ours to remove.
    pub(super) fn remove_leftover(disk: &dyn Disk, path: &Path, store: u64) {
        let is_ours = |file: Arc<dyn DiskFile>| {
            let mut head = vec![0; usize::try_from(HEAD_LEN).unwrap_or(0)];
            let read = file.read_at(0, &mut head);
            read.is_ok() && Head::decode(&head).is_ok_and(|head| head.store == store)
        };
        if disk.exists(path).unwrap_or(false) && disk.open(path).is_ok_and(is_ours) {
            // Only litter: it is no matter if this fails.
            let _: io::Result<()> = disk.remove(path);
        }
    }

    /// The groups that redb does not have, in order, and the journal behind the last of them (J4).
    pub(super) fn replay(
        disk: &dyn Disk,
        path: &Path,
        store: u64,
        mark: Mark,
        faults: &Arc<Faults>,
    ) -> Result<(Self, Vec<Changes>), StoreError> {
        let damaged = |what: String| StoreError::Damaged {
            place: format!("the journal {}: {what}", path.display()),
        };
        let file = match disk.open(path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(
                    "it is missing, and holds what the store's own file does not".to_owned(),
                ));
            }
            file => file?,
        };
        let mut head = vec![0; usize::try_from(HEAD_LEN.min(file.len()?)).unwrap_or(0)];
        file.read_at(0, &mut head)?;
        let head = Head::decode(&head).map_err(|why| damaged(why.to_string()))?;
        if (head.store, head.journal) != (store, mark.journal) {
            return Err(damaged("it is another store's, or an older one".to_owned()));
        }
        if file.len()? < head.file_len() {
            return Err(damaged("it is too short".to_owned()));
        }
        let mut journal = Self {
            file,
            faults: Arc::clone(faults),
            head,
            lap: mark.lap,
            written: 0,
            number: mark.number,
            after: mark.after,
        };
        let mut groups = Vec::new();
        // One lap may have been on its way to redb while the next one was written.
        for lap in [mark.lap, mark.lap + 1] {
            journal
                .read_lap(lap, &mut groups)?
                .map_err(|what| damaged(format!("lap {lap}: {what}")))?;
        }
        // What is read now stays as it is until redb has it, also should that fall back.
        journal.lap = mark.lap + 2;
        journal.written = 0;
        Ok((journal, groups))
    }

    fn read_lap(
        &mut self,
        lap: u64,
        groups: &mut Vec<Changes>,
    ) -> Result<Result<(), String>, StoreError> {
        let len = usize::try_from(self.head.segment).unwrap_or(0);
        let mut bytes = vec![0; len];
        self.file.read_at(self.head.start_of(lap), &mut bytes)?;
        let (store, id) = (self.head.store, self.head.journal);
        let mut rest = bytes.as_slice();
        while let Some(record) = decode_record(store, id, lap, rest) {
            if record.number != self.number + 1 || follows(rest) != Some(self.after) {
                return Ok(Err(format!(
                    "record {} does not follow record {}",
                    record.number, self.number
                )));
            }
            match decode_changes(record.payload) {
                Ok(changes) => groups.push(changes),
                Err(why) => return Ok(Err(format!("record {}: {why}", record.number))),
            }
            (self.number, self.after) = (record.number, record.checksum);
            let len = usize::try_from(record.len).unwrap_or(usize::MAX);
            rest = rest.get(len..).unwrap_or_default();
        }
        // Only the last record can be torn: nothing is written before it is synced (J2).
        if holds_record(store, id, lap, rest) {
            return Ok(Err(format!("record {} is damaged", self.number + 1)));
        }
        Ok(Ok(()))
    }

    pub(super) fn room_for(&self, payload: usize) -> Room {
        let len = record_len(payload);
        if len > self.head.segment / LARGEST_PART {
            Room::TooLarge
        } else if self.written + len > self.head.segment {
            Room::Full
        } else {
            Room::Fits
        }
    }

    /// Whether so much of the lap is written that redb should take it.
    pub(super) fn is_half_full(&self) -> bool {
        self.written > self.head.segment / 2
    }

    /// Makes a group durable.
    pub(super) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let place = Place {
            journal: self.head.journal,
            lap: self.lap,
            number: self.number + 1,
            after: self.after,
        };
        let (record, checksum) = encode_record(self.head.store, place, payload);
        let at = self.head.start_of(self.lap) + self.written;
        self.file
            .write_at(at, &record)
            .and_then(|()| self.file.sync())
            .map_err(|why| self.faults.io(why))
            .inspect_err(|_| self.faults.drop_cache(&*self.file))?;
        self.written += record.len() as u64;
        (self.number, self.after) = (place.number, checksum);
        Ok(())
    }

    /// Goes on in the next segment, whose records redb has had for two commits, if anything is in this one.
    pub(super) fn next_lap(&mut self) -> Mark {
        if self.written > 0 {
            self.lap += 1;
            self.written = 0;
        }
        self.mark()
    }

    /// What redb must know when it has everything up to here.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            journal: self.head.journal,
            lap: self.lap,
            number: self.number,
            after: self.after,
        }
    }

    /// A group went to redb at once: it takes a number as well (J7). The lap is empty.
    pub(super) fn skip(&mut self) -> Mark {
        self.number += 1;
        self.mark()
    }
}

const _: () = assert!(
    SEGMENTS == 3,
    "two laps may be needed while a third is written"
);

/// A group's payload.
pub(super) fn payload(changes: &Changes) -> Vec<u8> {
    encode_changes(changes)
}
