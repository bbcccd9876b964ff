//! Publishing: all checks first, then all appends, so that a batch is stored whole or not at all.

use super::dedup::hash_id;
use super::room::disk_bytes;
use super::schedule::as_number;
use super::stream::{Appended, Placed};
use super::{State, Stream};
use crate::clock::micros;
use crate::config::Discard;
use crate::error::PublishErrorKind;
use crate::publish::Publish;
use std::collections::{HashMap, HashSet};

/// What the checks found out about each message.
#[derive(Debug)]
enum Verdict {
    New {
        hash: Option<u128>,
    },
    DuplicateOf(u64),
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
    ) -> Result<Vec<Placed>, PublishErrorKind> {
        self.now = self.now.max(now);
        let Some(target) = self.streams.get_mut(&stream) else {
            return Err(PublishErrorKind::StreamGone {
                stream: String::new(),
            });
        };
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
        let bounds = (self.subjects_max, self.scheduled_max, self.ttl_max);
        let (verdicts, disk) = check(target, self.secret, bounds, messages, now)?;
        self.room.for_publish(disk.now + disk.later)?;
        let mut verdicts = verdicts.into_iter().peekable();
        let group = self.group;
        let (before, waiting) = (target.bytes, target.scheduled.bytes());
        let mut placed: Vec<Placed> = Vec::with_capacity(messages.len());
        target.recent.reserve(messages.len());
        let mut stored = false;
        for (at, message) in messages.drain(..).enumerate() {
            let judged = verdicts.next_if(|(judged, _)| *judged == at);
            let verdict = judged.map_or(Verdict::New { hash: None }, |(_, verdict)| verdict);
            placed.push(match verdict {
                Verdict::DuplicateOf(place) => Placed::duplicate_of(place),
                Verdict::DuplicateInBatch(at) => {
                    let first = placed.get(at).copied();
                    Placed {
                        duplicate: true,
                        ..first.unwrap_or(Placed::at(0))
                    }
                }
                Verdict::New { hash } => match message.due.later_than(now) {
                    None => {
                        stored = true;
                        Placed::at(target.append(appended(message, hash), now, group))
                    }
                    Some(due) => {
                        let number = target.schedule(message, hash, due, (now, group));
                        Placed {
                            scheduled: Some(number),
                            ..Placed::at(0)
                        }
                    }
                },
            });
        }
        let bytes = (target.bytes - before) + (target.scheduled.bytes() - waiting);
        self.open.bytes += bytes;
        if disk.later > 0 {
            self.room.set_aside(disk.later);
            self.after_schedule(stream);
        }
        if stored {
            self.room.stage(disk.now);
            self.after_append(stream);
        }
        Ok(placed)
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

/// What becomes of each message that has an id, and about what the new ones will take on disk.
fn check(
    stream: &Stream,
    secret: [u8; 16],
    (subjects_max, scheduled_max, ttl_max): (u64, u64, u64),
    messages: &[Publish],
    now: u64,
) -> Result<(Vec<(usize, Verdict)>, DiskBytes), PublishErrorKind> {
    // Only of messages that have an id: the others are new.
    let mut verdicts = Vec::new();
    let mut batch_ids: HashMap<u128, usize> = HashMap::new();
    let mut new_subjects: HashSet<&str> = HashSet::new();
    let (mut new_messages, mut new_bytes, mut new_ids, mut new_ttls) = (0, 0, 0, 0);
    let (mut later_messages, mut later_bytes) = (0, 0);
    let mut disk = DiskBytes::default();
    // Whether a new message on the last subject was counted towards the new ones.
    let (mut last_subject, mut counted) = (None, false);
    // Only where subjects may be full.
    let mut fresh: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        // Neighbours often share a subject; it is looked at once.
        if last_subject != Some(message.subject.as_str()) {
            stream.admit_subject(&message.subject)?;
            (last_subject, counted) = (Some(message.subject.as_str()), false);
        }
        stream.admit(message)?;
        let verdict = judge_id(stream, secret, message, now, at, &mut batch_ids);
        if let Verdict::New { hash } = &verdict {
            stream.admit_open()?;
            new_messages += 1;
            let size = message.stored_size();
            new_bytes += size;
            if message.due.later_than(now).is_some() {
                (later_messages, later_bytes) = (later_messages + 1, later_bytes + size);
                disk.later += disk_bytes(size);
            } else {
                disk.now += disk_bytes(size);
                new_ttls += u64::from(message.ttl.is_some());
            }
            new_ids += u64::from(hash.is_some());
            if stream.config.discard_per_subject == Discard::New {
                fresh.push(&message.subject);
            }
            if !std::mem::replace(&mut counted, true) && !stream.subjects.contains(&message.subject)
            {
                new_subjects.insert(&message.subject);
            }
            // A duplicate is answered as one whatever it expects (a retry must not fail).
            stream.expect_last(message.expected_last)?;
        }
        if message.id.is_some() {
            verdicts.push((at, verdict));
        }
    }
    stream.room_for(new_messages, new_bytes)?;
    stream.scheduled_room(later_messages, later_bytes, scheduled_max)?;
    stream.ttl_room(new_ttls, ttl_max)?;
    stream.room_on_subjects(fresh.into_iter())?;
    let name = || stream.config.name.clone();
    if new_ids > 0 && stream.dedup.len() + new_ids > stream.config.dedup_ids {
        return Err(PublishErrorKind::DedupFull {
            stream: name(),
            limit: stream.config.dedup_ids,
        });
    }
    if !new_subjects.is_empty() && stream.subjects.len() + new_subjects.len() as u64 > subjects_max
    {
        return Err(PublishErrorKind::SubjectsFull {
            stream: name(),
            limit: subjects_max,
        });
    }
    Ok((verdicts, disk))
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
    if let Some(seq) = stream.duplicate_of(secret, id, now) {
        return Verdict::DuplicateOf(seq);
    }
    let hash = hash_id(secret, id);
    if let Some(first) = batch_ids.get(&hash) {
        Verdict::DuplicateInBatch(*first)
    } else {
        batch_ids.insert(hash, at);
        Verdict::New { hash: Some(hash) }
    }
}
