//! Fetching from several consumers, strictly one before the other: a lane is a consumer.
//!
//! Each lane is looked at as a fetch of its consumer alone looks at it, the first one first, and what finds nothing
//! joins those that wait there, with a signal that all of them share. No commit claims for such a fetch, because
//! it can't know of the lanes before: it is woken, and looks at all of them again. It keeps its place in the other lanes
//! meanwhile, so a wake-up of theirs may come to it while it is served elsewhere: whenever it leaves, it passes on what it
//! may have been told.

use super::ask::Ask;
use super::fetch::{Fetched, Tried};
use super::start::ConsumerRef;
use super::waiting::WaitingFetch;
use super::{Engine, Entered};
use crate::clock::{Mono, Signal, Woken};
use crate::error::{FetchError, LanesError, Unavailable};
use crate::state::{Claimed, Nothing};
use std::sync::Arc;

impl Engine {
    /// Refuses consumers that can't be each other's lanes, in the state as it is.
    pub(crate) fn check_lanes(&self, lanes: &[&ConsumerRef]) -> Result<(), LanesError> {
        let (fit, group) = {
            let core = self.enter()?;
            let ids: Vec<u32> = lanes.iter().map(|lane| lane.id).collect();
            let gone = lanes
                .iter()
                .find(|lane| core.state.consumer(lane.id).is_none());
            let fit = match gone {
                Some(lane) => {
                    let consumer = lane.name.clone();
                    Err(LanesError::ConsumerGone { consumer })
                }
                None => core.state.fit_lanes(&ids),
            };
            let observed = ids.iter().map(|id| core.observed(*id));
            let group = observed.fold(core.state.catalog_group(), u64::max);
            (fit, group)
        };
        self.wait(group)?;
        fit
    }

    /// Fetches from the first lane that has something, until told to stop: then the answer is `None`. Says of which
    /// lane the answer is.
    ///
    /// Whoever says stop must call [`wake_fetches`](Self::wake_fetches) afterwards, for each lane.
    pub(crate) fn fetch_lanes<'a, L: AsRef<ConsumerRef>>(
        &'a self,
        lanes: &'a [L],
        ask: &Ask,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<(&'a L, Fetched)>, FetchError> {
        if let [only] = lanes {
            let fetched = self.fetch_until(only.as_ref(), ask, stop)?;
            return Ok(fetched.map(|fetched| (only, fetched)));
        }
        let deadline = self.deadline(ask);
        let mut looking = Looking::new(self, lanes, ask);
        loop {
            if stop() {
                return Ok(None);
            }
            let (lane, nothing, group) = match looking.look(deadline)? {
                Round::Again => continue,
                Round::Purging(stream) => {
                    // That may take long, and others in the other lanes need not wait for it.
                    looking.leave(None);
                    self.finish_purges(stream)?;
                    continue;
                }
                Round::After(group) => {
                    looking.leave(None);
                    self.wait(group)?;
                    continue;
                }
                Round::TooBig(why, group) => {
                    looking.leave(None);
                    self.wait(group)?;
                    return Err(why);
                }
                Round::Claimed(lane, claimed, group) => {
                    looking.leave(Some(lane.as_ref().id));
                    self.wait(group)?;
                    // The deliveries are counted: a store that stops now must not say that nothing was (R2).
                    let delivered = self
                        .hand_over(lane.as_ref().id, claimed, ask.holder)
                        .map_err(Unavailable::midway)?;
                    if delivered.is_empty() {
                        continue;
                    }
                    let nothing = None;
                    return Ok(Some((lane, Fetched { delivered, nothing })));
                }
                Round::Nothing(lane, nothing, group) => (lane, nothing, group),
                Round::Waits(lane, nothing, group) => {
                    self.committer_looks();
                    // A stop that was said before is seen, one that comes later wakes it.
                    if stop() || self.clock.wait(&looking.signal, deadline) == Woken::Signalled {
                        continue;
                    }
                    (lane, nothing, group)
                }
            };
            looking.leave(None);
            // Even "nothing" is an answer about a state that must be durable (R1).
            self.wait(group)?;
            let fetched = Fetched {
                delivered: Vec::new(),
                nothing: Some(nothing),
            };
            return Ok(Some((lane, fetched)));
        }
    }
}

/// What a look at the lanes came to.
enum Round<'a, L> {
    /// Claimed from this lane, in this group.
    Claimed(&'a L, Vec<Claimed>, u64),
    /// There is nothing, as of this group. The reason is that of the first lane that is not just empty.
    Nothing(&'a L, Nothing, u64),
    /// So too, and the fetch waits in every lane.
    Waits(&'a L, Nothing, u64),
    /// The next message of the first lane that has any is over the fetch's bound, as of this group.
    TooBig(FetchError, u64),
    /// What was read can't be claimed any more; look again when this group is durable and shows why.
    After(u64),
    /// Something moved; look again.
    Again,
    /// A purge of this stream is to be accounted for first.
    Purging(u32),
}

/// A fetch from several lanes. It leaves all of them when it ends, however it does.
struct Looking<'a, L: AsRef<ConsumerRef>> {
    engine: &'a Engine,
    lanes: Arc<[(&'a L, Arc<WaitingFetch>)]>,
    /// Raised for any lane.
    signal: Arc<Signal>,
    /// It may be among those that wait, or may have been told something there.
    waits: bool,
}

impl<'a, L: AsRef<ConsumerRef>> Looking<'a, L> {
    fn new(engine: &'a Engine, lanes: &'a [L], ask: &Ask) -> Self {
        let signal = Arc::default();
        let lane = |lane| (lane, WaitingFetch::of_several(ask, &signal));
        Self {
            engine,
            lanes: lanes.iter().map(lane).collect(),
            signal,
            waits: false,
        }
    }

    /// Looks at the lanes in their order, up to the first that has something.
    fn look(&mut self, deadline: Option<Mono>) -> Result<Round<'a, L>, FetchError> {
        self.begin()?;
        let (mut first, mut telling) = (None, None);
        let (mut newest, mut over) = (0, false);
        for (lane, fetch) in &*Arc::clone(&self.lanes) {
            let whose = lane.as_ref();
            if whose.reading.is_long() {
                // Others in the other lanes need not wait for it.
                self.leave(None);
                drop(whose.reading.take());
                return Ok(Round::Again);
            }
            let tried = self.engine.try_fetch(whose, fetch, deadline)?;
            let (nothing, group) = match tried {
                Tried::Again => return Ok(Round::Again),
                Tried::Purging(stream) => return Ok(Round::Purging(stream)),
                Tried::After(group) => return Ok(Round::After(group)),
                Tried::TooBig(why, group) => return Ok(Round::TooBig(why, newest.max(group))),
                Tried::Claimed(claimed, group) => return Ok(Round::Claimed(*lane, claimed, group)),
                Tried::Nothing(nothing, group) => {
                    over = true;
                    (nothing, group)
                }
                Tried::Waits(nothing, group) => {
                    self.waits = true;
                    (nothing, group)
                }
            };
            newest = newest.max(group);
            first.get_or_insert((*lane, nothing));
            let empty = Nothing::Empty {
                delayed_until: None,
            };
            if nothing != empty {
                telling.get_or_insert((*lane, nothing));
            }
        }
        let Some((lane, nothing)) = telling.or(first) else {
            unreachable!("there are at least two lanes")
        };
        Ok(if over {
            Round::Nothing(lane, nothing, newest)
        } else {
            Round::Waits(lane, nothing, newest)
        })
    }

    /// Every lane is at work, also one that is not looked at because an earlier one gives; and what would never be
    /// served says so at once, not when the earlier ones are empty.
    fn begin(&self) -> Result<(), FetchError> {
        let mut core = self.engine.enter()?;
        let mono = self.engine.clock.mono();
        for (lane, fetch) in &*self.lanes {
            let whose = lane.as_ref();
            if let Some(why) = core.refuses(whose, fetch.precedence) {
                let group = core.state.catalog_group();
                drop(core);
                self.engine.wait(group)?;
                return Err(why);
            }
            core.state.note_activity(whose.id, mono);
        }
        Ok(())
    }

    /// Waits no more in any lane. Wake-ups that came here go to the next in line, except where something was claimed:
    /// that was seen to with the claim.
    fn leave(&mut self, claimed: Option<u32>) {
        if !std::mem::take(&mut self.waits) || self.engine.check_process().is_err() {
            return;
        }
        let mut core = Entered::new(self.engine);
        let mono = self.engine.clock.mono();
        for (lane, fetch) in &*self.lanes {
            let id = lane.as_ref().id;
            let waited = core.remove_fetch(id, fetch);
            let known = core.state.consumers.get_mut(&id);
            if let Some(consumer) = known.filter(|_| waited) {
                // It was fetched from all the time.
                consumer.last_fetch = mono;
            }
            core.state.note_activity(id, mono);
            if claimed != Some(id) {
                core.wake_next(id);
            }
        }
    }
}

impl<L: AsRef<ConsumerRef>> Drop for Looking<'_, L> {
    fn drop(&mut self) {
        self.leave(None);
    }
}
