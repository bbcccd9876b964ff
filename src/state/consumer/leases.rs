//! Leases: which messages are handed out, under which serial, and until when.

use super::Consumer;
use crate::clock::Mono;
use crate::format::rows::Place;

/// A delivery that is out with a worker. Leases live in memory only (R3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// The fence: which delivery of the message this is (R13).
    pub(crate) serial: u64,
    /// `None` until the message is handed over (R16), and while a runner holds it.
    pub(crate) deadline: Option<Mono>,
    pub(crate) handed: bool,
    /// When it was handed over.
    pub(crate) since: Option<Mono>,
    /// When its message was published.
    pub(crate) published: u64,
    pub(crate) bytes: u64,
}

impl Consumer {
    pub(crate) fn drop_lease(&mut self, seq: u64) {
        let Some(lease) = self.leases.remove(&seq) else {
            return;
        };
        self.leased_bytes -= lease.bytes;
        if let Some(deadline) = lease.deadline {
            self.expiry.remove(&(deadline, seq));
        }
    }

    /// Delivers a message for the first time.
    pub(crate) fn claim_new(&mut self, seq: u64, bytes: u64) -> u64 {
        assert!(
            seq >= self.next,
            "a message is delivered for the first time once"
        );
        self.next = seq + 1;
        self.accounted += 1;
        self.pending.insert(seq);
        self.lease(seq, bytes)
    }

    /// Delivers a message that nobody will settle: the consumer is done with it.
    pub(crate) fn claim_once(&mut self, seq: u64) -> u64 {
        let serial = if seq >= self.next {
            self.claim_new(seq, 0)
        } else {
            self.claim_due(seq, 0)
        };
        // The delivery counts, whether it is handed over or not.
        if let Some(lease) = self.leases.get_mut(&seq) {
            lease.handed = true;
        }
        self.finish(seq);
        serial
    }

    /// Delivers a due message again.
    pub(crate) fn claim_due(&mut self, seq: u64, bytes: u64) -> u64 {
        self.lift(seq);
        let mut entry = self.entries.change(seq);
        entry.attempts += 1;
        entry.place = Place::InFlight;
        drop(entry);
        self.lease(seq, bytes)
    }

    fn lease(&mut self, seq: u64, bytes: u64) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.totals.deliveries += 1;
        self.leased_bytes += bytes;
        let lease = Lease {
            serial,
            deadline: None,
            handed: false,
            since: None,
            published: 0,
            bytes,
        };
        let before = self.leases.insert(seq, lease);
        assert!(before.is_none(), "a message has one lease at a time");
        serial
    }

    /// Remembers when a message in flight was published.
    pub(crate) fn note_published(&mut self, seq: u64, time: u64) {
        if let Some(lease) = self.leases.get_mut(&seq) {
            lease.published = time;
        }
    }

    /// Starts the lease of a message that is handed over now; a runner's has no deadline (R16).
    pub(crate) fn hand_over(
        &mut self,
        seq: u64,
        serial: u64,
        now: Mono,
        deadline: Option<Mono>,
    ) -> bool {
        let Some(lease) = self
            .leases
            .get_mut(&seq)
            .filter(|lease| lease.serial == serial)
        else {
            return false;
        };
        if let Some(old) = lease.deadline.take() {
            self.expiry.remove(&(old, seq));
        }
        lease.handed = true;
        lease.since.get_or_insert(now);
        lease.deadline = deadline;
        if let Some(deadline) = deadline {
            self.expiry.insert((deadline, seq));
        }
        true
    }

    /// Takes back a claim that was never handed over, or a delivery that was never started: it does
    /// not count as an attempt (R13), and the message is due at once, before others.
    pub(crate) fn give_back(&mut self, seq: u64) {
        let mut entry = self.entries.change(seq);
        entry.attempts = entry.attempts.saturating_sub(1);
        drop(entry);
        self.totals.deliveries = self.totals.deliveries.saturating_sub(1);
        self.give_back_rate(seq);
        self.take_back_replayed(seq);
        self.make_due(seq, 0);
    }

    /// The deadline of an attempt that starts now.
    pub(crate) fn deadline(&self, seq: u64, now: Mono) -> Mono {
        let attempt = self.entries.get(seq).attempts;
        now.plus(
            self.config
                .backoff_step(attempt)
                .unwrap_or(self.config.ack_wait),
        )
    }

    /// Makes everything in flight due, as when the store is closed: its attempt counts, it did not
    /// fail; what was never handed over does not count.
    pub(crate) fn release_all(&mut self) -> bool {
        let leases: Vec<(u64, bool)> = self
            .leases
            .iter()
            .map(|(seq, lease)| (*seq, lease.handed))
            .collect();
        for (seq, handed) in &leases {
            if *handed {
                self.make_due(*seq, 0);
            } else {
                self.give_back(*seq);
            }
        }
        !leases.is_empty()
    }
}
