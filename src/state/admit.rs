//! Publishing: all checks first, then all appends, so that a batch is stored whole or not at all.

use super::dedup::hash_id;
use super::expect::{Expectations, check_places};
use super::room::disk_bytes;
use super::stored::Need;
use super::stream::{Appended, Placed};
use super::{State, Stream};
use crate::clock::micros;
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
    ) -> Result<Vec<Placed>, Refused> {
        self.now = self.now.max(now);
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
        let (verdicts, disk) = check(self, target, messages, now)?;
        self.room.for_publish(disk)?;
        let target = self.streams.get_mut(&stream).ok_or_else(gone)?;
        let mut verdicts = verdicts.into_iter().peekable();
        let group = self.group;
        let before = target.bytes;
        let mut placed: Vec<Placed> = Vec::with_capacity(messages.len());
        target.recent.reserve(messages.len());
        let mut stored = false;
        for (at, message) in messages.drain(..).enumerate() {
            let judged = verdicts.next_if(|(judged, _)| *judged == at);
            let verdict = judged.map_or(Verdict::New { hash: None }, |(_, verdict)| verdict);
            placed.push(match verdict {
                Verdict::DuplicateOf(seq) => Placed {
                    seq,
                    duplicate: true,
                },
                Verdict::DuplicateInBatch(at) => {
                    let seq = placed.get(at).map_or(0, |first| first.seq);
                    Placed {
                        seq,
                        duplicate: true,
                    }
                }
                Verdict::New { hash } => {
                    stored = true;
                    let seq = target.append(appended(message, hash), now, group);
                    Placed {
                        seq,
                        duplicate: false,
                    }
                }
            });
        }
        let bytes = target.bytes - before;
        if stored {
            self.open.bytes += bytes;
            self.room.stage(disk);
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

fn appended(message: Publish, id_hash: Option<u128>) -> Appended {
    Appended {
        subject: message.subject,
        payload: message.payload,
        headers: message.headers,
        id: message.id,
        id_hash,
    }
}

/// What becomes of each message that has an id, and about what the new ones will take on disk.
fn check(
    state: &State,
    stream: &Stream,
    messages: &[Publish],
    now: u64,
) -> Result<(Vec<(usize, Verdict)>, u64), Refused> {
    check_places(messages)?;
    let expectations = Expectations { state, stream };
    // Only of messages that have an id: the others are new.
    let mut verdicts = Vec::new();
    let mut batch_ids: HashMap<u128, usize> = HashMap::new();
    let mut new_subjects: HashSet<&str> = HashSet::new();
    let (mut new_messages, mut new_bytes, mut new_ids, mut disk) = (0, 0, 0, 0);
    // Whether a new message on the last subject was counted towards the new ones.
    let (mut last_subject, mut counted) = (None, false);
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
            disk += disk_bytes(size);
            new_ids += u64::from(hash.is_some());
            if !std::mem::replace(&mut counted, true) && !stream.subjects.contains(&message.subject)
            {
                new_subjects.insert(&message.subject);
            }
            // A duplicate is answered as one whatever it expects (a retry must not fail).
            if let Some(expect) = &message.expect {
                expectations.judge(expect)?;
            }
        }
        if message.id.is_some() {
            verdicts.push((at, verdict));
        }
    }
    stream.room_for(new_messages, new_bytes)?;
    let name = || stream.config.name.clone();
    if new_ids > 0 && stream.dedup.len() + new_ids > stream.config.dedup_ids {
        let (stream, limit) = (name(), stream.config.dedup_ids);
        return Err(PublishErrorKind::DedupFull { stream, limit }.into());
    }
    let subjects = stream.subjects.len() + new_subjects.len() as u64;
    if !new_subjects.is_empty() && subjects > state.subjects_max {
        let (stream, limit) = (name(), state.subjects_max);
        return Err(PublishErrorKind::SubjectsFull { stream, limit }.into());
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
