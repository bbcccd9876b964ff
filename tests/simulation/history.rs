//! Histories: what a seed does next. It looks at the oracle, so that most of what it does hits.

use crate::configs::{behaviour, consumer_config, stream_config, stream_update};
use crate::group_history::group;
use crate::model::{Draft, Due, Held, Place, Stream};
use crate::op::{Op, Then, Verdict};
use crate::oracle::Oracle;
use crate::trouble::Trouble;
use fastrand::Rng;
use riverbed::Rollup;
use std::time::Duration;

const A: [&str; 7] = ["a.x", "a.y", "a.z", "a.x.deep", "a.w", "a.v", "a.u"];
const B: [&str; 4] = ["b.x", "b.y", "bb", "b.z"];

pub(crate) fn chance(rng: &mut Rng, one_in: u32) -> bool {
    rng.u32(..one_in) == 0
}

fn pick<T: Clone>(rng: &mut Rng, all: &[T]) -> Option<T> {
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

pub(crate) fn draft(rng: &mut Rng, stream: &str, known: Option<&Stream>) -> Draft {
    let subject = match stream {
        "a" => A[rng.usize(..A.len()).min(rng.usize(..A.len()))].to_owned(),
        "b" => B[rng.usize(..B.len())].to_owned(),
        dead => format!("{dead}.by.hand"),
    };
    let size = match rng.u32(..200) {
        0 => rng.usize(65_000..140_000),
        1..=5 => rng.usize(3_000..9_000),
        6..=25 => rng.usize(200..600),
        _ => rng.usize(..60),
    };
    let mut payload = format!("{:x}.", rng.u32(..)).into_bytes();
    payload.extend((0..size).map(|_| rng.alphanumeric() as u8));
    let mut headers = Vec::new();
    for _ in 0..rng.usize(..8).saturating_sub(5) {
        headers.push((format!("H{}", rng.u8(..3)), format!("v{}", rng.u8(..))));
    }
    let id = chance(rng, 3).then(|| format!("id-{}", rng.u8(..12)));
    let expect = chance(rng, 10).then(|| {
        let last = known.map_or(0, |stream| stream.last);
        if chance(rng, 4) {
            last.saturating_sub(1)
        } else {
            last
        }
    });
    let due = match rng.u8(..40) {
        0..=3 => Due::After(rng.u64(..6_000)),
        4 | 5 => Due::At(now_of(known).saturating_add(rng.u64(..9_000_000))),
        _ => Due::Now,
    };
    let (expect_of, expect_id) = expectations(rng, stream, known);
    let rollup = match rng.u32(..120) {
        0..=11 => Some(Rollup::Subject),
        12 => Some(Rollup::All),
        _ => None,
    };
    // A message for later may have none of these.
    let plain = !matches!(due, Due::Now) && !chance(rng, 10);
    Draft {
        subject,
        payload,
        headers,
        id,
        expect,
        due,
        ttl: chance(rng, 10).then(|| rng.u64(100..9_000)),
        expect_of: expect_of.filter(|_| !plain),
        expect_id: expect_id.filter(|_| !plain),
        rollup: rollup.filter(|_| !plain),
    }
}

/// About when the last message came to a stream.
fn now_of(known: Option<&Stream>) -> u64 {
    known.map_or(0, |stream| stream.last_time)
}

fn cancel_scheduled(rng: &mut Rng, oracle: &Oracle) -> Op {
    let stream = some_stream(rng, oracle);
    let known = oracle.streams.get(&stream);
    let numbers: Vec<u64> =
        known.map_or_else(Vec::new, |known| known.scheduled.keys().copied().collect());
    let number = if chance(rng, 5) {
        rng.u64(..9)
    } else {
        pick(rng, &numbers).unwrap_or(1)
    };
    Op::CancelScheduled { stream, number }
}

/// What a message expects of a subject, a filter or the last id; most of the time it is so.
fn expectations(
    rng: &mut Rng,
    stream: &str,
    known: Option<&Stream>,
) -> (Option<(String, u64)>, Option<String>) {
    let filters: &[&str] = match stream {
        "a" => &["a.x", "a.y", "a.z", "a.*", "a.x.>", "a.>", ">"],
        "b" => &["b.x", "b.y", "b.*", "bb", "a.x"],
        _ => &["dlq.*.c1", "dlq.>"],
    };
    let of = chance(rng, 8).then(|| {
        let filter = filters[rng.usize(..filters.len())];
        let last = known.map_or(0, |stream| stream.last_of(filter));
        let last = if chance(rng, 4) { last / 2 } else { last };
        (filter.to_owned(), last)
    });
    let id = chance(rng, 25).then(|| {
        let last = known.and_then(|stream| stream.stored.values().next_back());
        let last = last.and_then(|last| last.draft.id.clone());
        last.unwrap_or_else(|| "id-1".to_owned())
    });
    (of, id)
}

fn publish(rng: &mut Rng, oracle: &Oracle) -> Op {
    let stream = if chance(rng, 30) {
        "dlq"
    } else if chance(rng, 3) {
        "b"
    } else {
        "a"
    };
    let known = oracle.streams.get(stream);
    let count = if rng.bool() { 1 } else { rng.usize(1..7) };
    let count = match rng.u32(..240) {
        0 | 1 => 0,
        2..=5 => rng.usize(8..40),
        _ => count,
    };
    // Some batches go to two streams.
    let second = (chance(rng, 6) && stream != "b").then_some("b");
    let mut batch: Vec<Draft> = (0..count)
        .map(|_| match second.filter(|_| rng.bool()) {
            Some(second) => draft(rng, second, oracle.streams.get(second)),
            None => draft(rng, stream, known),
        })
        .collect();
    for draft in batch.iter_mut().skip(1) {
        if !chance(rng, 20) {
            let literal = |(of, _): &(String, u64)| !of.contains(['*', '>']);
            let of = draft.expect_of.take().filter(literal);
            *draft = std::mem::take(draft).expecting_nothing();
            draft.expect_of = of;
        }
    }
    if chance(rng, 40)
        && let Some(first) = batch.first_mut()
    {
        // Nobody's subject, or another stream's.
        first.subject = if rng.bool() {
            "nobody.here".into()
        } else {
            "b.x".into()
        };
    }
    let to = (rng.bool() && known.is_some() && second.is_none()).then(|| stream.to_owned());
    Op::Publish { to, batch }
}

fn pipeline(rng: &mut Rng, oracle: &Oracle) -> Op {
    let stream = if chance(rng, 3) { "b" } else { "a" };
    let known = oracle.streams.get(stream);
    let drafts = (0..rng.usize(1..6))
        .map(|_| draft(rng, stream, known))
        .collect();
    let whose = some_consumer(rng, oracle).filter(|(of, _)| of == stream);
    let then = match (rng.u8(..10), whose) {
        (0, _) => Then::Kill,
        (1, _) => Then::PowerCut(rng.u64(..1_000)),
        (2, _) => Then::Reopen,
        (3..=6, Some((stream, consumer))) => Then::Fetch {
            stream,
            consumer,
            n: rng.usize(1..8),
        },
        _ => Then::Flush,
    };
    Op::Pipeline {
        to: stream.into(),
        drafts,
        then,
    }
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

fn some_stream(rng: &mut Rng, oracle: &Oracle) -> String {
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
            Op::UpdateStream(match known.map(|known| known.config.clone()) {
                Some(known) => stream_update(rng, &known),
                None => stream_config(rng, stream),
            })
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
            let mut config = behaviour(rng, &stream, known);
            if chance(rng, 6) {
                config.filters = vec!["a.other".into()];
            }
            Op::UpdateConsumer(stream, config)
        }
        _ => {
            let (stream, name) = some_consumer(rng, oracle)?;
            let name = if chance(rng, 4) { "none".into() } else { name };
            Op::DeleteConsumer(stream, name)
        }
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
        260..=479 => some_consumer(rng, oracle).map(|(stream, consumer)| {
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
        480..=669 => settle(rng, oracle),
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
        925..=954 => manage(rng, oracle),
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
