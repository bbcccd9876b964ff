//! Fetching: plan under the lock, read outside it, claim under it again, commit, hand over.

use super::ask::{Ask, Patience};
use super::core::Core;
use super::deliver::Delivered;
use super::load::missing;
use super::reading::Reading;
use super::scan::Found;
use super::start::ConsumerRef;
use super::waiting::WaitingFetch;
use super::{Engine, Entered};
use crate::clock::{Mono, Woken};
use crate::error::{FetchError, Unavailable};
use crate::seq::Seq;
use crate::state::{Capacity, Claimed, Nothing, Plan, Precedence};
use std::sync::Arc;

/// What a fetch came to.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) delivered: Vec<Delivered>,
    /// Why there is nothing.
    pub(crate) nothing: Option<Nothing>,
}

/// What one try came to.
pub(super) enum Tried {
    /// Claimed, in this group.
    Claimed(Vec<Claimed>, u64),
    /// There is nothing, for this reason, as of this group.
    Nothing(Nothing, u64),
    /// So too, and the fetch waits: from now on a commit may serve it at any moment.
    Waits(Nothing, u64),
    /// The next message alone is over the fetch's bound, as of this group.
    TooBig(FetchError, u64),
    /// What was read can't be claimed any more; try again when this group is durable and shows why.
    After(u64),
    /// Something moved; try again.
    Again,
    /// A purge of this stream is to be accounted for first.
    Purging(u32),
}

impl Engine {
    /// Fetches for a consumer.
    pub(crate) fn fetch(&self, whose: &ConsumerRef, ask: &Ask) -> Result<Fetched, FetchError> {
        let nothing = Fetched {
            delivered: Vec::new(),
            nothing: None,
        };
        Ok(self.fetch_until(whose, ask, &|| false)?.unwrap_or(nothing))
    }

    /// Fetches for a consumer, until told to stop: then the answer is `None`.
    ///
    /// Whoever says stop must call [`wake_fetches`](Self::wake_fetches) afterwards.
    pub(crate) fn fetch_until(
        &self,
        whose: &ConsumerRef,
        ask: &Ask,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Fetched>, FetchError> {
        let deadline = self.deadline(ask);
        let fetch = WaitingFetch::new(ask);
        loop {
            if stop() {
                if let Ok(mut core) = self.enter() {
                    core.forget_returning(whose.id, &fetch);
                }
                self.pass_wake(whose);
                return Ok(None);
            }
            let tried = self.try_fetch(whose, &fetch, deadline);
            let (claimed, group, nothing) = match tried.inspect_err(|_| self.pass_wake(whose))? {
                Tried::Again => continue,
                Tried::Purging(stream) => {
                    let finished = self.finish_purges(stream);
                    finished.inspect_err(|_| self.pass_wake(whose))?;
                    continue;
                }
                Tried::After(group) => {
                    self.wait(group)?;
                    continue;
                }
                Tried::TooBig(why, group) => {
                    self.pass_wake(whose);
                    self.wait(group)?;
                    return Err(why);
                }
                Tried::Claimed(claimed, group) => (claimed, group, None),
                Tried::Nothing(nothing, group) => {
                    if fetch.has_waited() {
                        // It may have been woken for something that it must not wait for any more.
                        self.pass_wake(whose);
                    }
                    // Even "nothing" is an answer about a state that must be durable (R1).
                    self.wait(group)?;
                    return Ok(Some(Fetched {
                        delivered: Vec::new(),
                        nothing: Some(nothing),
                    }));
                }
                Tried::Waits(nothing, group) => {
                    // What the look at the consumer changed must not wait for somebody else's commit.
                    self.committer_looks();
                    // It is in the queue now; a stop that was said before is seen, one that comes
                    // later wakes it.
                    let woken = if stop() {
                        Woken::Signalled
                    } else {
                        self.clock.wait(&fetch.signal, deadline)
                    };
                    match self.stop_waiting(whose, &fetch, woken)? {
                        Some((claimed, group)) => (claimed, group, None),
                        None if woken == Woken::TimeCame => (Vec::new(), group, Some(nothing)),
                        None => continue,
                    }
                }
            };
            self.wait(group)?;
            if nothing.is_some() {
                return Ok(Some(Fetched {
                    delivered: Vec::new(),
                    nothing,
                }));
            }
            // The deliveries are counted: a store that stops now must not say that nothing was (R2).
            let delivered = self
                .hand_over(whose.id, claimed, ask.holder)
                .map_err(Unavailable::midway)?;
            if !delivered.is_empty() {
                return Ok(Some(Fetched {
                    delivered,
                    nothing: None,
                }));
            }
        }
    }

    /// When a fetch that begins now ends.
    pub(super) fn deadline(&self, ask: &Ask) -> Option<Mono> {
        let now = self.clock.mono();
        match ask.patience {
            Patience::None => Some(now),
            Patience::UpTo(patience) => Some(now.plus(patience)),
            Patience::Forever => None,
        }
    }

    /// Has the committer look after what is staged, if nobody else will.
    pub(crate) fn committer_looks(&self) {
        let orphaned = {
            let core = self.core.lock();
            core.state.has_work() && !core.leading
        };
        if orphaned {
            self.committer.raise();
        }
    }

    /// A fetch that may have been woken for something ends without it: the next in line looks.
    fn pass_wake(&self, whose: &ConsumerRef) {
        if let Ok(core) = self.enter() {
            core.wake_fetch(whose.id);
        }
    }

    /// Wakes every waiting fetch of a consumer, to look at what it was told.
    pub(crate) fn wake_fetches(&self, whose: &ConsumerRef) {
        if self.check_process().is_ok() {
            self.core.lock().wake_all_fetches(whose.id);
        }
    }

    /// Leaves the queue of waiting fetches, with what a commit claimed meanwhile.
    fn stop_waiting(
        &self,
        whose: &ConsumerRef,
        fetch: &Arc<WaitingFetch>,
        woken: Woken,
    ) -> Result<Option<(Vec<Claimed>, u64)>, FetchError> {
        let mut core = match self.enter() {
            Ok(core) => core,
            Err(why) => {
                self.core.lock().remove_fetch(whose.id, fetch);
                return Err(why.into());
            }
        };
        core.remove_fetch(whose.id, fetch);
        let mono = self.clock.mono();
        if let Some(consumer) = core.state.consumers.get_mut(&whose.id) {
            // It was fetched from all the time, whatever it looks for first now.
            consumer.last_fetch = mono;
        }
        core.state.note_activity(whose.id, mono);
        let served = fetch.take_served();
        if woken == Woken::Signalled && served.is_none() {
            core.note_returning(whose.id, fetch);
        }
        if woken == Woken::TimeCame && served.is_none() {
            // A wake-up that crossed with the end of the wait goes to the next in line.
            core.wake_fetch(whose.id);
        }
        Ok(served)
    }

    /// Looks once; a fetch that may wait is among those that do when there is nothing.
    pub(super) fn try_fetch(
        &self,
        whose: &ConsumerRef,
        fetch: &Arc<WaitingFetch>,
        deadline: Option<Mono>,
    ) -> Result<Tried, FetchError> {
        // One reads at a time; the lock of the state is free meanwhile.
        self.check_process()?;
        let _reading = whose.reading.take();
        let mut core = self.enter()?;
        core.begin_look(whose.id, fetch);
        let mono = self.clock.mono();
        let may_wait = deadline.is_none_or(|deadline| mono < deadline);
        if let Some(consumer) = core.state.consumers.get_mut(&whose.id) {
            consumer.last_fetch = mono;
            if std::mem::take(&mut consumer.idle_told) {
                core.state.alarm_mono(mono.plus(super::sweeper::IDLE));
            }
        }
        core.state.note_activity(whose.id, mono);
        if let Some(why) = core.refuses(whose, fetch.precedence) {
            let group = core.state.catalog_group();
            drop(core);
            self.wait(group)?;
            return Err(why);
        }
        let now = core.now(&self.clock).now;
        core.state.end_delays_of(whose.id, now);
        let (due, new, capacity) = match core.state.plan(whose.id, fetch.asked) {
            Plan::Gone => {
                let group = core.state.catalog_group();
                drop(core);
                self.wait(group)?;
                return Err(gone(whose));
            }
            Plan::Purging(stream) => return Ok(Tried::Purging(stream)),
            Plan::Nothing(nothing) => {
                return Ok(core.nothing(whose.id, nothing, fetch, may_wait));
            }
            Plan::Take { due, new, capacity } => (due, new, capacity),
        };
        if let Some(nothing) = core.gives_way(whose.id, fetch) {
            let tried = core.nothing(whose.id, nothing, fetch, may_wait);
            // There is something for whoever may take it; one that was woken already wakes the next itself.
            core.wake_other_fetch(whose.id, fetch);
            return Ok(tried);
        }
        if let (true, Some(new)) = (due.is_empty(), &new)
            && new.from > new.stored_to
        {
            let tried = claim_from_memory(&mut core, whose.id, new.from, capacity, fetch, may_wait);
            return Ok(tried);
        }
        let reading = core.reading(whose.id, due, new, capacity);
        drop(core);
        let found = self.read_for(&reading)?;
        let core = self.enter()?;
        claim_read(core, whose.id, &reading, found, fetch, may_wait)
    }
}

/// Claims new messages that are not yet in the store.
fn claim_from_memory(
    core: &mut Entered<'_>,
    id: u32,
    from: u64,
    capacity: Capacity,
    fetch: &Arc<WaitingFetch>,
    may_wait: bool,
) -> Tried {
    let asked = fetch.asked;
    // The first one shows whether it fits at all.
    if let Some(first) = core.state.first_recent_match(id, from) {
        let (seq, bytes) = (first.seq, first.size());
        if let Some(nothing) = core.state.turn_to_come(id, seq, first.time) {
            return core.nothing(id, nothing, fetch, may_wait);
        }
        if let Some(why) = core.too_big(id, seq, bytes, asked) {
            return Tried::TooBig(why, core.observed(id));
        }
        if bytes > capacity.bytes {
            return core.too_many_bytes(id, fetch, may_wait);
        }
    }
    let found = core.state.recent_matches(id, from, capacity);
    let scanned_to = if found.is_empty() {
        core.state.last_of(id) + 1
    } else {
        0
    };
    let claimed = core.state.claim(id, found, scanned_to, asked);
    finish_claim(core, id, claimed)
}

fn claim_read(
    mut core: Entered<'_>,
    id: u32,
    reading: &Reading,
    found: Found,
    fetch: &Arc<WaitingFetch>,
    may_wait: bool,
) -> Result<Tried, FetchError> {
    let asked = fetch.asked;
    if core.state.consumer(id).is_none() {
        // The next look says so.
        return Ok(Tried::After(core.observed(id)));
    }
    if core.state.evictions(reading.stream) != Some(reading.evictions) {
        // Holes may have been made and written between the plan and the reading.
        return Ok(Tried::Again);
    }
    if core.state.moves(id) != reading.moves {
        // It was read from another place.
        return Ok(Tried::Again);
    }
    if found.messages.is_empty() {
        let stuck = reading
            .new
            .as_ref()
            .map(|scan| scan.from)
            .filter(|from| found.next <= *from);
        let stuck = stuck.filter(|from| core.state.must_log(reading.stream, *from));
        let lost = reading
            .due
            .iter()
            .copied()
            .find(|seq| core.state.must_hold(id, *seq));
        if let Some(seq) = stuck.or(lost) {
            return Err(missing(reading.stream, seq).into());
        }
    }
    if let Some(first) = found.messages.first() {
        if core.state.is_removed(reading.stream, first.seq) {
            // By the open group, which says nothing of it yet: it is not what the answer is about.
            return Ok(Tried::After(core.observed(id)));
        }
        if let Some(nothing) = core.state.turn_to_come(id, first.seq, first.time) {
            // What is before it does not match, and need not be looked at again.
            core.state.claim(id, Vec::new(), first.seq, asked);
            return Ok(core.nothing(id, nothing, fetch, may_wait));
        }
        if let Some(why) = core.too_big(id, first.seq, first.size(), asked) {
            return Ok(Tried::TooBig(why, core.observed(id)));
        }
        if first.size() > reading.capacity.bytes {
            return Ok(core.too_many_bytes(id, fetch, may_wait));
        }
    }
    let none_new = found
        .messages
        .iter()
        .all(|stored| reading.due.contains(&stored.seq));
    let scanned_to = if none_new { found.next } else { 0 };
    let claimed = core.state.claim(id, found.messages, scanned_to, asked);
    Ok(finish_claim(&mut core, id, claimed))
}

fn finish_claim(core: &mut Entered<'_>, id: u32, claimed: Vec<Claimed>) -> Tried {
    if claimed.is_empty() {
        return Tried::After(core.observed(id));
    }
    if core.state.has_more(id) {
        core.wake_fetch(id);
    }
    Tried::Claimed(claimed, core.state.group)
}

fn gone(whose: &ConsumerRef) -> FetchError {
    let consumer = whose.name.clone();
    FetchError::ConsumerGone { consumer }
}

impl Core {
    /// Why no fetch like this is ever served.
    pub(super) fn refuses(
        &self,
        whose: &ConsumerRef,
        precedence: Precedence,
    ) -> Option<FetchError> {
        if self.state.consumer(whose.id).is_none() {
            return Some(gone(whose));
        }
        let setting = "min_ack_pending";
        let why = self.state.never_served(whose.id, precedence)?;
        Some(FetchError::Precedence { setting, why })
    }

    /// There is nothing to deliver: the fetch joins those that wait, if it may, before the lock is free.
    fn nothing(
        &mut self,
        id: u32,
        nothing: Nothing,
        fetch: &Arc<WaitingFetch>,
        may_wait: bool,
    ) -> Tried {
        let group = self.observed(id);
        if may_wait {
            self.add_fetch(id, fetch);
            if let Nothing::RateLimited { next } | Nothing::Replaying { next } = nothing {
                self.state.wake_at(id, next.mono);
            }
            Tried::Waits(nothing, group)
        } else {
            Tried::Nothing(nothing, group)
        }
    }

    /// A message over the fetch's own bound is an answer of its own: it stays, uncounted.
    fn too_big(&self, id: u32, seq: u64, bytes: u64, asked: Capacity) -> Option<FetchError> {
        let (seq, limit) = (Seq::new(seq), asked.bytes);
        if bytes <= limit {
            return None;
        }
        Some(FetchError::TooBig {
            consumer: self.state.consumer(id)?.config.name.clone(),
            seq,
            bytes,
            limit,
        })
    }

    fn too_many_bytes(&mut self, id: u32, fetch: &Arc<WaitingFetch>, may_wait: bool) -> Tried {
        let bytes = self
            .state
            .consumer(id)
            .map_or(0, |consumer| consumer.leased_bytes);
        self.nothing(id, Nothing::InFlightBytes { bytes }, fetch, may_wait)
    }

    /// The newest group that an answer about a consumer depends on.
    pub(crate) fn observed(&self, consumer: u32) -> u64 {
        let Some(consumer) = self.state.consumer(consumer) else {
            return self.state.catalog_group();
        };
        let stream = self
            .state
            .stream(consumer.stream)
            .map_or(0, |stream| stream.group);
        consumer.group.max(stream)
    }
}
