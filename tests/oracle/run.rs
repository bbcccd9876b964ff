//! One run: a seed's history on both stores, compared after every step.

use crate::compare;
use crate::history;
use crate::op::{Op, Then};
use crate::oracle::Oracle;
use crate::real::{Answer, Floors, Real, open};
use fastrand::Rng;
use riverbed::disk::MemoryDisk;
use riverbed::{AckDurability, Unavailable};
use std::collections::BTreeMap;

/// How often each kind of operation and outcome was met.
pub(crate) type Coverage = BTreeMap<String, u64>;

pub(crate) struct Run {
    oracle: Oracle,
    real: Real,
    rng: Rng,
    /// The disk is going to fail.
    armed: bool,
    trail: Trail,
    floors: Floors,
    serials: BTreeMap<u64, u64>,
    coverage: Coverage,
}

/// The operations so far, printed when the run panics.
struct Trail {
    seed: u64,
    steps: Vec<String>,
}

impl Drop for Trail {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (at, step) in self.steps.iter().enumerate() {
                eprintln!("{at:4} {step}");
            }
            eprintln!(
                "replay: RIVERBED_SEED={} cargo test --test oracle",
                self.seed
            );
        }
    }
}

/// Runs a seed's history and says what it met.
pub(crate) fn run(seed: u64, steps: usize) -> Coverage {
    let real = Real::new();
    let mut run = Run {
        oracle: Oracle::new(real.clock.clock().now().as_micros()),
        real,
        rng: Rng::with_seed(seed),
        armed: false,
        trail: Trail {
            seed,
            steps: Vec::new(),
        },
        floors: Floors::new(),
        serials: BTreeMap::new(),
        coverage: Coverage::new(),
    };
    for op in history::opening(&mut run.rng) {
        run.step(&op);
    }
    for _ in 0..steps {
        let op = history::next(&mut run.rng, &run.oracle);
        run.step(&op);
    }
    run.real.disk.stop_failing();
    if !run.armed {
        run.step(&Op::Drive);
        run.compare(true);
    }
    std::mem::take(&mut run.coverage)
}

impl Run {
    fn cover(&mut self, what: String) {
        *self.coverage.entry(what).or_default() += 1;
    }

    fn note(&mut self, line: String) {
        self.trail.steps.push(line);
    }

    fn step(&mut self, op: &Op) {
        self.note(format!("{op:?}"));
        match op {
            Op::Arm(after) => {
                self.real
                    .disk
                    .fail_from(self.real.disk.operations() + after);
                self.armed = true;
            }
            Op::Reopen => self.reopen(),
            Op::Kill => self.crash(None, vec![self.oracle.clone()]),
            Op::PowerCut(seed) => self.crash(Some(*seed), vec![self.oracle.clone()]),
            Op::Pipeline { to, drafts, then } => self.pipeline(op, to, drafts, then),
            Op::LazyAck { power_cut, .. } => self.lazy_ack(op, *power_cut),
            _ => self.plain(op),
        }
        for met in std::mem::take(&mut self.oracle.met) {
            self.cover(format!("rule {met}"));
        }
        if !self.armed && self.rng.u8(..4) == 0 {
            self.compare(matches!(op, Op::Drive));
        }
    }

    /// What the oracle answers, in a copy of it.
    fn foresee(&self, op: &Op) -> (Oracle, String) {
        let mut after = self.oracle.clone();
        let expected = after.apply(op);
        (after, expected)
    }

    fn plain(&mut self, op: &Op) {
        let (after, expected) = self.foresee(op);
        match self.real.perform(op) {
            Answer::Said(said) => {
                if said != expected
                    && let Op::Fetch {
                        stream, consumer, ..
                    } = op
                {
                    eprintln!("before: {:#?}", self.oracle.consumer(stream, consumer));
                }
                assert_eq!(
                    said, expected,
                    "the store (left) and the oracle (right) differ on {op:?}"
                );
                let word = said.split([' ', ':']).next().unwrap_or_default();
                let word = if op.name().starts_with("publish") && said.contains('[') {
                    "ok"
                } else {
                    word
                };
                self.cover(format!("{} {word}", op.name()));
                if let Some(why) = said.strip_prefix("nothing: ") {
                    let why = why.split(' ').next().unwrap_or_default();
                    self.cover(format!("nothing {why}"));
                }
                let before = std::mem::replace(&mut self.oracle, after);
                self.real.number(&self.oracle, &mut self.serials);
                if let Err(why) = self.flush_lazy(op) {
                    // The acks were staged; whether they are stored is open.
                    return self.fall(&why, vec![before, self.oracle.clone()]);
                }
                self.compare_events();
            }
            Answer::Down(why) => self.fall(&why, vec![self.oracle.clone(), after]),
        }
    }

    /// A lazy ack is not on disk when it returns; whoever asks for the consumer's info makes it so.
    fn flush_lazy(&mut self, op: &Op) -> Result<(), Unavailable> {
        let (stream, consumer) = match op {
            Op::Settle { delivery, .. } => {
                let whose = &self.oracle.deliveries[delivery];
                (whose.stream.clone(), whose.consumer.clone())
            }
            Op::AckBatch {
                stream, consumer, ..
            }
            | Op::AckFetch {
                stream, consumer, ..
            } => (stream.clone(), consumer.clone()),
            _ => return Ok(()),
        };
        let known = self.oracle.consumer(&stream, &consumer);
        if known.is_none_or(|known| known.config.ack_durability == AckDurability::Durable) {
            return Ok(());
        }
        self.cover("lazy flushed".into());
        let handle = self
            .real
            .store
            .stream(&stream)
            .ok()
            .and_then(|s| s.consumer(&consumer).ok());
        match handle.map(|handle| handle.info()) {
            Some(Ok(_)) => {
                self.oracle.end_delays(&stream, &consumer);
                Ok(())
            }
            Some(Err(riverbed::ConsumerError::Unavailable(why))) => Err(why),
            _ => Err(self.real.store.streams().expect_err("the store is down")),
        }
    }

    fn pipeline(&mut self, op: &Op, to: &str, drafts: &[crate::model::Draft], then: &Then) {
        let mut going = self.oracle.clone();
        going.defer_limits = true;
        let (mut prefixes, mut expected) = (vec![self.oracle.clone()], Vec::new());
        let last = |oracle: &Oracle| oracle.streams.get(to).map(|stream| stream.last);
        let first = last(&self.oracle);
        let settled = |going: &Oracle| {
            let mut settled = going.clone();
            settled.defer_limits = false;
            if last(going) != first {
                settled.trim(to);
            }
            settled
        };
        for draft in drafts {
            let said = going.publish(Some(to), std::slice::from_ref(draft));
            let accepted = said.starts_with(&format!("{to} ["));
            if !accepted {
                // A refusal is an answer about a state that must be durable (R1): it commits.
                going = settled(&going);
                going.defer_limits = true;
            }
            expected.push(if accepted {
                "accepted".to_owned()
            } else {
                said
            });
            prefixes.push(settled(&going));
        }
        match self.real.pipeline(to, drafts) {
            Ok(said) => assert_eq!(said, expected, "{op:?}"),
            Err(why) => return self.fall(&why, prefixes),
        }
        let stored = prefixes.last().cloned().unwrap();
        self.cover(format!("{} done", op.name()));
        match then {
            Then::Kill => return self.crash(None, prefixes),
            Then::PowerCut(seed) => return self.crash(Some(*seed), prefixes),
            Then::Reopen => {
                self.oracle = stored;
                return self.reopen_from(prefixes);
            }
            Then::Flush | Then::Fetch { .. } => {}
        }
        if let Then::Fetch {
            stream,
            consumer,
            n,
        } = then
        {
            // What is not yet on disk may be left for the next fetch; the order is the same.
            let answer = self.real.finish_pipeline(to, then);
            let mut after = stored.clone();
            let got = self.real.fetched.len();
            let wanted = if got == 0 { *n } else { got };
            let expected = after.fetch(stream, consumer, wanted, u64::MAX);
            match answer {
                Answer::Said(said) if said.starts_with("nothing") && said != expected => {
                    // The limits had not done their work yet: that comes with the commit.
                    let said_before = going.fetch(stream, consumer, *n, u64::MAX);
                    assert_eq!(said, said_before, "{op:?}");
                    after = settled(&going);
                }
                Answer::Said(said) => assert_eq!(said, expected, "{op:?}"),
                Answer::Down(why) => {
                    prefixes.push(after);
                    let mut whole = stored;
                    whole.fetch(stream, consumer, *n, u64::MAX);
                    prefixes.push(whole);
                    return self.fall(&why, prefixes);
                }
            }
            self.oracle = after;
            self.real.number(&self.oracle, &mut self.serials);
            let fetched = self.oracle.clone();
            if let Answer::Down(why) = self.real.finish_pipeline(to, &Then::Flush) {
                let mut unknown = prefixes;
                unknown.push(fetched);
                return self.fall(&why, unknown);
            }
        } else {
            match self.real.finish_pipeline(to, then) {
                Answer::Said(_) => self.oracle = stored,
                Answer::Down(why) => return self.fall(&why, prefixes),
            }
        }
        self.compare_events();
    }

    fn lazy_ack(&mut self, op: &Op, power_cut: Option<u64>) {
        let (after, expected) = self.foresee(op);
        match self.real.perform(op) {
            Answer::Said(said) => {
                assert_eq!(said, expected, "{op:?}");
                self.cover(format!("lazy_ack {said}"));
                self.crash(power_cut, vec![self.oracle.clone(), after]);
            }
            Answer::Down(why) => self.fall(&why, vec![self.oracle.clone(), after]),
        }
    }

    fn reopen(&mut self) {
        self.reopen_from(vec![self.oracle.clone()]);
    }

    /// Closes cleanly and opens again; if the disk fails meanwhile, what it holds is one of
    /// `before`, or closed.
    fn reopen_from(&mut self, mut before: Vec<Oracle>) {
        let mut closed = self.oracle.clone();
        closed.close();
        if self.rng.bool() {
            if let Err(why) = self.real.store.close() {
                before.push(closed);
                assert!(self.armed, "closing failed: {why:?}");
                let image = self.image();
                return self.recover(image, before);
            }
            if let Some(message) = self.real.messages.values().next() {
                let told = message.ack();
                assert!(
                    matches!(
                        told,
                        Err(riverbed::AckError::Unavailable(Unavailable::Closed))
                    ),
                    "an old delivery of a closed store answers {told:?}"
                );
            }
            self.cover("close done".into());
        } else {
            self.cover("drop done".into());
        }
        let disk = self.real.disk.clone();
        self.let_go(disk.clone());
        let mut candidates = vec![closed];
        if self.armed {
            // Dropping tells nothing of a failure.
            candidates.extend(before);
        }
        self.recover(disk, candidates);
    }

    /// The process is killed, or the power is cut, while nothing is going on.
    fn crash(&mut self, power_cut: Option<u64>, candidates: Vec<Oracle>) {
        let image = match power_cut {
            Some(seed) => self.real.disk.crash_image(seed),
            None => self.real.disk.kill_image(),
        };
        self.cover(
            if power_cut.is_some() {
                "power_cut quiet"
            } else {
                "kill quiet"
            }
            .into(),
        );
        self.recover(image, candidates);
    }

    /// The disk failed in an operation: whether that was done is open, but not in part.
    fn fall(&mut self, why: &Unavailable, mut candidates: Vec<Oracle>) {
        self.note(format!("  -> {why:?}"));
        assert!(
            self.armed,
            "the store is down although nothing failed: {why:?}"
        );
        if let Unavailable::Poisoned { .. } = why {
            // It says that nothing of the call was stored (R2).
            candidates.truncate(1);
        }
        self.cover(format!(
            "fall {}",
            format!("{why:?}").split(' ').next().unwrap_or_default()
        ));
        let after = self.real.store.streams();
        assert!(
            matches!(after, Err(Unavailable::Poisoned { .. })),
            "after a failure the store stops (G12), but it answers {after:?}"
        );
        let image = self.image();
        self.recover(image, candidates);
    }

    /// What the failing disk leaves behind.
    fn image(&mut self) -> MemoryDisk {
        if self.rng.u8(..3) == 0 {
            self.real.disk.kill_image()
        } else {
            let seed = self.rng.u64(..1_000);
            self.real.disk.crash_image(seed)
        }
    }

    /// Drops the store and every handle, so that its locks are free.
    fn let_go(&mut self, disk: MemoryDisk) {
        self.real.messages.clear();
        self.real.fetched.clear();
        let spare = MemoryDisk::new();
        let store = open(&spare, &self.real.clock).unwrap();
        self.real = Real::over(disk, self.real.clock.clone(), store);
    }

    /// Opens what is left, and finds out which of the candidates it is.
    fn recover(&mut self, mut image: MemoryDisk, mut candidates: Vec<Oracle>) {
        if self.rng.u8(..4) == 0 {
            image.fail_from(image.operations() + self.rng.u64(..25));
        }
        let store = loop {
            match open(&image, &self.real.clock) {
                Ok(store) => break store,
                Err(why) => {
                    self.note(format!("  open -> {why:?}"));
                    self.cover("open failed".into());
                    let opened = candidates.clone().into_iter().map(|mut candidate| {
                        candidate.open();
                        candidate
                    });
                    candidates.extend(opened.collect::<Vec<_>>());
                    let seed = self.rng.u64(..1_000);
                    image = if seed.is_multiple_of(3) {
                        image.kill_image()
                    } else {
                        image.crash_image(seed)
                    };
                }
            }
        };
        image.stop_failing();
        self.armed = false;
        self.real = Real::over(image, self.real.clock.clone(), store);
        for candidate in &mut candidates {
            candidate.open();
            candidate.end_all_delays();
        }
        let found = compare::actual(&self.real.store, true).unwrap();
        let is_it = |candidate: &&Oracle| compare::expected(candidate, true) == found;
        let Some(candidate) = candidates.iter().find(is_it).cloned() else {
            for (at, candidate) in candidates.iter().enumerate() {
                eprintln!("candidate {at}:");
                print_difference(&found, &compare::expected(candidate, true));
            }
            panic!(
                "what was recovered is none of {} possible outcomes",
                candidates.len()
            );
        };
        self.oracle = candidate;
        for met in std::mem::take(&mut self.oracle.met) {
            self.cover(format!("rule {met}"));
        }
        self.compare_events();
        compare::check_bounds(&self.oracle, &self.real.store, &mut self.floors);
    }

    fn compare(&mut self, with_ids: bool) {
        self.oracle.end_all_delays();
        let found = compare::actual(&self.real.store, with_ids).unwrap();
        let expected = compare::expected(&self.oracle, with_ids);
        if found != expected {
            print_difference(&found, &expected);
            panic!("the store and the oracle differ");
        }
        compare::check_bounds(&self.oracle, &self.real.store, &mut self.floors);
        self.cover("compared".into());
    }

    fn compare_events(&mut self) {
        let told = self.real.told();
        let expected = std::mem::take(&mut self.oracle.told);
        assert_eq!(
            told, expected,
            "events of the store (left) and the oracle (right)"
        );
    }
}

fn print_difference(found: &[String], expected: &[String]) {
    for line in found.iter().filter(|line| !expected.contains(line)) {
        eprintln!("  store:  {line}");
    }
    for line in expected.iter().filter(|line| !found.contains(line)) {
        eprintln!("  oracle: {line}");
    }
}

impl Oracle {
    /// Does an operation and answers in words.
    fn apply(&mut self, op: &Op) -> String {
        match op {
            Op::CreateStream(config) => self.create_stream(config),
            Op::UpdateStream(config) => self.update_stream(config),
            Op::DeleteStream(name) => self.delete_stream(name),
            Op::CreateConsumer(stream, config) => self.create_consumer(stream, config),
            Op::UpdateConsumer(stream, config) => self.update_consumer(stream, config),
            Op::DeleteConsumer(stream, name) => self.delete_consumer(stream, name),
            Op::Publish { to, batch } => self.publish(to.as_deref(), batch),
            Op::Fetch {
                stream,
                consumer,
                n,
                bytes,
            } => self.fetch(stream, consumer, *n, *bytes),
            Op::Settle { delivery, verdict } => self.settle(*delivery, verdict),
            Op::LazyAck { delivery, .. } => self.settle(*delivery, &crate::op::Verdict::Ack),
            Op::AckBatch {
                stream,
                consumer,
                deliveries,
            } => self.ack_batch(stream, consumer, deliveries),
            Op::AckFetch {
                stream,
                consumer,
                deliveries,
                n,
            } => {
                let acked = self.ack_batch(stream, consumer, deliveries);
                if !acked.starts_with("acked") {
                    return acked;
                }
                format!("{acked}; {}", self.fetch(stream, consumer, *n, u64::MAX))
            }
            Op::Advance(ms) => {
                self.now += ms * 1_000;
                "later".to_owned()
            }
            Op::Drive => {
                self.drive();
                "driven".to_owned()
            }
            Op::Purge {
                stream,
                filter,
                up_to,
                keep,
            } => self.purge(stream, filter.as_deref(), *up_to, *keep),
            Op::Delete { stream, seq } => self.delete(stream, *seq),
            Op::Redrive {
                dead,
                seq,
                to_consumer,
            } => self.redrive(dead, *seq, *to_consumer),
            Op::Release {
                stream,
                consumer,
                seq,
            } => self.release(stream, consumer, *seq, true),
            Op::Discard {
                stream,
                consumer,
                seq,
            } => self.release(stream, consumer, *seq, false),
            Op::Pipeline { .. } | Op::Reopen | Op::Kill | Op::PowerCut(_) | Op::Arm(_) => {
                unreachable!("the driver takes these apart")
            }
        }
    }
}
