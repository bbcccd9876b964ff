//! Settling deliveries: alone, in batches, and together with the next fetch.

use super::Engine;
use super::ask::{Ask, Patience};
use super::fetch::Fetched;
use super::start::ConsumerRef;
use crate::config::{AckDurability, AckPolicy};
use crate::error::{AckAndFetchError, AckError, FetchError, Refusal, Unavailable};
use crate::state::{Token, Verdict};

impl Engine {
    /// Settles one delivery and waits until that is durable, unless the consumer's acks are lazy.
    pub(crate) fn settle(
        &self,
        whose: &ConsumerRef,
        token: Token,
        verdict: &Verdict,
    ) -> Result<(), AckError> {
        let (answer, group, durability) = self.run(|core| {
            let moment = core.now(&self.clock);
            let known = core
                .state
                .consumer(whose.id)
                .map(|known| known.config.ack_durability);
            let Some(durability) = known else {
                return Ok((None, core.state.catalog_group(), AckDurability::Durable));
            };
            let (mono, now) = (moment.mono, moment.now);
            let answer = core.state.settle(whose.id, token, verdict, mono, now)?;
            core.wake_for_more(whose.id);
            let group = core.state.consumer(whose.id).map_or(0, |known| known.group);
            let group = if *verdict == Verdict::InProgress && answer.is_ok() {
                0
            } else {
                group
            };
            Ok((Some(answer), group, durability))
        })?;
        let lazy = durability == AckDurability::Lazy && *verdict == Verdict::Ack;
        // A refusal is an answer about a state that must be durable (R1).
        if lazy && matches!(answer, Some(Ok(()))) {
            self.committer.raise();
        } else {
            self.wait(group)?;
        }
        match answer {
            Some(answer) => Ok(answer?),
            None => Err(AckError::ConsumerGone {
                consumer: whose.name.clone(),
            }),
        }
    }

    /// Stages the acks of a batch; returns what was refused and the group of the rest (R15).
    fn stage_acks(
        &self,
        whose: &ConsumerRef,
        tokens: &[Token],
    ) -> Result<(Vec<Refusal>, u64, AckDurability), AckError> {
        let mut core = self.enter()?;
        let moment = core.now(&self.clock);
        let Some(known) = core.state.consumer(whose.id) else {
            let group = core.state.catalog_group();
            drop(core);
            self.wait(group)?;
            return Err(AckError::ConsumerGone {
                consumer: whose.name.clone(),
            });
        };
        let durability = known.config.ack_durability;
        let mut tokens = tokens.to_vec();
        if known.config.ack_policy == AckPolicy::All {
            // The ack of a later message must not make an earlier one of the batch `Gone`.
            tokens.sort_unstable_by_key(|token| token.seq);
        }
        let mut refused = Vec::new();
        for token in &tokens {
            let settled =
                core.state
                    .settle(whose.id, *token, &Verdict::Ack, moment.mono, moment.now);
            match settled {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => refused.push(refusal),
                Err(need) => unreachable!("an ack needs nothing from the log: {need:?}"),
            }
        }
        core.wake_for_more(whose.id);
        let group = core.state.consumer(whose.id).map_or(0, |known| known.group);
        Ok((refused, group, durability))
    }

    /// Acks every current delivery of a batch in one commit; the others come back with their reasons.
    pub(crate) fn ack_batch(
        &self,
        whose: &ConsumerRef,
        tokens: &[Token],
    ) -> Result<Vec<Refusal>, AckError> {
        let (refused, group, durability) = self.stage_acks(whose, tokens)?;
        if durability == AckDurability::Lazy && refused.is_empty() {
            self.committer.raise();
        } else {
            self.wait(group)?;
        }
        Ok(refused)
    }

    /// Acks a batch and fetches the next one, in one commit when something is there to be fetched.
    pub(crate) fn ack_and_fetch(
        &self,
        whose: &ConsumerRef,
        tokens: &[Token],
        ask: &Ask,
    ) -> Result<(Vec<Refusal>, Fetched), AckAndFetchError> {
        let (refused, group, durability) = self.stage_acks(whose, tokens)?;
        let at_once = Ask {
            patience: Patience::None,
            ..*ask
        };
        // The acks are staged whatever becomes of the fetch, and what they came to is an answer (R1).
        let at_once = self
            .fetch(whose, &at_once)
            .inspect_err(|_| self.committer_looks());
        // Damage that the fetch met stops no commit.
        let down = matches!(&at_once, Err(FetchError::Unavailable(why))
            if !matches!(why, Unavailable::Damaged { .. }));
        let answers = durability == AckDurability::Durable || !refused.is_empty();
        if answers && !down {
            self.wait(group)?;
        }
        let fetched = match at_once {
            Ok(nothing) if nothing.delivered.is_empty() && ask.patience != Patience::None => {
                self.fetch(whose, ask)
            }
            fetched => fetched,
        };
        match fetched {
            Ok(fetched) => Ok((refused, fetched)),
            // The acks are stored, or were on their way: they are not nothing (R2).
            Err(FetchError::Unavailable(why)) => Err(AckAndFetchError::Fetch {
                why: FetchError::Unavailable(why.midway()),
                refused,
            }),
            Err(why) => Err(AckAndFetchError::Fetch { why, refused }),
        }
    }

    /// Gives back deliveries that were not started; nothing is waited for, and nothing is lost if it
    /// fails: the store's end has the same effect.
    pub(crate) fn release(&self, whose: &ConsumerRef, tokens: &[Token]) {
        let Ok(mut core) = self.enter() else { return };
        let moment = core.now(&self.clock);
        for token in tokens {
            let released =
                core.state
                    .settle(whose.id, *token, &Verdict::Release, moment.mono, moment.now);
            debug_assert!(released.is_ok(), "giving back needs nothing from the log");
        }
        core.wake_for_more(whose.id);
        drop(core);
        self.committer.raise();
    }
}
