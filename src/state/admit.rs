//! Publishing: all checks first, then all appends, so that a batch is stored whole or not at all.

use super::dedup::hash_id;
use super::expect::{Expectations, check_for_later, check_places};
use super::rollup::Replaced;
use super::room::disk_bytes;
use super::schedule::as_number;
use super::stored::Need;
use super::stream::{Appended, Placed};
use super::{State, Stream};
use crate::clock::micros;
use crate::config::Discard;
use crate::error::PublishErrorKind;
use crate::publish::Publish;
use std::collections::{HashMap, HashSet};

/// Why messages were not stored, or not yet.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    For(PublishErrorKind),
    /// Nobody knows before this is read.
    Until(Need),
}

impl From<PublishErrorKind> for Refused {
    fn from(kind: PublishErrorKind) -> Self {
        Self::For(kind)
    }
}

impl From<Need> for Refused {
    fn from(need: Need) -> Self {
        Self::Until(need)
    }
}

impl Refused {
    /// A place in a part of a batch is told as its place in the batch.
    fn of_part(mut self, part: &Part) -> Self {
        if let Self::For(
            PublishErrorKind::ExpectInBatch { at }
            | PublishErrorKind::ExpectOwn { at, .. }
            | PublishErrorKind::NotForLater { at, .. },
        ) = &mut self
        {
            *at = part.places.get(*at).copied().unwrap_or(*at);
        }
        self
    }
}

/// The messages of a batch that go to one of its streams.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) stream: u32,
    pub(crate) messages: Vec<Publish>,
    /// Where they stand in the batch.
    pub(crate) places: Vec<usize>,
}

impl Part {
    pub(crate) const fn of(stream: u32) -> Self {
        Self {
            stream,
            messages: Vec::new(),
            places: Vec::new(),
        }
    }
}

/// What the checks found out about each message.
#[derive(Debug)]
enum Verdict {
    New {
        hash: Option<u128>,
    },
    DuplicateOf {
        place: u64,
        hash: u128,
    },
    /// The same id stands earlier in the batch.
    DuplicateInBatch(usize),
}

impl State {
    /// The stream that captures a subject.
    pub(crate) fn route(&self, subject: &str) -> Option<u32> {
        self.routes.find(subject)
    }

    /// Appends messages to a stream, all or none; on success they are taken out of `messages`.
    pub(crate) fn publish(
        &mut self,
        stream: u32,
        messages: &mut Vec<Publish>,
        now: u64,
    ) -> Result<Vec<Placed>, Refused> {
        let checked = self.check_publish(stream, messages, now)?;
        self.room.for_publish(checked.disk.total())?;
        Ok(self.append_checked_batch(stream, messages, checked, now))
    }

    /// Appends messages to several streams, all or none; on success they are taken out of the parts.
    pub(crate) fn publish_parts(
        &mut self,
        parts: &mut [Part],
        now: u64,
    ) -> Result<Vec<Vec<Placed>>, (Refused, u32)> {
        let mut all = Vec::with_capacity(parts.len());
        let mut disk = 0;
        for part in &*parts {
            let checked = self.check_publish(part.stream, &part.messages, now);
            let checked = checked.map_err(|why| (why.of_part(part), part.stream))?;
            disk += checked.disk.total();
            all.push(checked);
        }
        let first = parts.first().map_or(0, |part| part.stream);
        let room = self.room.for_publish(disk);
        room.map_err(|why| (why.into(), first))?;
        let placed = parts.iter_mut().zip(all).map(|(part, checked)| {
            self.append_checked_batch(part.stream, &mut part.messages, checked, now)
        });
        Ok(placed.collect())
    }

    fn check_publish(
        &mut self,
        stream: u32,
        messages: &[Publish],
        now: u64,
    ) -> Result<Checked, Refused> {
        self.now = self.now.max(now);
        let depends = |known: &Stream| messages.iter().any(|message| known.looks_back(message));
        if self.streams.get(&stream).is_some_and(depends) {
            self.retire_before(stream)?;
        }
        let gone = || PublishErrorKind::StreamGone {
            stream: String::new(),
        };
        let target = self.streams.get_mut(&stream).ok_or_else(gone)?;
        if let Some(horizon) = target.dedup_horizon(now) {
            // A little at a time: the sweeper does the rest, unless the bound is near.
            let ids = target.dedup.len() + messages.len() as u64;
            let near = ids > target.config.dedup_ids;
            let limit = if near {
                usize::MAX
            } else {
                64 + messages.len()
            };
            target.dedup.forget(horizon, limit);
        }
        let target = self.streams.get(&stream).ok_or_else(gone)?;
        check(self, target, messages, now)
    }

    /// Appends what passed every check.
    fn append_checked_batch(
        &mut self,
        stream: u32,
        messages: &mut Vec<Publish>,
        checked: Checked,
        now: u64,
    ) -> Vec<Placed> {
        let Checked {
            verdicts,
            disk,
            bytes,
            mut replaced,
        } = checked;
        let group = self.group;
        let mut placed: Vec<Placed> = Vec::with_capacity(messages.len());
        let mut verdicts = verdicts.into_iter().peekable();
        let (mut stored, mut renewed) = (false, false);
        let mut messages = messages.drain(..).enumerate().peekable();
        while let Some((start, first)) = messages.peek() {
            let start = *start;
            let judged = verdicts.peek().filter(|(judged, _)| *judged == start);
            let is_new = judged.is_none_or(|(_, verdict)| matches!(verdict, Verdict::New { .. }));
            if let Some(rollup) = first.rollup.filter(|_| is_new) {
                let subject = first.subject.clone();
                if stored {
                    // Who starts later has passed over what the batch brought, before it leaves.
                    self.after_append(stream);
                }
                self.replace(stream, &subject, rollup, &mut replaced);
            }
            let Some(target) = self.streams.get_mut(&stream) else {
                unreachable!("a stream that was checked is there")
            };
            target.recent.reserve(messages.len());
            // All up to the next message that replaces others.
            let run = |(at, message): &(usize, Publish)| *at == start || message.rollup.is_none();
            while let Some((at, message)) = messages.next_if(run) {
                let judged = verdicts.next_if(|(judged, _)| *judged == at);
                let verdict = judged.map_or(Verdict::New { hash: None }, |(_, verdict)| verdict);
                placed.push(match verdict {
                    Verdict::DuplicateOf { place, hash } => {
                        renewed |= target.renew_id(hash, now);
                        Placed::duplicate_of(place)
                    }
                    Verdict::DuplicateInBatch(at) => {
                        let first = placed.get(at).copied();
                        Placed {
                            duplicate: true,
                            ..first.unwrap_or(Placed::at(0))
                        }
                    }
                    Verdict::New { hash } => match message.due_after(now) {
                        None => {
                            stored = true;
                            Placed::at(target.append(appended(message, hash), now, group))
                        }
                        Some(due) => Placed {
                            scheduled: Some(target.schedule(message, hash, due, (now, group))),
                            ..Placed::at(0)
                        },
                    },
                });
            }
        }
        drop(messages);
        self.open.bytes += bytes;
        if renewed {
            self.touch_stream(stream);
        }
        if disk.later > 0 {
            self.room.set_aside(disk.later);
            self.after_schedule(stream);
        }
        if stored {
            self.room.stage(disk.now);
            self.after_append(stream);
        }
        placed
    }

    /// A stream has new messages: what starts later passes them over, and its age may need a look.
    pub(crate) fn after_append(&mut self, stream: u32) {
        self.touch_stream(stream);
        let Some(target) = self.streams.get_mut(&stream) else {
            return;
        };
        if let Some(age) = target.config.max_age {
            self.alarm
                .at_time(Some(target.last_time.saturating_add(micros(age))));
        }
        self.alarm.at_time(target.next_forgetting());
        self.alarm.at_time(target.next_ttl());
        if target.early.is_empty() {
            return;
        }
        let from = std::mem::replace(&mut target.early_from, target.last + 1);
        for id in target.early.clone() {
            let Some(consumer) = self.consumers.get_mut(&id) else {
                continue;
            };
            let fresh = (from..=target.last).take_while(|seq| *seq < consumer.next);
            let passed = fresh.filter_map(|seq| target.recent.get(seq));
            let passed = passed
                .filter(|stored| consumer.wants(&stored.subject))
                .count() as u64;
            consumer.accounted += passed;
            if consumer.next <= target.last + 1 {
                target.early.remove(&id);
            }
            if passed > 0 {
                consumer.group = self.group;
                self.open.consumers.insert(id);
            }
        }
    }
}

/// About what new messages will take on disk, at once and while they wait.
#[derive(Clone, Copy, Debug, Default)]
struct DiskBytes {
    now: u64,
    later: u64,
}

impl DiskBytes {
    const fn total(self) -> u64 {
        self.now + self.later
    }
}

impl Placed {
    fn at(seq: u64) -> Self {
        Self {
            seq,
            scheduled: None,
            duplicate: false,
        }
    }

    /// Of one that is remembered in a place: a sequence, or the number of one that waits.
    fn duplicate_of(place: u64) -> Self {
        let scheduled = as_number(place);
        Self {
            seq: if scheduled.is_some() { 0 } else { place },
            scheduled,
            duplicate: true,
        }
    }
}

fn appended(message: Publish, id_hash: Option<u128>) -> Appended {
    Appended {
        subject: message.subject,
        payload: message.payload,
        headers: message.headers,
        id: message.id,
        id_hash,
        ttl: message.ttl.map(micros),
    }
}

/// What the checks of a batch came to.
#[derive(Debug)]
struct Checked {
    /// What becomes of each message that has an id: the others are new.
    verdicts: Vec<(usize, Verdict)>,
    disk: DiskBytes,
    /// What they add to the stream's bytes.
    bytes: u64,
    replaced: Replaced,
}

fn check(
    state: &State,
    stream: &Stream,
    messages: &[Publish],
    now: u64,
) -> Result<Checked, Refused> {
    check_places(messages)?;
    let expectations = Expectations { state, stream };
    let mut verdicts = Vec::new();
    let mut batch_ids: HashMap<u128, usize> = HashMap::new();
    let mut new_subjects: HashSet<&str> = HashSet::new();
    let mut rollups: Vec<&Publish> = Vec::new();
    let (mut new_messages, mut new_bytes, mut new_ids, mut new_ttls) = (0, 0, 0, 0);
    let (mut later_messages, mut later_bytes) = (0, 0);
    let mut disk = DiskBytes::default();
    // Whether a new message on the last subject was counted towards the new ones.
    let (mut last_subject, mut counted) = (None, false);
    // Only where subjects or consumers may have as many as they may.
    let mut fresh: Vec<&Publish> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        // Neighbours often share a subject; it is looked at once.
        if last_subject != Some(message.subject.as_str()) {
            stream.admit_subject(&message.subject)?;
            (last_subject, counted) = (Some(message.subject.as_str()), false);
        }
        stream.admit(message)?;
        let verdict = judge_id(stream, state.secret, message, now, at, &mut batch_ids);
        if let Verdict::New { hash } = &verdict {
            stream.admit_open()?;
            new_messages += 1;
            let size = message.stored_size();
            new_bytes += size;
            if message.is_for_later(now) {
                check_for_later(message, at)?;
                (later_messages, later_bytes) = (later_messages + 1, later_bytes + size);
                disk.later += disk_bytes(size);
            } else {
                disk.now += disk_bytes(size);
                new_ttls += u64::from(message.ttl.is_some());
            }
            new_ids += u64::from(hash.is_some());
            if stream.config.discard_per_subject == Discard::New
                || stream.config.max_lag_messages.is_some()
            {
                fresh.push(message);
            }
            if !std::mem::replace(&mut counted, true) && !stream.subjects.contains(&message.subject)
            {
                new_subjects.insert(&message.subject);
            }
            // A duplicate is answered as one whatever it expects (a retry must not fail).
            if let Some(expect) = &message.expect {
                expectations.judge(expect)?;
            }
            if message.rollup.is_some() {
                rollups.push(message);
            }
        }
        if message.id.is_some() {
            verdicts.push((at, verdict));
        }
    }
    let replaced = state.plan_rollups(stream, &rollups)?;
    stream.room_without(replaced.room(stream), new_messages, new_bytes)?;
    stream.scheduled_room(later_messages, later_bytes, state.scheduled_max)?;
    stream.ttl_room(replaced.ttls(stream), new_ttls, state.ttl_max)?;
    stream.room_on_subjects(&fresh, &replaced)?;
    state.lag_room(stream, &fresh, now)?;
    check_bounds(state, stream, new_ids, new_subjects.len() as u64)?;
    Ok(Checked {
        verdicts,
        disk,
        bytes: new_bytes,
        replaced,
    })
}

/// Refuses more ids or subjects than are remembered.
fn check_bounds(
    state: &State,
    stream: &Stream,
    new_ids: u64,
    new_subjects: u64,
) -> Result<(), PublishErrorKind> {
    let name = || stream.config.name.clone();
    if new_ids > 0 && stream.dedup.len() + new_ids > stream.config.dedup_ids {
        let (stream, limit) = (name(), stream.config.dedup_ids);
        return Err(PublishErrorKind::DedupFull { stream, limit });
    }
    if new_subjects > 0 && stream.subjects.len() + new_subjects > state.subjects_max {
        let (stream, limit) = (name(), state.subjects_max);
        return Err(PublishErrorKind::SubjectsFull { stream, limit });
    }
    Ok(())
}

fn judge_id(
    stream: &Stream,
    secret: [u8; 16],
    message: &Publish,
    now: u64,
    at: usize,
    batch_ids: &mut HashMap<u128, usize>,
) -> Verdict {
    let Some(id) = &message.id else {
        return Verdict::New { hash: None };
    };
    let hash = hash_id(secret, id);
    if let Some(place) = stream.duplicate_of(hash, now) {
        return Verdict::DuplicateOf { place, hash };
    }
    if let Some(first) = batch_ids.get(&hash) {
        Verdict::DuplicateInBatch(*first)
    } else {
        batch_ids.insert(hash, at);
        Verdict::New { hash: Some(hash) }
    }
}
