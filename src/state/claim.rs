//! Delivering: what a fetch may take, and taking it once its bytes are at hand (R12).
//!
//! A fetch plans under the lock, reads outside it, and claims under the lock again; the claim checks
//! everything once more.

use super::stored::Stored;
use super::sweep::Moment;
use super::{Consumer, State};
use crate::event::Removal;
use crate::subject::SubjectFilter;
use std::sync::Arc;

/// No message is larger: payload and headers, subject, id and a dead letter's envelope.
const ONE_MESSAGE: u64 = 10 << 20;

/// How much a fetch asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub(crate) messages: usize,
    pub(crate) bytes: u64,
}

/// What a fetch may take now.
#[derive(Debug)]
pub(crate) enum Plan {
    /// The consumer is gone.
    Gone,
    /// The new messages wait for a purge of this stream to be accounted for: what it takes before it is
    /// delivered is counted as lost.
    Purging(u32),
    /// Nothing, and why.
    Nothing(Nothing),
    /// These due messages, then new ones.
    Take {
        due: Vec<u64>,
        new: Option<NewMessages>,
        capacity: Capacity,
    },
}

/// Where the new messages are.
#[derive(Clone, Debug)]
pub(crate) struct NewMessages {
    pub(crate) from: u64,
    /// The last one that is in the store; later ones are in memory.
    pub(crate) stored_to: u64,
    pub(crate) filters: Arc<[SubjectFilter]>,
}

/// Why there is nothing to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// All that matches was delivered; `delayed_until` is when the next delayed message is due.
    Empty { delayed_until: Option<u64> },
    /// As many messages are in flight as may be.
    InFlight { messages: u64 },
    /// As many bytes are in flight as may be.
    InFlightBytes { bytes: u64 },
    /// A message that was caught in two crashes is handled alone.
    Alone { seq: u64 },
    /// As many messages are set aside as may be.
    SetAside { messages: u64 },
    /// The consumer is paused.
    Paused { until: u64 },
    /// The fetch waits for more messages, or for more to be in flight.
    BelowMinimum { pending: u64, in_flight: u64 },
    /// A fetch of an earlier priority waits.
    OthersFirst,
    /// As much was delivered as the consumer's rate allows until then.
    RateLimited { next: Moment },
    /// The next message's turn in a replay is then.
    Replaying { next: Moment },
}

/// A delivery that is counted, and can be handed over when its group is durable.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) stored: Arc<Stored>,
    pub(crate) serial: u64,
    pub(crate) attempts: u64,
    pub(crate) failures: u64,
    pub(crate) crashes: u64,
}

impl State {
    /// What a fetch of this size may take from a consumer.
    pub(crate) fn plan(&self, id: u32, asked: Capacity) -> Plan {
        let Some(consumer) = self.consumers.get(&id) else {
            return Plan::Gone;
        };
        let Some(stream) = self.streams.get(&consumer.stream) else {
            return Plan::Gone;
        };
        if let Some(until) = consumer.paused_until(self.now) {
            return Plan::Nothing(Nothing::Paused { until });
        }
        let mut capacity = match consumer.capacity(asked) {
            Ok(capacity) => capacity,
            Err(nothing) => return Plan::Nothing(nothing),
        };
        let by_rate = consumer.messages_by_rate(self.mono);
        capacity.messages = capacity.messages.min(by_rate);
        let due = match consumer.plan_due(capacity.messages) {
            Ok(due) => due,
            Err(nothing) => return Plan::Nothing(nothing),
        };
        let alone = due.first().is_some_and(|seq| consumer.is_suspect(*seq));
        let from = consumer.next.max(stream.first());
        let mut new = None;
        if !alone && due.len() < capacity.messages && from <= stream.last {
            if let Some(nothing) = consumer.too_many_aside() {
                if due.is_empty() {
                    return Plan::Nothing(nothing);
                }
            } else if stream.purge_ahead(consumer.next) {
                if due.is_empty() {
                    return Plan::Purging(consumer.stream);
                }
            } else if !consumer.suspect_is_due() {
                new = Some(NewMessages {
                    from,
                    stored_to: stream.stored_to(),
                    filters: Arc::clone(&consumer.filters),
                });
            }
        }
        if due.is_empty() && new.is_none() {
            let delayed_until = consumer.delayed.first().map(|(until, _)| *until);
            return Plan::Nothing(Nothing::Empty { delayed_until });
        }
        if let Some(nothing) = self.limited_by_rate(consumer) {
            return Plan::Nothing(nothing);
        }
        Plan::Take { due, new, capacity }
    }

    /// New messages that are still in memory and match, from the consumer's cursor on.
    pub(crate) fn recent_matches(
        &self,
        id: u32,
        from: u64,
        capacity: Capacity,
    ) -> Vec<Arc<Stored>> {
        let fitting = fill(self.matches_in_memory(id, from), capacity, |stored| {
            stored.size()
        });
        fitting
            .into_iter()
            .map(|stored| Arc::new(stored.clone()))
            .collect()
    }

    /// The first of them.
    pub(crate) fn first_recent_match(&self, id: u32, from: u64) -> Option<&Stored> {
        self.matches_in_memory(id, from).next()
    }

    fn matches_in_memory(&self, id: u32, from: u64) -> impl Iterator<Item = &Stored> {
        let consumer = self.consumers.get(&id);
        let stream = consumer.and_then(|consumer| self.streams.get(&consumer.stream));
        let both = consumer.zip(stream);
        both.into_iter().flat_map(move |(consumer, stream)| {
            stream.recent.iter_from(from).filter(move |stored| {
                consumer.wants(&stored.subject)
                    && !stream.is_purged(stored.seq, &stored.subject)
                    && !stream.is_hole(stored.seq).unwrap_or(false)
            })
        })
    }

    /// Delayed messages of one consumer whose time has come are due, before the sweeper says so.
    pub(crate) fn end_delays_of(&mut self, id: u32, now: u64) {
        self.now = self.now.max(now);
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.end_delays(self.now);
        }
    }

    /// The last sequence of a consumer's stream.
    pub(crate) fn last_of(&self, id: u32) -> u64 {
        let stream = self
            .consumers
            .get(&id)
            .and_then(|known| self.streams.get(&known.stream));
        stream.map_or(0, |stream| stream.last)
    }

    /// Whether a consumer may have something left to deliver.
    pub(crate) fn has_more(&self, id: u32) -> bool {
        let more = |known: &Consumer| !known.due.is_empty() || known.next <= self.last_of(id);
        self.consumers.get(&id).is_some_and(more)
    }

    /// Whether a due message must be in the log.
    pub(crate) fn must_hold(&self, id: u32, seq: u64) -> bool {
        self.consumers.get(&id).is_some_and(|consumer| {
            consumer.is_due(seq)
                && self
                    .streams
                    .get(&consumer.stream)
                    .is_some_and(|known| known.is_expected(seq))
        })
    }

    /// Whether the log must hold a sequence of a stream.
    pub(crate) fn must_log(&self, stream: u32, seq: u64) -> bool {
        self.streams
            .get(&stream)
            .is_some_and(|known| seq >= known.first() && known.is_expected(seq))
    }

    /// Whether a message is known to be deleted, be it in the open group.
    pub(crate) fn is_removed(&self, stream: u32, seq: u64) -> bool {
        let known = self.streams.get(&stream);
        known.is_some_and(|known| seq < known.head || known.windows.is_dead(seq).unwrap_or(false))
    }

    /// How often a consumer was set to another place.
    pub(crate) fn moves(&self, id: u32) -> u64 {
        self.consumers.get(&id).map_or(0, |known| known.moves)
    }

    /// How often a stream's windows left the cache.
    pub(crate) fn evictions(&self, stream: u32) -> Option<u64> {
        self.streams
            .get(&stream)
            .map(|stream| stream.windows.evictions())
    }

    /// Claims new messages for a fetch, if all that it may take next is in memory.
    pub(crate) fn claim_recent(&mut self, id: u32, asked: Capacity) -> Option<Vec<Claimed>> {
        let waits = |known: &Consumer| known.pace.waits_until(self.mono).is_some();
        if self.consumers.get(&id).is_some_and(waits) {
            // At every commit, so without a count of what there is.
            return None;
        }
        let Plan::Take {
            due,
            new: Some(new),
            capacity,
        } = self.plan(id, asked)
        else {
            return None;
        };
        if !due.is_empty() || new.from <= new.stored_to {
            return None;
        }
        let found = self.recent_matches(id, new.from, capacity);
        let claimed = self.claim(id, found, 0, asked);
        (!claimed.is_empty()).then_some(claimed)
    }

    /// Claims what was read, as far as it is still there to be claimed.
    ///
    /// `evictions` is the stream's count when the holes were read; `scanned_to` is how far the cursor
    /// may move when nothing new was found before it.
    pub(crate) fn claim(
        &mut self,
        id: u32,
        found: Vec<Arc<Stored>>,
        scanned_to: u64,
        capacity: Capacity,
    ) -> Vec<Claimed> {
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return Vec::new();
        };
        let Some(stream) = self.streams.get(&consumer.stream) else {
            return Vec::new();
        };
        let mut claimed = Vec::with_capacity(found.len());
        let mut purged = Vec::new();
        if consumer.paused_until(self.now).is_some() {
            return claimed;
        }
        // What was planned before others fetched may be too much now.
        let Ok(capacity) = consumer.capacity(capacity) else {
            return claimed;
        };
        for stored in fill(found.into_iter(), capacity, |stored| stored.size()) {
            let seq = stored.seq;
            // An evicted window was re-read by the caller, so `None` is as alive as it was read.
            let dead = stream.windows.is_dead(seq).unwrap_or(false);
            if dead || !consumer.may_claim(seq) {
                continue;
            }
            if stream.is_purged(seq, &stored.subject) {
                purged.push(seq);
                continue;
            }
            if seq >= consumer.next && stream.purge_ahead(consumer.next) {
                break;
            }
            // The room of an empty consumer lets one message in, however large, not several.
            let bytes = consumer.leased_bytes + stored.size();
            if !consumer.leases.is_empty() && bytes > consumer.config.max_ack_pending_bytes {
                break;
            }
            let turn = consumer.waits_for_turn(seq, stored.time, self.mono);
            if turn.or(consumer.pace.waits_until(self.mono)).is_some() {
                break;
            }
            consumer.note_replayed(&stored, self.mono);
            consumer.pace.take(stored.size(), self.mono);
            let serial = if consumer.needs_no_acks() {
                consumer.claim_once(seq)
            } else if seq >= consumer.next {
                consumer.claim_new(seq, stored.size())
            } else {
                consumer.claim_due(seq, stored.size())
            };
            consumer.note_published(seq, stored.time);
            let entry = consumer.entries.get(seq);
            let (attempts, failures, crashes) = (entry.attempts, entry.failures, entry.crashes);
            claimed.push(Claimed {
                stored,
                serial,
                attempts,
                failures,
                crashes,
            });
        }
        if scanned_to > consumer.next && !stream.purge_ahead(consumer.next) {
            // Passed over: it only saves looking again, so it waits for the next change.
            consumer.next = scanned_to;
        }
        if !claimed.is_empty() {
            self.touch_consumer(id);
        }
        purged.retain(|seq| {
            self.consumers
                .get(&id)
                .is_some_and(|known| known.is_due(*seq))
        });
        self.lose(id, &purged, Removal::Purge);
        claimed
    }
}

/// As many of the messages as fit.
fn fill<T>(
    messages: impl Iterator<Item = T>,
    capacity: Capacity,
    size: impl Fn(&T) -> u64,
) -> Vec<T> {
    let mut left = capacity.bytes;
    let fits = |message: &T| {
        let size = size(message);
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    };
    messages.take(capacity.messages).take_while(fits).collect()
}

impl Consumer {
    /// How much of what is asked for may be in flight besides what is.
    fn capacity(&self, asked: Capacity) -> Result<Capacity, Nothing> {
        let out = self.leases.len() as u64;
        let free = self.config.max_ack_pending.saturating_sub(out);
        if free == 0 {
            return Err(Nothing::InFlight { messages: out });
        }
        // A suspect is never in flight beside others.
        let only = self.leases.keys().next().filter(|_| out == 1);
        if let Some(seq) = only.filter(|seq| self.is_suspect(**seq)) {
            return Err(Nothing::Alone { seq: *seq });
        }
        // One message is always allowed, however large.
        let most = self.config.max_ack_pending_bytes;
        let most = if out == 0 {
            most.max(ONE_MESSAGE)
        } else {
            most
        };
        let bytes_free = most.saturating_sub(self.leased_bytes);
        if bytes_free == 0 {
            return Err(Nothing::InFlightBytes {
                bytes: self.leased_bytes,
            });
        }
        let messages = asked
            .messages
            .min(usize::try_from(free).unwrap_or(usize::MAX));
        Ok(Capacity {
            messages,
            bytes: asked.bytes.min(bytes_free),
        })
    }

    /// The due messages to deliver next: in order, up to one that must be alone.
    fn plan_due(&self, limit: usize) -> Result<Vec<u64>, Nothing> {
        let mut due = Vec::new();
        for (_, seq) in self.due.iter().take(limit) {
            if self.is_suspect(*seq) {
                if due.is_empty() && !self.leases.is_empty() {
                    return Err(Nothing::Alone { seq: *seq });
                }
                if due.is_empty() {
                    due.push(*seq);
                }
                break;
            }
            due.push(*seq);
        }
        Ok(due)
    }

    /// Whether a message that must be alone is next or soon: nothing new may join what is out.
    fn suspect_is_due(&self) -> bool {
        !self.suspects_due.is_empty()
    }

    fn too_many_aside(&self) -> Option<Nothing> {
        let messages = (self.delayed.len() + self.condemned.len() + self.parked.len()) as u64;
        let full = messages >= crate::config::SET_ASIDE_MAX;
        full.then_some(Nothing::SetAside { messages })
    }

    /// Whether a message that was read may still be delivered.
    fn may_claim(&self, seq: u64) -> bool {
        if seq >= self.next {
            return true;
        }
        self.is_due(seq) && (self.leases.is_empty() || !self.is_suspect(seq))
    }
}
