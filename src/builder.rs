//! `Builder`: how a store is opened.

use crate::clock::Clock;
use crate::config::{Alerts, Durability, Limits};
use crate::disk::{Disk, FileDisk};
use crate::engine::{Engine, JOURNAL_SEGMENT, Options, Threads};
use crate::riverbed::Riverbed;
use crate::root::Root;
use crate::store::OpenError;
use std::path::Path;
use std::sync::Arc;

/// How a store is opened; made by [`Riverbed::builder`].
///
/// # Examples
///
/// ```
/// use riverbed::{ManualClock, Riverbed};
///
/// # let folder = tempfile::tempdir()?;
/// let clock = ManualClock::new();
/// let store = Riverbed::builder()
///     .cache_bytes(8 << 20)
///     .clock(clock.clock())
///     .open(folder.path().join("store"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    options: Options,
}

impl Builder {
    /// With the defaults.
    pub(crate) fn new() -> Self {
        Self {
            options: Options {
                disk: Arc::new(FileDisk::new()),
                clock: Clock::system(),
                limits: Limits::default(),
                alerts: Alerts::default(),
                cache_bytes: 64 << 20,
                threads: Threads::Own,
                identity: None,
                journal_segment: Some(JOURNAL_SEGMENT),
                durability: Durability::Synced,
            },
        }
    }

    /// Sets the memory that the store's page cache may take (64 MiB).
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.options.cache_bytes = bytes;
        self
    }

    /// Sets where time comes from (the system).
    pub fn clock(mut self, clock: Clock) -> Self {
        self.options.clock = clock;
        self
    }

    /// Sets where files are (the file system).
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.options.disk = disk;
        self
    }

    /// Sets the store's limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Sets when the store says that consumers do not get on, or that dead letters pile up
    /// ([`Alerts::default`]).
    ///
    /// # Examples
    ///
    /// See [`Alerts`].
    pub fn alerts(mut self, alerts: Alerts) -> Self {
        self.options.alerts = alerts;
        self
    }

    /// Opens the store without threads of its own: whoever calls commits, and [`Riverbed::drive`] does
    /// what time does. For deterministic tests.
    #[doc(hidden)]
    pub fn without_threads(mut self) -> Self {
        self.options.threads = Threads::None;
        self
    }

    /// A new store's identity and the secret of its hashes, which are random otherwise. For tests that
    /// are repeated to the bit.
    #[doc(hidden)]
    pub fn identity(mut self, identity: u64) -> Self {
        self.options.identity = Some(identity);
        self
    }

    /// Sets the bytes of each of the journal's three segments (1 MiB; 16 KiB to 1 GiB).
    ///
    /// While it is open, a store that is written to keeps a journal beside its file, under the file's name
    /// with `.journal` behind it: a commit is durable there with one write and one sync, and comes to the
    /// file later, many at a time. Closing the store brings all of it to the file and removes the journal.
    /// **After a crash both files are the store**: copy, move and restore them together; an open that
    /// misses the journal is refused. A larger segment lets the file be written more seldom, and takes as
    /// much more disk, and up to twice as much memory. A journal that is there keeps its size until the
    /// store is closed.
    ///
    /// A commit that would take more than an eighth of a segment goes to the file at once. So does every
    /// commit of a store with [`max_store_bytes`](crate::Limits::max_store_bytes), which keeps no journal.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::Riverbed;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let store = Riverbed::builder()
    ///     .journal_segment(4 << 20)
    ///     .open(folder.path().join("store"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn journal_segment(mut self, bytes: u64) -> Self {
        self.options.journal_segment = Some(bytes);
        self
    }

    /// Keeps no journal: every commit goes to the store's file at once, which takes three times as long for
    /// a small one, and the store is one file even while it is open and after a crash.
    ///
    /// A journal that a crash left is brought to the file first.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::Riverbed;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let store = Riverbed::builder()
    ///     .without_journal()
    ///     .open(folder.path().join("store"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn without_journal(mut self) -> Self {
        self.options.journal_segment = None;
        self
    }

    /// Sets when commits are on the disk ([`Durability::Synced`], before a call returns).
    ///
    /// With [`Durability::Written`] a commit is written to the operating system before the call returns and
    /// synced within the time that it names: calls take a fraction of the time, the death of the process
    /// still loses nothing, and **a power cut, a crash of the operating system or a sync that fails loses the
    /// newest commits**, those of the last moments. What is left is what the store was at one moment before:
    /// nothing older is missing, no commit is there in part. So after one of these
    ///
    /// * published messages may be gone though `publish` returned `Ok` (G1), and their message ids with them
    ///   (G8); their sequences are given to others (G7);
    /// * messages may have been delivered that are gone (G2), and deliveries that were counted may not be (G4);
    /// * acks, naks and terms may be gone, and their messages due again (G3);
    /// * so may be what was created, changed, purged, deleted or redriven.
    ///
    /// All of it goes back to the same moment. [`Riverbed::sync`] makes everything durable on demand; closing
    /// does, too. Until the journal is next brought to the store's file, damage to a commit in it takes along
    /// those that were written between it and the sync that followed, where otherwise it would be reported.
    ///
    /// It needs the journal: opening refuses it together with [`without_journal`](Self::without_journal) or
    /// [`max_store_bytes`](crate::Limits::max_store_bytes). Commits that go past the journal (see
    /// [`journal_segment`](Self::journal_segment)) are synced at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Durability, Riverbed, StreamConfig};
    /// use std::time::Duration;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let store = Riverbed::builder()
    ///     .durability(Durability::written(Duration::from_millis(50)))
    ///     .open(folder.path().join("metrics"))?;
    /// store.create_stream(StreamConfig::new("samples"))?;
    /// store.publish("samples", "42")?;
    /// // From here on it survives a power cut, too.
    /// store.sync()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.options.durability = durability;
        self
    }

    /// Opens the store at a path, or makes one where nothing is.
    ///
    /// # Crash safety
    ///
    /// A crash while a store is being made leaves a path where a store opens or is made anew.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: something else is there (left untouched), it is open already, it is of a newer
    /// version, it is damaged, or the system refused something.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Riverbed, OpenError> {
        let engine = Engine::open(path.as_ref(), self.options)?;
        Ok(Riverbed {
            root: Arc::new(Root { engine }),
        })
    }
}
