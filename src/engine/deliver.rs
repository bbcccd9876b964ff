//! Handing over what was claimed: the lease starts here (R16).

use super::Engine;
use super::ask::Holder;
use super::start::ConsumerRef;
use crate::error::Unavailable;
use crate::state::{Claimed, Stored, Token};
use std::sync::Arc;

/// A delivery in the application's hands.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    /// The message; of a consumer that wants no payloads without its own.
    pub(crate) stored: Arc<Stored>,
    pub(crate) payload_len: usize,
    pub(crate) token: Token,
    pub(crate) attempts: u64,
    pub(crate) failures: u64,
    pub(crate) crashes: u64,
}

impl Engine {
    /// Ends a lease that has no deadline: the attempt failed, and the sweeper counts it.
    pub(crate) fn lapse(&self, whose: &ConsumerRef, token: Token) {
        let Ok(mut core) = self.enter() else { return };
        let mono = self.clock.mono();
        if let Some(known) = core.state.consumers.get_mut(&whose.id)
            && known.hand_over(token.seq, token.serial, mono, Some(mono))
        {
            core.state.alarm_mono(mono);
        }
    }

    /// Starts the leases of claims that are durable. One that was purged meanwhile is not delivered.
    pub(crate) fn hand_over(
        &self,
        consumer: u32,
        claimed: Vec<Claimed>,
        holder: Holder,
    ) -> Result<Vec<Delivered>, Unavailable> {
        let mut core = self.enter()?;
        let mono = self.clock.mono();
        let mut earliest = None;
        let Some(known) = core.state.consumers.get_mut(&consumer) else {
            return Ok(Vec::new());
        };
        known.last_fetch = mono;
        known.last_active = mono;
        let mut delivered = Vec::with_capacity(claimed.len());
        for claim in claimed {
            let (seq, serial) = (claim.stored.seq, claim.serial);
            let deadline = (holder == Holder::Caller).then(|| known.deadline(seq, mono));
            // Without acks there is no lease to start.
            let handed = known.needs_no_acks() || known.hand_over(seq, serial, mono, deadline);
            if handed {
                known.note_handed(&claim.stored, mono);
                let deadline = deadline.filter(|_| !known.needs_no_acks());
                earliest = [earliest, deadline].into_iter().flatten().min();
                let (attempts, failures, crashes) = (claim.attempts, claim.failures, claim.crashes);
                let token = Token { seq, serial };
                let (payload_len, mut stored) = (claim.stored.payload.len(), claim.stored);
                if known.config.headers_only {
                    stored = Arc::new(stored.without_payload());
                }
                delivered.push(Delivered {
                    stored,
                    payload_len,
                    token,
                    attempts,
                    failures,
                    crashes,
                });
            }
        }
        if let Some(earliest) = earliest {
            core.state.alarm_mono(earliest);
        }
        Ok(delivered)
    }
}
