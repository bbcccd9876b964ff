//! The oracle's rules of messages that wait for their time.

use crate::model::{Draft, Due, Stored, Stream, Waiting};
use crate::oracle::{Oracle, SCHEDULED, TTLS};
use riverbed::MessageTtl;

/// A message as it is stored: nothing of it says that it waited.
pub(crate) fn at_once(draft: &Draft) -> Draft {
    Draft {
        due: Due::Now,
        ..draft.clone()
    }
}

impl Stream {
    pub(crate) fn expiring(&self) -> u64 {
        self.stored.values().filter(|m| m.expires.is_some()).count() as u64
    }

    /// Whether so many more messages may have a time to live.
    pub(crate) fn ttl_room(&self, more: u64) -> bool {
        self.ttl_room_without(&[], more)
    }

    /// The same when these messages leave first.
    fn ttl_room_without(&self, leaving: &[u64], more: u64) -> bool {
        let expires = |seq: &&u64| self.stored[seq].expires.is_some();
        let leaving = leaving.iter().filter(expires).count() as u64;
        more == 0 || self.expiring() - leaving + more <= TTLS
    }

    pub(crate) fn admit_ttl(&self, draft: &Draft) -> Result<(), &'static str> {
        let refused = draft.ttl.is_some() && self.config.message_ttl == MessageTtl::Refused;
        if refused { Err("TtlRefused") } else { Ok(()) }
    }

    /// Whether messages of these sizes may wait, and so many more have a time to live.
    pub(crate) fn room_beside(
        &self,
        later: &[u64],
        ttls: u64,
        leaving: &[u64],
    ) -> Result<(), &'static str> {
        if !self.scheduled_room(later) {
            return Err("ScheduledFull");
        }
        if !self.ttl_room_without(leaving, ttls) {
            return Err("TtlFull");
        }
        Ok(())
    }

    /// Whether messages of these sizes may wait, too.
    pub(crate) fn scheduled_room(&self, later: &[u64]) -> bool {
        let waiting: u64 = self.scheduled.values().map(|w| w.draft.size()).sum();
        let bytes = waiting + later.iter().sum::<u64>();
        later.is_empty()
            || ((self.scheduled.len() + later.len()) as u64 <= SCHEDULED
                && self.config.max_bytes.is_none_or(|most| bytes <= most))
    }
}

impl Oracle {
    pub(crate) fn schedule(&mut self, stream: &str, due: u64, draft: &Draft) -> u64 {
        let stream = self.streams.get_mut(stream).unwrap();
        stream.last_scheduled += 1;
        let waiting = Waiting {
            due,
            draft: at_once(draft),
            aside_at: None,
            told: false,
        };
        stream.scheduled.insert(stream.last_scheduled, waiting);
        self.met.push("scheduled");
        stream.last_scheduled
    }

    pub(crate) fn cancel_scheduled(&mut self, name: &str, number: u64) -> String {
        let Some(stream) = self.streams.get_mut(name) else {
            return "StreamGone".to_owned();
        };
        if stream.scheduled.remove(&number).is_none() {
            return "NotScheduled".to_owned();
        }
        stream.blocked_at = None;
        if !self.defer_limits {
            self.trim(name);
        }
        "cancelled".to_owned()
    }

    /// Sends what is due in a stream, by time and then by number. One without room holds up those behind
    /// it; one that is refused for what it is does not.
    pub(crate) fn send_due(&mut self, name: &str) {
        let (now, stream) = (self.now, &self.streams[name]);
        let again = |at: Option<u64>| at.is_none_or(|at| at != stream.relented);
        let due = |w: &Waiting| w.due <= now && again(w.aside_at);
        let relents = stream
            .scheduled
            .values()
            .any(|w| w.aside_at.is_some() && due(w));
        if stream.blocked_at == Some(stream.room_made) && !relents {
            return;
        }
        let relented = stream.relented;
        let mut all: Vec<(u64, u64)> = stream
            .scheduled
            .iter()
            .filter(|(_, w)| due(w))
            .map(|(number, w)| (w.due, *number))
            .collect();
        all.sort_unstable();
        for waiting in self.streams.get_mut(name).unwrap().scheduled.values_mut() {
            if waiting.aside_at != Some(relented) {
                waiting.aside_at = None;
            }
        }
        self.streams.get_mut(name).unwrap().blocked_at = None;
        for (_, number) in all {
            let waiting = &self.streams[name].scheduled[&number];
            let (mut draft, mut next) = (waiting.draft.clone(), None);
            if let Some(again) = draft.again {
                let time = again.next(waiting.due, now);
                draft = draft.occurrence(number, waiting.due, time);
                next = Some(time);
            }
            let refused = self.refuses_letter(name, &draft, draft.limited());
            let stream = self.streams.get_mut(name).unwrap();
            let Some(why) = refused else {
                if let Some(due) = next {
                    let waiting = stream.scheduled.get_mut(&number).unwrap();
                    let missed = waiting.draft.again.unwrap().next(waiting.due, waiting.due) <= now;
                    (waiting.due, waiting.aside_at, waiting.told) = (due, None, false);
                    self.met
                        .push(if missed { "repeated_late" } else { "repeated" });
                } else {
                    stream.scheduled.remove(&number);
                }
                let sent = draft.clone();
                self.append(name, draft, None);
                self.id_of_sent(name, number, &sent);
                self.met.push("sent");
                self.sent();
                continue;
            };
            let room = why == "Full" || why == "TtlFull";
            if room {
                stream.blocked_at = Some(stream.room_made);
            }
            let waiting = stream.scheduled.get_mut(&number).unwrap();
            if !room {
                waiting.aside_at = Some(relented);
            }
            if !std::mem::replace(&mut waiting.told, true) {
                self.tell(format!("{name} refuses scheduled {number}"), 1);
                self.met.push(if room {
                    "scheduled_blocked"
                } else {
                    "scheduled_aside"
                });
            }
            if room {
                return;
            }
        }
    }

    /// Messages whose own time to live is over leave; what consumers are done with leaves before.
    pub(crate) fn expire_ttls(&mut self) {
        for name in self.streams.keys().cloned().collect::<Vec<_>>() {
            self.retire(&name);
        }
        let now = self.now;
        for name in self.streams.keys().cloned().collect::<Vec<_>>() {
            let stream = &self.streams[&name];
            let over = |m: &Stored| m.expires.is_some_and(|time| time <= now);
            let stored = stream.stored.iter().filter(|(_, m)| over(m));
            let gone: Vec<u64> = stored.map(|(seq, _)| *seq).collect();
            if !stream.is_sealed() {
                self.remove(&name, &gone, "MessageTtl");
            }
        }
    }

    /// Memory of what was told and tried is gone with the process.
    pub(crate) fn forget_scheduled_attempts(&mut self) {
        for stream in self.streams.values_mut() {
            stream.blocked_at = None;
            stream.relented = 0;
            for waiting in stream.scheduled.values_mut() {
                (waiting.aside_at, waiting.told) = (None, false);
            }
        }
    }
}
