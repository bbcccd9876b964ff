//! Going on without messages that can't be read.
//!
//! What a damaged block held is known all the same: it is what the stream's counters say is stored,
//! less what could be read.

use super::removed::{Loss, take_from_stream};
use super::stored::{Fact, Need};
use super::{State, Stream};
use crate::changes::Change;
use crate::event::Removal;
use std::sync::Arc;

/// What is lost, as far as counting tells.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    /// Sequences that no readable block holds, from and to.
    pub(crate) ranges: Vec<(u64, u64)>,
    /// How many messages of each subject.
    pub(crate) subjects: Vec<(Arc<str>, u64)>,
    pub(crate) bytes: u64,
    /// By consumer, how many messages can still be delivered to it for the first time.
    pub(crate) ahead: Vec<(u32, u64)>,
}

/// Whether a stream could go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exclusion {
    Done,
    /// Its counters do not agree with what is missing: more than blocks is damaged.
    Disagrees,
}

impl State {
    /// Removes what is lost from a stream and its consumers, and puts `blocks` into the place of the
    /// damaged ones: every sequence has a record, also a deleted one.
    pub(crate) fn exclude(
        &mut self,
        stream: u32,
        lost: &Lost,
        blocks: &[Change],
    ) -> Result<Exclusion, Need> {
        let Some(target) = self.streams.get(&stream) else {
            return Ok(Exclusion::Done);
        };
        let Some(facts) = facts(target, lost)? else {
            return Ok(Exclusion::Disagrees);
        };
        for fact in &facts {
            self.kill(stream, fact.seq);
        }
        self.account_lost(stream, &facts, &lost.ahead);
        self.open.changes.extend_from_slice(blocks);
        self.touch_stream(stream);
        Ok(Exclusion::Done)
    }

    /// Accounts for lost messages. Which of them had which subject is unknown: only the sums of the
    /// facts are right. So a consumer is not asked what it wanted of them; it lost what it held, and
    /// what was ahead of it before and is not any more.
    fn account_lost(&mut self, stream: u32, facts: &[Fact], ahead: &[(u32, u64)]) {
        let unseen = |(id, ahead): &(u32, u64)| (*id, self.pending_count(*id), *ahead);
        let consumers: Vec<(u32, u64, u64)> = ahead.iter().map(unseen).collect();
        let now = self.removal_time();
        let Some(target) = self.streams.get_mut(&stream) else {
            return;
        };
        target.removed.note(facts, Removal::Damage, now);
        take_from_stream(target, facts, Removal::Damage);
        for fact in facts {
            target.subjects.doubt_last(&fact.subject);
        }
        let name = target.config.name.clone();
        for (id, before, ahead) in consumers {
            let loss = self.lose_unknown(id, facts, before.saturating_sub(ahead));
            self.settle_ahead(id, ahead);
            if let Some(loss) = loss {
                self.tell_loss(id, &name, loss, Removal::Damage);
            }
        }
        self.tell_room(&name);
    }

    /// Takes from a consumer what it held of the lost messages, and `unseen` of those ahead of it.
    fn lose_unknown(&mut self, id: u32, facts: &[Fact], unseen: u64) -> Option<Loss> {
        let (mono, now, by) = (self.mono, self.removal_time(), Removal::Damage);
        let consumer = self.consumers.get_mut(&id)?;
        let (mut held, mut first, mut last) = (0, None, None);
        for Fact { seq, .. } in facts {
            if consumer.holds(*seq) {
                consumer.lose(*seq, mono);
                consumer.lost.note_seqs([*seq], by, now);
                held += 1;
            } else if unseen == 0 || *seq < consumer.next {
                continue;
            } else {
                // Whether it was one that the consumer wanted is not known.
                consumer.lost.note_rest(*seq, *seq, by, now);
            }
            first = first.or(Some(*seq));
            last = Some(*seq);
        }
        let messages = held + unseen;
        let Some((first, last)) = first.zip(last) else {
            consumer.totals.lost += messages;
            return None;
        };
        consumer.totals.lose(messages, first, last);
        (messages > 0).then_some(Loss {
            messages,
            first,
            last,
        })
    }

    /// Says how many messages can still be delivered to a consumer for the first time, whatever was
    /// accounted for before.
    fn settle_ahead(&mut self, id: u32, ahead: u64) {
        let total = self.total_wanted(id);
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.accounted = total.saturating_sub(ahead);
            self.touch_consumer(id);
        }
    }
}

/// One fact for each lost message; the sum of their sizes is right, and so are the subjects' counts.
fn facts(stream: &Stream, lost: &Lost) -> Result<Option<Vec<Fact>>, Need> {
    let subjects = lost.subjects.iter();
    let mut subjects =
        subjects.flat_map(|(name, count)| (0..*count).map(move |_| Arc::clone(name)));
    let mut bytes = lost.bytes;
    let mut facts = Vec::new();
    for (from, to) in &lost.ranges {
        for seq in *from..=*to {
            if stream.is_hole(seq)? {
                continue;
            }
            let Some(subject) = subjects.next() else {
                return Ok(None);
            };
            facts.push(Fact {
                seq,
                subject,
                size: std::mem::take(&mut bytes),
                time: 0,
            });
        }
    }
    Ok((subjects.next().is_none() && bytes == 0).then_some(facts))
}
