//! `World`: the library and the oracle, side by side.

use crate::op::{Answer, Delivery, Exhausted, Facts, Letter, Op, Rules, Sight, Verdict, Why};
use crate::oracle::Oracle;
use riverbed::disk::MemoryDisk;
use riverbed::{
    AckError, Consumer, ConsumerConfig, DeadReason, EmptyReason, Fetch, ManualClock, Message,
    OnExhausted, RedriveError, Refusal, Riverbed, Seq, Stream, StreamConfig,
};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// The library's side.
struct Library {
    disk: MemoryDisk,
    clock: ManualClock,
    store: Riverbed,
    stream: Stream,
    dead: Option<Stream>,
    consumers: Vec<Consumer>,
    hands: Vec<Vec<Message>>,
}

/// Where a world can be started from: a disk that nobody has open, and what the oracle knows of it.
///
/// A process that opens it knows nothing but the disk, so that going on from here is going on from
/// whatever history led here.
#[derive(Clone)]
pub struct Origin {
    disk: MemoryDisk,
    oracle: Oracle,
    crash: bool,
}

pub struct World {
    library: Library,
    oracle: Oracle,
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn name(consumer: usize) -> String {
    format!("c{consumer}")
}

/// A message's payload; every third is larger than a page.
fn payload(seq: u64) -> Vec<u8> {
    let bulk = if seq.is_multiple_of(3) { 2_000 } else { 3 };
    format!("{seq} ").repeat(bulk).into_bytes()
}

/// The library answered something that no answer of the oracle can be.
fn strange<T>(answer: impl Debug) -> Result<T, String> {
    Err(format!("the library answered {answer:?}"))
}

impl Origin {
    /// A store with its stream and consumers, and so many messages.
    pub fn new(rules: Rules, messages: u64) -> Self {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let store = open(&disk, &clock).unwrap();
        let stream = store.create_stream(StreamConfig::new("s")).unwrap();
        for consumer in 0..rules.consumers {
            let mut config = ConsumerConfig::new(name(consumer))
                .ack_wait(secs(rules.ack_wait))
                .backoff(rules.backoff.iter().map(|seconds| secs(*seconds)))
                .max_ack_pending(rules.max_out);
            config.max_deliver = rules.max_deliver;
            let config = match rules.exhausted {
                Exhausted::DeadLetter => config.dead_letter("dead"),
                Exhausted::Park => config.on_exhausted(OnExhausted::Park),
                Exhausted::Drop => config.on_exhausted(OnExhausted::Drop),
            };
            stream.create_consumer(config).unwrap();
        }
        let mut oracle = Oracle::new(rules);
        for seq in 1..=messages {
            stream.publish("s", payload(seq)).unwrap();
            oracle.step(Op::Publish);
        }
        store.close().unwrap();
        Self {
            disk: disk.crash_image(0),
            oracle,
            crash: false,
        }
    }

    pub fn start(&self) -> Result<World, String> {
        let clock = ManualClock::new();
        clock.advance(secs(self.oracle.now()));
        let mut oracle = self.oracle.clone();
        oracle.step(if self.crash { Op::Crash } else { Op::Reopen });
        let library = Library::open(self.disk.crash_image(0), clock, oracle.rules())?;
        Ok(World { library, oracle })
    }
}

impl World {
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// Takes one step, and compares what was answered and what can be seen then.
    pub fn step(&mut self, op: Op) -> Result<(), String> {
        self.step_unseen(op)?;
        let (expected, seen) = (self.oracle.sight(), self.library.sight()?);
        if expected != seen {
            return Err(format!("expected {expected:#?}\nseen {seen:#?}"));
        }
        Ok(())
    }

    /// Takes one step, and compares only what was answered.
    pub fn step_unseen(&mut self, op: Op) -> Result<(), String> {
        if matches!(op, Op::Crash | Op::Reopen) {
            let origin = self.end(op)?;
            *self = origin.start()?;
            return Ok(());
        }
        let expected = self.oracle.step(op);
        let answered = self.library.step(op)?;
        if expected != answered {
            return Err(format!("expected {expected:?}, answered {answered:?}"));
        }
        Ok(())
    }

    /// What a crash, or a close, leaves.
    pub fn end(&self, op: Op) -> Result<Origin, String> {
        let crash = op == Op::Crash;
        if !crash {
            self.library.store.close().or_else(strange)?;
        }
        Ok(Origin {
            // All that was not synced is lost: every answer came after its sync.
            disk: self.library.disk.crash_image(0),
            oracle: self.oracle.clone(),
            crash,
        })
    }

    /// Verifies the whole store as the library itself does.
    pub fn check(&self) -> Result<(), String> {
        match self.library.store.check() {
            Ok(findings) if findings.is_empty() => Ok(()),
            other => strange(other),
        }
    }
}

fn open(disk: &MemoryDisk, clock: &ManualClock) -> Result<Riverbed, riverbed::OpenError> {
    let builder = Riverbed::builder()
        // So small that it costs little to make one in each world.
        .journal_segment(16 << 10)
        .cache_bytes(1 << 20)
        .clock(clock.clock());
    let builder = builder.disk(Arc::new(disk.clone())).without_threads();
    builder.open("/store")
}

impl Library {
    fn open(disk: MemoryDisk, clock: ManualClock, rules: &Rules) -> Result<Self, String> {
        let store = open(&disk, &clock).or_else(strange)?;
        let stream = store.stream("s").or_else(strange)?;
        let dead = match rules.exhausted {
            Exhausted::DeadLetter => Some(store.stream("dead").or_else(strange)?),
            Exhausted::Park | Exhausted::Drop => None,
        };
        let consumers: Result<Vec<Consumer>, _> = (0..rules.consumers)
            .map(|consumer| stream.consumer(&name(consumer)))
            .collect();
        Ok(Self {
            disk,
            clock,
            store,
            stream,
            dead,
            consumers: consumers.or_else(strange)?,
            hands: vec![Vec::new(); rules.consumers],
        })
    }

    fn step(&mut self, op: Op) -> Result<Answer, String> {
        match op {
            Op::Publish => {
                let last = self.stream.info().or_else(strange)?.last_seq.get();
                let ack = self
                    .stream
                    .publish("s", payload(last + 1))
                    .or_else(strange)?;
                Ok(Answer::Stored(ack.seq.get()))
            }
            Op::Fetch { consumer, messages } => self.fetch(consumer, messages),
            Op::Settle {
                consumer,
                delivery,
                verdict,
            } => settle(&self.hands[consumer][delivery], verdict),
            Op::AckAll { consumer } => {
                let acked = self.consumers[consumer].ack_batch(&self.hands[consumer]);
                let acked = acked.or_else(strange)?;
                let refused = acked.refused.iter().map(|refused| match refused {
                    Refusal::Stale { seq } => Ok((seq.get(), true)),
                    Refusal::Gone { seq } => Ok((seq.get(), false)),
                    other => strange(other),
                });
                Ok(Answer::Acked(
                    acked.acked,
                    refused.collect::<Result<_, _>>()?,
                ))
            }
            Op::Unpark {
                consumer,
                seq,
                discard,
            } => {
                let (consumer, seq) = (&self.consumers[consumer], Seq::new(seq));
                let done = if discard {
                    consumer.discard(seq)
                } else {
                    consumer.release(seq)
                };
                match done {
                    Ok(()) => Ok(Answer::Done),
                    Err(RedriveError::NotParked { .. }) => Ok(Answer::NotParked),
                    Err(why) => strange(why),
                }
            }
            Op::Pass(seconds) => {
                self.clock.advance(secs(seconds));
                self.store.drive().or_else(strange)?;
                Ok(Answer::Done)
            }
            Op::Crash | Op::Reopen => strange("a step that is not its own"),
        }
    }

    fn fetch(&mut self, consumer: usize, messages: usize) -> Result<Answer, String> {
        let ask = Fetch::new(messages).no_wait();
        let batch = self.consumers[consumer].fetch(ask).or_else(strange)?;
        if let Some(why) = batch.empty_reason() {
            return Ok(Answer::Empty(match why {
                EmptyReason::NoMessages => Why::NoMessages,
                EmptyReason::DelayedUntil(_) => Why::Delayed,
                EmptyReason::InFlight { messages } => Why::InFlight(messages),
                EmptyReason::HandledAlone { seq } => Why::Alone(seq.get()),
                other => return strange(other),
            }));
        }
        let mut delivered = Vec::new();
        for message in batch {
            let seq = message.seq().get();
            if message.payload() != payload(seq) {
                return strange(message);
            }
            delivered.push(Delivery {
                seq,
                serial: message.serial(),
                deliveries: message.deliveries(),
                failures: message.failures(),
                crashes: message.crashes(),
            });
            self.hands[consumer].push(message);
        }
        Ok(Answer::Delivered(delivered))
    }

    fn sight(&self) -> Result<Sight, String> {
        let mut sight = Sight::default();
        for message in self.stream.range(..) {
            let message = message.or_else(strange)?;
            if message.payload() != payload(message.seq().get()) {
                return strange(message);
            }
            sight.stored.push(message.seq().get());
        }
        if let Some(dead) = &self.dead {
            for letter in dead.dead_letters() {
                let letter = letter.or_else(strange)?;
                if letter.message.payload() != payload(letter.seq.get()) {
                    return strange(letter);
                }
                let consumer = (0..self.consumers.len()).find(|c| name(*c) == letter.consumer);
                let Some(consumer) = consumer else {
                    return strange(letter);
                };
                sight.letters.push(Letter {
                    consumer,
                    seq: letter.seq.get(),
                    deliveries: letter.deliveries,
                    failures: letter.failures,
                    crashes: letter.crashes,
                    terminated: letter.reason != DeadReason::MaxDeliver,
                });
            }
        }
        for consumer in &self.consumers {
            sight.consumers.push(facts(consumer)?);
        }
        Ok(sight)
    }
}

fn settle(message: &Message, verdict: Verdict) -> Result<Answer, String> {
    let settled = match verdict {
        Verdict::Ack => message.ack(),
        Verdict::Nak => message.nak(),
        Verdict::NakAfter(seconds) => message.nak_after(secs(seconds)),
        Verdict::Term => message.term("no use"),
        Verdict::InProgress => message.in_progress(),
    };
    match settled {
        Ok(()) => Ok(Answer::Done),
        Err(AckError::Refused(Refusal::Stale { .. })) => Ok(Answer::Stale),
        Err(AckError::Refused(Refusal::Gone { .. })) => Ok(Answer::Gone),
        Err(why) => strange(why),
    }
}

fn facts(consumer: &Consumer) -> Result<Facts, String> {
    let info = consumer.info().or_else(strange)?;
    let parked = consumer.parked(Seq::new(0), 100).or_else(strange)?;
    if info.parked != parked.len() as u64 || info.lost + info.refused > 0 {
        return strange(info);
    }
    Ok(Facts {
        deliveries: info.deliveries,
        delivered: info.delivered.get(),
        ack_floor: info.ack_floor.get(),
        pending: info.pending,
        in_flight: info.in_flight,
        due: info.due,
        delayed: info.delayed,
        redelivered: info.redelivered,
        suspects: info.suspects,
        acked: info.acked,
        dead_lettered: info.dead_lettered,
        dropped: info.dropped,
        failures: info.failures,
        crashes: info.crashes,
        parked: parked
            .iter()
            .map(|parked| {
                let seq = parked.message.seq().get();
                (seq, parked.deliveries, parked.failures)
            })
            .collect(),
    })
}
