//! Histories of one commit: what several callers bring to it.

use crate::configs::behaviour;
use crate::drafts::draft;
use crate::history::{chance, may_lose, of_parked, some_delivery, some_seq};
use crate::lanes::lanes_of;
use crate::model::Draft;
use crate::op::{End, Op, Verdict};
use crate::oracle::Oracle;
use fastrand::Rng;
use riverbed::DeliverPolicy;

/// Work of several callers for one commit. Nobody builds on what is not durable: a stream is published
/// to, deleted from and managed, or delivered from, and what is settled was delivered before.
pub(crate) fn group(rng: &mut Rng, oracle: &Oracle) -> Op {
    let published = if rng.bool() { "a" } else { "b" };
    let delivered = if published == "a" { "b" } else { "a" };
    let (mut settled, mut ops) = (Vec::new(), Vec::new());
    for _ in 0..rng.usize(2..9) {
        let op = match rng.u8(..8) {
            0 if chance(rng, 3) => lanes_of(rng, oracle, Some(delivered)),
            0 | 1 => Some(publish(rng, oracle, published)),
            2 | 3 => Some(Op::Fetch {
                stream: delivered.to_owned(),
                consumer: ["c1", "c2", "c3"][rng.usize(..3)].to_owned(),
                n: rng.usize(1..5),
                bytes: 1 << 30,
            }),
            4 | 5 => settle(rng, oracle, &mut settled),
            6 => Some(Op::Delete {
                stream: published.to_owned(),
                seq: some_seq(rng, oracle.streams.get(published)),
            }),
            _ => manage(rng, oracle, published),
        };
        ops.extend(op);
    }
    let end = match rng.u8(..6) {
        0 => End::Kill,
        1 => End::PowerCut(rng.u64(..1_000)),
        _ => End::Commit,
    };
    Op::Group(ops, end)
}

fn publish(rng: &mut Rng, oracle: &Oracle, to: &str) -> Op {
    let known = oracle.streams.get(to);
    let mut batch: Vec<Draft> = (0..rng.usize(1..4))
        .map(|_| draft(rng, to, known))
        .collect();
    for draft in &mut batch {
        *draft = std::mem::take(draft).expecting_nothing();
    }
    let to = Some(to.to_owned());
    Op::Publish { to, batch }
}

fn settle(rng: &mut Rng, oracle: &Oracle, settled: &mut Vec<u64>) -> Option<Op> {
    let delivery = some_delivery(rng, oracle)?;
    if settled.contains(&delivery) || oracle.deliveries[&delivery].stream == "dlq" {
        return None;
    }
    settled.push(delivery);
    let verdict = match rng.u8(..6) {
        0..=2 => Verdict::Ack,
        3 => Verdict::Nak,
        4 => Verdict::Term("in a group".into()),
        _ => Verdict::InProgress,
    };
    Some(Op::Settle { delivery, verdict })
}

/// What is done to the consumers of one stream.
fn manage(rng: &mut Rng, oracle: &Oracle, of: &str) -> Option<Op> {
    if rng.bool() {
        return of_parked(rng, oracle).filter(|op| match op {
            Op::Release { stream, .. } | Op::Discard { stream, .. } => stream == of,
            _ => false,
        });
    }
    let name = ["c1", "c2", "c3"][rng.usize(..3)];
    if rng.u8(..6) == 0 {
        return Some(Op::DeleteConsumer(of.to_owned(), name.to_owned()));
    }
    if rng.u8(..6) == 0 {
        let to = [DeliverPolicy::All, DeliverPolicy::New][rng.usize(..2)];
        let (stream, consumer) = (of.to_owned(), name.to_owned());
        return Some(Op::Reset {
            stream,
            consumer,
            to,
        });
    }
    let known = oracle.consumer(of, name)?.config.clone();
    let config = behaviour(rng, of, known);
    Some(Op::UpdateConsumer(of.to_owned(), config, may_lose(rng)))
}
