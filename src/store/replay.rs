//! Reading back what only a journal has, and telling a torn end from damage (RULES J2 to J5).

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::StoreError;
use super::fault::Faults;
use super::journal::Journal;
use super::mark::Mark;
use crate::changes::Changes;
use crate::disk::Disk;
use crate::format::decode_changes;
use crate::format::journal::{
    HEAD_LEN, Head, RECORD_HEAD_LEN, Record, SEGMENTS, declared_len, decode_record, follows,
    holds_record, lap_of,
};

/// What to know and to do when a journal is not as it should be.
const ITS_PART: &str = "it holds what was acknowledged last, which the store's own file does not have: \
     restore both files together, as they were at one time";

/// The same, when it is the store's file that is the older.
pub(super) const OF_ANOTHER_TIME: &str = "is newer than the store's own file, which lacks what was in it before: \
     restore both files together, as they were at one time";

impl Journal {
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
        let mut journal = Self::at_start(file, head, faults);
        (journal.lap, journal.number, journal.after) = (mark.lap, mark.number, mark.after);
        journal.is_of_its_time(mark.lap)?.map_err(refused)?;
        let groups = journal
            .read_laps(mark.lap)?
            .map_err(|what| refused(format!("is damaged: {what}; {ITS_PART}")))?;
        // What is read now stays as it is until redb has it, also should that fall back.
        journal.lap = mark.lap.wrapping_add(2);
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
    pub(super) fn lap_in(&self, segment: u64) -> Result<Option<u64>, StoreError> {
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
        // What was synced before another record was written can't be torn (J2).
        let next = self.number.wrapping_add(1);
        let is_behind_a_sync = |later: &Record<'_>| later.last_synced() >= next;
        if holds_record(store, id, lap, rest, is_behind_a_sync) {
            return Err(format!(
                "record {next} at byte {} is not what was written there",
                place(rest)
            ));
        }
        Ok(())
    }
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
