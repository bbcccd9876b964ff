//! What a fetch reads: outside the lock, and before anything is claimed (R12).

use super::Engine;
use super::core::Core;
use super::load::read_run;
use super::scan::{Found, Scan};
use crate::error::FetchError;
use crate::state::{Capacity, NewMessages, ReplayBound, Stored, Stream};
use crate::store::{Reader, StoreError};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

/// What is read for a fetch, and what it was planned on.
pub(super) struct Reading {
    pub(super) due: Vec<u64>,
    /// Due messages that are still in memory.
    pub(super) recent: HashMap<u64, Arc<Stored>>,
    pub(super) new: Option<Scan>,
    pub(super) stream: u32,
    pub(super) evictions: u64,
    /// How often the consumer was set to another place.
    pub(super) moves: u64,
    pub(super) capacity: Capacity,
    /// After so many bytes nothing more may be claimed.
    pub(super) enough: u64,
    /// From here on messages are not to come yet.
    pub(super) replay: Option<ReplayBound>,
}

impl Reading {
    /// The first of some due messages, from memory or with what its block has of the others.
    fn due_run(
        &self,
        reader: &Reader,
        due: &[u64],
        bytes: u64,
    ) -> Result<Vec<Option<Arc<Stored>>>, StoreError> {
        if let Some(stored) = due.first().and_then(|seq| self.recent.get(seq)) {
            return Ok(vec![Some(Arc::clone(stored))]);
        }
        let on_disk = due.iter().copied();
        let on_disk = on_disk.take_while(|seq| !self.recent.contains_key(seq));
        let run = read_run(reader, self.stream, on_disk, bytes)?;
        Ok(run.into_iter().map(|stored| stored.map(Arc::new)).collect())
    }
}

/// Whose turn it is to read the new messages of a consumer: others would read the same and claim nothing.
#[derive(Debug, Default)]
pub(crate) struct ReadTurn {
    held: Mutex<()>,
    counts: AtomicBool,
}

/// The turn of whoever counts a consumer's messages.
pub(super) struct Counting<'a> {
    turn: &'a ReadTurn,
    _held: MutexGuard<'a, ()>,
}

impl ReadTurn {
    pub(crate) fn take(&self) -> MutexGuard<'_, ()> {
        self.held.lock()
    }

    pub(super) fn take_to_count(&self) -> Counting<'_> {
        let held = self.take();
        self.counts.store(true, Ordering::Relaxed);
        Counting {
            turn: self,
            _held: held,
        }
    }

    /// Whether somebody counts, who may read all that is stored.
    pub(super) fn is_long(&self) -> bool {
        self.counts.load(Ordering::Relaxed)
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.turn.counts.store(false, Ordering::Relaxed);
    }
}

/// The turns of the consumers with handles.
#[derive(Debug, Default)]
pub(super) struct Readings(Mutex<BTreeMap<u32, Weak<ReadTurn>>>);

impl Readings {
    fn of(&self, consumer: u32) -> Arc<ReadTurn> {
        let mut known = self.0.lock();
        if let Some(reading) = known.get(&consumer).and_then(Weak::upgrade) {
            return reading;
        }
        known.retain(|_, reading| reading.strong_count() > 0);
        let reading = Arc::default();
        known.insert(consumer, Arc::downgrade(&reading));
        reading
    }
}

impl Engine {
    /// Whose turn it is to read for a consumer.
    pub(crate) fn reading_of(&self, consumer: u32) -> Arc<ReadTurn> {
        self.readings.of(consumer)
    }

    /// Reads the due messages, then new ones.
    pub(super) fn read_for(&self, reading: &Reading) -> Result<Found, FetchError> {
        let (mut left, mut enough) = (reading.capacity, reading.enough);
        let mut replay = reading.replay;
        let read = self.store.read(|reader| {
            let mut found = Found::default();
            let mut due = reading.due.as_slice();
            while !due.is_empty() {
                let run = reading.due_run(reader, due, left.bytes.min(enough))?;
                due = due.get(run.len()..).unwrap_or_default();
                for stored in run.into_iter().flatten() {
                    left.messages -= 1;
                    left.bytes = left.bytes.saturating_sub(stored.size());
                    enough = enough.saturating_sub(stored.size());
                    found.messages.push(stored);
                    if left.bytes == 0 || enough == 0 {
                        return Ok(found);
                    }
                }
            }
            if let Some(scan) = &reading.new {
                let scan = Scan {
                    messages: left.messages,
                    bytes: left.bytes,
                    ..scan.clone()
                };
                let new = scan.collect_until(reader, |stored| {
                    enough = enough.saturating_sub(stored.size());
                    enough == 0
                        || replay
                            .as_mut()
                            .is_some_and(|bound| bound.holds_back(stored))
                })?;
                found.messages.extend(new.messages);
                found.next = new.next;
            }
            Ok(found)
        });
        Ok(read.map_err(|why| self.failed(why))?)
    }
}

impl Core {
    pub(super) fn reading(
        &self,
        id: u32,
        due: Vec<u64>,
        new: Option<NewMessages>,
        capacity: Capacity,
    ) -> Reading {
        let consumer = self.state.consumer(id);
        let (stream, moves) = consumer.map_or((0, 0), |known| (known.stream, known.moves));
        let known = self.state.stream(stream);
        let recent = known
            .into_iter()
            .flat_map(|known| due.iter().filter_map(|seq| known.recent.get(*seq)));
        let recent = recent
            .map(|stored| (stored.seq, Arc::new(stored.clone())))
            .collect();
        let scan = |new: NewMessages| Scan {
            stream,
            from: new.from,
            to: new.stored_to,
            filters: new.filters,
            purges: self.state.purge_marks(stream),
            has_holes: known.is_some_and(Stream::has_hole_rows),
            messages: 0,
            bytes: 0,
        };
        Reading {
            recent,
            new: new.filter(|new| new.from <= new.stored_to).map(scan),
            stream,
            evictions: known.map_or(0, |known| known.windows.evictions()),
            moves,
            due,
            capacity,
            replay: consumer.map(|known| known.replay_bound(self.state.mono)),
            enough: consumer.map_or(0, |known| known.bytes_by_rate(self.state.mono)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read_run;
    use crate::clock::ManualClock;
    use crate::config::StreamConfig;
    use crate::disk::MemoryDisk;
    use crate::engine::tests::open;

    #[test]
    fn a_run_ends_with_its_block_and_its_bytes() {
        let store = open(&MemoryDisk::new(), &ManualClock::new());
        let log = store.create_stream(StreamConfig::new("log")).unwrap();
        let messages = (0..20_000).map(|n| ("log", n.to_string()));
        log.publish_batch(messages).unwrap();
        let run = |seqs: &[u64], bytes| {
            let seqs = seqs.iter().copied();
            let engine = &log.root.engine;
            let run = engine
                .store
                .read(|reader| read_run(reader, 1, seqs, bytes))
                .unwrap();
            let shown = run
                .into_iter()
                .map(|stored| stored.map(|stored| stored.seq));
            shown.collect::<Vec<_>>()
        };
        assert_eq!(run(&[3, 9, 4], u64::MAX), [Some(3), Some(9), Some(4)]);
        assert_eq!(run(&[3, 19_999, 4], u64::MAX), [Some(3)]);
        assert_eq!(
            run(&[19_999, 20_000], u64::MAX),
            [Some(19_999), Some(20_000)]
        );
        // The bytes of a message are its subject's and its payload's.
        assert_eq!(run(&[3, 9, 4], 4), [Some(3)]);
        assert_eq!(run(&[3, 9, 4], 5), [Some(3), Some(9)]);
        assert_eq!(run(&[99_999, 3], u64::MAX), [None]);
        assert_eq!(run(&[], u64::MAX), []);
    }
}
