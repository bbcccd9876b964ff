//! Publishing: checked outside the lock as far as possible, staged under it, durable with its group.

use super::Engine;
use crate::clock::{Mono, Signal, Woken};
use crate::config::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, MESSAGE_ID_BYTES_MAX};
use crate::error::{PublishError, PublishErrorKind, Unavailable};
use crate::publish::{Publish, PublishAck};
use crate::seq::Seq;
use crate::state::{Need, Part, Placed, Refused};
use crate::subject::{SubjectFilter, validate_subject};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Where messages go.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// To the stream that captures their subject.
    Subject,
    /// To this stream.
    Stream { id: u32, name: String },
}

/// Messages that are staged, and the group that makes them durable.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) acks: Vec<PublishAck>,
    pub(crate) group: u64,
}

impl Engine {
    /// Publishes messages, all or none, and waits until they are durable.
    pub(crate) fn publish(
        &self,
        target: &Target,
        messages: Vec<Publish>,
    ) -> Result<Vec<PublishAck>, PublishError> {
        let staged = self.stage(target, messages, Pace::Wait)?;
        match self.wait(staged.group) {
            Ok(()) => Ok(staged.acks),
            Err(why) => Err(PublishError::new(why, Vec::new())),
        }
    }

    /// Checks and stages messages, waiting for room if they say so.
    pub(crate) fn stage(
        &self,
        target: &Target,
        mut messages: Vec<Publish>,
        pace: Pace,
    ) -> Result<Staged, PublishError> {
        let bytes = match check_messages(&messages, self.clock.now().as_micros()) {
            Ok(bytes) => bytes,
            Err(kind) => return Err(PublishError::new(kind, messages)),
        };
        let mut supplied = Vec::new();
        let staged = self.stage_checked(target, &mut messages, bytes, pace, &mut supplied);
        if !supplied.is_empty()
            && let Ok(mut core) = self.enter()
        {
            core.state.forget_supplied(&supplied);
        }
        staged.map_err(|kind| PublishError::new(kind, messages))
    }

    fn stage_checked(
        &self,
        target: &Target,
        messages: &mut Vec<Publish>,
        bytes: u64,
        pace: Pace,
        supplied: &mut Vec<(u32, u64)>,
    ) -> Result<Staged, PublishErrorKind> {
        let patience = messages.first().and_then(|message| message.wait_for_room);
        let mut room = patience.map(|patience| {
            (
                Arc::new(Signal::default()),
                self.clock.mono().plus(patience),
            )
        });
        let mut looks = Looks::none(self);
        loop {
            let signal = room.as_ref().map(|(signal, _)| signal);
            match self.try_stage(target, messages, bytes, pace, signal)? {
                Tried::Staged(staged) => return Ok(staged),
                Tried::WaitFor(group) => self.wait(group)?,
                Tried::Needs(need) => {
                    looks.begin()?;
                    supplied.extend(self.load(&need)?);
                }
                Tried::Refused {
                    kind,
                    group,
                    stream,
                } => {
                    if let Some(stream) = stream.filter(|_| wants_room(&kind))
                        && let Some((signal, deadline)) = &room
                    {
                        // It may wait for long: what it found is not kept for it.
                        looks = Looks::none(self);
                        if !self.await_room(stream, signal, *deadline) {
                            // Once more, and then the answer stands.
                            room = None;
                        }
                        continue;
                    }
                    // A refusal is an answer about a state that must be durable (R1).
                    return Err(self.wait(group).err().map_or(kind, Into::into));
                }
            }
        }
    }

    fn try_stage(
        &self,
        target: &Target,
        messages: &mut Vec<Publish>,
        bytes: u64,
        pace: Pace,
        room: Option<&Arc<Signal>>,
    ) -> Result<Tried, PublishErrorKind> {
        let mut core = self.enter()?;
        let open_bytes = core.state.open_bytes();
        if open_bytes > 0 && open_bytes >= self.limits.group_bytes {
            // The group is as large as it may be: it goes first.
            return Ok(Tried::WaitFor(core.state.group));
        }
        if pace == Pace::Pipelined {
            let outstanding: u64 = core.pipelined.values().sum();
            if outstanding > 0 && outstanding + bytes > self.limits.pipeline_bytes {
                let oldest = core.pipelined.keys().next().copied();
                return Ok(Tried::WaitFor(oldest.unwrap_or(core.state.group)));
            }
        }
        let refused = |kind, group, stream| {
            Ok(Tried::Refused {
                kind,
                group,
                stream,
            })
        };
        let ids = match core.resolve(target, messages) {
            Ok(ids) => ids,
            Err(kind) => return refused(kind, core.state.catalog_group(), None),
        };
        let now = core.now(&self.clock).now;
        let published = match &ids {
            Resolved::One(id) => core.publish(*id, messages, now),
            Resolved::Each(ids) => core.publish_each(ids, messages, now),
        };
        let acks = match published {
            Ok(acks) => acks,
            Err((Refused::Until(need), _)) => return Ok(Tried::Needs(need)),
            Err((Refused::For(kind), id)) => {
                // Registered before the lock is free, so that no room that is made is missed.
                if let Some(signal) = room.filter(|_| wants_room(&kind)) {
                    core.add_publisher(id, signal);
                }
                let mut group = core.newest_of(ids.all());
                if matches!(kind, PublishErrorKind::LagExceeded { .. }) {
                    group = group.max(core.state.lag_group(id));
                }
                return refused(named(kind, target), group, Some(id));
            }
        };
        let group = core.newest_of(ids.all());
        // Duplicates may be durable already; then nothing is on its way.
        if pace == Pace::Pipelined && group > core.durable {
            *core.pipelined.entry(group).or_default() += bytes;
        }
        Ok(Tried::Staged(Staged { acks, group }))
    }

    /// Waits until a stream made room; `false` when the time is up.
    fn await_room(&self, stream: u32, signal: &Arc<Signal>, deadline: Mono) -> bool {
        let signalled = self.clock.wait(signal, Some(deadline)) == Woken::Signalled;
        if !signalled {
            self.core.lock().remove_publisher(stream, signal);
        }
        signalled
    }
}

/// What a call looked up in the log is kept while it is under way, whoever else publishes meanwhile.
struct Looks<'a> {
    engine: &'a Engine,
    begun: Option<()>,
}

impl<'a> Looks<'a> {
    const fn none(engine: &'a Engine) -> Self {
        let begun = None;
        Self { engine, begun }
    }

    fn begin(&mut self) -> Result<(), Unavailable> {
        if self.begun.is_none() {
            self.engine.enter()?.state.begin_looks();
            self.begun = Some(());
        }
        Ok(())
    }
}

impl Drop for Looks<'_> {
    fn drop(&mut self) {
        // A store that is closed forgets everything anyway.
        if self.begun.is_some()
            && let Ok(mut core) = self.engine.enter()
        {
            core.state.end_looks();
        }
    }
}

/// Whether room that is made later may change the answer.
fn wants_room(kind: &PublishErrorKind) -> bool {
    matches!(
        kind,
        PublishErrorKind::Full { .. }
            | PublishErrorKind::LagExceeded { .. }
            | PublishErrorKind::ScheduledFull { .. }
            | PublishErrorKind::StoreFull { .. }
            | PublishErrorKind::TtlFull { .. }
    )
}

/// Whether a publisher waits for its own commit or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Wait,
    Pipelined,
}

enum Tried {
    Staged(Staged),
    WaitFor(u64),
    /// It depends on what only the log can tell.
    Needs(Need),
    Refused {
        kind: PublishErrorKind,
        group: u64,
        stream: Option<u32>,
    },
}

/// The streams of a batch.
enum Resolved {
    One(u32),
    /// By message.
    Each(Vec<u32>),
}

impl Resolved {
    fn all(&self) -> &[u32] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Each(ids) => ids,
        }
    }
}

impl super::core::Core {
    /// Where the messages go.
    fn resolve(&self, target: &Target, messages: &[Publish]) -> Result<Resolved, PublishErrorKind> {
        if let Target::Stream { id, name } = target {
            let gone = || PublishErrorKind::StreamGone {
                stream: name.clone(),
            };
            let known = self.state.stream(*id).ok_or_else(gone)?;
            return Ok(Resolved::One(known.id));
        }
        let mut ids = Vec::with_capacity(messages.len());
        for message in messages {
            let no_stream = || PublishErrorKind::NoStream {
                subject: message.subject.clone(),
            };
            ids.push(self.state.route(&message.subject).ok_or_else(no_stream)?);
        }
        match ids.first() {
            Some(first) if ids.iter().all(|id| id == first) => Ok(Resolved::One(*first)),
            _ => Ok(Resolved::Each(ids)),
        }
    }

    /// The newest group that changed one of these streams.
    fn newest_of(&self, streams: &[u32]) -> u64 {
        let known = streams.iter().filter_map(|id| self.state.stream(*id));
        known.map(|stream| stream.group).max().unwrap_or(0)
    }

    fn publish(
        &mut self,
        id: u32,
        messages: &mut Vec<Publish>,
        now: u64,
    ) -> Result<Vec<PublishAck>, (Refused, u32)> {
        let placed = self.state.publish(id, messages, now);
        let placed = placed.map_err(|why| (why, id))?;
        let name: Arc<str> = self.state.stream_name(id).into();
        Ok(placed.iter().map(|placed| ack(&name, placed)).collect())
    }

    /// Publishes to several streams, all or none; the answers come in the order of the messages.
    fn publish_each(
        &mut self,
        ids: &[u32],
        messages: &mut Vec<Publish>,
        now: u64,
    ) -> Result<Vec<PublishAck>, (Refused, u32)> {
        let mut parts = split(ids, messages);
        let placed = match self.state.publish_parts(&mut parts, now) {
            Ok(placed) => placed,
            Err(why) => {
                // Every message comes back to its place.
                let mut back: Vec<(usize, Publish)> = Vec::with_capacity(ids.len());
                for part in parts {
                    back.extend(part.places.into_iter().zip(part.messages));
                }
                back.sort_unstable_by_key(|(place, _)| *place);
                messages.extend(back.into_iter().map(|(_, message)| message));
                return Err(why);
            }
        };
        let mut acks: Vec<(usize, PublishAck)> = Vec::with_capacity(ids.len());
        for (part, placed) in parts.iter().zip(placed) {
            let name: Arc<str> = self.state.stream_name(part.stream).into();
            let own = placed.iter().map(|placed| ack(&name, placed));
            acks.extend(part.places.iter().copied().zip(own));
        }
        acks.sort_unstable_by_key(|(place, _)| *place);
        Ok(acks.into_iter().map(|(_, ack)| ack).collect())
    }
}

/// The parts of a batch, the one of its first message first.
fn split(ids: &[u32], messages: &mut Vec<Publish>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut known: HashMap<u32, usize> = HashMap::new();
    for (place, (message, id)) in messages.drain(..).zip(ids).enumerate() {
        let at = *known.entry(*id).or_insert_with(|| {
            parts.push(Part::of(*id));
            parts.len() - 1
        });
        if let Some(part) = parts.get_mut(at) {
            part.messages.push(message);
            part.places.push(place);
        }
    }
    parts
}

fn ack(stream: &Arc<str>, placed: &Placed) -> PublishAck {
    PublishAck {
        stream: Arc::clone(stream),
        seq: Seq::new(placed.seq),
        scheduled: placed.scheduled,
        duplicate: placed.duplicate,
    }
}

/// A stream that vanished under its handle keeps the name that the handle knows.
fn named(kind: PublishErrorKind, target: &Target) -> PublishErrorKind {
    match (kind, target) {
        (PublishErrorKind::StreamGone { .. }, Target::Stream { name, .. }) => {
            PublishErrorKind::StreamGone {
                stream: name.clone(),
            }
        }
        (kind, _) => kind,
    }
}

/// The checks that need no state; returns the bytes of all messages.
fn check_messages(messages: &[Publish], now: u64) -> Result<u64, PublishErrorKind> {
    let bytes: u64 = messages.iter().map(Publish::stored_size).sum();
    if messages.is_empty() || messages.len() > BATCH_MESSAGES_MAX || bytes > BATCH_BYTES_MAX {
        return Err(PublishErrorKind::BatchSize {
            messages: messages.len(),
            bytes,
            max_messages: BATCH_MESSAGES_MAX,
            max_bytes: BATCH_BYTES_MAX,
        });
    }
    let mut last_subject = None;
    for message in messages {
        // Neighbours often share a subject; it is looked at once.
        if last_subject != Some(&message.subject) {
            validate_subject(&message.subject)?;
            last_subject = Some(&message.subject);
        }
        message.headers.validate()?;
        check_id(message.id.as_deref())?;
        check_ttl(message.ttl)?;
        if let Some(repeat) = &message.repeat {
            repeat.check(message.due, now)?;
        }
        if let Some(expect) = &message.expect {
            check_id(expect.last_id.as_deref())?;
            if let Some((filter, _)) = &expect.last_for_subject {
                filter.parse::<SubjectFilter>()?;
            }
        }
    }
    Ok(bytes)
}

/// The shortest time to live of a message.
const TTL_MIN: Duration = Duration::from_millis(100);

fn check_ttl(ttl: Option<Duration>) -> Result<(), PublishErrorKind> {
    match ttl {
        Some(ttl) if ttl < TTL_MIN => {
            let least = TTL_MIN;
            Err(PublishErrorKind::TtlTooShort { ttl, least })
        }
        _ => Ok(()),
    }
}

fn check_id(id: Option<&str>) -> Result<(), PublishErrorKind> {
    let Some(id) = id else { return Ok(()) };
    if id.is_empty() || id.len() > MESSAGE_ID_BYTES_MAX {
        let (bytes, limit) = (id.len(), MESSAGE_ID_BYTES_MAX);
        return Err(PublishErrorKind::IdLength { bytes, limit });
    }
    if id.chars().any(char::is_control) {
        return Err(PublishErrorKind::IdCharacter { id: id.to_owned() });
    }
    Ok(())
}
