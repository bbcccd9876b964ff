//! Histories: what a seed does next. It looks at the oracle, so that most of what it does hits.

use crate::configs::{behaviour, consumer_config, filters, stream_config, stream_update};
use crate::drafts::{cancel_scheduled, pipeline, publish};
use crate::group_history::group;
use crate::lanes::lanes;
use crate::model::{Held, Place, Stream};
use crate::op::{May, Op, Verdict};
use crate::oracle::Oracle;
use crate::trouble::Trouble;
use fastrand::Rng;
use riverbed::{DeliverPolicy, Seq, Timestamp};
use std::time::Duration;

pub(crate) fn chance(rng: &mut Rng, one_in: u32) -> bool {
    rng.u32(..one_in) == 0
}

pub(crate) fn may_lose(rng: &mut Rng) -> May {
    if rng.bool() { May::Lose } else { May::Keep }
}

pub(crate) fn pick<T: Clone>(rng: &mut Rng, all: &[T]) -> Option<T> {
    (!all.is_empty()).then(|| all[rng.usize(..all.len())].clone())
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What every history begins with.
pub(crate) fn opening(rng: &mut Rng) -> Vec<Op> {
    let mut ops = vec![
        Op::CreateStream(stream_config(rng, "a")),
        Op::CreateStream(stream_config(rng, "b")),
    ];
    if rng.bool() {
        ops.push(Op::CreateStream(stream_config(rng, "dlq")));
    }
    for (stream, name) in [("a", "c1"), ("a", "c2"), ("b", "c1")] {
        ops.push(Op::CreateConsumer(
            stream.into(),
            consumer_config(rng, stream, name),
        ));
    }
    ops
}

pub(crate) fn some_consumer(rng: &mut Rng, oracle: &Oracle) -> Option<(String, String)> {
    let all = oracle.by_age();
    // Most of the time one that has something to do.
    let busy: Vec<(String, String)> = all
        .iter()
        .filter(|(stream, name)| {
            let consumer = oracle.consumer(stream, name).unwrap();
            !consumer.held.is_empty()
                || crate::compare::pending(&oracle.streams[stream], consumer) > 0
        })
        .cloned()
        .collect();
    if chance(rng, 5) {
        pick(rng, &all)
    } else {
        pick(rng, &busy).or_else(|| pick(rng, &all))
    }
}

fn is_current(oracle: &Oracle, delivery: u64) -> bool {
    let whose = &oracle.deliveries[&delivery];
    let consumer = oracle.consumer(&whose.stream, &whose.consumer);
    let held = consumer.and_then(|consumer| consumer.held.get(&whose.seq));
    held.is_some_and(|held| matches!(held.place, Place::Out { delivery: d, .. } if d == delivery))
}

pub(crate) fn some_delivery(rng: &mut Rng, oracle: &Oracle) -> Option<u64> {
    let all: Vec<u64> = oracle.deliveries.keys().rev().take(60).copied().collect();
    let current: Vec<u64> = all
        .iter()
        .copied()
        .filter(|id| is_current(oracle, *id))
        .collect();
    if chance(rng, 6) {
        pick(rng, &all)
    } else {
        pick(rng, &current).or_else(|| pick(rng, &all))
    }
}

fn settle(rng: &mut Rng, oracle: &Oracle) -> Option<Op> {
    let delivery = some_delivery(rng, oracle)?;
    let verdict = match rng.u8(..14) {
        0..=3 => Verdict::Ack,
        4..=6 => Verdict::Nak,
        7 => Verdict::NakAfter(rng.u64(..4_000)),
        8 | 9 => Verdict::NakNow,
        10 | 11 => Verdict::Term(format!("reason {}", rng.u8(..9))),
        _ => Verdict::InProgress,
    };
    let whose = &oracle.deliveries[&delivery];
    let lazy = oracle
        .consumer(&whose.stream, &whose.consumer)
        .is_some_and(|consumer| consumer.config.ack_durability == riverbed::AckDurability::Lazy);
    if lazy && matches!(verdict, Verdict::Ack) && chance(rng, 3) {
        let power_cut = rng.bool().then(|| rng.u64(..1_000));
        return Some(Op::LazyAck {
            delivery,
            looks: rng.bool(),
            power_cut,
        });
    }
    Some(Op::Settle { delivery, verdict })
}

fn some_of_one(rng: &mut Rng, oracle: &Oracle) -> Option<(String, String, Vec<u64>)> {
    let whose = oracle.deliveries[&some_delivery(rng, oracle)?].clone();
    let mut all: Vec<u64> = oracle.deliveries.keys().copied().collect();
    if !chance(rng, 15) {
        let born = whose.born;
        all.retain(|id| oracle.deliveries[id].born == born);
        if !chance(rng, 3) {
            all.retain(|id| is_current(oracle, *id));
        }
    }
    rng.shuffle(&mut all);
    all.truncate(rng.usize(1..8));
    Some((whose.stream, whose.consumer, all))
}

fn purge(rng: &mut Rng, oracle: &Oracle) -> Op {
    let stream = some_stream(rng, oracle);
    let known = oracle.streams.get(&stream);
    let (first, last) = known.map_or((1, 1), |known| (known.first(), known.last));
    let filters = if stream == "a" {
        ["a.x", "a.*", "a.x.>"]
    } else {
        ["b.x", "b.*", ">"]
    };
    let filter = rng.bool().then(|| filters[rng.usize(..3)].to_owned());
    let up_to = chance(rng, 2).then(|| rng.u64(first..=last + 2));
    let keep = (up_to.is_none() || chance(rng, 8))
        .then(|| rng.u64(..5))
        .filter(|_| !chance(rng, 3));
    Op::Purge {
        stream,
        filter,
        up_to,
        keep,
    }
}

pub(crate) fn some_stream(rng: &mut Rng, oracle: &Oracle) -> String {
    let names: Vec<String> = oracle.streams.keys().cloned().collect();
    pick(rng, &names).unwrap_or_else(|| "a".into())
}

pub(crate) fn some_seq(rng: &mut Rng, stream: Option<&Stream>) -> u64 {
    let seqs: Vec<u64> =
        stream.map_or_else(Vec::new, |stream| stream.stored.keys().copied().collect());
    if chance(rng, 8) {
        rng.u64(..20)
    } else {
        pick(rng, &seqs).unwrap_or(1)
    }
}

fn redrive(rng: &mut Rng, oracle: &Oracle) -> Op {
    let dead = if chance(rng, 10) {
        some_stream(rng, oracle)
    } else {
        "dlq".to_owned()
    };
    let seq = some_seq(rng, oracle.streams.get(&dead));
    let origin = oracle
        .streams
        .get(&dead)
        .and_then(|dead| dead.stored.get(&seq)?.origin.clone());
    // A consumer that was made anew with other filters is another consumer.
    let same = origin.is_some_and(|origin| {
        oracle
            .consumer(&origin.stream, &origin.consumer)
            .is_some_and(|c| c.wants(&origin.subject))
    });
    Op::Redrive {
        dead,
        seq,
        to_consumer: same && rng.bool(),
    }
}

/// A dead letter of a stream.
fn letter_from(oracle: &Oracle, stream: &str) -> Option<u64> {
    let mut letters = oracle.streams.get("dlq")?.stored.iter();
    let from = |origin: &crate::model::Origin| origin.stream == stream;
    letters
        .find(|(_, letter)| letter.origin.as_ref().is_some_and(from))
        .map(|(seq, _)| *seq)
}

pub(crate) fn of_parked(rng: &mut Rng, oracle: &Oracle) -> Option<Op> {
    let mut parked = Vec::new();
    for (stream, name) in oracle.by_age() {
        let consumer = oracle.consumer(&stream, &name).unwrap();
        let is = |held: &Held| matches!(held.place, Place::Parked { .. });
        for seq in consumer
            .held
            .iter()
            .filter(|(_, held)| is(held))
            .map(|(seq, _)| *seq)
        {
            parked.push((stream.clone(), name.clone(), seq));
        }
    }
    let (stream, consumer, seq) = if parked.is_empty() || chance(rng, 10) {
        let (stream, consumer) = some_consumer(rng, oracle)?;
        let seq = some_seq(rng, oracle.streams.get(&stream));
        (stream, consumer, seq)
    } else {
        pick(rng, &parked)?
    };
    Some(if rng.bool() {
        Op::Release {
            stream,
            consumer,
            seq,
        }
    } else {
        Op::Discard {
            stream,
            consumer,
            seq,
        }
    })
}

fn manage(rng: &mut Rng, oracle: &Oracle) -> Option<Op> {
    let stream = ["a", "b", "a", "dlq"][rng.usize(..4)];
    Some(match rng.u8(..12) {
        0 => {
            let known = oracle
                .streams
                .get(stream)
                .map(|stream| stream.config.clone());
            let mut config = known
                .filter(|_| rng.bool())
                .unwrap_or_else(|| stream_config(rng, stream));
            if chance(rng, 10) {
                config = config.sealed();
            }
            Op::CreateStream(config)
        }
        1 => {
            let mut config = stream_config(rng, "a").subjects(["b.x", "q"]);
            config.name = "overlap".into();
            Op::CreateStream(config)
        }
        2..=4 => {
            let known = oracle.streams.get(stream);
            let config = match known.map(|known| known.config.clone()) {
                Some(known) => stream_update(rng, &known),
                None => stream_config(rng, stream),
            };
            Op::UpdateStream(config, may_lose(rng))
        }
        5 => Op::DeleteStream(["a", "b", "dlq", "none"][rng.usize(..4)].into()),
        6..=8 => {
            let name = ["c1", "c2", "c3"][rng.usize(..3)];
            let known = oracle
                .consumer(stream, name)
                .map(|consumer| consumer.config.clone());
            let known = known.filter(|_| rng.bool());
            let config = known.unwrap_or_else(|| consumer_config(rng, stream, name));
            Op::CreateConsumer(stream.into(), config)
        }
        9 | 10 => {
            let (stream, name) = some_consumer(rng, oracle)?;
            let known = oracle.consumer(&stream, &name)?.config.clone();
            let refused = |held: &Held| matches!(held.place, Place::Refused { .. });
            if oracle.consumer(&stream, &name)?.count(refused) > 0 && rng.bool() {
                let config = known.on_exhausted(riverbed::OnExhausted::Drop);
                return Some(Op::UpdateConsumer(stream, config, may_lose(rng)));
            }
            let mut config = behaviour(rng, &stream, known);
            if chance(rng, 3) {
                config = config.filters(filters(rng, &stream).iter().copied());
            } else if config.ack_policy != riverbed::AckPolicy::None && chance(rng, 6) {
                config.on_exhausted = riverbed::OnExhausted::Drop;
            } else if chance(rng, 9) {
                config.ack_policy = riverbed::AckPolicy::All;
            }
            Op::UpdateConsumer(stream, config, may_lose(rng))
        }
        _ => {
            let (stream, name) = some_consumer(rng, oracle)?;
            let name = if chance(rng, 4) { "none".into() } else { name };
            Op::DeleteConsumer(stream, name)
        }
    })
}

/// A fetch that takes something only when others don't keep up.
fn help(rng: &mut Rng, oracle: &Oracle) -> Option<Op> {
    let (stream, consumer) = some_consumer(rng, oracle)?;
    let min_pending = (!chance(rng, 3)).then(|| rng.u64(1..5));
    let min_ack_pending = chance(rng, 2).then(|| rng.u64(1..3));
    Some(Op::Help {
        stream,
        consumer,
        n: rng.usize(1..5),
        min_pending,
        min_ack_pending,
    })
}

/// Sets a consumer to another place.
fn reset(rng: &mut Rng, oracle: &Oracle) -> Option<Op> {
    let (stream, consumer) = some_consumer(rng, oracle)?;
    let to = match rng.u8(..10) {
        0 => DeliverPolicy::New,
        1 => DeliverPolicy::Last,
        2 => DeliverPolicy::LastPerSubject,
        3 => {
            let last = oracle.streams.get(&stream)?.last_time;
            DeliverPolicy::FromTime(Timestamp::from_micros(
                last - rng.u64(..=last.min(9_000_000)),
            ))
        }
        4 | 5 => DeliverPolicy::All,
        _ => {
            let known = oracle.streams.get(&stream)?;
            let seq = rng.u64(known.first()..=known.last + 2);
            DeliverPolicy::FromSequence(Seq::new(seq.max(1)))
        }
    };
    Some(Op::Reset {
        stream,
        consumer,
        to,
    })
}

/// The next operation of a history.
pub(crate) fn next(rng: &mut Rng, oracle: &Oracle) -> Op {
    if oracle.syncs_later && chance(rng, 60) {
        return Op::Sync;
    }
    for stream in ["a", "b"] {
        let known = oracle.streams.get(stream);
        if known.is_none()
            && chance(rng, 8)
            && let Some(seq) = letter_from(oracle, stream)
        {
            return Op::Redrive {
                dead: "dlq".into(),
                seq,
                to_consumer: false,
            };
        }
        if known.is_some_and(Stream::is_sealed) && chance(rng, 30) {
            // Little can happen to it any more.
            return Op::DeleteStream(stream.into());
        }
        if known.is_none() && chance(rng, 8) {
            return Op::CreateStream(stream_config(rng, stream));
        }
        if known.is_some_and(|known| known.consumers.len() < 2) && chance(rng, 8) {
            let name = ["c1", "c2"][rng.usize(..2)];
            return Op::CreateConsumer(stream.into(), consumer_config(rng, stream, name));
        }
    }
    let op = match rng.u32(..1_000) {
        0..=229 => Some(publish(rng, oracle)),
        230..=259 => Some(pipeline(rng, oracle)),
        260..=464 => some_consumer(rng, oracle).map(|(stream, consumer)| {
            let n = if chance(rng, 6) { 50 } else { rng.usize(1..5) };
            let bytes = if chance(rng, 6) {
                rng.u64(1..300)
            } else {
                1 << 30
            };
            Op::Fetch {
                stream,
                consumer,
                n,
                bytes,
            }
        }),
        465..=482 => lanes(rng, oracle),
        483..=494 => help(rng, oracle),
        495..=669 => settle(rng, oracle),
        670..=699 => some_of_one(rng, oracle).map(|(stream, consumer, deliveries)| Op::AckBatch {
            stream,
            consumer,
            deliveries,
        }),
        700..=719 => some_of_one(rng, oracle).map(|(stream, consumer, deliveries)| {
            let n = rng.usize(1..8);
            let bytes = if chance(rng, 4) {
                rng.u64(1..200)
            } else {
                u64::MAX
            };
            Op::AckFetch {
                stream,
                consumer,
                deliveries,
                n,
                bytes,
            }
        }),
        720..=769 => {
            let far = if chance(rng, 10) { 200_000 } else { 3_000 };
            Some(Op::Advance(rng.u64(1..far)))
        }
        770..=839 => Some(Op::Drive),
        840..=854 => Some(purge(rng, oracle)),
        855..=860 => Some(cancel_scheduled(rng, oracle)),
        861..=874 => {
            let stream = some_stream(rng, oracle);
            let seq = some_seq(rng, oracle.streams.get(&stream));
            Some(Op::Delete { stream, seq })
        }
        875..=904 => Some(redrive(rng, oracle)),
        905..=916 => of_parked(rng, oracle),
        917..=924 => some_consumer(rng, oracle).map(|(stream, consumer)| {
            let ms = rng.bool().then(|| rng.u64(1..4_000));
            Op::Pause {
                stream,
                consumer,
                ms,
            }
        }),
        925..=928 => reset(rng, oracle),
        929..=954 => manage(rng, oracle),
        955..=964 => Some(Op::Reopen),
        965..=974 => Some(Op::Kill),
        975..=984 => Some(Op::PowerCut(rng.u64(..1_000))),
        985..=990 => Some(group(rng, oracle)),
        991 => Some(Op::Compact),
        992 => Some(Op::Sync),
        _ => Some(Op::Trouble(Trouble::random(rng, 30))),
    };
    op.unwrap_or(Op::Drive)
}
