//! What a history publishes, and what it expects.

use crate::history::{chance, pick, some_consumer, some_stream};
use crate::model::{Draft, Due, Stream};
use crate::op::{Op, Then};
use crate::oracle::Oracle;
use crate::repeating::Again;
use fastrand::Rng;
use riverbed::Rollup;

const A: [&str; 7] = ["a.x", "a.y", "a.z", "a.x.deep", "a.w", "a.v", "a.u"];

const B: [&str; 4] = ["b.x", "b.y", "bb", "b.z"];

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
    // Few, because each stays until it is cancelled.
    let repeats =
        known.is_some_and(|known| known.scheduled.values().any(|w| w.draft.again.is_some()));
    let again = chance(rng, if repeats { 600 } else { 60 }).then(|| Again::random(rng));
    // A message for later may have none of these.
    let plain = (!matches!(due, Due::Now) || again.is_some()) && !chance(rng, 10);
    Draft {
        subject,
        payload,
        headers,
        id,
        expect,
        due,
        again,
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

pub(crate) fn cancel_scheduled(rng: &mut Rng, oracle: &Oracle) -> Op {
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

pub(crate) fn publish(rng: &mut Rng, oracle: &Oracle) -> Op {
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

pub(crate) fn pipeline(rng: &mut Rng, oracle: &Oracle) -> Op {
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
