//! What the removal of messages does to the stream's consumers (G11).

use super::consumer::Consumer;
use super::stored::Fact;
use super::{Drop, State, Stream};
use crate::clock::Mono;
use crate::event::{Event, Removal};
use crate::seq::Seq;
use std::collections::BTreeMap;

/// Bytes that may be removed until it is looked which blocks are dead.
const FREED_AFTER_BYTES: u64 = 4 << 20;

/// What one consumer lost in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) messages: u64,
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Loss {
    fn add(loss: &mut Option<Loss>, seq: u64) {
        let known = loss.get_or_insert(Loss {
            messages: 0,
            first: seq,
            last: seq,
        });
        known.messages += 1;
        known.first = known.first.min(seq);
        known.last = known.last.max(seq);
    }
}

impl State {
    /// Accounts for messages that leave a stream: its counters, its subjects, and every consumer that
    /// had not finished them. `gone` is in the order of sequences.
    pub(crate) fn account_removed(&mut self, stream: u32, gone: &[Fact], by: Removal) {
        let now = self.removal_time();
        if let Some(target) = self.streams.get_mut(&stream) {
            target.removed.note(gone, by, now);
        }
        self.account_noted(stream, gone, by);
    }

    /// When what leaves now leaves.
    pub(super) fn removal_time(&self) -> u64 {
        self.now.max(self.read_time)
    }

    /// The same when what the stream remembers of them is noted.
    pub(super) fn account_noted(&mut self, stream: u32, gone: &[Fact], by: Removal) {
        let now = self.removal_time();
        let Some(target) = self.streams.get_mut(&stream) else {
            return;
        };
        if gone.is_empty() {
            return;
        }
        if by == Removal::Purge {
            target.purged += gone.len() as u64;
        }
        target.removed_bytes += gone.iter().map(|fact| fact.size).sum::<u64>();
        if target.removed_bytes >= FREED_AFTER_BYTES {
            // Where the head passed deleted messages, nobody had to look which blocks are dead now.
            target.removed_bytes = 0;
            self.drops.insert(Drop::Blocks(stream));
            self.sweep_wanted = true;
        }
        let leaving = target.leaving_markers(gone, by);
        let retired = take_from_stream(target, gone, by);
        let (name, mono) = (target.config.name.clone(), self.mono);
        for id in target.consumers.clone() {
            let Some(consumer) = self.consumers.get_mut(&id) else {
                continue;
            };
            // First what it loses, then what it may forget: a subject leaves when all of its messages
            // are accounted for.
            let loss = remove_from(consumer, gone, by, (mono, now));
            if forget_subjects(consumer, &retired) || loss.is_some() {
                self.touch_consumer(id);
            }
            if let Some(loss) = loss {
                let expires = self.consumers.get(&id).and_then(Consumer::expires_at);
                self.alarm.at_mono(expires);
                self.tell_loss(id, &name, loss, by);
            }
        }
        self.touch_stream(stream);
        self.leave_markers(stream, leaving, by);
        self.tell_room(&name);
    }

    /// Room in a stream for dead letters that were refused, perhaps, or for messages that are due.
    pub(super) fn tell_room(&mut self, stream: &str) {
        let waits = |id: &u32| {
            let consumer = self.consumers.get(id);
            consumer.is_some_and(|known| known.config.dead_letter_stream() == Some(stream))
        };
        self.sweep_wanted |= self.condemned_in.iter().any(waits);
        let own = self.stream_id(stream).and_then(|id| self.streams.get(&id));
        self.sweep_wanted |= own.is_some_and(|own| own.scheduled.waits_for_room());
    }

    pub(super) fn tell_loss(&mut self, consumer: u32, stream: &str, loss: Loss, by: Removal) {
        let Some(consumer) = self.consumers.get(&consumer) else {
            return;
        };
        let event = Event::UnfinishedRemoved {
            stream: stream.to_owned(),
            consumer: consumer.config.name.clone(),
            messages: loss.messages,
            first: Seq::new(loss.first),
            last: Seq::new(loss.last),
            by,
        };
        self.tell(event);
    }

    /// Takes the unfinished messages below a cut away from every consumer at once, as a purge does
    /// before the space is freed. What was never delivered is counted when it is freed.
    pub(crate) fn cut_consumers(&mut self, stream: u32, cut: u64, by: Removal) {
        for id in target_consumers(self, stream) {
            let Some(consumer) = self.consumers.get(&id) else {
                continue;
            };
            let held: Vec<u64> = held_below(consumer, cut);
            self.lose(id, &held, by);
        }
    }

    /// Takes messages that a consumer holds away from it.
    pub(crate) fn lose(&mut self, id: u32, seqs: &[u64], by: Removal) {
        let (mono, now) = (self.mono, self.removal_time());
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return;
        };
        consumer.lost.note_seqs(seqs.iter().copied(), by, now);
        let mut loss = None;
        for seq in seqs {
            consumer.lose(*seq, mono);
            consumer.totals.lose(1, *seq, *seq);
            Loss::add(&mut loss, *seq);
        }
        if let Some(loss) = loss {
            let stream = consumer.stream;
            self.touch_consumer(id);
            self.tell_loss(id, &self.stream_name(stream), loss, by);
        }
    }
}

impl State {
    /// Empties a stream at once, without a look at its messages.
    pub(crate) fn remove_all(&mut self, stream: u32, by: Removal) {
        let Some(target) = self.streams.get(&stream) else {
            return;
        };
        let (name, first, last) = (target.config.name.clone(), target.first(), target.last);
        let now = self.removal_time();
        if let Some(target) = self.streams.get_mut(&stream).filter(|_| first <= last) {
            target.removed.note_head(first, last, by, now);
        }
        self.cut_consumers(stream, last + 1, by);
        for id in target_consumers(self, stream) {
            let unseen = self.pending_count(id);
            let Some(consumer) = self.consumers.get_mut(&id) else {
                continue;
            };
            let (from, filtered) = (consumer.next.max(first), !consumer.filters.is_empty());
            consumer.totals.lose(unseen, from, last);
            if unseen > 0 {
                consumer.lost.note_rest(from, last, by, now);
            }
            // Its subjects leave with everything that was ever counted of them.
            consumer.accounted = if filtered {
                0
            } else {
                consumer.accounted + unseen
            };
            self.touch_consumer(id);
            if unseen > 0 {
                self.tell_loss(
                    id,
                    &name,
                    Loss {
                        messages: unseen,
                        first: from,
                        last,
                    },
                    by,
                );
            }
        }
        let Some(target) = self.streams.get_mut(&stream) else {
            return;
        };
        if by == Removal::Purge {
            target.purged += target.messages;
        }
        target.count_departed(target.messages, target.subjects.len(), by);
        (target.messages, target.bytes, target.holes) = (0, 0, 0);
        (target.head, target.cut) = (last + 1, last + 1);
        target.subjects.clear();
        target.expiries.clear();
        target.purges.clear();
        target.crowded.clear();
        target.finished.clear();
        target.rejudged = None;
        // Nothing is left that could not be read, and what was read of it says nothing any more.
        self.exclusions += 1;
        target.unreadable = None;
        self.unreadable.retain(|(known, _)| *known != stream);
        target.marks_group = self.group;
        target.removals += 1;
        target.relented += 1;
        // Whatever is published after this, also in the same group, starts a block of its own.
        target.drop_to = last + 1;
        self.drops.insert(Drop::Blocks(stream));
        self.touch_stream(stream);
        self.sweep_wanted = true;
    }
}

fn target_consumers(state: &State, stream: u32) -> Vec<u32> {
    state.streams.get(&stream).map_or_else(Vec::new, |stream| {
        stream.consumers.iter().copied().collect()
    })
}

fn held_below(consumer: &Consumer, cut: u64) -> Vec<u64> {
    let pending = consumer.pending.iter().take_while(|seq| *seq < cut);
    pending
        .chain(consumer.parked.range(..cut).copied())
        .collect()
}

/// Updates the stream's counters and returns the subjects that have no messages left.
pub(super) fn take_from_stream(
    stream: &mut Stream,
    gone: &[Fact],
    by: Removal,
) -> Vec<(String, u64)> {
    let mut by_subject: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for fact in gone {
        stream.bytes -= fact.size;
        stream.expiries.remove(fact.seq);
        let (count, last) = by_subject.entry(&fact.subject).or_default();
        (*count, *last) = (*count + 1, fact.seq.max(*last));
    }
    stream.messages -= gone.len() as u64;
    stream.removals += 1;
    let subjects = &mut stream.subjects;
    let retire = |(name, (count, last)): (&str, (u64, u64))| {
        Some((name.to_owned(), subjects.take(name, count, last)?))
    };
    let retired: Vec<_> = by_subject.into_iter().filter_map(retire).collect();
    stream.relented += u64::from(!retired.is_empty());
    stream.count_departed(gone.len() as u64, retired.len() as u64, by);
    retired
}

/// A subject that left takes with it what the consumer counted of it, once it is all accounted for.
fn forget_subjects(consumer: &mut Consumer, retired: &[(String, u64)]) -> bool {
    if consumer.filters.is_empty() {
        return false;
    }
    let gone: u64 = retired
        .iter()
        .filter(|(name, _)| consumer.wants(name))
        .map(|(_, total)| total)
        .sum();
    debug_assert!(
        consumer.accounted >= gone,
        "a subject leaves when it is accounted for"
    );
    consumer.accounted = consumer.accounted.saturating_sub(gone);
    gone > 0
}

fn remove_from(
    consumer: &mut Consumer,
    gone: &[Fact],
    by: Removal,
    (mono, now): (Mono, u64),
) -> Option<Loss> {
    let (first, last) = (gone.first()?.seq, gone.last()?.seq);
    let holds = consumer.pending.count_range(first, last) > 0
        || consumer.parked.range(first..=last).next().is_some();
    if !holds && last < consumer.next {
        return None;
    }
    let (mut loss, mut taken) = (None, Vec::new());
    for fact in gone {
        let seq = fact.seq;
        if consumer.holds(seq) {
            consumer.lose(seq, mono);
        } else if seq >= consumer.next && consumer.wants(&fact.subject) {
            consumer.accounted += 1;
        } else {
            continue;
        }
        consumer.totals.lose(1, seq, seq);
        Loss::add(&mut loss, seq);
        taken.push(seq);
    }
    consumer.lost.note_seqs(taken, by, now);
    loss
}
