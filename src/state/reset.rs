//! Setting a consumer to another place in its stream.

use super::{Consumer, Start, State};
use crate::clock::Mono;
use crate::config::Retention;
use crate::error::ConsumerError;
use crate::event::Event;
use crate::reset::Reset;
use crate::seq::Seq;

impl State {
    /// Has a consumer begin again at another place. What it holds is let go, and its deliveries are over;
    /// what it counted ever stays.
    pub(crate) fn reset_consumer(
        &mut self,
        id: u32,
        start: &Start,
        mono: Mono,
    ) -> Result<Reset, ConsumerError> {
        let (pending, total) = (self.pending_count(id), self.total_wanted(id));
        let gone = || ConsumerError::StreamGone {
            stream: String::new(),
        };
        let consumer = self.consumers.get_mut(&id).ok_or_else(gone)?;
        let stream = consumer.stream;
        let source = self.streams.get_mut(&stream).ok_or_else(gone)?;
        let skipped = consumer.would_skip(start, pending);
        let name = source.config.name.clone();
        // Nobody else would be given those that are still to come, either.
        let skips = skipped + start.next.saturating_sub(source.last + 1);
        if skips > 0 && source.config.retention == Retention::WorkQueue {
            return Err(ConsumerError::WouldSkip {
                stream: name,
                messages: skips,
            });
        }
        // It may hold what it had other filters for, and does not want again.
        let refiltered = consumer.filters_from > start.next;
        consumer.begin_again(start, total, source.last);
        consumer.totals.skipped += skipped;
        source.note_early(id, start.next);
        let event = Event::ConsumerReset {
            stream: name,
            consumer: consumer.config.name.clone(),
            next: Seq::new(start.next),
            skipped,
        };
        self.note_activity(id, mono);
        self.touch_consumer(id);
        self.tell(event);
        if skipped > 0 || refiltered {
            // Nobody may want that any more.
            self.rejudge(stream);
        }
        Ok(Reset {
            next: Seq::new(start.next),
            pending: start.live,
            due: start.due.len() as u64,
            skipped,
        })
    }
}

impl Consumer {
    /// How many messages that it has not finished it would not be given again.
    fn would_skip(&self, start: &Start, pending: u64) -> u64 {
        let held = self.pending.iter().chain(self.parked.iter().copied());
        let below = held.filter(|seq| *seq < start.next && start.due.binary_search(seq).is_err());
        let below = below.count() as u64;
        if start.next < self.next {
            return below;
        }
        let undelivered = start.due.iter().filter(|seq| **seq >= self.next);
        below + pending.saturating_sub(start.live + undelivered.count() as u64)
    }

    /// `total` is how many messages were ever published that it wants, `last` the last sequence of all.
    fn begin_again(&mut self, start: &Start, total: u64, last: u64) {
        let parked = self.parked.iter().copied();
        let held: Vec<u64> = self.pending.iter().chain(parked).collect();
        for seq in held {
            self.finish(seq);
        }
        // It is not done with what it let go.
        self.done.clear();
        let done = self.reset_below.max(self.next);
        // It is done with nothing that is still to come, however far ahead it was.
        self.reset_below = done.min(last + 1).max(start.next);
        // What comes again is judged by the filters of now.
        self.filters_from = self.filters_from.min(start.next);
        self.next = start.next;
        self.start = self.start.min(start.next);
        self.floor = start.next - 1;
        self.accounted = total.saturating_sub(start.live);
        self.moves += 1;
        self.begin_replay(last);
        // Nothing is left to be tried again.
        (self.refused_at, self.retry_left, self.retry_from) = (None, 0, 0);
        self.begin_with(&start.due);
    }
}
