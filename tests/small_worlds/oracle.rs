//! `Oracle`: what a small store must do, as plainly as it can be said.
//!
//! One map of messages a consumer, each in one place; nothing is packed, cached or shared with the
//! library.

use crate::op::{Answer, Delivery, Exhausted, Facts, Letter, Op, Rules, Sight, Verdict, Why};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// With a worker, until the deadline.
    Out {
        serial: u64,
        deadline: u64,
    },
    /// In line; what became due later has a higher rank.
    Due {
        rank: u64,
    },
    Delayed {
        until: u64,
    },
    Parked,
    Over,
}

/// A message that was delivered at least once.
#[derive(Clone, Copy, Debug)]
struct Held {
    deliveries: u64,
    failures: u64,
    crashes: u64,
    place: Place,
}

impl Held {
    fn is_suspect(&self) -> bool {
        self.crashes >= 2
    }

    fn is_out(&self) -> bool {
        matches!(self.place, Place::Out { .. })
    }

    fn is_unfinished(&self) -> bool {
        !matches!(self.place, Place::Over | Place::Parked)
    }
}

#[derive(Clone, Debug, Default)]
struct Consumer {
    /// Every sequence up to the last that was delivered.
    held: BTreeMap<u64, Held>,
    /// What the application holds: sequence and serial of each delivery since the store was opened.
    hands: Vec<(u64, u64)>,
    next_serial: u64,
    next_rank: u64,
    facts: Facts,
}

#[derive(Clone, Debug)]
pub struct Oracle {
    rules: Rules,
    now: u64,
    last: u64,
    letters: Vec<Letter>,
    consumers: Vec<Consumer>,
}

impl Oracle {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            now: 0,
            last: 0,
            letters: Vec::new(),
            consumers: vec![Consumer::default(); rules.consumers],
        }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn published(&self) -> u64 {
        self.last
    }

    /// Seconds since the beginning.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The deliveries that the application holds, and whether each is current.
    pub fn hands(&self, consumer: usize) -> Vec<(u64, bool)> {
        let consumer = &self.consumers[consumer];
        let current = |&(seq, serial): &(u64, u64)| (seq, consumer.fence(seq, serial).is_none());
        consumer.hands.iter().map(current).collect()
    }

    pub fn parked(&self, consumer: usize) -> Vec<u64> {
        self.consumers[consumer].in_place(|place| place == Place::Parked)
    }

    /// Whether anything waits for time to pass.
    pub fn waits_for_time(&self) -> bool {
        let timed = |place| matches!(place, Place::Out { .. } | Place::Delayed { .. });
        self.consumers
            .iter()
            .any(|known| !known.in_place(timed).is_empty())
    }

    pub fn step(&mut self, op: Op) -> Answer {
        match op {
            Op::Publish => {
                self.last += 1;
                Answer::Stored(self.last)
            }
            Op::Fetch { consumer, messages } => self.fetch(consumer, messages),
            Op::Settle {
                consumer,
                delivery,
                verdict,
            } => {
                let (seq, serial) = self.consumers[consumer].hands[delivery];
                self.settle(consumer, seq, serial, verdict)
            }
            Op::AckAll { consumer } => {
                let (mut acked, mut refused) = (0, Vec::new());
                for (seq, serial) in self.consumers[consumer].hands.clone() {
                    match self.settle(consumer, seq, serial, Verdict::Ack) {
                        Answer::Done => acked += 1,
                        answer => refused.push((seq, answer == Answer::Stale)),
                    }
                }
                Answer::Acked(acked, refused)
            }
            Op::Unpark {
                consumer,
                seq,
                discard,
            } => self.unpark(consumer, seq, discard),
            Op::Pass(seconds) => {
                self.now += seconds;
                self.sweep();
                Answer::Done
            }
            Op::Crash => {
                self.open(true);
                Answer::Done
            }
            Op::Reopen => {
                self.open(false);
                Answer::Done
            }
        }
    }

    fn fetch(&mut self, index: usize, messages: usize) -> Answer {
        let (now, last, rules) = (self.now, self.last, self.rules);
        let consumer = &mut self.consumers[index];
        consumer.end_delays(now);
        let take = match consumer.next(messages, last, rules.max_out) {
            Ok(take) => take,
            Err(why) => return Answer::Empty(why),
        };
        let mut delivered = Vec::new();
        for seq in take {
            let held = consumer.held.entry(seq).or_insert(Held {
                deliveries: 0,
                failures: 0,
                crashes: 0,
                place: Place::Over,
            });
            held.deliveries += 1;
            let serial = consumer.next_serial;
            consumer.next_serial += 1;
            let deadline = now + rules.step(held.deliveries).unwrap_or(rules.ack_wait);
            held.place = Place::Out { serial, deadline };
            consumer.facts.deliveries += 1;
            consumer.hands.push((seq, serial));
            delivered.push(Delivery {
                seq,
                serial,
                deliveries: held.deliveries,
                failures: held.failures,
                crashes: held.crashes,
            });
        }
        Answer::Delivered(delivered)
    }

    fn settle(&mut self, index: usize, seq: u64, serial: u64, verdict: Verdict) -> Answer {
        let (now, rules) = (self.now, self.rules);
        let consumer = &mut self.consumers[index];
        if let Some(refused) = consumer.fence(seq, serial) {
            return refused;
        }
        let deliveries = consumer.held[&seq].deliveries;
        match verdict {
            Verdict::Ack => {
                consumer.move_to(seq, Place::Over);
                consumer.facts.acked += 1;
            }
            Verdict::InProgress => {
                let deadline = now + rules.step(deliveries).unwrap_or(rules.ack_wait);
                consumer.move_to(seq, Place::Out { serial, deadline });
            }
            Verdict::Term => self.give_up(index, seq, true),
            Verdict::Nak => self.fail(index, seq, rules.step(deliveries).unwrap_or(0)),
            Verdict::NakAfter(seconds) => self.fail(index, seq, seconds),
        }
        Answer::Done
    }

    /// An attempt failed: the message comes again, or is given up.
    fn fail(&mut self, index: usize, seq: u64, delay: u64) {
        let (now, limit) = (self.now, self.rules.max_deliver);
        let consumer = &mut self.consumers[index];
        consumer.facts.failures += 1;
        let held = consumer.held.get_mut(&seq).unwrap();
        held.failures += 1;
        if limit.is_some_and(|limit| held.failures >= limit) {
            self.give_up(index, seq, false);
        } else if delay > 0 {
            consumer.move_to(seq, Place::Delayed { until: now + delay });
        } else {
            consumer.next_rank += 1;
            let rank = consumer.next_rank;
            consumer.move_to(seq, Place::Due { rank });
        }
    }

    fn give_up(&mut self, index: usize, seq: u64, terminated: bool) {
        let consumer = &mut self.consumers[index];
        let held = consumer.held[&seq];
        match (self.rules.exhausted, terminated) {
            (Exhausted::DeadLetter, _) => {
                consumer.move_to(seq, Place::Over);
                consumer.facts.dead_lettered += 1;
                self.letters.push(Letter {
                    consumer: index,
                    seq,
                    deliveries: held.deliveries,
                    failures: held.failures,
                    crashes: held.crashes,
                    terminated,
                });
            }
            (Exhausted::Park, false) => consumer.move_to(seq, Place::Parked),
            (Exhausted::Park | Exhausted::Drop, _) => {
                consumer.move_to(seq, Place::Over);
                consumer.facts.dropped += 1;
            }
        }
    }

    /// A parked message is due again as if it had never been delivered, or done with.
    fn unpark(&mut self, index: usize, seq: u64, discard: bool) -> Answer {
        let consumer = &mut self.consumers[index];
        let Some(held) = consumer.held.get_mut(&seq) else {
            return Answer::NotParked;
        };
        if held.place != Place::Parked {
            return Answer::NotParked;
        }
        if discard {
            held.place = Place::Over;
            consumer.facts.dropped += 1;
        } else {
            (held.deliveries, held.failures, held.crashes) = (0, 0, 0);
            consumer.next_rank += 1;
            let rank = consumer.next_rank;
            consumer.move_to(seq, Place::Due { rank });
        }
        Answer::Done
    }

    /// Lapsed deliveries failed, in the order of consumers and sequences.
    fn sweep(&mut self) {
        let now = self.now;
        for index in 0..self.consumers.len() {
            self.consumers[index].end_delays(now);
            let lapsed = |place| matches!(place, Place::Out { deadline, .. } if deadline <= now);
            for seq in self.consumers[index].in_place(lapsed) {
                self.fail(index, seq, 0);
            }
        }
    }

    /// Nobody holds a delivery any more (R17). After a crash, one that was out alone failed; those
    /// beside others were caught in it (R18).
    fn open(&mut self, crash: bool) {
        let (now, limit) = (self.now, self.rules.max_deliver);
        for index in 0..self.consumers.len() {
            let consumer = &mut self.consumers[index];
            consumer.hands.clear();
            let out = consumer.in_place(|place| matches!(place, Place::Out { .. }));
            for seq in &out {
                let held = consumer.held.get_mut(seq).unwrap();
                held.place = Place::Due { rank: 0 };
                if crash {
                    consumer.facts.crashes += 1;
                    if out.len() == 1 {
                        held.failures += 1;
                        consumer.facts.failures += 1;
                    } else {
                        held.crashes += 1;
                    }
                }
            }
            // All that is due is in one order again.
            for held in consumer.held.values_mut() {
                let over = matches!(held.place, Place::Delayed { until } if until <= now);
                if over || matches!(held.place, Place::Due { .. }) {
                    held.place = Place::Due { rank: 0 };
                }
            }
            consumer.next_rank = 0;
            for seq in consumer.in_place(|place| matches!(place, Place::Due { .. })) {
                let failures = self.consumers[index].held[&seq].failures;
                if limit.is_some_and(|limit| failures >= limit) {
                    self.give_up(index, seq, false);
                }
            }
        }
    }

    /// What everybody can see.
    pub fn sight(&self) -> Sight {
        Sight {
            stored: (1..=self.last).collect(),
            letters: self.letters.clone(),
            consumers: self
                .consumers
                .iter()
                .map(|known| known.facts(self.last))
                .collect(),
        }
    }
}

impl Rules {
    /// The backoff after, and the time for, an attempt.
    fn step(&self, attempt: u64) -> Option<u64> {
        let at = usize::try_from(attempt - 1).unwrap();
        self.backoff.get(at).or(self.backoff.last()).copied()
    }
}

impl Consumer {
    fn in_place(&self, is: impl Fn(Place) -> bool) -> Vec<u64> {
        let there = self.held.iter().filter(|(_, held)| is(held.place));
        there.map(|(seq, _)| *seq).collect()
    }

    fn move_to(&mut self, seq: u64, place: Place) {
        self.held.get_mut(&seq).unwrap().place = place;
        // The floor never goes back, not even when a parked message is released below it.
        self.facts.ack_floor = self.facts.ack_floor.max(self.floor());
    }

    fn floor(&self) -> u64 {
        let first = self.held.iter().find(|(_, held)| held.is_unfinished());
        first.map_or(self.delivered(), |(seq, _)| seq - 1)
    }

    fn delivered(&self) -> u64 {
        self.held.keys().last().copied().unwrap_or(0)
    }

    /// Why a delivery may not be settled any more (R14); nothing if it is the current one.
    fn fence(&self, seq: u64, serial: u64) -> Option<Answer> {
        match self.held[&seq].place {
            Place::Over => Some(Answer::Gone),
            Place::Out {
                serial: current, ..
            } if current == serial => None,
            _ => Some(Answer::Stale),
        }
    }

    fn end_delays(&mut self, now: u64) {
        let over = self.in_place(|place| matches!(place, Place::Delayed { until } if until <= now));
        if !over.is_empty() {
            self.next_rank += 1;
        }
        for seq in over {
            let rank = self.next_rank;
            self.move_to(seq, Place::Due { rank });
        }
    }

    /// What a fetch takes: what is due, in line, then new messages (G7); a suspect alone (R18).
    fn next(&self, messages: usize, last: u64, max_out: u64) -> Result<Vec<u64>, Why> {
        let out = self.in_place(|place| matches!(place, Place::Out { .. }));
        if out.len() as u64 >= max_out {
            return Err(Why::InFlight(out.len() as u64));
        }
        if let Some(seq) = out.iter().find(|seq| self.held[seq].is_suspect()) {
            return Err(Why::Alone(*seq));
        }
        let mut line: Vec<(u64, u64)> = Vec::new();
        for (seq, held) in &self.held {
            if let Place::Due { rank } = held.place {
                line.push((rank, *seq));
            }
        }
        line.sort_unstable();
        let mut take = Vec::new();
        for (_, seq) in &line {
            if self.held[seq].is_suspect() {
                if take.is_empty() && !out.is_empty() {
                    return Err(Why::Alone(*seq));
                }
                if take.is_empty() {
                    take.push(*seq);
                }
                break;
            }
            take.push(*seq);
        }
        if !line.iter().any(|(_, seq)| self.held[seq].is_suspect()) {
            take.extend(self.delivered() + 1..=last);
        }
        take.truncate(messages.min((max_out - out.len() as u64) as usize));
        if !take.is_empty() {
            return Ok(take);
        }
        let delayed = self.in_place(|place| matches!(place, Place::Delayed { .. }));
        Err(if delayed.is_empty() {
            Why::NoMessages
        } else {
            Why::Delayed
        })
    }

    fn facts(&self, last: u64) -> Facts {
        let count =
            |is: &dyn Fn(&Held) -> bool| self.held.values().filter(|held| is(held)).count() as u64;
        let kept = |held: &Held| held.place != Place::Over;
        Facts {
            delivered: self.delivered(),
            ack_floor: self.facts.ack_floor.max(self.floor()),
            pending: last - self.delivered(),
            in_flight: count(&Held::is_out),
            due: count(&|held| matches!(held.place, Place::Due { .. })),
            delayed: count(&|held| matches!(held.place, Place::Delayed { .. })),
            redelivered: count(&|held| kept(held) && held.deliveries > 1),
            suspects: count(&|held| kept(held) && held.is_suspect()),
            parked: self
                .in_place(|place| place == Place::Parked)
                .into_iter()
                .map(|seq| (seq, self.held[&seq].deliveries, self.held[&seq].failures))
                .collect(),
            ..self.facts.clone()
        }
    }
}
