//! The oracle's rules of consumers: managing them, fetching, settling.

use crate::letters::dead_letter_stream;
use crate::model::{End, Held, Place, Reason};
use crate::op::Verdict;
use crate::oracle::{Delivery, Oracle};
use riverbed::{AckPolicy, ConsumerConfig, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

/// What a fetch should give.
#[derive(Debug)]
pub(crate) enum Plan {
    Gone,
    Nothing(String),
    TooBig(u64),
    Take(Vec<u64>),
}

pub(crate) fn wants(config: &ConsumerConfig, subject: &str) -> bool {
    let matches = |filter: &String| crate::model::matches(filter, subject);
    config.filters.is_empty() || config.filters.iter().any(matches)
}

impl Oracle {
    /// What a fetch of so many messages and bytes should give (G7, R18).
    pub(crate) fn plan(&self, stream: &str, name: &str, n: usize, bytes: u64) -> Plan {
        let Some(consumer) = self.consumer(stream, name) else {
            return Plan::Gone;
        };
        let paused = consumer.config.pause_until.map(Timestamp::as_micros);
        if let Some(until) = paused.filter(|until| *until > self.now) {
            return Plan::Nothing(format!("Paused {until}"));
        }
        let source = &self.streams[stream];
        let size = |seq: u64| source.stored[&seq].draft.size();
        let out: Vec<u64> = consumer
            .held
            .iter()
            .filter(|(_, held)| held.is_out())
            .map(|(seq, _)| *seq)
            .collect();
        let free = consumer
            .config
            .max_ack_pending
            .saturating_sub(out.len() as u64);
        if free == 0 {
            return Plan::Nothing(format!("InFlight {}", out.len()));
        }
        if let Some(seq) = out.iter().find(|seq| consumer.held[seq].is_suspect()) {
            return Plan::Nothing(format!("HandledAlone {seq}"));
        }
        let out_bytes: u64 = out.iter().map(|seq| size(*seq)).sum();
        let most = consumer.config.max_ack_pending_bytes;
        if !out.is_empty() && out_bytes >= most {
            return Plan::Nothing(format!("InFlightBytes {out_bytes}"));
        }
        let mut due: Vec<(u64, u64)> = Vec::new();
        for (seq, held) in &consumer.held {
            if let Place::Due { rank } = held.place {
                due.push((rank, *seq));
            }
        }
        due.sort_unstable();
        let mut next: Vec<u64> = Vec::new();
        let mut suspect = due.iter().any(|(_, seq)| consumer.held[seq].is_suspect());
        for (_, seq) in due {
            if consumer.held[&seq].is_suspect() {
                if next.is_empty() && !out.is_empty() {
                    return Plan::Nothing(format!("HandledAlone {seq}"));
                }
                if next.is_empty() {
                    next.push(seq);
                }
                suspect = true;
                break;
            }
            next.push(seq);
        }
        if !suspect {
            let new = source.stored.range(consumer.next..);
            next.extend(
                new.filter(|(_, m)| consumer.wants(&m.draft.subject))
                    .map(|(seq, _)| *seq),
            );
        }
        next.truncate(n.min(free as usize));
        let Some(first) = next.first() else {
            let delays = consumer.held.values().filter_map(|held| match held.place {
                Place::Delayed { until } => Some(until),
                _ => None,
            });
            return Plan::Nothing(match delays.min() {
                Some(until) => format!("DelayedUntil {until}"),
                None => "NoMessages".to_owned(),
            });
        };
        if let Some(until) = consumer.pace.waits_until(self.now) {
            return Plan::Nothing(format!("RateLimited {until}"));
        }
        if let Some(turn) = consumer.turn(*first, source.stored[first].time, self.now) {
            return Plan::Nothing(format!("Replaying {turn}"));
        }
        if size(*first) > bytes {
            return Plan::TooBig(*first);
        }
        if !out.is_empty() && out_bytes + size(*first) > most {
            return Plan::Nothing(format!("InFlightBytes {out_bytes}"));
        }
        // One message is always allowed; the others must fit.
        let (mut taken, mut sum) = (Vec::new(), 0);
        let mut pace = consumer.pace.clone();
        next.truncate(self.in_turn(stream, consumer, &next));
        for seq in next {
            if pace.waits_until(self.now).is_some() {
                break;
            }
            pace.take(size(seq), self.now);
            sum += size(seq);
            let fits =
                sum <= bytes && (out_bytes + sum <= most || (taken.is_empty() && out.is_empty()));
            if !fits {
                break;
            }
            taken.push(seq);
        }
        Plan::Take(taken)
    }

    pub(crate) fn fetch(&mut self, stream: &str, name: &str, n: usize, bytes: u64) -> String {
        self.end_delays(stream, name);
        let now = self.now;
        if let Some(consumer) = self.consumer_mut(stream, name) {
            consumer.active = now;
        }
        match self.plan(stream, name, n, bytes) {
            Plan::Gone => "no consumer".to_owned(),
            Plan::Nothing(why) => format!("nothing: {why}"),
            Plan::TooBig(seq) => format!("TooBig {seq}"),
            Plan::Take(seqs) => {
                self.use_rate(stream, name, &seqs);
                self.replay(stream, name, &seqs);
                let mut words = Vec::new();
                for seq in seqs {
                    let delivery = self.next_delivery;
                    self.next_delivery += 1;
                    let consumer = self.consumer_mut(stream, name).unwrap();
                    let born = consumer.born;
                    let headers_only = consumer.config.headers_only;
                    consumer.totals.deliveries += 1;
                    let place = Place::Due { rank: 0 };
                    let new = Held {
                        place,
                        attempts: 0,
                        failures: 0,
                        crashes: 0,
                        again: false,
                    };
                    let mut held = consumer.held.remove(&seq).unwrap_or(new);
                    held.attempts += 1;
                    let deadline = now + consumer.lease(held.attempts);
                    held.place = Place::Out { delivery, deadline };
                    consumer.next = consumer.next.max(seq + 1);
                    consumer.highest = consumer.highest.max(seq);
                    if consumer.config.ack_policy == AckPolicy::None {
                        self.met.push("counted_and_done");
                        self.finish(stream, name, seq, End::Acked);
                    } else {
                        consumer.held.insert(seq, held.clone());
                    }
                    if held.attempts > 1 {
                        self.met.push("redelivered");
                    }
                    if held.is_suspect() {
                        self.met.push("suspect_alone");
                    }
                    let (stream, consumer) = (stream.to_owned(), name.to_owned());
                    let mut payload = self.streams[&stream].stored[&seq].draft.payload.clone();
                    let len = payload.len();
                    if headers_only {
                        payload.clear();
                    }
                    words.push(format!(
                        "{seq} {} ({},{},{})",
                        crate::compare::fingerprint(&payload),
                        held.attempts,
                        held.failures,
                        held.crashes
                    ));
                    if headers_only && len > 0 {
                        words.push(format!("of {len}"));
                        self.met.push("headers_only");
                    }
                    self.deliveries.insert(
                        delivery,
                        Delivery {
                            stream,
                            consumer,
                            born,
                            seq,
                            at: now,
                        },
                    );
                }
                format!("fetched {}", words.join(", "))
            }
        }
    }

    /// Whether a delivery is current: nothing, or why not (G6, R14).
    fn check(&self, delivery: u64) -> Result<(String, String, u64), &'static str> {
        let Delivery {
            stream,
            consumer,
            born,
            seq,
            ..
        } = self.deliveries[&delivery].clone();
        let known = self
            .consumer(&stream, &consumer)
            .filter(|known| known.born == born);
        let Some(known) = known else {
            return Err("ConsumerGone");
        };
        match known.held.get(&seq).map(|held| &held.place) {
            Some(Place::Out {
                delivery: current, ..
            }) if *current == delivery => Ok((stream, consumer, seq)),
            _ if known.config.ack_policy == AckPolicy::None => Err("Done"),
            None => Err("Gone"),
            Some(_) => Err("Stale"),
        }
    }

    pub(crate) fn settle(&mut self, delivery: u64, verdict: &Verdict) -> String {
        let (stream, name, seq) = match self.check(delivery) {
            Ok(whose) => whose,
            // Nothing is to be acked; for anything else it is too late.
            Err("Done") if matches!(verdict, Verdict::Ack) => return "done".to_owned(),
            Err("Done") => {
                let Delivery {
                    stream,
                    consumer,
                    seq,
                    ..
                } = &self.deliveries[&delivery];
                let known = self.consumer(stream, consumer);
                let again = known.is_some_and(|known| known.held.contains_key(seq));
                return if again { "Stale" } else { "Gone" }.to_owned();
            }
            Err(why) => return why.to_owned(),
        };
        let now = self.now;
        let consumer = self.consumer_mut(&stream, &name).unwrap();
        let attempts = consumer.held[&seq].attempts;
        let backoff = consumer.backoff(attempts).unwrap_or(0);
        consumer.active = now;
        match verdict {
            Verdict::Ack => {
                self.sample(delivery);
                self.ack(&stream, &name, seq);
            }
            Verdict::InProgress => {
                let deadline = now + consumer.lease(attempts);
                consumer.held.get_mut(&seq).unwrap().place = Place::Out { delivery, deadline };
            }
            Verdict::Nak => self.fail(&stream, &name, seq, backoff),
            Verdict::NakAfter(ms) => self.fail(&stream, &name, seq, ms * 1_000),
            Verdict::NakNow => self.fail(&stream, &name, seq, 0),
            Verdict::Term(reason) => {
                self.give_up(&stream, &name, seq, Reason::Term(reason.clone()));
            }
        }
        self.trim_dead(&stream, &name);
        "done".to_owned()
    }

    /// Tells of an ack, if its message is among those of which it is told.
    fn sample(&mut self, delivery: u64) {
        let Delivery {
            stream,
            consumer: name,
            seq,
            at,
            ..
        } = self.deliveries[&delivery].clone();
        let consumer = self.consumer(&stream, &name).unwrap();
        let percent = u64::from(consumer.config.sample_acks.unwrap_or(0));
        if xxh3_64(&seq.to_le_bytes()) % 100 < percent {
            let attempts = consumer.held[&seq].attempts;
            let published = self.streams[&stream].stored[&seq].time;
            let after = (self.now - at, self.now - published);
            self.tell(
                format!("sampled {stream}/{name} {seq} {attempts} {after:?}"),
                1,
            );
            self.met.push("sampled");
        }
    }

    /// One message is done, or with it all that is at work below it.
    fn ack(&mut self, stream: &str, name: &str, seq: u64) {
        let consumer = self.consumer_mut(stream, name).unwrap();
        let at_work =
            |held: &Held| !matches!(held.place, Place::Refused { .. } | Place::Parked { .. });
        let all = consumer.config.ack_policy == AckPolicy::All;
        let below = consumer
            .held
            .range(..seq)
            .filter(|(_, held)| all && held.attempts > 0 && at_work(held));
        let below: Vec<u64> = below.map(|(seq, _)| *seq).collect();
        let more = !below.is_empty();
        consumer.totals.acked += below.len() as u64 + 1;
        for seq in below.into_iter().chain([seq]) {
            self.finish(stream, name, seq, End::Acked);
        }
        if more {
            self.met.push("acked_all");
        }
    }

    /// What a dead letter may have pushed over its stream's limits goes with the same commit.
    fn trim_dead(&mut self, stream: &str, name: &str) {
        let dead = self.consumer(stream, name).and_then(dead_letter_stream);
        if self.defer_limits {
            return;
        }
        if let Some(dead) = dead.filter(|_| self.met.contains(&"dead_lettered")) {
            self.trim(&dead);
        }
    }

    pub(crate) fn ack_batch(&mut self, stream: &str, name: &str, deliveries: &[u64]) -> String {
        let born = self.consumer(stream, name).map(|known| known.born);
        let Some(born) = born else {
            return "no consumer".to_owned();
        };
        let of_it = |id: &u64| {
            let delivery = &self.deliveries[id];
            delivery.stream == stream && delivery.consumer == name && delivery.born == born
        };
        if !deliveries.iter().all(of_it) {
            return "Foreign".to_owned();
        }
        let mut refused = Vec::new();
        let mut deliveries = deliveries.to_vec();
        if self.consumer(stream, name).unwrap().config.ack_policy == AckPolicy::All {
            deliveries.sort_by_key(|delivery| self.deliveries[delivery].seq);
        }
        for delivery in &deliveries {
            let seq = self.deliveries[delivery].seq;
            match self.check(*delivery) {
                Ok(_) => drop(self.settle(*delivery, &Verdict::Ack)),
                Err("Done") => {}
                Err(why) => refused.push(format!("{why} {seq}")),
            }
        }
        if !refused.is_empty() {
            self.met.push("batch_ack_refused_some");
        }
        format!(
            "acked {} refused {refused:?}",
            deliveries.len() - refused.len()
        )
    }
}
