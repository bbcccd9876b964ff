//! `Ahead`: the journal, and what is durable in it and not yet in redb.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::error::StoreError;
use super::fault::Faults;
use super::journal::{Journal, Room};
use super::layers::{Layer, Layers};
use super::mark::{Expected, Mark};
use crate::changes::{Change, Changes};
use crate::disk::Disk;
use crate::format::journal::Head;

/// Where a store's journal is kept, and how large it is.
#[derive(Clone, Debug)]
pub(crate) struct JournalOptions {
    pub(crate) disk: Arc<dyn Disk>,
    /// Bytes of each of its three segments.
    pub(crate) segment_bytes: u64,
    /// Its identity, which is random otherwise.
    pub(crate) identity: Option<u64>,
    pub(crate) syncing: Syncing,
}

/// When a group that is in the journal is synced there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Syncing {
    /// Before the next one is written, and before anybody hears of it (J2).
    #[default]
    Each,
    /// When somebody asks, and before redb takes it (J12).
    Later,
}

/// Commits that an open store does without a journal, before it is worth making one.
const COMMITS_BEFORE: u32 = 4;
/// Where none could be made, for want of room most likely, so many times as many commits pass until it is
/// tried again: each attempt fills what room there is, and gives it back.
const PATIENCE: u32 = 16;

/// Bytes of blocks that may come together in memory before redb takes them, if segments are small: one that
/// grows is whole there, and only what it gained is in the journal (J10).
const BLOCKS_IN_MEMORY: u64 = 8 << 20;

/// The journal's file stands beside the store's.
pub(super) fn journal_path(store: &Path) -> PathBuf {
    let mut name = store.file_name().map(OsString::from).unwrap_or_default();
    name.push(".journal");
    store.with_file_name(name)
}

/// Whether there is a journal.
#[derive(Debug)]
enum Slot {
    Off,
    /// None yet; it is worth making after so many more commits.
    Later {
        options: JournalOptions,
        commits: u32,
        wait: u32,
    },
    /// The next checkpoint makes it.
    Wanted {
        options: JournalOptions,
        wait: u32,
    },
    /// It is filled and synced, and redb does not know of it: the next group tells it.
    Ready(Journal),
    On(Journal),
    /// redb is told to expect it no more; which it was.
    Ended {
        journal: u64,
    },
}

impl Slot {
    /// A journal that is ready is used from now on; what redb must know of it.
    fn begin_use(&mut self) -> Option<Mark> {
        match std::mem::replace(self, Self::Off) {
            Self::Ready(journal) => {
                let mark = journal.mark();
                *self = Self::On(journal);
                Some(mark)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// The store closes before a journal was used, and none is to be made any more.
    fn end_before_use(&mut self) {
        match self {
            Self::Ready(unused) => {
                let journal = unused.mark().journal;
                *self = Self::Ended { journal };
            }
            Self::Later { .. } | Self::Wanted { .. } => *self = Self::Off,
            Self::Off | Self::On(_) | Self::Ended { .. } => {}
        }
    }
}

/// What follows when redb has everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The next lap.
    GoOn,
    /// Nothing, for a while.
    Rest,
    /// Nothing: no journal is expected any more.
    Close,
}

/// What became of a group.
pub(super) enum Taken {
    /// It is as durable as the journal makes it.
    Durable,
    /// redb must take what is in memory first; then ask again.
    AfterCheckpoint,
    /// It goes to redb at once, with these changes beside its own.
    Direct(Vec<Change>),
}

/// What a checkpoint brings to redb.
pub(super) struct Frozen {
    pub(super) changes: Changes,
    /// Whether there is anything in it.
    pub(super) is_empty: bool,
}

#[derive(Debug)]
pub(super) struct Ahead {
    slot: Mutex<Slot>,
    /// The newest first; the second, if there is one, is on its way to redb.
    layers: RwLock<Vec<Layer>>,
    /// One checkpoint at a time.
    pub(super) checkpointing: Mutex<()>,
    /// Held while a journal is made, which takes a while and stops nobody.
    making: Mutex<()>,
    syncing: Syncing,
    store: u64,
    path: PathBuf,
    faults: Arc<Faults>,
}

impl Ahead {
    /// Of a store whose redb expects no journal.
    pub(super) fn new(
        store: u64,
        path: &Path,
        options: Option<JournalOptions>,
        faults: &Arc<Faults>,
    ) -> Self {
        let syncing = options
            .as_ref()
            .map_or(Syncing::Each, |options| options.syncing);
        let slot = options.map_or(Slot::Off, |options| Slot::Later {
            options,
            commits: COMMITS_BEFORE,
            wait: COMMITS_BEFORE,
        });
        Self::with(store, path, slot, syncing, faults)
    }

    /// Of a store that goes on in a journal.
    pub(super) fn going_on(
        store: u64,
        path: &Path,
        journal: Journal,
        syncing: Syncing,
        faults: &Arc<Faults>,
    ) -> Self {
        Self::with(store, path, Slot::On(journal), syncing, faults)
    }

    fn with(store: u64, path: &Path, slot: Slot, syncing: Syncing, faults: &Arc<Faults>) -> Self {
        Self {
            slot: Mutex::new(slot),
            layers: RwLock::new(vec![Layer::default()]),
            checkpointing: Mutex::new(()),
            making: Mutex::new(()),
            syncing,
            store,
            path: journal_path(path),
            faults: Arc::clone(faults),
        }
    }

    /// What lies over redb now. Ask before redb is read: what leaves here is in redb by then.
    pub(super) fn layers(&self) -> Layers {
        Layers(self.layers.read().clone())
    }

    /// Whether redb should take what is in memory, or a journal should be made.
    pub(super) fn wants_checkpoint(&self) -> bool {
        let half_full = match &*self.slot.lock() {
            Slot::On(journal) => {
                journal.is_half_full() || self.active_bytes() > most_in_memory(journal) / 2
            }
            Slot::Wanted { .. } => return true,
            Slot::Off | Slot::Later { .. } | Slot::Ready(_) | Slot::Ended { .. } => false,
        };
        half_full && !self.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.layers
            .read()
            .iter()
            .all(|layer| layer.read().is_empty())
    }

    /// Bytes of the pages of the blocks that are in memory and not on their way to redb.
    fn active_bytes(&self) -> u64 {
        let layers = self.layers.read();
        layers
            .first()
            .map_or(0, |active| active.read().block_bytes())
    }

    /// Bytes of the pages that its blocks will take in redb.
    pub(super) fn block_bytes(&self) -> u64 {
        let layers = self.layers.read();
        layers.iter().map(|layer| layer.read().block_bytes()).sum()
    }

    /// Writes a group to the journal, if it is to go there: durable, unless that is left for later.
    pub(super) fn take(&self, changes: &Changes) -> Result<Taken, StoreError> {
        let mut slot = self.slot.lock();
        if let Some(mark) = slot.begin_use() {
            return Ok(Taken::Direct(vec![Expected::This(mark).change()]));
        }
        if let Slot::Later {
            options,
            commits,
            wait,
        } = &mut *slot
        {
            *commits = commits.saturating_sub(1);
            if *commits == 0 {
                let (options, wait) = (options.clone(), *wait);
                *slot = Slot::Wanted { options, wait };
            }
        }
        let Slot::On(journal) = &mut *slot else {
            return Ok(Taken::Direct(Vec::new()));
        };
        match journal.room_for(changes) {
            Room::Fits(_) if self.active_bytes() > most_in_memory(journal) => {
                Ok(Taken::AfterCheckpoint)
            }
            Room::Fits(record) => {
                journal.append(record, self.syncing)?;
                if let Some(active) = self.layers.read().first() {
                    active.write().absorb(changes);
                }
                Ok(Taken::Durable)
            }
            Room::TooLarge if journal.is_at_start() && self.is_empty() => {
                let mark = journal.skip();
                Ok(Taken::Direct(vec![Expected::This(mark).change()]))
            }
            Room::Full | Room::TooLarge => Ok(Taken::AfterCheckpoint),
        }
    }

    /// Makes the journal, if one is wanted. Groups go to redb meanwhile.
    pub(super) fn make(&self) {
        let _turn = self.making.lock();
        let wanted = match &*self.slot.lock() {
            Slot::Wanted { options, wait } => {
                Some((options.clone(), wait.saturating_mul(PATIENCE)))
            }
            _ => None,
        };
        let Some((options, wait)) = wanted else {
            return;
        };
        let made = self.create(&options);
        // Only this makes another slot of one that wants a journal, or closing, which waits for it.
        *self.slot.lock() = match made {
            Ok(journal) => Slot::Ready(journal),
            Err(_) => Slot::Later {
                options,
                commits: wait,
                wait,
            },
        };
    }

    fn create(&self, options: &JournalOptions) -> io::Result<Journal> {
        let random = || getrandom::u64().map_err(|why| io::Error::other(why.to_string()));
        let head = Head {
            store: self.store,
            journal: options.identity.map_or_else(random, Ok)?,
            segment: options.segment_bytes,
        };
        Journal::create(&*options.disk, &self.path, head, &self.faults)
    }

    /// Takes what is in memory out for redb; from now on the next lap is written. Call it in turn.
    pub(super) fn freeze(&self, then: Then) -> Result<Frozen, StoreError> {
        let _made = (then == Then::Close).then(|| self.making.lock());
        let mut slot = self.slot.lock();
        let mut changes = Changes::default();
        let Slot::On(journal) = &mut *slot else {
            if then == Then::Close {
                slot.end_before_use();
            }
            return Ok(Frozen {
                changes,
                is_empty: true,
            });
        };
        // redb takes only what the journal has for good (J1).
        journal.sync()?;
        let mut layers = self.layers.write();
        let active = layers.first().cloned().unwrap_or_default();
        if active.read().is_empty() && journal.is_at_start() && then != Then::Close {
            return Ok(Frozen {
                changes,
                is_empty: true,
            });
        }
        let mark = journal.next_lap();
        layers.insert(0, Layer::default());
        drop(layers);
        if then == Then::Close {
            *slot = Slot::Ended {
                journal: mark.journal,
            };
        }
        drop(slot);
        changes.changes = active.read().to_changes();
        let expected = match then {
            Then::GoOn | Then::Rest => Expected::This(mark),
            Then::Close => Expected::Ended {
                journal: mark.journal,
            },
        };
        changes.changes.push(expected.change());
        Ok(Frozen {
            changes,
            is_empty: false,
        })
    }

    /// Whether a group is in the journal and not synced there.
    pub(super) fn has_unsynced(&self) -> bool {
        matches!(&*self.slot.lock(), Slot::On(journal) if journal.has_unsynced())
    }

    /// Syncs what is in the journal. Groups go on being written to it meanwhile.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let written = match &*self.slot.lock() {
            Slot::On(journal) if journal.has_unsynced() => journal.written(),
            _ => return Ok(()),
        };
        written.sync()?;
        if let Slot::On(journal) = &mut *self.slot.lock() {
            journal.is_synced(&written);
        }
        Ok(())
    }

    /// What was frozen is in redb, durably.
    pub(super) fn thaw(&self) {
        self.layers.write().truncate(1);
    }

    pub(super) fn is_on(&self) -> bool {
        matches!(*self.slot.lock(), Slot::On(_))
    }

    /// Whether no group is in the journal yet: what goes to redb says for the first times that it is expected.
    pub(super) fn is_new(&self) -> bool {
        matches!(&*self.slot.lock(), Slot::On(journal) if journal.mark().number <= 1)
    }

    /// Whether redb was told to expect no journal any more.
    pub(super) fn has_ended(&self) -> bool {
        matches!(*self.slot.lock(), Slot::Ended { .. })
    }

    /// redb has everything and expects no journal: its file goes. Call it while the store's file is locked:
    /// whoever opens it next may make a journal of the same name.
    pub(super) fn end(&self, disk: &dyn Disk) {
        let had = std::mem::replace(&mut *self.slot.lock(), Slot::Off);
        if let Slot::Ended { journal } = had {
            Journal::remove_ended(disk, &self.path, self.store, journal);
        }
    }
}

fn most_in_memory(journal: &Journal) -> u64 {
    BLOCKS_IN_MEMORY.max(2 * journal.segment_bytes())
}
