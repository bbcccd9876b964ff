//! `Journal`: the file beside the store that makes a group durable before redb has it (RULES J1 to J11).
//!
//! A group is one record, appended to a part of the file that was filled before, and one sync. At most one
//! record is not synced at any time (J2), unless the store was told to sync later (J12).

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::ahead::Syncing;
use super::error::StoreError;
use super::fault::Faults;
use super::mark::Mark;
use super::open::directory;
use super::replay::OF_ANOTHER_TIME;
use crate::changes::Changes;
use crate::disk::{Disk, DiskFile};
use crate::format::journal::{Draft, HEAD_LEN, Head, Place, SEGMENTS};
use crate::format::{least_len, put_changes};

/// Bytes that are written at once to fill a new file.
const FILLED_AT_ONCE: usize = 1 << 20;
/// A group that takes a greater part of a segment goes to redb at once (J7).
const LARGEST_PART: u64 = 8;

/// Whether a group can be appended.
#[derive(Debug)]
pub(super) enum Room {
    Fits(Draft),
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
    pub(super) file: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
    pub(super) head: Head,
    pub(super) lap: u64,
    /// Bytes of the lap that are written.
    written: u64,
    pub(super) number: u64,
    pub(super) after: u64,
    /// The last record that is synced, or was in redb.
    synced: u64,
    /// Held while the file is synced.
    syncing: Arc<Mutex<()>>,
}

/// What a journal had at a moment.
#[derive(Debug)]
pub(super) struct Written {
    file: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
    number: u64,
    syncing: Arc<Mutex<()>>,
}

impl Written {
    /// Makes it durable. A sync that failed may have lost it, and only one of several that run at once is told
    /// of that (R8): so they run one at a time, and none behind one that failed.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let _turn = self.syncing.lock();
        self.faults.check()?;
        self.file
            .sync()
            .map_err(|why| self.faults.io(why))
            .inspect_err(|_| self.faults.drop_cache(&*self.file))?;
        Ok(())
    }
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

    /// Whether there is a journal that redb does not expect: one that was being made, or that had ended, when
    /// the process died. What is not a journal of this store is not ours to remove, and one that holds records
    /// of another time is not litter.
    pub(super) fn is_leftover(
        disk: &dyn Disk,
        path: &Path,
        store: u64,
        ended: Option<u64>,
        faults: &Arc<Faults>,
    ) -> Result<bool, StoreError> {
        let head = match Beside::look(disk, path)? {
            Beside::Journal(head) if head.store == store => head,
            // A blank one is filled or left as it is.
            _ => return Ok(false),
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
        Ok(true)
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
    pub(super) fn at_start(file: Arc<dyn DiskFile>, head: Head, faults: &Arc<Faults>) -> Self {
        Self {
            file,
            faults: Arc::clone(faults),
            head,
            lap: 1,
            written: 0,
            number: 0,
            after: 0,
            synced: 0,
            syncing: Arc::default(),
        }
    }

    /// Whether there is room for a group.
    pub(super) fn room_for(&self, changes: &Changes) -> Room {
        // A very large group is not encoded in vain.
        if self.is_too_large(least_len(changes) as u64) {
            return Room::TooLarge;
        }
        let record = Draft::new(|out| put_changes(out, changes));
        if self.is_too_large(record.record_len()) {
            Room::TooLarge
        } else if self.written + record.record_len() > self.head.segment {
            Room::Full
        } else {
            Room::Fits(record)
        }
    }

    fn is_too_large(&self, len: u64) -> bool {
        // Until two commits expect the journal nothing depends on it: should redb fall back to the one before
        // the last, it must still know of it.
        self.number == 0 || len > self.head.segment / LARGEST_PART
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

    /// Writes a group, and makes it durable if it is to be.
    pub(super) fn append(&mut self, record: Draft, syncing: Syncing) -> Result<(), StoreError> {
        let place = Place {
            journal: self.head.journal,
            lap: self.lap,
            number: self.number + 1,
            after: self.after,
            // A lap is synced before the next one, and has far fewer records than this can count.
            unsynced: u32::try_from(self.number - self.synced).unwrap_or(u32::MAX),
        };
        let (record, checksum) = record.finish(self.head.store, place);
        let at = self.head.start_of(self.lap) + self.written;
        self.file
            .write_at(at, &record)
            .map_err(|why| self.faults.io(why))
            .inspect_err(|_| self.faults.drop_cache(&*self.file))?;
        self.written += record.len() as u64;
        (self.number, self.after) = (place.number, checksum);
        match syncing {
            Syncing::Each => self.sync(),
            Syncing::Later => Ok(()),
        }
    }

    pub(super) fn has_unsynced(&self) -> bool {
        self.synced < self.number
    }

    /// What it has now, for `sync`.
    pub(super) fn written(&self) -> Written {
        Written {
            file: Arc::clone(&self.file),
            faults: Arc::clone(&self.faults),
            number: self.number,
            syncing: Arc::clone(&self.syncing),
        }
    }

    /// What it had then is synced.
    pub(super) fn is_synced(&mut self, written: &Written) {
        self.synced = self.synced.max(written.number);
    }

    /// Makes all that was appended durable.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        if self.has_unsynced() {
            let written = self.written();
            written.sync()?;
            self.is_synced(&written);
        }
        Ok(())
    }

    /// What was read back is synced, too: a process that was killed may have written it without.
    pub(super) fn sync_replayed(&mut self) -> Result<(), StoreError> {
        self.synced = 0;
        self.sync()
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
        self.synced = self.number;
        self.mark()
    }
}

const _: () = assert!(
    SEGMENTS == 3,
    "two laps may be needed while a third is written"
);
