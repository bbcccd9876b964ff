//! The store: redb tables in one file, and the only place that names redb.
//!
//! What comes in is a [`Changes`] for each commit group, and it is durable when [`Store::apply`]
//! returns, unless the store was told to sync later. What goes out is read through a [`Reader`], verified.

mod ahead;
mod apply;
mod backend;
mod compact;
mod create;
mod error;
mod fault;
mod header;
mod held;
mod inside;
mod journal;
mod layers;
mod mark;
mod moved;
mod open;
mod overlay;
mod pages;
mod reader;
mod replay;
mod resolve;
mod salvage;
mod summaries;
mod tables;
#[cfg(test)]
mod tests;
mod usage;

use std::io;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;
use redb::{Database, ReadableDatabase};

use self::ahead::{Ahead, Taken, Then};
pub(crate) use self::ahead::{JournalOptions, Syncing};
pub(crate) use self::apply::Commit;
pub use self::error::OpenError;
pub(crate) use self::error::StoreError;
use self::fault::Faults;
#[cfg(any(test, fuzzing))]
pub(crate) use self::fault::guarded::is_guarded;
use self::header::Header;
use self::held::Held;
use self::inside::Inside;
use self::journal::Journal;
use self::mark::{Expected, Mark};
use self::moved::Moved;
pub(crate) use self::moved::Watch;
use self::overlay::Overlay;
pub(crate) use self::reader::Reader;
#[cfg(any(test, fuzzing))]
pub(crate) use self::replay::replay_bytes;
pub(crate) use self::salvage::{Found, Origin, Scan};
use crate::changes::{Change, Changes};
use crate::disk::{Disk, DiskFile};

/// How a store is opened.
#[derive(Clone, Debug)]
pub(crate) struct StoreOptions {
    /// The most memory that redb's cache takes.
    pub(crate) cache_bytes: usize,
    /// The time now, in milliseconds since 1970: what a new store notes as its creation.
    pub(crate) now_ms: u64,
    /// A new store's identity, which is random otherwise.
    pub(crate) identity: Option<u64>,
    /// Whether groups go to a journal first.
    pub(crate) journal: Option<JournalOptions>,
}

/// One open store.
#[derive(Debug)]
pub(crate) struct Store {
    header: Header,
    /// `None` once it is closed. What is open is never dropped by accident: a forked child that
    /// drops its copy would write into the parent's file and free the parent's lock (R11).
    opened: RwLock<Option<ManuallyDrop<Opened>>>,
    faults: Arc<Faults>,
    leaked: AtomicBool,
    /// Bytes of the pages that blocks take, as of redb's last transaction.
    used: AtomicU64,
    ahead: Ahead,
    journal_disk: Option<Arc<dyn Disk>>,
}

/// What an open store holds, and gives back when it is closed.
#[derive(Debug)]
struct Opened {
    database: Database,
    /// Has the lock.
    file: Arc<dyn DiskFile>,
    /// What redb writes to it, while somebody watches.
    moved: Arc<Moved>,
    /// The same, as long as it is not to be written to.
    held: Option<Arc<Held>>,
}

impl Store {
    /// Opens the store at `path`, or makes it when nothing is there. When this returns, the file
    /// and its name are durable.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        let mut store = open::open(disk, path, options)?;
        store
            .load_usage()
            .and_then(|()| store.begin_journal(disk, path, options))
            .map_err(OpenError::database(path, "opening"))?;
        Ok(store)
    }

    /// Brings redb what only a journal has, and goes on in it or without.
    fn begin_journal(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        options: &StoreOptions,
    ) -> Result<(), StoreError> {
        let (store, faults) = (self.id(), Arc::clone(&self.faults));
        // The process may change its directory, or open the same file by a link.
        let path = &disk.resolve(path)?;
        self.journal_disk = options
            .journal
            .as_ref()
            .map(|wanted| Arc::clone(&wanted.disk));
        let row = self.read(|reader| reader.row(mark::KEY))?;
        let path_of = ahead::journal_path(path);
        let ended = match Expected::decode(row.as_deref())? {
            Expected::Never => None,
            Expected::Ended { journal } => Some(journal),
            Expected::This(mark) => return self.replay(disk, path, options, mark),
        };
        let leftover = Journal::is_leftover(disk, &path_of, store, ended, &faults)?;
        self.release()?;
        if leftover {
            // A process that died in the middle of a commit may have written that redb has all of it, and not
            // synced that: until then it is no litter.
            self.settle()?;
            let _: io::Result<()> = disk.remove(&path_of);
        }
        self.ahead = Ahead::new(store, path, options.journal.clone(), &faults);
        Ok(())
    }

    /// Brings redb what it lacks of the journal that it expects.
    fn replay(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        options: &StoreOptions,
        mark: Mark,
    ) -> Result<(), StoreError> {
        let (store, faults) = (self.id(), Arc::clone(&self.faults));
        let path_of = ahead::journal_path(path);
        let (mut journal, groups) = Journal::replay(disk, &path_of, store, mark, &faults)?;
        let goes_on = options.journal.as_ref();
        let mut overlay = Overlay::default();
        let absorbed = self.read(|reader| {
            let mut groups = groups.into_iter();
            groups.try_for_each(|group| resolve::absorb(&mut overlay, reader, group))
        });
        // A damaged block is passed over, a damaged page of redb's is not, and is what to tell.
        self.failure()?;
        absorbed?;
        journal.sync_replayed()?;
        self.release()?;
        let mut changes = overlay.to_changes();
        let expected = if goes_on.is_some() {
            Expected::This(journal.mark())
        } else {
            Expected::Ended {
                journal: mark.journal,
            }
        };
        changes.push(expected.change());
        // Should the process die again soon, that opening need not learn what this one has learnt.
        self.with(|opened| self.to_redb(opened, [&changes, &[]], Commit::QuickRepair))?;
        if let Some(wanted) = goes_on {
            self.ahead = Ahead::going_on(store, path, journal, wanted.syncing, &faults);
        } else {
            Journal::remove_ended(disk, &path_of, store, mark.journal);
        }
        Ok(())
    }

    /// Both files are whole: from now on they are written to.
    fn release(&self) -> Result<(), StoreError> {
        self.with(|opened| {
            let held = opened.held.as_ref().map_or(Ok(()), |held| held.release());
            Ok(held.map_err(|why| self.faults.io(why))?)
        })
    }

    /// Makes durable what was read, which a process that died may only have written.
    fn settle(&self) -> Result<(), StoreError> {
        self.with(|opened| {
            let synced = opened.file.sync().map_err(|why| self.faults.io(why));
            synced.inspect_err(|_| self.faults.drop_cache(&*opened.file))?;
            Ok(())
        })
    }

    fn new(header: Header, opened: Opened, faults: Arc<Faults>) -> Self {
        let opened = RwLock::new(Some(ManuallyDrop::new(opened)));
        let ahead = Ahead::new(header.store, Path::new(""), None, &faults);
        Self {
            header,
            opened,
            faults,
            leaked: AtomicBool::new(false),
            used: AtomicU64::new(0),
            ahead,
            journal_disk: None,
        }
    }

    /// The store's identity: random, and part of every checksum.
    pub(crate) const fn id(&self) -> u64 {
        self.header.store
    }

    #[cfg(test)]
    /// When the store was made, in milliseconds since 1970.
    pub(crate) const fn created_ms(&self) -> u64 {
        self.header.created
    }

    /// Makes a group durable, in one transaction. Applying a group twice is applying it once.
    ///
    /// After an error it is unknown whether the group is stored, and every later call is refused
    /// until the store is reopened.
    pub(crate) fn apply(&self, changes: &Changes, commit: Commit) -> Result<(), StoreError> {
        self.with(|opened| {
            if commit == Commit::QuickRepair {
                self.checkpoint_in(opened, Then::Rest)?;
            }
            loop {
                if changes.changes.is_empty() {
                    return Ok(());
                }
                match self.ahead.take(changes)? {
                    Taken::Durable => return Ok(()),
                    Taken::AfterCheckpoint => {
                        self.checkpoint_in(opened, Then::GoOn)?;
                    }
                    Taken::Direct(beside) => {
                        let _turn = self.ahead.checkpointing.lock();
                        return self.direct(opened, changes, beside, commit);
                    }
                }
            }
        })
    }

    #[cfg(test)]
    /// What was decoded, with what its encoding leaves to the store.
    pub(crate) fn supplied(&self, mut changes: Changes) -> Result<Changes, StoreError> {
        let none = Overlay::default();
        self.read(|reader| {
            let mut all = changes.changes.iter_mut();
            all.try_for_each(|change| resolve::supply(&none, reader, change))
        })?;
        Ok(changes)
    }

    /// Brings redb a group, and what the journal has it say beside.
    fn direct(
        &self,
        opened: &Opened,
        changes: &Changes,
        mut beside: Vec<Change>,
        mut commit: Commit,
    ) -> Result<(), StoreError> {
        if self.ahead.has_ended() {
            // A close in between has told redb to expect no journal, and that stands.
            beside.clear();
        }
        if !beside.is_empty() && self.ahead.is_new() {
            // From here on groups go to the journal, so this leaves what the next opening wants to know.
            commit = Commit::QuickRepair;
        }
        self.to_redb(opened, [&changes.changes, &beside], commit)
    }

    /// Whether groups may go to a journal first.
    pub(crate) fn keeps_journal(&self) -> bool {
        self.journal_disk.is_some()
    }

    /// Whether groups go to a journal now.
    pub(crate) fn has_journal(&self) -> bool {
        self.ahead.is_on()
    }

    /// Whether `checkpoint` has something to do: to make the journal, or to bring redb so much of what only
    /// the journal has that its next lap has room.
    pub(crate) fn wants_checkpoint(&self) -> bool {
        self.ahead.wants_checkpoint()
    }

    /// Makes the journal, if the store has come to want one, and brings redb what only the journal has.
    /// Others go on meanwhile.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        self.with(|opened| {
            self.ahead.make();
            self.checkpoint_in(opened, Then::GoOn)
        })
    }

    /// Whether a group is written and not yet synced.
    pub(crate) fn has_unsynced(&self) -> bool {
        self.ahead.has_unsynced()
    }

    /// Makes every group durable that `apply` has returned for, if it was told to leave that for later.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.with(|_| self.ahead.sync())
    }

    fn checkpoint_in(&self, opened: &Opened, then: Then) -> Result<(), StoreError> {
        let _turn = self.ahead.checkpointing.lock();
        // Groups go on being written meanwhile; what they leave for `freeze` to sync is little.
        self.ahead.sync()?;
        let frozen = self.ahead.freeze(then)?;
        if frozen.is_empty && then != Then::Rest {
            return Ok(());
        }
        // A journal makes redb's commits few, so that each can leave what the next opening wants to know.
        // Closing leaves that by itself.
        let commit = match then {
            Then::GoOn | Then::Rest => Commit::QuickRepair,
            Then::Close => Commit::Durable,
        };
        self.to_redb(opened, [&frozen.changes.changes, &[]], commit)?;
        self.ahead.thaw();
        Ok(())
    }

    fn to_redb(
        &self,
        opened: &Opened,
        changes: [&[Change]; 2],
        commit: Commit,
    ) -> Result<(), StoreError> {
        let before = self.used.load(Ordering::Relaxed);
        let used = apply::apply(&opened.database, self.id(), before, changes, commit)
            .map_err(|error| self.faults.call(error))?;
        self.used.store(used, Ordering::Relaxed);
        Ok(())
    }

    /// Learns how much the blocks take.
    fn load_usage(&self) -> Result<(), StoreError> {
        let used = self.read(Reader::used_bytes)?;
        self.used.store(used, Ordering::Relaxed);
        Ok(())
    }

    /// The bytes of the pages that the blocks of all streams take.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed) + self.ahead.block_bytes()
    }

    /// Reads the newest durable state. `close` waits for it, so `f` must not call `close`.
    pub(crate) fn read<T>(
        &self,
        f: impl FnOnce(&Reader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(|opened| {
            // What lies over redb and what redb has must be of one moment.
            let (layers, txn) = loop {
                let layers = self.ahead.layers();
                let txn = opened.database.begin_read()?;
                if layers.are_same(&self.ahead.layers()) {
                    break (layers, txn);
                }
            };
            f(&Reader::new(txn, self.id(), layers))
        })
    }

    /// The length of the file. redb grows it by doubling, sparsely: the disk may hold less of it.
    pub(crate) fn file_len(&self) -> Result<u64, StoreError> {
        self.with(|opened| Ok(opened.file.len()?))
    }

    #[cfg(test)]
    /// The bytes in all tables. It reads the whole store: for a report on demand.
    pub(crate) fn stored_bytes(&self) -> Result<u64, StoreError> {
        self.read(Reader::stored_bytes)
    }

    /// Closes the file and frees its lock; later calls answer `Closed`, another close does nothing.
    ///
    /// An error is the first that this open store has met, and it may be an old one. Everything
    /// that `apply` called durable is so in any case.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        if self.leaked.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        // What fails here has stopped the store, and is answered below; the journal is kept then (J11).
        let drained = self.with(|opened| self.checkpoint_in(opened, Then::Close));
        let mut slot = self.opened.write();
        // The guard is kept until the lock is free, so that whoever finds the store closed can
        // open it again.
        match slot.take() {
            None => Ok(()),
            Some(opened) => ManuallyDrop::into_inner(opened).close(&self.faults, || {
                if let (Ok(()), Some(disk)) = (&drained, &self.journal_disk) {
                    self.ahead.end(&**disk);
                }
            }),
        }
    }

    /// In a forked child: gives up this copy without touching the file, the lock, or any lock in
    /// memory that a thread of the parent may have held (R11).
    pub(crate) fn leak(&self) {
        self.leaked.store(true, Ordering::Release);
    }

    /// The failure that stopped the store, if one did.
    pub(crate) fn failure(&self) -> Result<(), StoreError> {
        self.faults
            .first()
            .map_or(Ok(()), |fault| Err(fault.into()))
    }

    fn with<T>(
        &self,
        call: impl FnOnce(&Opened) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.leaked.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        // A closure that reads may read again while a close or a compaction waits; whoever comes anew waits
        // behind that.
        let inside = Inside::enter();
        let slot = if inside.is_outermost() {
            self.opened.read()
        } else {
            self.opened.read_recursive()
        };
        let opened = slot.as_ref().ok_or(StoreError::Closed)?;
        self.faults.check()?;
        self.faults.guard(|| call(opened))
    }
}

impl Opened {
    /// The database goes first, then the lock: redb writes when it is dropped. In between, if all is well,
    /// `end` is called.
    fn close(self, faults: &Faults, end: impl FnOnce()) -> Result<(), StoreError> {
        let Self { database, file, .. } = self;
        let dropped = faults.guard(|| {
            if faults.panicked() {
                // What a panic left half done can panic again while it is dropped, and a panic inside
                // a panic ends the process. It writes nothing more in any case; its memory is leaked.
                std::mem::forget(database);
            } else {
                drop(database);
            }
            Ok(())
        });
        if faults.first().is_none() {
            // Remembered like any other: it is the failed sync that must not be forgotten.
            let _: io::Result<()> = file.sync().map_err(|error| faults.io(error));
        }
        faults.drop_cache(&*file);
        let synced = faults.first().map_or(Ok(()), |fault| Err(fault.into()));
        if dropped.is_ok() && synced.is_ok() {
            end();
        }
        let unlocked = file.unlock().map_err(StoreError::from);
        dropped.and(synced).and(unlocked)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Nobody is left to hear of an error; what was acknowledged is durable all the same.
        let _: Result<(), StoreError> = self.close();
    }
}
