//! G11: whatever happens, every message of every consumer is accounted for.

use crate::helpers::*;
use riverbed::{Consumer, ConsumerConfig, OnExhausted, Purge, Seq, Stream, StreamConfig};
use std::collections::BTreeSet;

const SUBJECTS: [&str; 4] = ["s.a", "s.b", "s.a.x", "s.c"];

/// A consumer, and how many messages it was to have since it was created.
struct Known {
    name: &'static str,
    wants: fn(&str) -> bool,
    expected: u64,
}

const CONSUMERS: [(&str, fn(&str) -> bool, &[&str]); 3] = [
    ("all", |_| true, &[]),
    ("one", |subject| subject == "s.a", &["s.a"]),
    (
        "two",
        |subject| subject == "s.b" || subject.starts_with("s.a."),
        &["s.b", "s.a.>"],
    ),
];

fn config(name: &str, filters: &[&str]) -> ConsumerConfig {
    let base = ConsumerConfig::new(name)
        .ack_wait(secs(10))
        .max_deliver(2)
        .max_ack_pending(20);
    let base = base.filters(filters.iter().copied());
    match name {
        "one" => base.on_exhausted(OnExhausted::Drop),
        "two" => base.dead_letter("dead"),
        _ => base,
    }
}

fn check(world: &World, known: &[Known], step: &str) {
    let stream = world.store.stream("s").unwrap();
    let messages: Vec<_> = stream.range(..).map(Result::unwrap).collect();
    let facts = stream.info().unwrap();
    assert_eq!(facts.messages, messages.len() as u64, "{step}");
    let size = |m: &riverbed::StoredMessage| (m.payload().len() + m.subject().len()) as u64;
    assert_eq!(
        facts.bytes,
        messages.iter().map(size).sum::<u64>(),
        "{step}"
    );
    let subjects: BTreeSet<_> = messages.iter().map(|message| message.subject()).collect();
    assert_eq!(facts.subjects, subjects.len() as u64, "{step}");
    for one in known {
        let info = info(&stream.consumer(one.name).unwrap());
        let ahead = messages
            .iter()
            .filter(|message| message.seq() > info.delivered && (one.wants)(message.subject()));
        assert_eq!(info.pending, ahead.count() as u64, "{step}: {info:?}");
        let held = info.in_flight + info.due + info.delayed + info.parked + info.refused;
        let over = info.acked + info.dead_lettered + info.dropped + info.lost;
        assert_eq!(info.pending + held + over, one.expected, "{step}: {info:?}");
    }
}

fn settle(consumer: &Consumer, random: &mut fastrand::Rng) {
    for message in take(consumer, random.usize(1..8)) {
        let settled = match random.u8(0..7) {
            0..3 => message.ack(),
            3 => message.nak(),
            4 => message.nak_after(secs(random.u64(1..20))),
            5 => message.term("x"),
            _ => Ok(()),
        };
        settled.unwrap();
    }
}

fn remove(stream: &Stream, random: &mut fastrand::Rng) {
    let last = stream.info().unwrap().last_seq.get();
    let seq = Seq::new(random.u64(0..=last + 2));
    let subject = SUBJECTS[random.usize(0..4)];
    match random.u8(0..8) {
        0..3 => drop(stream.delete(seq)),
        3 => drop(stream.purge(Purge::all().filter(subject)).unwrap()),
        4 => drop(stream.purge(Purge::all().keep(random.u64(0..20))).unwrap()),
        5 => drop(
            stream
                .purge(Purge::all().filter("s.a.*").up_to(seq))
                .unwrap(),
        ),
        6 => drop(
            stream
                .purge(Purge::all().filter(subject).keep(random.u64(0..3)))
                .unwrap(),
        ),
        _ => drop(stream.purge(Purge::all().up_to(seq)).unwrap()),
    }
}

fn one_life(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new();
    let mut limits = StreamConfig::new("s").subjects(["s.>"]).max_age(secs(100));
    if random.bool() {
        limits = limits.max_messages(40);
    }
    let stream = world.store.create_stream(limits).unwrap();
    let mut known = Vec::new();
    for step in 0..120 {
        let stream = world.store.stream(stream.name()).unwrap();
        if step % 15 == 0 && known.len() < CONSUMERS.len() {
            let (name, wants, filters) = CONSUMERS[known.len()];
            let wanted = |m: &riverbed::StoredMessage| wants(m.subject());
            let expected = stream.range(..).map(Result::unwrap).filter(wanted).count() as u64;
            create(&stream, config(name, filters));
            known.push(Known {
                name,
                wants,
                expected,
            });
        }
        let did = random.u8(0..20);
        match did {
            0..7 => {
                let batch: Vec<_> = (0..random.usize(1..6))
                    .map(|_| (SUBJECTS[random.usize(0..4)], "x"))
                    .collect();
                for one in &mut known {
                    one.expected +=
                        batch.iter().filter(|known| (one.wants)(known.0)).count() as u64;
                }
                stream.publish_batch(batch).unwrap();
            }
            7..13 => {
                let name = known[random.usize(..known.len())].name;
                settle(&stream.consumer(name).unwrap(), &mut random);
            }
            13..17 => remove(&stream, &mut random),
            17 => world.pass(secs(random.u64(1..30))),
            18 => world = world.reopened(),
            _ => world = world.killed(),
        }
        check(
            &world,
            &known,
            &format!("seed {seed}, step {step}, did {did}"),
        );
    }
}

#[test]
fn g11_every_message_of_every_consumer_is_accounted_for_whatever_happens() {
    for seed in 0..12 {
        one_life(seed);
    }
}
