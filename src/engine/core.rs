//! What the engine's lock guards.

use super::failure::Failure;
use super::group::GroupSlot;
use super::standing::Standing;
use super::store_time::StoreTime;
use super::waiting::Waiting;
use crate::clock::{Clock, Mono};
use crate::error::Unavailable;
use crate::event::Event;
use crate::state::{Moment, State};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) state: State,
    pub(crate) time: StoreTime,
    /// Somebody runs a commit, or was told to.
    pub(crate) leading: bool,
    /// The newest group that is on disk.
    pub(crate) durable: u64,
    /// Who waits for groups that are not.
    pub(crate) slots: BTreeMap<u64, Arc<GroupSlot>>,
    pub(crate) waiting: Waiting,
    /// Bytes of pipelined publishes by group.
    pub(crate) pipelined: BTreeMap<u64, u64>,
    /// No new call is taken.
    pub(crate) closing: bool,
    pub(crate) closed: bool,
    poisoned: Option<Failure>,
    subscribers: Vec<Sender<Event>>,
    standing: Standing,
    pub(crate) events_missed: u64,
    /// How long the sweeper sleeps; `None` while it is awake.
    pub(crate) sweeper_sleeps_until: Option<Mono>,
    /// When the last commit ended, if no idle commit followed it.
    pub(crate) busy_at: Option<Mono>,
    pub(crate) committer: Committer,
}

/// How the committer sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committer {
    /// Until it is woken.
    Rests,
    /// Until it looks again by itself, soon enough for an idle commit.
    LooksAgain,
}

impl Core {
    pub(crate) fn new(state: State, time: StoreTime, standing: &[Event]) -> Self {
        Self {
            standing: standing.iter().collect(),
            durable: state.group - 1,
            state,
            time,
            leading: false,
            slots: BTreeMap::new(),
            waiting: Waiting::default(),
            pipelined: BTreeMap::new(),
            closing: false,
            closed: false,
            poisoned: None,
            subscribers: Vec::new(),
            events_missed: 0,
            sweeper_sleeps_until: None,
            busy_at: None,
            committer: Committer::Rests,
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), Unavailable> {
        if let Some(failure) = &self.poisoned {
            return Err(failure.poisoned());
        }
        if self.closed {
            Err(Unavailable::Closed)
        } else {
            Ok(())
        }
    }

    pub(crate) fn poisoned(&self) -> Option<&Failure> {
        self.poisoned.as_ref()
    }

    /// Stops everything; whoever waits is told.
    pub(crate) fn poison(&mut self, failure: impl Into<Failure>) {
        if self.poisoned.is_some() {
            return;
        }
        let failure = failure.into();
        let (unknown, cause) = (failure.unknown(), failure.cause().to_owned());
        self.poisoned = Some(failure);
        self.leading = false;
        for slot in std::mem::take(&mut self.slots).into_values() {
            slot.finish(Err(unknown.clone()));
        }
        self.waiting.wake_all();
        self.announce(vec![Event::Poisoned { cause }]);
        // Nothing more is to come: receivers end.
        self.subscribers.clear();
    }

    /// The newest group that has anything in it, durable or not.
    pub(crate) fn newest_group(&self) -> u64 {
        let open = self.state.group;
        if self.state.has_work() {
            open
        } else {
            open - 1
        }
    }

    /// The store is closed: nothing more is to come, and receivers end.
    pub(crate) fn end(&mut self) {
        self.closed = true;
        self.subscribers.clear();
    }

    /// The store was closed before a group could be committed: whoever waits is told.
    pub(crate) fn abandon(&mut self) {
        self.leading = false;
        for slot in std::mem::take(&mut self.slots).into_values() {
            slot.finish(Err(Unavailable::Closed));
        }
    }

    /// Now, on both clocks; store time never goes back.
    pub(crate) fn now(&mut self, clock: &Clock) -> Moment {
        let mono = clock.mono();
        self.state.mono = self.state.mono.max(mono);
        let now = self.time.at(mono);
        self.state.read_time = self.state.read_time.max(now);
        Moment { mono, now }
    }

    /// What a call changes is judged by the time now, not by that of the last call: its commit brings ages, too.
    pub(crate) fn note_time(&mut self, clock: &Clock) {
        let moment = self.now(clock);
        self.state.now = self.state.now.max(moment.now);
    }

    /// The open group, if it has anything to commit, else one that is durable.
    pub(crate) fn newest_work(&self) -> u64 {
        if self.state.has_work() {
            self.state.group
        } else {
            0
        }
    }

    /// The slot of a group that is not durable.
    pub(crate) fn slot(&mut self, group: u64) -> Arc<GroupSlot> {
        Arc::clone(self.slots.entry(group).or_default())
    }

    /// A receiver of events, first of all of the alerts that stand.
    pub(crate) fn subscribe(&mut self, capacity: usize) -> Receiver<Event> {
        let (sender, receiver) = bounded(capacity.max(1));
        for event in self.standing.events() {
            if sender.try_send(event.clone()).is_err() {
                self.events_missed += 1;
            }
        }
        self.subscribers.push(sender);
        receiver
    }

    /// Sends events to every subscriber that has room; nobody is ever waited for.
    pub(crate) fn announce(&mut self, events: Vec<Event>) {
        for event in events {
            self.standing.note(&event);
            let missed = &mut self.events_missed;
            self.subscribers
                .retain(|subscriber| match subscriber.try_send(event.clone()) {
                    Ok(()) => true,
                    Err(TrySendError::Full(_)) => {
                        *missed += 1;
                        true
                    }
                    Err(TrySendError::Disconnected(_)) => false,
                });
        }
    }

    /// Whether the sweeper sleeps longer than it may.
    pub(crate) fn sweeper_is_late(&self) -> bool {
        let Some(until) = self.sweeper_sleeps_until else {
            return false;
        };
        let alarm = self.state.alarm;
        self.state.sweep_wanted
            || alarm.mono.is_some_and(|mono| mono < until)
            || alarm
                .time
                .is_some_and(|time| self.time.mono_at(time) < until)
    }
}
