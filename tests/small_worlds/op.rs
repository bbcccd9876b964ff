//! `Op`: what an application, time and misfortune can do to a small store.

use std::fmt;

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ack,
    Nak,
    /// Nak, to come again after so many seconds.
    NakAfter(u64),
    Term,
    InProgress,
}

/// One step. Consumers and held deliveries are named by their place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Publish,
    Fetch {
        consumer: usize,
        messages: usize,
    },
    /// Of a delivery that the application holds, current or not.
    Settle {
        consumer: usize,
        delivery: usize,
        verdict: Verdict,
    },
    /// Acks everything that the application holds in one call, what is stale too.
    AckAll {
        consumer: usize,
    },
    /// Releases a parked message, or discards it.
    Unpark {
        consumer: usize,
        seq: u64,
        discard: bool,
    },
    /// So many seconds go by, and the sweeper looks.
    Pass(u64),
    /// The power fails, and the store is opened again.
    Crash,
    /// The store is closed, and opened again.
    Reopen,
}

/// What a call answered, in the same words for the library and the oracle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    Stored(u64),
    Delivered(Vec<Delivery>),
    /// Nothing to deliver, and why.
    Empty(Why),
    Stale,
    Gone,
    NotParked,
    /// How many were acked, and which were not.
    Acked(usize, Vec<(u64, bool)>),
}

/// Why a fetch brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    NoMessages,
    Delayed,
    InFlight(u64),
    Alone(u64),
}

/// A message as it was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub seq: u64,
    pub serial: u64,
    pub deliveries: u64,
    pub failures: u64,
    pub crashes: u64,
}

/// Everything that can be seen of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub deliveries: u64,
    pub delivered: u64,
    pub ack_floor: u64,
    pub pending: u64,
    pub in_flight: u64,
    pub due: u64,
    pub delayed: u64,
    pub redelivered: u64,
    pub suspects: u64,
    pub acked: u64,
    pub dead_lettered: u64,
    pub dropped: u64,
    pub failures: u64,
    pub crashes: u64,
    /// Sequence, deliveries and failures.
    pub parked: Vec<(u64, u64, u64)>,
}

/// A dead letter: where it came from, and what it went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub consumer: usize,
    pub seq: u64,
    pub deliveries: u64,
    pub failures: u64,
    pub crashes: u64,
    pub terminated: bool,
}

/// Everything that can be seen of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    pub stored: Vec<u64>,
    pub letters: Vec<Letter>,
    pub consumers: Vec<Facts>,
}

/// What a message is given up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    DeadLetter,
    Park,
    Drop,
}

/// The configuration of a small world; all consumers have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    pub consumers: usize,
    pub max_deliver: Option<u64>,
    pub exhausted: Exhausted,
    /// How many messages may be in flight.
    pub max_out: u64,
    /// Seconds that a delivery may take.
    pub ack_wait: u64,
    /// Seconds after a nak, and for each attempt; `ack_wait` and none where there are none.
    pub backoff: &'static [u64],
}

impl Rules {
    pub const PLAIN: Self = Self {
        consumers: 1,
        max_deliver: None,
        exhausted: Exhausted::Park,
        max_out: 1_000,
        ack_wait: 30,
        backoff: &[],
    };
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Op::{self:?}")
    }
}
