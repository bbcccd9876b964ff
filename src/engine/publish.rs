//! Publishing: checked outside the lock as far as possible, staged under it, durable with its group.

use super::Engine;
use crate::clock::{Mono, Signal, Woken};
use crate::config::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, MESSAGE_ID_BYTES_MAX};
use crate::error::{PublishError, PublishErrorKind};
use crate::publish::{Publish, PublishAck};
use crate::seq::Seq;
use crate::state::{Need, Refused};
use crate::subject::{SubjectFilter, validate_subject};
use std::sync::Arc;

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
        let bytes = match check_messages(&messages) {
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
        loop {
            let signal = room.as_ref().map(|(signal, _)| signal);
            match self.try_stage(target, messages, bytes, pace, signal)? {
                Tried::Staged(staged) => return Ok(staged),
                Tried::WaitFor(group) => self.wait(group)?,
                Tried::Needs(need) => supplied.extend(self.load(&need)?),
                Tried::Refused {
                    kind,
                    group,
                    stream,
                } => {
                    if let Some(stream) = stream.filter(|_| wants_room(&kind))
                        && let Some((signal, deadline)) = &room
                    {
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
        let id = match core.resolve(target, messages) {
            Ok(id) => id,
            Err(kind) => return refused(kind, core.state.catalog_group(), None),
        };
        let now = core.now(&self.clock).now;
        let name: Arc<str> = core.state.stream_name(id).into();
        let placed = match core.state.publish(id, messages, now) {
            Ok(placed) => placed,
            Err(Refused::Until(need)) => return Ok(Tried::Needs(need)),
            Err(Refused::For(kind)) => {
                core.state.forget_lasts(id);
                // Registered before the lock is free, so that no room that is made is missed.
                if let Some(signal) = room.filter(|_| wants_room(&kind)) {
                    core.add_publisher(id, signal);
                }
                let kind = named(kind, target);
                let group = core.state.stream(id).map_or(0, |stream| stream.group);
                return refused(kind, group, Some(id));
            }
        };
        core.state.forget_lasts(id);
        let ack = |placed: crate::state::Placed| PublishAck {
            stream: Arc::clone(&name),
            seq: Seq::new(placed.seq),
            duplicate: placed.duplicate,
        };
        let acks = placed.into_iter().map(ack).collect();
        let group = core.state.stream(id).map_or(0, |stream| stream.group);
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

/// Whether room that is made later may change the answer.
fn wants_room(kind: &PublishErrorKind) -> bool {
    matches!(
        kind,
        PublishErrorKind::Full { .. } | PublishErrorKind::StoreFull { .. }
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

impl super::core::Core {
    /// The stream that all messages go to.
    fn resolve(&self, target: &Target, messages: &[Publish]) -> Result<u32, PublishErrorKind> {
        if let Target::Stream { id, name } = target {
            let gone = || PublishErrorKind::StreamGone {
                stream: name.clone(),
            };
            return self
                .state
                .stream(*id)
                .map(|stream| stream.id)
                .ok_or_else(gone);
        }
        let mut found = None;
        for message in messages {
            let no_stream = || PublishErrorKind::NoStream {
                subject: message.subject.clone(),
            };
            let id = self.state.route(&message.subject).ok_or_else(no_stream)?;
            match found {
                Some(known) if known != id => {
                    let (one, other) = (self.state.stream_name(known), self.state.stream_name(id));
                    return Err(PublishErrorKind::TwoStreams { one, other });
                }
                _ => found = Some(id),
            }
        }
        found.ok_or(PublishErrorKind::StreamGone {
            stream: String::new(),
        })
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
fn check_messages(messages: &[Publish]) -> Result<u64, PublishErrorKind> {
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
        if let Some(expect) = &message.expect {
            check_id(expect.last_id.as_deref())?;
            if let Some((filter, _)) = &expect.last_for_subject {
                filter.parse::<SubjectFilter>()?;
            }
        }
    }
    Ok(bytes)
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
