//! Messages with a time to live of their own: what they may be given, and that they leave in time.

use super::purge::stored_fact;
use super::stored::Need;
use super::{State, Stream};
use crate::config::MessageTtl;
use crate::error::PublishErrorKind;
use crate::event::Removal;
use crate::publish::Publish;

impl Stream {
    /// Refuses a time to live where the stream does not allow any.
    pub(super) fn admit_ttl(&self, message: &Publish) -> Result<(), PublishErrorKind> {
        if message.ttl.is_some() && self.config.message_ttl == MessageTtl::Refused {
            let stream = self.config.name.clone();
            return Err(PublishErrorKind::TtlRefused { stream });
        }
        Ok(())
    }

    /// Whether so many more messages may have a time to live, when `leaving` of those that have one leave first.
    pub(super) fn ttl_room(
        &self,
        leaving: u64,
        messages: u64,
        most: u64,
    ) -> Result<(), PublishErrorKind> {
        if messages > 0 && self.expiries.len() - leaving + messages > most {
            let (stream, limit) = (self.config.name.clone(), most);
            return Err(PublishErrorKind::TtlFull { stream, limit });
        }
        Ok(())
    }

    /// When the next message expires by its own time to live. Nothing leaves a sealed stream, or one that
    /// can't be read; while a purge is at work what it covers can't be told from what it leaves without
    /// reading it again and again, so its end is waited for.
    pub(crate) fn next_ttl(&self) -> Option<u64> {
        let purging = self.head < self.cut || !self.purges.is_empty();
        let still = self.config.is_sealed() || self.unreadable.is_some() || purging;
        self.expiries.next().filter(|_| !still)
    }
}

impl State {
    /// Removes messages whose time to live is over; `budget` is how many may be. Says whether there are
    /// more.
    pub(super) fn expire_ttls(&mut self, budget: &mut usize) -> Result<bool, Need> {
        let now = self.now;
        let due = |stream: &&Stream| stream.next_ttl().is_some_and(|time| time <= now);
        let ids: Vec<u32> = self.streams_that(due).collect();
        let mut more = false;
        for id in ids {
            more |= self.expire_ttls_of(id, budget)?;
        }
        Ok(more)
    }

    /// When it needs something it has kept what it came to, and goes on from there.
    fn expire_ttls_of(&mut self, id: u32, budget: &mut usize) -> Result<bool, Need> {
        let Some(stream) = self.streams.get(&id) else {
            return Ok(false);
        };
        let (mut gone, mut stopped, mut more) = (Vec::new(), Ok(()), false);
        // In the order of the log, so that a block is read once, whatever the times of its messages.
        let mut due: Vec<u64> = stream.expiries.until(self.now).take(*budget + 1).collect();
        if due.len() > *budget {
            due.pop();
            more = true;
        }
        due.sort_unstable();
        for seq in due {
            match stored_fact(stream, seq) {
                Ok(fact) => gone.extend(fact),
                Err(need) => {
                    stopped = Err(need);
                    break;
                }
            }
        }
        *budget -= gone.len();
        self.remove_facts(id, &gone, Removal::MessageTtl);
        stopped.map(|()| more)
    }
}
