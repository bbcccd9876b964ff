//! Settling deliveries: acks, naks, terms and extensions, each fenced by its token (G6).

use super::stored::Need;
use super::{Consumer, State};
use crate::clock::{Mono, micros};
use crate::config::AckPolicy;
use crate::error::Refusal;
use crate::event::DeadReason;
use crate::seq::Seq;
use std::time::Duration;

/// Which delivery of which message (R13). The store's epoch and the consumer's number, which are
/// never reused, are checked by whoever holds the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) seq: u64,
    pub(crate) serial: u64,
}

/// What a worker says of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ack,
    /// Try again, after the consumer's backoff.
    Nak,
    /// Try again after this long; zero means at once.
    NakAfter(Duration),
    /// Never again.
    Term(String),
    /// Still at work.
    InProgress,
    /// Not started: it does not count as a delivery.
    Release,
}

impl State {
    /// Settles one delivery of a consumer that exists.
    pub(crate) fn settle(
        &mut self,
        id: u32,
        token: Token,
        verdict: &Verdict,
        mono: Mono,
        now: u64,
    ) -> Result<Result<(), Refusal>, Need> {
        self.now = self.now.max(now);
        let now = self.now;
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return Ok(Err(Refusal::Gone {
                seq: Seq::new(token.seq),
            }));
        };
        if consumer.needs_no_acks() && *verdict == Verdict::Ack {
            // It was finished when it was counted.
            return Ok(Ok(()));
        }
        if let Err(refused) = consumer.check(token) {
            return Ok(Err(refused));
        }
        let seq = token.seq;
        let mut was_there = true;
        match verdict {
            Verdict::Ack => {
                let (stream, sample) = (consumer.stream, consumer.sample(seq, mono, now));
                consumer.ack(seq);
                if let Some(sample) = sample {
                    let stream = self.stream_name(stream);
                    self.tell(sample.of(stream));
                }
            }
            Verdict::InProgress => {
                let deadline = consumer.extend(seq, mono);
                self.alarm.at_mono(deadline);
                // Leases are memory's alone: there is nothing to commit.
                return Ok(Ok(()));
            }
            Verdict::Release => consumer.give_back(seq),
            Verdict::Term(reason) => {
                was_there = self.give_up(id, seq, DeadReason::Term(reason.clone()))?;
            }
            Verdict::Nak | Verdict::NakAfter(_) => {
                let delay = match verdict {
                    Verdict::NakAfter(delay) => *delay,
                    _ => consumer.backoff_of(seq),
                };
                was_there = self.fail(id, seq, delay, now)?;
            }
        }
        // Whoever held it last is at work until now.
        self.note_activity(id, mono);
        self.touch_consumer(id);
        let gone = Refusal::Gone { seq: Seq::new(seq) };
        Ok(if was_there { Ok(()) } else { Err(gone) })
    }

    /// Counts a failed attempt, and makes the message due again or gives it up. Says whether it was there: that
    /// of one which a purge took is no failure.
    pub(crate) fn fail(
        &mut self,
        id: u32,
        seq: u64,
        delay: Duration,
        now: u64,
    ) -> Result<bool, Need> {
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return Ok(false);
        };
        let mut entry = consumer.entries.get(seq).clone();
        entry.failures += 1;
        if consumer.is_exhausted(&entry) {
            if !self.give_up(id, seq, DeadReason::MaxDeliver)? {
                return Ok(false);
            }
            if let Some(consumer) = self.consumers.get_mut(&id) {
                consumer.totals.failures += 1;
                if consumer.holds(seq) {
                    consumer.entries.change(seq).failures += 1;
                }
            }
            return Ok(true);
        }
        consumer.entries.change(seq).failures += 1;
        consumer.totals.failures += 1;
        if delay.is_zero() {
            let rank = consumer.fresh_rank();
            consumer.make_due(seq, rank);
        } else {
            let until = now.saturating_add(micros(delay));
            consumer.make_delayed(seq, until);
            self.alarm.at_time(Some(until));
        }
        Ok(true)
    }
}

impl Consumer {
    /// The fence: only the current delivery may settle a message (G6). Which refusal it is, is decided
    /// from state alone (R14).
    pub(crate) fn check(&self, token: Token) -> Result<(), Refusal> {
        let seq = Seq::new(token.seq);
        if !self.holds(token.seq) {
            return Err(Refusal::Gone { seq });
        }
        match self.leases.get(&token.seq) {
            Some(lease) if lease.serial == token.serial => Ok(()),
            _ => Err(Refusal::Stale { seq }),
        }
    }

    /// Finishes a message; with `AckPolicy::All`, what is in flight, due or delayed below it too.
    fn ack(&mut self, seq: u64) {
        let all = self.config.ack_policy == AckPolicy::All;
        let below = self.pending.iter().take_while(|held| all && *held < seq);
        // What was never delivered, or was brought back since, nobody has done.
        let delivered = |held: &u64| self.entries.get(*held).attempts > 0;
        let below: Vec<u64> = below
            .filter(|held| delivered(held) && !self.condemned.contains(held))
            .collect();
        for seq in below.into_iter().chain([seq]) {
            self.finish(seq);
            self.totals.acked += 1;
        }
    }

    /// The delay after the current attempt fails.
    fn backoff_of(&self, seq: u64) -> Duration {
        self.config
            .backoff_step(self.entries.get(seq).attempts)
            .unwrap_or(Duration::ZERO)
    }

    /// Starts the current lease anew and returns its deadline; one without a deadline stays without.
    fn extend(&mut self, seq: u64, mono: Mono) -> Option<Mono> {
        let deadline = self.deadline(seq, mono);
        let lease = self.leases.get_mut(&seq)?;
        let old = lease.deadline.replace(deadline);
        let Some(old) = old else {
            lease.deadline = None;
            return None;
        };
        self.expiry.remove(&(old, seq));
        self.expiry.insert((deadline, seq));
        Some(deadline)
    }
}
