//! Messages that are published for later: accepted, sent when they are due, cancelled.

use super::room::disk_bytes;
use super::stored::Need;
use super::stream::Appended;
use super::sweep::STEP_BYTES;
use super::{State, Stream};
use crate::clock::micros;
use crate::error::{PublishErrorKind, ScheduleError};
use crate::event::Event;
use crate::format::Bytes;
use crate::format::rows::ScheduledRow;
use crate::publish::Publish;
use crate::repeat;

/// Set in the place of a sequence where a number stands under which a message was scheduled. A stream
/// begins below 2^63 and has 2^62 sequences to go until one looks like this.
const NUMBER: u64 = 3 << 62;

/// How a message that waits is remembered where a sequence stands.
pub(crate) fn as_place(number: u64) -> u64 {
    NUMBER | number
}

/// The number, if it is one of a message that was scheduled.
pub(crate) fn as_number(place: u64) -> Option<u64> {
    (place & NUMBER == NUMBER).then_some(place & !NUMBER)
}

impl Stream {
    /// Whether so many more messages and bytes may wait.
    pub(super) fn scheduled_room(
        &self,
        messages: u64,
        bytes: u64,
        most: u64,
    ) -> Result<(), PublishErrorKind> {
        if messages == 0 {
            return Ok(());
        }
        let full = |limit: String| PublishErrorKind::ScheduledFull {
            stream: self.config.name.clone(),
            limit,
        };
        let (waiting, taken) = (self.scheduled.len(), self.scheduled.bytes());
        if waiting + messages > most {
            return Err(full(format!("{waiting} of {most} messages")));
        }
        match self.config.max_bytes {
            Some(most) if taken + bytes > most => Err(full(format!("{taken} of {most} bytes"))),
            _ => Ok(()),
        }
    }

    /// Keeps a message that passed every check until it is due; returns its number.
    pub(super) fn schedule(
        &mut self,
        message: Publish,
        id_hash: Option<u128>,
        due: u64,
        (now, group): (u64, u64),
    ) -> u64 {
        let size = message.stored_size();
        let headers = message.headers.iter();
        let row = ScheduledRow {
            due,
            repeat: message.repeat.map(|repeat| *repeat),
            subject: message.subject,
            id: message.id,
            ttl: message.ttl.map(micros),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            payload: Bytes(message.payload),
        };
        let number = self.scheduled.add(self.id, &row, size, group);
        if let Some(hash) = id_hash {
            let time = self.last_time.max(now);
            self.dedup.remember(hash, as_place(number), time);
        }
        number
    }
}

impl State {
    /// Messages that wait changed in a stream: they go with the open group, and the sweeper looks in time.
    pub(super) fn after_schedule(&mut self, stream: u32) {
        self.touch_stream(stream);
        if let Some(target) = self.streams.get(&stream) {
            self.alarm.at_time(target.scheduled.next_due());
            self.alarm.at_time(target.next_forgetting());
        }
    }

    /// Appends the messages that are due to their streams and removes their rows, both with the open
    /// group. At most `limit` of each stream; says whether more are to be sent at once.
    pub(super) fn send_due(&mut self, limit: usize) -> Result<bool, Need> {
        let (now, freed) = (self.now, self.room.freed);
        let due = |stream: &&Stream| {
            let room_made = stream.removals + freed;
            stream.scheduled.is_due(now, room_made, stream.relented)
        };
        let due: Vec<u32> = self.streams_that(due).collect();
        let mut more = false;
        for stream in due {
            more |= self.send_due_of(stream, limit)?;
        }
        self.supplied_scheduled.clear();
        Ok(more)
    }

    fn send_due_of(&mut self, id: u32, limit: usize) -> Result<bool, Need> {
        let (now, durable) = (self.now, self.durable);
        if self.open.bytes >= STEP_BYTES {
            return Ok(true);
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(false);
        };
        let relented = stream.relented;
        let limits = (limit, STEP_BYTES);
        let step = stream.scheduled.step(now, relented, durable, limits);
        let at_hand = |number: &&u64| {
            let message = (id, **number);
            self.supplied_scheduled.contains_key(&message)
                || self.unreadable_scheduled.contains(&message)
        };
        let missing = step.numbers.iter().filter(|number| !at_hand(number));
        let numbers: Vec<u64> = missing.copied().collect();
        if !numbers.is_empty() {
            return Err(Need::Scheduled {
                stream: id,
                numbers,
            });
        }
        for number in step.numbers {
            if !self.send(id, number) {
                return Ok(false);
            }
        }
        if step.not_durable {
            // Whoever sweeps waits for the open group, and so for those before it.
            self.open.work = true;
        }
        Ok(step.more || step.not_durable)
    }

    /// Sends one message, or has it wait; says whether those behind it may be tried.
    fn send(&mut self, id: u32, number: u64) -> bool {
        let Some(row) = self.supplied_scheduled.remove(&(id, number)) else {
            self.set_scheduled_aside(id, number, "its bytes can't be read");
            return true;
        };
        let stream = self.streams.get(&id);
        let size = stream.map_or(0, |stream| stream.scheduled.size(number));
        let room_made = self.room_made(id).unwrap_or_default();
        // What it takes while it waits is what it takes then; one that comes again goes on waiting.
        let disk = if row.repeat.is_none() {
            disk_bytes(size)
        } else {
            0
        };
        self.room.take_back(disk);
        let (mut message, again) = self.occurrence(id, number, row);
        let stream = self.streams.get(&id);
        message.id_hash = stream.and_then(|stream| {
            stream.id_of_sent(self.secret, message.id.as_deref(), number, self.now)
        });
        let Err(why) = self.append_checked(id, message) else {
            if let Some(stream) = self.streams.get_mut(&id) {
                match again {
                    Some(due) => stream.scheduled.renew(number, due),
                    None => drop(stream.scheduled.remove(id, number)),
                }
            }
            return true;
        };
        self.room.set_aside(disk);
        let no_room = matches!(
            why,
            PublishErrorKind::Full { .. }
                | PublishErrorKind::StoreFull { .. }
                | PublishErrorKind::TtlFull { .. }
        );
        if !no_room {
            self.set_scheduled_aside(id, number, &why.to_string());
            return true;
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        if stream.scheduled.block(number, room_made) {
            self.tell_refused(id, number, &why.to_string());
        }
        false
    }

    /// The message that is due now, and when it comes again. However many times have passed, it is one.
    fn occurrence(&self, id: u32, number: u64, mut row: ScheduledRow) -> (Appended, Option<u64>) {
        let Some(repeat) = row.repeat.take() else {
            return (appended(row), None);
        };
        let stream = self.streams.get(&id);
        let due = stream.and_then(|stream| stream.scheduled.due(number));
        let again = repeat.next(row.due, self.now);
        // The id is the schedule's own.
        row.id = None;
        let mut message = appended(row);
        let headers = &mut message.headers;
        headers.insert(repeat::SCHEDULE, number.to_string());
        headers.insert(repeat::DUE, due.unwrap_or_default().to_string());
        headers.remove(repeat::NEXT);
        if again != repeat::NEVER {
            headers.insert(repeat::NEXT, again.to_string());
        }
        (message, Some(again))
    }

    fn set_scheduled_aside(&mut self, id: u32, number: u64, why: &str) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.scheduled.set_aside(number, stream.relented) {
            self.tell_refused(id, number, why);
        }
    }

    fn tell_refused(&mut self, id: u32, number: u64, why: &str) {
        let (stream, why) = (self.stream_name(id), why.to_owned());
        self.tell(Event::ScheduledRefused {
            stream,
            number,
            why,
        });
    }

    /// Takes a message that waits away before it is sent.
    pub(crate) fn cancel_scheduled(&mut self, id: u32, number: u64) -> Result<(), ScheduleError> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(ScheduleError::StreamGone {
                stream: String::new(),
            });
        };
        let Some(size) = stream.scheduled.remove(id, number) else {
            let stream = stream.config.name.clone();
            return Err(ScheduleError::NotScheduled { stream, number });
        };
        self.unreadable_scheduled.remove(&(id, number));
        self.room.free_aside(disk_bytes(size));
        self.sweep_wanted = true;
        self.after_schedule(id);
        Ok(())
    }

    /// Hands in the bytes of a message that is due.
    pub(crate) fn supply_scheduled(&mut self, stream: u32, number: u64, row: ScheduledRow) {
        self.supplied_scheduled.insert((stream, number), row);
    }

    /// The row of a message that waits can't be read: it stays where it is, and is shown.
    pub(crate) fn mark_scheduled_unreadable(&mut self, stream: u32, number: u64) {
        self.unreadable_scheduled.insert((stream, number));
    }
}

fn appended(row: ScheduledRow) -> Appended {
    let headers = row.headers.iter();
    Appended {
        subject: row.subject,
        headers: headers
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        payload: row.payload.0,
        id: row.id,
        id_hash: None,
        ttl: row.ttl,
    }
}
