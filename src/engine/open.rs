//! Opening: rows become the state, and what was outstanding is due again (R17).

use super::blocks::Tails;
use super::core::Core;
use super::load::read_message;
use super::store_time::StoreTime;
use super::{Engine, threads};
use crate::clock::Clock;
use crate::config::{Alerts, Durability, Limits};
use crate::disk::Disk;
use crate::error::Unavailable;
use crate::state::{Recovered, Room, State, TABLES};
use crate::store::{JournalOptions, OpenError, Reader, Store, StoreError, StoreOptions, Syncing};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use std::collections::BTreeSet;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::Path;
use std::sync::Arc;

/// How a store is opened.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) alerts: Alerts,
    pub(crate) cache_bytes: usize,
    pub(crate) threads: Threads,
    /// In place of what a new store draws at random, so that a test can be repeated to the bit.
    pub(crate) identity: Option<u64>,
    /// Bytes of a segment of the journal that groups go to first; `None` without one.
    pub(crate) journal_segment: Option<u64>,
    pub(crate) durability: Durability,
}

/// Bytes of a segment, by default. A checkpoint takes half of one, about as much as redb commits without
/// holding up publishers for long.
pub(crate) const JOURNAL_SEGMENT: u64 = 1 << 20;
/// What a segment may have.
const JOURNAL_SEGMENTS: RangeInclusive<u64> = 16 << 10..=1 << 30;

/// Whether the store runs threads of its own, or is driven by hand (R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    Own,
    None,
}

impl Options {
    fn validate(&self) -> Result<(), String> {
        self.durability.validate()?;
        if self.durability != Durability::Synced {
            let without = |setting: &str| {
                Err(format!(
                    "Durability::Written together with {setting}: commits are written without a sync to a journal \
                     only, and this keeps none; leave out one of the two"
                ))
            };
            if self.journal_segment.is_none() {
                return without("without_journal");
            }
            if self.limits.max_store_bytes.is_some() {
                return without("max_store_bytes");
            }
        }
        match self.journal_segment {
            Some(bytes) if !JOURNAL_SEGMENTS.contains(&bytes) => Err(format!(
                "a journal's segment of {bytes} bytes; 16 KiB to 1 GiB are allowed, and a store can go without a journal"
            )),
            _ => self.alerts.validate().and_then(|()| self.limits.validate()),
        }
    }
}

impl Engine {
    /// Opens the store, makes every outstanding attempt end, and starts the threads.
    pub(crate) fn open(path: &Path, options: Options) -> Result<Arc<Self>, OpenError> {
        options.validate().map_err(|what| OpenError::Limits {
            path: path.to_owned(),
            what,
        })?;
        let now = options.clock.now().as_micros();
        let store_options = StoreOptions {
            cache_bytes: options.cache_bytes,
            now_ms: now / 1_000,
            identity: options.identity,
            journal: journal_options(&options),
        };
        let store = Store::open(&*options.disk, path, &store_options)?;
        let damaged = |what: String| OpenError::Damaged {
            path: path.to_owned(),
            what,
        };
        let recovered = store
            .read(recover)
            .map_err(OpenError::database(path, "reading"))?;
        let room = Room::new(&options.limits, store.used_bytes());
        let secret = new_secret(path, options.identity)?;
        let limits = &options.limits;
        let bounds = (
            limits.subjects_per_stream,
            limits.scheduled_per_stream,
            limits.ttls_per_stream,
        );
        let mut state = recovered
            .finish(secret, now, bounds, room)
            .map_err(|why| damaged(why.to_string()))?;
        let purged = store
            .read(|reader| purged_in_flight(reader, &state))
            .map_err(OpenError::database(path, "reading"))?;
        state.end_outstanding_attempts(&purged);
        let time = StoreTime::anchored(&options.clock, state.now);
        state.start_watching(options.clock.mono());
        let standing = state.begin_alerts(options.alerts, options.clock.mono());
        let engine = Arc::new(Self {
            core: Mutex::new(Core::new(state, time, &standing)),
            store,
            clock: options.clock,
            limits: options.limits,
            sweeper: Arc::default(),
            committer: Arc::default(),
            checkpointer: Arc::default(),
            durability: options.durability,
            sync_due: Mutex::default(),
            joined: AtomicUsize::new(0),
            tails: Mutex::new(Tails::new()),
            spent: Mutex::default(),
            held: AtomicBool::new(false),
            threads: options.threads,
            readings: super::reading::Readings::default(),
            process: std::process::id(),
        });
        engine
            .begin(options.threads)
            .inspect_err(|_| engine.close_quietly())
            .map_err(|why| match why {
                Begun::Threads(source) => OpenError::Io {
                    path: path.to_owned(),
                    context: "starting the threads of",
                    source,
                },
                Begun::Stopped(why) => OpenError::database(path, "opening")(why),
                Begun::Unavailable(why) => match engine.core.lock().poisoned() {
                    Some(failure) => failure.opening(path),
                    None => damaged(why.to_string()),
                },
            })?;
        Ok(engine)
    }

    /// The first commit: the new epoch, and what the last process left outstanding. Everything else
    /// waits for it.
    fn begin(self: &Arc<Self>, threads: Threads) -> Result<(), Begun> {
        let group = self.core.lock().state.group;
        let begun = self.wait(group).and_then(|()| self.sweep_failures());
        // Damage of a page stops the store: whoever opens it again would only meet it again.
        let failure = self.store.failure();
        if let Err(why @ StoreError::Damaged { .. }) = failure {
            return Err(Begun::Stopped(why));
        }
        begun.map_err(Begun::Unavailable)?;
        // So does a failure of the disk that cost the commits so far nothing.
        failure.map_err(Begun::Stopped)?;
        match threads {
            Threads::Own => threads::start(self).map_err(Begun::Threads),
            Threads::None => Ok(()),
        }
    }

    /// Gives up what died alone too often, before anybody can fetch. A damaged block that shows up is
    /// reported to whoever reads it, not to whoever opens.
    fn sweep_failures(&self) -> Result<(), Unavailable> {
        match self.sweep() {
            Ok(()) | Err(Unavailable::Damaged { .. }) => Ok(()),
            Err(why) => Err(why),
        }
    }
}

/// Segments begin and end where pages do.
const PAGE: u64 = 4096;

/// A bound on the store's bytes must know at once what is freed, which a journal tells late.
fn journal_options(options: &Options) -> Option<JournalOptions> {
    let segment_bytes = options.journal_segment?;
    options
        .limits
        .max_store_bytes
        .is_none()
        .then(|| JournalOptions {
            disk: Arc::clone(&options.disk),
            segment_bytes: segment_bytes.next_multiple_of(PAGE),
            identity: options.identity,
            syncing: match options.durability {
                Durability::Synced => Syncing::Each,
                Durability::Written { .. } => Syncing::Later,
            },
        })
}

/// What keys the hashes of message ids, should the store be a new one (R22).
fn new_secret(path: &Path, identity: Option<u64>) -> Result<[u8; 16], OpenError> {
    let mut secret = [0; 16];
    if let Some(identity) = identity {
        return Ok(u128::from(identity).to_le_bytes());
    }
    getrandom::fill(&mut secret).map_err(|why| OpenError::Io {
        path: path.to_owned(),
        context: "asking the system for a random secret for",
        source: std::io::Error::other(why.to_string()),
    })?;
    Ok(secret)
}

/// Why opening did not get to its end.
enum Begun {
    Unavailable(Unavailable),
    /// A damaged page was read.
    Stopped(StoreError),
    Threads(std::io::Error),
}

/// What was in flight, and purged by a purge that a crash interrupted. Damage is reported to whoever
/// reads it, not to whoever opens.
fn purged_in_flight(reader: &Reader, state: &State) -> Result<BTreeSet<(u32, u64)>, StoreError> {
    let mut purged = BTreeSet::new();
    for (id, seq) in state.in_flight_under_marks() {
        let Some(stream) = state.stream(id) else {
            continue;
        };
        match read_message(reader, id, seq) {
            Ok(Some(stored)) if stream.is_purged(seq, &stored.subject) => {
                purged.insert((id, seq));
            }
            Ok(_) | Err(StoreError::Damaged { .. }) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(purged)
}

fn recover(reader: &Reader) -> Result<Recovered, StoreError> {
    let mut recovered = Recovered::default();
    for table in TABLES {
        let mut failed = None;
        reader.rows(table, None, 0, |key, value| {
            match recovered.row(key, value) {
                Ok(()) => ControlFlow::Continue(()),
                Err(why) => {
                    let place = format!("{table:?} {} {}: {why}", key.id, key.part);
                    failed = Some(StoreError::Damaged { place });
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(why) = failed {
            return Err(why);
        }
    }
    Ok(recovered)
}
