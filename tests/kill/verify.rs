//! Holds a store that was left by a killed process against what the process was told.
//!
//! It opens a copy: everything is taken from it, acked and published again, while the store itself
//! waits for the next child as the kill left it.

use crate::fact::Manner;
use crate::ledger::{Deliveries, Findings, Ledger};
use crate::shape::{AUDIT, DEAD, JOBS, LIMIT, WORK, has_id, message, name_of, payload, prepare};
use riverbed::{Consumer, DeadReason, Fetch, ManualClock, Riverbed, Stream};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The journal of a store.
fn journal(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

/// Compares a store with its ledger; what had no answer is settled in the ledger by what is found.
pub(crate) fn verify(path: &Path, ledger: &mut Ledger, findings: &mut Findings) {
    let copy = path.with_extension("copy");
    for (from, to) in [(path, copy.as_path()), (&journal(path), &journal(&copy))] {
        if from.exists() {
            fs::copy(from, to).unwrap();
        }
    }
    let clock = ManualClock::new();
    let builder = Riverbed::builder().clock(clock.clock()).without_threads();
    let store = builder.open(&copy).unwrap();
    prepare(&store).unwrap();
    store.drive().unwrap();
    findings.wrong.extend(store.check().unwrap());
    let jobs = store.stream(JOBS).unwrap();
    let found = contents(&jobs, findings);
    verify_stored(ledger, &found, findings);
    let letters = dead_letters(&store.stream(DEAD).unwrap(), ledger, findings);
    for name in [WORK, AUDIT] {
        let consumer = jobs.consumer(name).unwrap();
        let known = ledger.consumers.entry(name.to_owned()).or_default();
        let dead = if name == WORK {
            &letters
        } else {
            &BTreeSet::new()
        };
        verify_counts(&consumer, known, findings);
        let left = drain(&consumer, known, &store, &clock, findings);
        verify_places(known, found.values().copied(), dead, &left, findings);
        let info = consumer.info().unwrap();
        let all = (info.acked + info.dead_lettered, info.dead_lettered);
        if all != (found.len() as u64, dead.len() as u64) {
            let text = format!("{} messages, {} dead: {info:?}", found.len(), dead.len());
            findings.wrong.push(text);
        }
    }
    verify_ids(&jobs, ledger, &found, findings);
    findings.wrong.extend(store.check().unwrap());
    store.close().unwrap();
    fs::remove_file(copy).unwrap();
    ledger.published.clear();
    ledger.stored = found;
}

/// Every name that is stored, with its sequence. Nothing was ever removed: there is no gap.
fn contents(jobs: &Stream, findings: &mut Findings) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut next = 1;
    for message in jobs.range(..) {
        let message = message.unwrap();
        let (name, seq) = (name_of(message.payload()), message.seq().get());
        if message.payload() != payload(&name) || message.headers().get("name") != Some(&*name) {
            findings.phantom.push(format!("{seq} has other bytes"));
        }
        if message.id() != Some(&*name).filter(|name| has_id(name)) {
            findings
                .wrong
                .push(format!("{name} has the id {:?}", message.id()));
        }
        if seq != next {
            findings.lost.push(format!("{next} to {seq} are missing"));
        }
        next = seq + 1;
        if let Some(before) = found.insert(name.clone(), seq) {
            findings
                .doubled
                .push(format!("{name} is {before} and {seq}"));
        }
    }
    let info = jobs.info().unwrap();
    if (info.messages, info.last_seq.get()) != (found.len() as u64, next - 1) {
        findings
            .wrong
            .push(format!("{} messages: {info:?}", found.len()));
    }
    found
}

fn verify_stored(ledger: &Ledger, found: &BTreeMap<String, u64>, findings: &mut Findings) {
    for (name, seq) in &ledger.stored {
        if found.get(name) != Some(seq) {
            findings
                .lost
                .push(format!("{name}, stored as {seq}: {:?}", found.get(name)));
        }
    }
    let asked = ledger.published.iter().flat_map(|(_, names)| names);
    let asked: BTreeSet<&String> = asked.collect();
    for name in found.keys() {
        // What had no answer in an earlier round was settled then.
        if !ledger.stored.contains_key(name) && !asked.contains(name) {
            findings.phantom.push(format!("{name} was never asked for"));
        }
    }
    let mut in_order: BTreeMap<&str, bool> = BTreeMap::new();
    for (manner, names) in &ledger.published {
        let there: Vec<bool> = names.iter().map(|name| found.contains_key(name)).collect();
        match manner {
            Manner::Together => {
                if there.iter().any(|stored| *stored != there[0]) {
                    findings
                        .phantom
                        .push(format!("a part of the batch {names:?}"));
                }
            }
            // All that one child pipelined is stored as a prefix.
            Manner::InOrder => {
                for (name, stored) in names.iter().zip(there) {
                    let child = name.split('p').next().unwrap_or_default();
                    let whole = in_order.entry(child).or_insert(true);
                    if stored && !*whole {
                        findings
                            .lost
                            .push(format!("one that was accepted before {name}"));
                    }
                    *whole = stored;
                }
            }
        }
    }
}

/// The messages that are dead letters. A message becomes one once, and for a reason.
fn dead_letters(dead: &Stream, ledger: &Ledger, findings: &mut Findings) -> BTreeSet<u64> {
    let none = Deliveries::default();
    let known = ledger.consumers.get(WORK).unwrap_or(&none);
    let mut letters = BTreeSet::new();
    for letter in dead.dead_letters() {
        let letter = letter.unwrap();
        let seq = letter.seq.get();
        let name = name_of(letter.message.payload());
        if letter.message.payload() != payload(&name) {
            findings
                .phantom
                .push(format!("dead letter {seq} has other bytes"));
        }
        if !letters.insert(seq) {
            findings
                .doubled
                .push(format!("{seq} is a dead letter twice"));
        }
        let deserved = match letter.reason {
            DeadReason::MaxDeliver => letter.failures >= LIMIT,
            _ => known.maybe_dead.contains(&seq),
        };
        if !deserved {
            findings
                .phantom
                .push(format!("nobody gave {seq} up: {letter:?}"));
        }
    }
    letters
}

/// What the consumer counts lies between what was told and what was asked for.
fn verify_counts(consumer: &Consumer, known: &Deliveries, findings: &mut Findings) {
    let info = consumer.info().unwrap();
    let (least, most) = (
        known.acked.len(),
        known.acked.union(&known.maybe_acked).count(),
    );
    if !(least as u64..=most as u64).contains(&info.acked) {
        findings
            .wrong
            .push(format!("{least} to {most} acked: {info:?}"));
    }
    let handed_out: u64 = known.handed_out.values().sum();
    if info.deliveries < handed_out {
        findings
            .lost
            .push(format!("{handed_out} deliveries: {info:?}"));
    }
}

/// Takes and acks everything that the consumer has left.
fn drain(
    consumer: &Consumer,
    known: &Deliveries,
    store: &Riverbed,
    clock: &ManualClock,
    findings: &mut Findings,
) -> BTreeSet<u64> {
    let mut left = BTreeSet::new();
    for _ in 0..2 {
        loop {
            let batch = consumer.fetch(Fetch::new(60_000).no_wait()).unwrap();
            if batch.is_empty() {
                break;
            }
            for message in &batch {
                let seq = message.seq().get();
                if !left.insert(seq) {
                    findings.doubled.push(format!("{seq} is delivered twice"));
                }
                let before = known.handed_out.get(&seq).copied().unwrap_or(0);
                if message.deliveries() <= before {
                    let text = format!("{seq} was handed out {before} times before");
                    findings
                        .lost
                        .push(format!("{text}, not {}", message.deliveries() - 1));
                }
            }
            assert_eq!(batch.ack().unwrap().refused, []);
        }
        // The longest delay ends.
        clock.advance(Duration::from_secs(60));
        store.drive().unwrap();
    }
    left
}

/// Every message is with its consumer, acked, or a dead letter; and only one of these.
fn verify_places(
    known: &mut Deliveries,
    all: impl Iterator<Item = u64>,
    dead: &BTreeSet<u64>,
    left: &BTreeSet<u64>,
    findings: &mut Findings,
) {
    for seq in all {
        let (is_left, is_dead) = (left.contains(&seq), dead.contains(&seq));
        let acked = known.acked.contains(&seq);
        if (is_left || is_dead) && acked {
            findings
                .doubled
                .push(format!("{seq} was acked and is back"));
        }
        if is_left && (is_dead || known.dead.contains(&seq)) {
            findings.doubled.push(format!("{seq} is dead and is back"));
        }
        if !is_dead && known.dead.contains(&seq) {
            findings.lost.push(format!("the dead letter of {seq}"));
        }
        if !is_left && !is_dead && !acked {
            if known.maybe_acked.contains(&seq) {
                known.acked.insert(seq);
            } else {
                findings.lost.push(format!("{seq} is nowhere"));
            }
        }
    }
    known.dead.extend(dead);
    known.maybe_acked.clear();
    known.maybe_dead.extend(dead);
}

/// Ids are known for what is stored, and only for that.
fn verify_ids(
    jobs: &Stream,
    ledger: &Ledger,
    found: &BTreeMap<String, u64>,
    findings: &mut Findings,
) {
    let asked = ledger.published.iter().flat_map(|(_, names)| names);
    let with_id = |name: &&String| has_id(name);
    let names: BTreeSet<&String> = found.keys().chain(asked).filter(with_id).collect();
    let names: Vec<&String> = names.into_iter().collect();
    for names in names.chunks(5_000) {
        let acks = jobs
            .publish_batch(names.iter().map(|name| message(name)))
            .unwrap();
        for (name, ack) in names.iter().zip(acks) {
            let seq = ack.duplicate.then_some(ack.seq.get());
            if seq != found.get(*name).copied() {
                findings
                    .doubled
                    .push(format!("the id {name} again: {ack:?}"));
            }
        }
    }
}
