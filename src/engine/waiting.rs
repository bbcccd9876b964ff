//! Who waits: fetches for messages, publishers for room.

use super::ask::Ask;
use super::core::Core;
use crate::clock::Signal;
use crate::state::{Capacity, Claimed, Nothing, Precedence, Sealed};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// By consumer and rank: the earlier priority, then the earlier come.
    fetches: BTreeMap<u32, VecDeque<Arc<WaitingFetch>>>,
    /// By consumer: fetches that were woken and have not looked yet. They wait no more, and have not been passed by.
    returning: BTreeMap<u32, Vec<Arc<WaitingFetch>>>,
    /// By stream.
    publishers: BTreeMap<u32, Vec<Arc<Signal>>>,
    /// Callers in the last group: what the next leader waits for.
    pub(crate) last_group: usize,
    /// Fetches that the open group serves; they wake when it is durable.
    served: Vec<Arc<WaitingFetch>>,
    /// Places given out.
    places: u64,
    /// How often the store had freed bytes when publishers were last woken for that.
    freed: u64,
}

/// A fetch that found nothing.
#[derive(Debug)]
pub(crate) struct WaitingFetch {
    pub(crate) asked: Capacity,
    pub(crate) precedence: Precedence,
    pub(crate) signal: Arc<Signal>,
    service: Service,
    /// What a commit claimed for it, and that commit's group.
    served: Mutex<Option<(Vec<Claimed>, u64)>>,
    /// Its place in the queue; it keeps it when it was woken in vain. 0 until it has one.
    place: AtomicU64,
}

/// How a waiting fetch comes to its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    /// The commit that publishes may claim for it.
    ByCommits,
    /// It is woken and looks: it waits for other consumers too, and some come first.
    ByItself,
}

impl WaitingFetch {
    pub(crate) fn new(ask: &Ask) -> Arc<Self> {
        Self::with(ask, Arc::default(), Service::ByCommits)
    }

    /// One of several, for a consumer each, that one thread waits with.
    pub(super) fn of_several(ask: &Ask, signal: &Arc<Signal>) -> Arc<Self> {
        Self::with(ask, Arc::clone(signal), Service::ByItself)
    }

    fn with(ask: &Ask, signal: Arc<Signal>, service: Service) -> Arc<Self> {
        Arc::new(Self {
            asked: ask.capacity,
            precedence: ask.precedence,
            signal,
            service,
            served: Mutex::default(),
            place: AtomicU64::new(0),
        })
    }

    fn place(&self) -> u64 {
        self.place.load(Ordering::Relaxed)
    }

    /// Whether it was among those that wait.
    pub(crate) fn has_waited(&self) -> bool {
        self.place() > 0
    }

    /// Its place among those that wait.
    fn rank(&self) -> (u8, u64) {
        (self.precedence.priority, self.place())
    }

    pub(crate) fn take_served(&self) -> Option<(Vec<Claimed>, u64)> {
        self.served.lock().take()
    }
}

impl Core {
    pub(crate) fn add_fetch(&mut self, consumer: u32, fetch: &Arc<WaitingFetch>) {
        if fetch.place() == 0 {
            self.waiting.places += 1;
            fetch.place.store(self.waiting.places, Ordering::Relaxed);
        }
        let queue = self.waiting.fetches.entry(consumer).or_default();
        let at = queue.partition_point(|known| known.rank() < fetch.rank());
        queue.insert(at, Arc::clone(fetch));
        self.count_waiting(consumer);
    }

    /// A fetch waits no more; says whether it did.
    pub(crate) fn remove_fetch(&mut self, consumer: u32, fetch: &Arc<WaitingFetch>) -> bool {
        let Some(queue) = self.waiting.fetches.get_mut(&consumer) else {
            return false;
        };
        let before = queue.len();
        queue.retain(|known| !Arc::ptr_eq(known, fetch));
        let waited = queue.len() < before;
        if queue.is_empty() {
            self.waiting.fetches.remove(&consumer);
        }
        self.count_waiting(consumer);
        waited
    }

    /// A fetch was woken, and looks as soon as it can.
    pub(crate) fn note_returning(&mut self, consumer: u32, fetch: &Arc<WaitingFetch>) {
        let returning = self.waiting.returning.entry(consumer).or_default();
        returning.push(Arc::clone(fetch));
    }

    /// A fetch looks now: what comes from here on is for those that wait.
    pub(super) fn begin_look(&mut self, consumer: u32, fetch: &Arc<WaitingFetch>) {
        self.forget_returning(consumer, fetch);
        if fetch.service == Service::ByItself {
            // It kept its place until now, while it looked at other consumers.
            self.remove_fetch(consumer, fetch);
        }
    }

    /// It looks now, or ends.
    pub(crate) fn forget_returning(&mut self, consumer: u32, fetch: &Arc<WaitingFetch>) {
        if let Some(returning) = self.waiting.returning.get_mut(&consumer) {
            returning.retain(|known| !Arc::ptr_eq(known, fetch));
            if returning.is_empty() {
                self.waiting.returning.remove(&consumer);
            }
        }
    }

    fn count_waiting(&mut self, consumer: u32) {
        let waiting = self.waiting.fetches.get(&consumer).map_or(0, VecDeque::len) as u64;
        if let Some(consumer) = self.state.consumers.get_mut(&consumer) {
            consumer.waiting = waiting;
        }
    }

    /// Wakes the first fetch of a consumer that may be served; it wakes the next when there is more than it takes.
    pub(crate) fn wake_fetch(&self, consumer: u32) {
        if let Some(first) = self.first_waiting(consumer) {
            first.signal.raise();
        }
    }

    /// The same if there is something for it: whoever wakes in vain may miss its turn.
    pub(crate) fn wake_for_more(&self, consumer: u32) {
        if self.state.has_more(consumer) && !self.state.waits_for_time(consumer) {
            self.wake_fetch(consumer);
        }
    }

    /// Wakes a fetch for which there may be an answer: messages, or that the consumer is gone.
    pub(super) fn wake_next(&self, consumer: u32) {
        if self.state.consumer(consumer).is_none() {
            self.wake_fetch(consumer);
        } else {
            self.wake_for_more(consumer);
        }
    }

    /// Wakes the first fetch that may be served, unless that is this one.
    pub(crate) fn wake_other_fetch(&self, consumer: u32, fetch: &Arc<WaitingFetch>) {
        let first = self.first_waiting(consumer);
        if let Some(first) = first.filter(|first| !Arc::ptr_eq(first, fetch)) {
            first.signal.raise();
        }
    }

    /// The first fetch that may be served.
    fn first_waiting(&self, consumer: u32) -> Option<&Arc<WaitingFetch>> {
        let mut waiting = self.waiting.fetches.get(&consumer)?.iter();
        waiting.find(|fetch| self.may_serve(consumer, fetch))
    }

    fn may_serve(&self, consumer: u32, fetch: &WaitingFetch) -> bool {
        let below = self.state.below_minimum(consumer, fetch.precedence);
        below.is_none()
    }

    /// Why a fetch leaves the messages that there are to others.
    pub(crate) fn gives_way(&self, consumer: u32, fetch: &WaitingFetch) -> Option<Nothing> {
        let below = self.state.below_minimum(consumer, fetch.precedence);
        let earlier =
            |other: &&Arc<WaitingFetch>| other.precedence.priority < fetch.precedence.priority;
        let waits = || self.first_waiting(consumer).filter(earlier);
        let returns = || {
            let mut returning = self.waiting.returning.get(&consumer)?.iter();
            returning.find(|other| earlier(other) && self.may_serve(consumer, other))
        };
        below.or_else(|| waits().or_else(returns).map(|_| Nothing::OthersFirst))
    }

    /// Wakes a fetch of every consumer that may have something: a message that became due, or room
    /// for a new one because another was given up.
    pub(crate) fn wake_due(&self) {
        for id in self.waiting.fetches.keys() {
            self.wake_next(*id);
        }
    }

    /// Claims the open group's new messages for fetches that wait for them, so that one commit
    /// publishes and delivers (the claim is in the message's own group, R1).
    pub(crate) fn serve_waiting(&mut self) {
        if self.waiting.fetches.is_empty() || self.closing {
            return;
        }
        let group = self.state.group;
        let consumers = self
            .state
            .open_streams()
            .flat_map(|stream| &stream.consumers);
        let waits = |id: &&u32| self.waiting.fetches.contains_key(id);
        let ids: Vec<u32> = consumers.filter(waits).copied().collect();
        for id in ids {
            while let Some(first) = self.first_waiting(id) {
                if first.service == Service::ByItself {
                    // It is woken when this is durable, and wakes the next for what it leaves.
                    break;
                }
                let fetch = Arc::clone(first);
                if self.gives_way(id, &fetch).is_some() {
                    // One that was woken comes first, and wakes the next itself.
                    break;
                }
                let Some(claimed) = self.state.claim_recent(id, fetch.asked) else {
                    break;
                };
                *fetch.served.lock() = Some((claimed, group));
                self.remove_fetch(id, &fetch);
                // It waited until now, also where no lease says that somebody is at work.
                let mono = self.state.mono;
                self.state.note_activity(id, mono);
                self.waiting.served.push(fetch);
            }
        }
    }

    /// A group is durable: wakes the fetches that it served, and one for each consumer that it has
    /// more for; wakes publishers whose streams have room.
    pub(crate) fn wake_after_commit(&mut self, sealed: &Sealed) {
        for fetch in std::mem::take(&mut self.waiting.served) {
            fetch.signal.raise();
        }
        let freed = self.state.room.freed;
        if std::mem::replace(&mut self.waiting.freed, freed) != freed {
            self.waiting.wake_publishers();
        }
        for stream in sealed.eased() {
            self.wake_all_publishers(stream);
        }
        for stream in sealed.streams() {
            if self.waiting.fetches.is_empty() {
                continue;
            }
            let Some(stream) = self.state.stream(stream) else {
                continue;
            };
            for consumer in &stream.consumers {
                self.wake_for_more(*consumer);
            }
        }
    }

    /// Registers a publisher that waits for room in a stream.
    pub(crate) fn add_publisher(&mut self, stream: u32, signal: &Arc<Signal>) {
        let waiting = self.waiting.publishers.entry(stream).or_default();
        if !waiting.iter().any(|known| Arc::ptr_eq(known, signal)) {
            waiting.push(Arc::clone(signal));
        }
    }

    pub(crate) fn remove_publisher(&mut self, stream: u32, signal: &Arc<Signal>) {
        if let Some(waiting) = self.waiting.publishers.get_mut(&stream) {
            waiting.retain(|known| !Arc::ptr_eq(known, signal));
        }
    }

    /// Wakes everybody: the store closes, or stopped.
    pub(crate) fn wake_all(&mut self) {
        self.waiting.wake_all();
    }

    /// Wakes all fetches of a consumer that is gone.
    pub(crate) fn wake_all_fetches(&mut self, consumer: u32) {
        for fetch in self.waiting.fetches.get(&consumer).into_iter().flatten() {
            fetch.signal.raise();
        }
    }

    /// Wakes whoever waits on a stream that is gone.
    pub(crate) fn wake_all_publishers(&mut self, stream: u32) {
        for signal in self.waiting.publishers.remove(&stream).unwrap_or_default() {
            signal.raise();
        }
    }
}

impl Waiting {
    pub(crate) fn wake_all(&mut self) {
        for fetch in self.fetches.values().flatten().chain(&self.served) {
            fetch.signal.raise();
        }
        self.wake_publishers();
    }

    fn wake_publishers(&mut self) {
        for signal in std::mem::take(&mut self.publishers).into_values().flatten() {
            signal.raise();
        }
    }
}
