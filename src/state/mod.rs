//! The rules: what happens to messages, as a pure state machine.
//!
//! Nothing here does I/O, takes a lock, reads a clock or knows redb. Time comes in as a parameter.
//! What a rule needs from the log it names as a [`Need`]; whoever drives the state reads it, supplies
//! it, and calls again. A call that answers with a need changed nothing that calling again would
//! repeat.
//!
//! Every change joins the open group. [`State::seal`] takes the group out as one [`Sealed`] value,
//! and [`State::complete`] is told when it is durable.

mod admin;
mod admit;
mod alert;
mod audit;
mod claim;
mod consumer;
mod dead_letter;
mod dedup;
mod difference;
mod entries;
mod envelope;
mod exclude;
mod expect;
mod expire;
mod expiries;
mod explain;
mod guard;
mod inspect;
mod lag;
mod lanes;
mod losing;
mod markers;
mod per_subject;
mod precedence;
mod presence;
mod purge;
mod rate;
mod recent;
mod recover;
mod redrive;
mod removals;
mod removed;
mod replay;
mod reset;
mod retire;
mod rollup;
mod room;
mod routes;
pub(crate) mod runset;
mod sampling;
mod schedule;
mod scheduled;
mod seal;
mod settle;
mod stored;
mod stream;
mod subjects;
mod sweep;
mod trim;
mod windows;
mod work_queue;

pub(crate) use admin::consumers::Start;
pub(crate) use admit::{Part, Refused};
pub(crate) use audit::{ConsumerAudit, StreamAudit};
pub(crate) use claim::{Capacity, Claimed, NewMessages, Nothing, Plan};
pub(crate) use consumer::Consumer;
pub(crate) use dedup::hash_id;
pub(crate) use envelope::Envelope;
pub(crate) use exclude::{Exclusion, Lost};
pub(crate) use expect::{LastNeed, Looked};
pub(crate) use explain::{Copies, Explained};
pub(crate) use inspect::{Oldest, PendingPlace};
pub(crate) use losing::{Losing, Progress};
pub(crate) use markers::REASON as MARKER_REASON;
pub(crate) use precedence::Precedence;
pub(crate) use purge::PurgeBound;
pub(crate) use recover::{Recovered, TABLES};
pub(crate) use redrive::RedriveTo;
pub(crate) use removals::Memory;
pub(crate) use replay::ReplayBound;
pub(crate) use rollup::{EarlierNeed, Found, windows_of};
pub(crate) use room::Room;
pub(crate) use seal::{Append, Sealed};
pub(crate) use settle::{Token, Verdict};
pub(crate) use stored::{Fact, Facts, Need, Stored};
pub(crate) use stream::rows::PurgeMark;
pub(crate) use stream::{Placed, Stream};
pub(crate) use sweep::{Alarm, FreeTo, Moment, SweepLimits};
pub(crate) use windows::{WINDOW, window_of};

use crate::changes::Change;
use crate::clock::Mono;
use crate::config::Alerts;
use crate::event::Event;
use crate::format::rows::ScheduledRow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Everything that the rules know.
#[derive(Debug)]
pub(crate) struct State {
    /// Key of the hash of message ids.
    pub(crate) secret: [u8; 16],
    /// How often the store was opened: part of every token.
    pub(crate) epoch: u64,
    pub(crate) streams: BTreeMap<u32, Stream>,
    pub(crate) consumers: BTreeMap<u32, Consumer>,
    stream_names: BTreeMap<String, u32>,
    consumer_names: BTreeMap<(u32, String), u32>,
    routes: routes::Routes,
    next_stream: u32,
    next_consumer: u32,
    subjects_max: u64,
    /// Messages of one stream that may wait for their time.
    scheduled_max: u64,
    /// Messages of one stream that may have a time to live of their own.
    ttl_max: u64,
    pub(crate) room: Room,
    /// Streams and consumers that are deleted, but whose space is not yet free.
    drops: BTreeSet<Drop>,
    /// Consumers that hold condemned messages.
    condemned_in: BTreeSet<u32>,
    /// The newest group that changed which streams and consumers there are, or their configuration.
    catalog_group: u64,
    /// How often that changed, since the store was opened.
    catalog_changes: u64,
    /// The open group.
    pub(crate) group: u64,
    /// The newest group that is on disk.
    durable: u64,
    open: Open,
    /// Messages that rules asked for, until the call that needed them is over.
    supplied: HashMap<(u32, u64), Arc<Stored>>,
    /// The last messages that were looked for in the log, likewise.
    lasts: expect::Lasts,
    /// The messages that rollups replace, likewise.
    earlier: rollup::Earlier,
    /// Messages whose bytes could not be read when they were to be given up.
    unreadable: BTreeSet<(u32, u64)>,
    /// The same of messages that are due: stream and number.
    supplied_scheduled: HashMap<(u32, u64), ScheduledRow>,
    unreadable_scheduled: BTreeSet<(u32, u64)>,
    /// How often damage was excluded: what was read before may be gone.
    pub(crate) exclusions: u64,
    /// Work for the sweeper that no deadline announces.
    pub(crate) sweep_wanted: bool,
    /// The earliest deadline that came up since the last sweep.
    pub(crate) alarm: Alarm,
    /// Newest store time seen.
    pub(crate) now: u64,
    /// The same, also when no rule was to judge by it yet.
    pub(crate) read_time: u64,
    /// Calls under way that look into the log.
    lookers: usize,
    /// Newest time of the monotonic clock seen.
    pub(crate) mono: Mono,
    /// When somebody is told that consumers do not get on.
    alerts: Alerts,
    raised: alert::Raised,
}

/// Something deleted whose space is being freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Drop {
    /// The blocks of a stream before its first message.
    Blocks(u32),
    /// All of a deleted stream.
    Stream(u32),
}

/// What the open group changed.
#[derive(Debug, Default)]
struct Open {
    streams: BTreeSet<u32>,
    /// Streams in which markers were left.
    marked: BTreeSet<u32>,
    consumers: BTreeSet<u32>,
    changes: Vec<Change>,
    events: Vec<Event>,
    /// Streams whose publishers no longer wait for a consumer that is gone.
    eased: BTreeSet<u32>,
    bytes: u64,
    /// Whether anything is to be committed, be it only an answer that waits.
    work: bool,
}

impl State {
    /// Whether the open group has something to commit.
    pub(crate) fn has_work(&self) -> bool {
        self.open.work
    }

    /// Bytes of messages in the open group.
    pub(crate) fn open_bytes(&self) -> u64 {
        self.open.bytes
    }

    /// The streams that the open group changed.
    pub(crate) fn open_streams(&self) -> impl Iterator<Item = &Stream> {
        self.open
            .streams
            .iter()
            .filter_map(|id| self.streams.get(id))
    }

    pub(crate) fn stream(&self, id: u32) -> Option<&Stream> {
        self.streams.get(&id)
    }

    pub(crate) fn stream_id(&self, name: &str) -> Option<u32> {
        self.stream_names.get(name).copied()
    }

    pub(crate) fn consumer(&self, id: u32) -> Option<&Consumer> {
        self.consumers.get(&id)
    }

    pub(crate) fn consumer_id(&self, stream: u32, name: &str) -> Option<u32> {
        self.consumer_names.get(&(stream, name.to_owned())).copied()
    }

    pub(crate) fn stream_name(&self, id: u32) -> String {
        self.streams
            .get(&id)
            .map_or_else(String::new, |stream| stream.config.name.clone())
    }

    /// Names of all streams, sorted.
    pub(crate) fn stream_names(&self) -> impl Iterator<Item = (&String, u32)> {
        self.stream_names.iter().map(|(name, id)| (name, *id))
    }

    /// The newest group that changed the catalog.
    pub(crate) fn catalog_group(&self) -> u64 {
        self.catalog_group
    }

    /// The streams of which something holds.
    pub(crate) fn streams_that(
        &self,
        hold: impl Fn(&&Stream) -> bool,
    ) -> impl Iterator<Item = u32> {
        let found = self.streams.values().filter(hold);
        found.map(|stream| stream.id)
    }

    /// The consumers of which something holds.
    pub(crate) fn consumers_that(
        &self,
        hold: impl Fn(&&Consumer) -> bool,
    ) -> impl Iterator<Item = u32> {
        let found = self.consumers.values().filter(hold);
        found.map(|consumer| consumer.id)
    }

    pub(crate) fn touch_stream(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.group = self.group;
            self.open.streams.insert(id);
            self.open.work = true;
        }
    }

    pub(crate) fn touch_consumer(&mut self, id: u32) {
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.group = self.group;
            self.open.consumers.insert(id);
            self.open.work = true;
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.open.events.push(event);
        self.open.work = true;
    }

    /// Hands in a message that a rule needed; `None` says that the log does not hold it.
    pub(crate) fn supply_message(&mut self, stream: u32, stored: Arc<Stored>) {
        self.supplied.insert((stream, stored.seq), stored);
    }

    /// The size of a message that was supplied; nothing if it was not.
    pub(crate) fn supplied_bytes(&self, stream: u32, seq: u64) -> u64 {
        let supplied = self.supplied.get(&(stream, seq));
        supplied.map_or(0, |stored| stored.size())
    }

    /// Forgets what was supplied, when the call that needed it is over.
    pub(crate) fn forget_supplied(&mut self, supplied: &[(u32, u64)]) {
        for message in supplied {
            self.supplied.remove(message);
        }
    }

    /// A message that a rule needed can't be read: its consumer gives it up without a copy of it.
    ///
    /// Not if anything was excluded since `exclusions` were: then it may be one of those.
    pub(crate) fn mark_unreadable(&mut self, stream: u32, seq: u64, exclusions: u64) {
        if exclusions == self.exclusions {
            self.unreadable.insert((stream, seq));
        }
    }

    /// A stream's head can't be read: limits and purges leave it alone. Again not if anything was
    /// excluded since.
    pub(crate) fn mark_stream_unreadable(&mut self, id: u32, place: String, exclusions: u64) {
        let current = exclusions == self.exclusions;
        if let Some(stream) = self.streams.get_mut(&id).filter(|_| current) {
            stream.unreadable = Some(place);
        }
    }

    /// What could not be read of a stream was excluded, and no longer shows: its rules go on.
    pub(crate) fn readable_again(&mut self, id: u32) {
        self.exclusions += 1;
        self.unreadable.retain(|(known, _)| *known != id);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.unreadable = None;
        }
        self.sweep_wanted = true;
    }

    /// Whoever sweeps must look again at this time of the monotonic clock.
    pub(crate) fn alarm_mono(&mut self, mono: Mono) {
        self.alarm.at_mono(Some(mono));
    }

    /// A message's bytes, from the open groups or as supplied.
    fn message(&self, stream: u32, seq: u64) -> Option<Arc<Stored>> {
        let recent = self
            .streams
            .get(&stream)
            .and_then(|stream| stream.recent.get(seq));
        match recent {
            Some(stored) => Some(Arc::new(stored.clone())),
            None => self.supplied.get(&(stream, seq)).cloned(),
        }
    }
}
