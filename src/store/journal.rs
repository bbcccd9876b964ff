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
    HEAD_LEN, Head, Place, RECORD_HEAD_LEN, SEGMENTS, declared_len, decode_record, encode_record,
    follows, holds_record, lap_of, record_len,
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

/// What to know and to do when a journal is not as it should be.
const ITS_PART: &str = "it holds what was acknowledged last, which the store's own file does not have: \
     restore both files together, as they were at one time";

/// The same, when it is the store's file that is the older.
const OF_ANOTHER_TIME: &str = "is newer than the store's own file, which lacks what was in it before: \
     restore both files together, as they were at one time";

const EXPECTED: u8 = 1;
const NOT_EXPECTED: u8 = 0;

/// What redb says of journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// None; there never was one.
    Never,
    /// None: it has all that was in this one.
    Ended {
        journal: u64,
    },
    This(Mark),
}

impl Expected {
    /// The row that says so.
    pub(super) fn change(self) -> Change {
        let (kind, fields) = match self {
            Self::Never => (NOT_EXPECTED, vec![]),
            Self::Ended { journal } => (NOT_EXPECTED, vec![journal]),
            Self::This(mark) => (
                EXPECTED,
                vec![mark.journal, mark.lap, mark.number, mark.after],
            ),
        };
        let mut value = vec![kind];
        value.extend(fields.into_iter().flat_map(u64::to_le_bytes));
        Change::Put { key: KEY, value }
    }

    pub(super) fn decode(row: Option<&[u8]>) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged {
            place: tables::row_name(KEY),
        };
        let Some(row) = row else {
            return Ok(Self::Never);
        };
        let (kind, fields) = row.split_first().ok_or_else(damaged)?;
        let (fields, rest) = fields.as_chunks::<8>();
        let fields: Vec<u64> = fields
            .iter()
            .map(|field| u64::from_le_bytes(*field))
            .collect();
        match (*kind, fields.as_slice(), rest) {
            (NOT_EXPECTED, [], []) => Ok(Self::Never),
            (NOT_EXPECTED, &[journal], []) => Ok(Self::Ended { journal }),
            (EXPECTED, &[journal, lap, number, after], []) => Ok(Self::This(Mark {
                journal,
                lap,
                number,
                after,
            })),
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
    /// In none, or not yet: it goes to redb at once.
    TooLarge,
}

/// What stands where a journal goes.
enum Beside {
    Nothing,
    /// A file that a crash kept from getting its head.
    Blank,
    Journal(Head),
    /// Something of somebody else's.
    Foreign,
}

impl Beside {
    fn look(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let file = match disk.open(path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Self::Nothing),
            file => file?,
        };
        let mut head = vec![0; usize::try_from(HEAD_LEN.min(file.len()?)).unwrap_or(0)];
        file.read_at(0, &mut head)?;
        Ok(match Head::decode(&head) {
            Ok(head) => Self::Journal(head),
            Err(_) if head.iter().all(|byte| *byte == 0) => Self::Blank,
            Err(_) => Self::Foreign,
        })
    }
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
    /// Makes a file, filled and synced, with its name (J8). A journal of this store's that is there is replaced,
    /// as opening found that it is litter; when it can't be made, what there is of it goes.
    pub(super) fn create(
        disk: &dyn Disk,
        path: &Path,
        head: Head,
        faults: &Arc<Faults>,
    ) -> io::Result<Self> {
        match Beside::look(disk, path)? {
            Beside::Nothing | Beside::Blank => {}
            Beside::Journal(there) if there.store == head.store => {}
            Beside::Journal(_) | Beside::Foreign => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
        }
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
        Ok(Self::at_start(file, head, faults))
    }

    /// Removes the file of a journal that redb does not expect: one that was being made, or that had ended,
    /// when the process died. What is not a journal of this store is not ours to remove, and one that holds
    /// records of another time is not litter.
    pub(super) fn remove_leftover(
        disk: &dyn Disk,
        path: &Path,
        store: u64,
        ended: Option<u64>,
        faults: &Arc<Faults>,
    ) -> Result<(), StoreError> {
        let head = match Beside::look(disk, path)? {
            Beside::Journal(head) if head.store == store => head,
            // A blank one is filled or left as it is.
            _ => return Ok(()),
        };
        let file = disk.open(path)?;
        let len = file.len()?;
        let journal = Self::at_start(file, head, faults);
        if ended != Some(head.journal) && len >= head.file_len() && journal.has_records()? {
            return Err(StoreError::Damaged {
                place: format!(
                    "its journal '{}' {OF_ANOTHER_TIME}; neither file was changed",
                    path.display()
                ),
            });
        }
        // Only litter: it is no matter if this fails.
        let _: io::Result<()> = disk.remove(path);
        Ok(())
    }

    /// Removes the file of a journal that has ended, and no other that may stand there by now.
    pub(super) fn remove_ended(disk: &dyn Disk, path: &Path, store: u64, journal: u64) {
        let there = Beside::look(disk, path);
        if let Ok(Beside::Journal(head)) = there
            && (head.store, head.journal) == (store, journal)
        {
            // It is only litter: opening removes it if this fails.
            let _: io::Result<()> = disk.remove(path);
        }
    }

    fn has_records(&self) -> Result<bool, StoreError> {
        for segment in 0..SEGMENTS {
            if self.lap_in(segment)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Before the first record.
    fn at_start(file: Arc<dyn DiskFile>, head: Head, faults: &Arc<Faults>) -> Self {
        Self {
            file,
            faults: Arc::clone(faults),
            head,
            lap: 1,
            written: 0,
            number: 0,
            after: 0,
        }
    }

    /// The groups that redb does not have, in order, and the journal behind the last of them (J4). Nothing
    /// is written.
    pub(super) fn replay(
        disk: &dyn Disk,
        path: &Path,
        store: u64,
        mark: Mark,
        faults: &Arc<Faults>,
    ) -> Result<(Self, Vec<Changes>), StoreError> {
        let refused = |why: String| StoreError::Damaged {
            place: format!(
                "its journal '{}' {why}; neither file was changed",
                path.display()
            ),
        };
        let file = match disk.open(path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                return Err(refused(format!("is missing, and {ITS_PART}")));
            }
            file => file?,
        };
        let len = file.len()?;
        let mut head = vec![0; usize::try_from(HEAD_LEN.min(len)).unwrap_or(0)];
        file.read_at(0, &mut head)?;
        let head = Head::decode(&head)
            .map_err(|why| refused(format!("can't be used: {why}; {ITS_PART}")))?;
        if (head.store, head.journal) != (store, mark.journal) {
            let whose = if head.store == store {
                "is another one of this store, of another time"
            } else {
                "is another store's"
            };
            return Err(refused(format!("{whose}; {ITS_PART}")));
        }
        if len < head.file_len() {
            let lacks = format!("ends after {len} of {} bytes", head.file_len());
            return Err(refused(format!("{lacks}; {ITS_PART}")));
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
        journal.is_of_its_time(mark.lap)?.map_err(refused)?;
        let groups = journal
            .read_laps(mark.lap)?
            .map_err(|what| refused(format!("is damaged: {what}; {ITS_PART}")))?;
        // What is read now stays as it is until redb has it, also should that fall back.
        journal.lap = mark.lap.wrapping_add(2);
        journal.written = 0;
        Ok((journal, groups))
    }

    /// What redb lacks: one lap may have been on its way there while the next one was written.
    fn read_laps(&mut self, first: u64) -> Result<Result<Vec<Changes>, String>, StoreError> {
        let mut groups = Vec::new();
        for lap in [first, first.wrapping_add(1)] {
            let bytes = self.segment_of(lap)?;
            if let Err(what) = self.read_lap(lap, &bytes, &mut groups) {
                return Ok(Err(what));
            }
        }
        Ok(Ok(groups))
    }

    /// A lap behind those that redb lacks is written only when redb has the first of them. So if one is
    /// there, it is the store's file that is older than it should be: a copy of another day, most likely.
    fn is_of_its_time(&self, first: u64) -> Result<Result<(), String>, StoreError> {
        let behind = first.wrapping_add(2);
        for segment in 0..SEGMENTS {
            if self.lap_in(segment)?.is_some_and(|lap| lap >= behind) {
                return Ok(Err(OF_ANOTHER_TIME.to_owned()));
            }
        }
        Ok(Ok(()))
    }

    /// The lap whose first record stands in a segment, whole.
    fn lap_in(&self, segment: u64) -> Result<Option<u64>, StoreError> {
        let at = self.head.start_of(segment);
        let mut record = vec![0; RECORD_HEAD_LEN.min(self.segment_len())];
        self.file.read_at(at, &mut record)?;
        let len = declared_len(&record).and_then(|len| usize::try_from(len).ok());
        let Some(len) = len.filter(|len| *len <= self.segment_len()) else {
            return Ok(None);
        };
        record.resize(len, 0);
        self.file.read_at(at, &mut record)?;
        Ok(lap_of(self.head.store, self.head.journal, &record))
    }

    fn segment_len(&self) -> usize {
        usize::try_from(self.head.segment).unwrap_or(0)
    }

    fn segment_of(&self, lap: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; self.segment_len()];
        self.file.read_at(self.head.start_of(lap), &mut bytes)?;
        Ok(bytes)
    }

    fn read_lap(
        &mut self,
        lap: u64,
        bytes: &[u8],
        groups: &mut Vec<Changes>,
    ) -> Result<(), String> {
        let (store, id) = (self.head.store, self.head.journal);
        let start = self.head.start_of(lap);
        let mut rest = bytes;
        let place = |rest: &[u8]| start + (bytes.len() - rest.len()) as u64;
        while let Some(record) = decode_record(store, id, lap, rest) {
            let next = self.number.wrapping_add(1);
            if record.number != next || follows(rest) != Some(self.after) {
                return Err(format!(
                    "record {} at byte {} does not follow record {}",
                    record.number,
                    place(rest),
                    self.number
                ));
            }
            let changes = decode_changes(record.payload)
                .map_err(|why| format!("record {next} at byte {}: {why}", place(rest)))?;
            groups.push(changes);
            (self.number, self.after) = (record.number, record.checksum);
            let len = usize::try_from(record.len).unwrap_or(usize::MAX);
            rest = rest.get(len..).unwrap_or_default();
        }
        // Only the last record can be torn: nothing is written before it is synced (J2).
        if holds_record(store, id, lap, rest) {
            let next = self.number.wrapping_add(1);
            return Err(format!(
                "record {next} at byte {} is not what was written there",
                place(rest)
            ));
        }
        Ok(())
    }

    pub(super) fn room_for(&self, payload: usize) -> Room {
        let len = record_len(payload);
        // Until two commits expect the journal nothing depends on it: should redb fall back to the one before
        // the last, it must still know of it.
        if self.number == 0 || len > self.head.segment / LARGEST_PART {
            Room::TooLarge
        } else if self.written + len > self.head.segment {
            Room::Full
        } else {
            Room::Fits
        }
    }

    /// Whether the lap has no record.
    pub(super) fn is_at_start(&self) -> bool {
        self.written == 0
    }

    pub(super) fn segment_bytes(&self) -> u64 {
        self.head.segment
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

/// The groups that a journal of these bytes gives a store that expects it from a lap on: what a fuzzer asks.
#[cfg(any(test, fuzzing))]
pub(crate) fn replay_bytes(
    bytes: &[u8],
    store: u64,
    journal: u64,
    lap: u64,
) -> Result<Vec<Changes>, StoreError> {
    let (disk, path) = (crate::disk::MemoryDisk::new(), Path::new("/q.journal"));
    disk.create(path)?.write_at(0, bytes)?;
    let mark = Mark {
        journal,
        lap,
        number: 0,
        after: 0,
    };
    let replayed = Journal::replay(&disk, path, store, mark, &Arc::default());
    replayed.map(|(_, groups)| groups)
}
