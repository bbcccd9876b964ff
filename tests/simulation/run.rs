//! One run: a history on both stores, compared after every step.

use crate::beside::Beside;
use crate::compare;
use crate::failure::{Class, Failure, catch, classify, classify_fetch, fail};
use crate::history;
use crate::later::Later;
use crate::op::{Op, Step};
use crate::oracle::Oracle;
use crate::picks::{Picks, settled};
use crate::real::{Answer, Floors, Real};
use fastrand::Rng;
use riverbed::{AckDurability, DedupMode, Unavailable};
use std::collections::BTreeMap;

/// How often each kind of operation, outcome, fault and recovery was met.
pub(crate) type Coverage = BTreeMap<String, u64>;

/// What a run did.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) operations: u64,
    pub(crate) crashes: u64,
    pub(crate) faults: u64,
    pub(crate) coverage: Coverage,
    /// Of every answer and of every byte that was written: the same for two runs of one history.
    pub(crate) trail: u64,
    /// What was taken where crashes left several outcomes that look the same.
    pub(crate) picks: Picks,
    /// How the run failed, if it did.
    pub(crate) failure: Option<Failure>,
}

#[allow(
    clippy::struct_excessive_bools,
    reason = "what is known of the running step, not a state machine"
)]
pub(crate) struct Run {
    pub(crate) oracle: Oracle,
    pub(crate) real: Real,
    /// Another store on the same disk.
    pub(crate) beside: Option<Beside>,
    /// What chance does in this step.
    pub(crate) rng: Rng,
    /// The disk is going to fail.
    pub(crate) armed: bool,
    /// How, since it last worked.
    pub(crate) troubles: Vec<&'static str>,
    /// The operation is one commit: what subscribers were told of it is true only if that is stored.
    pub(crate) one_commit: bool,
    /// The disk's operations when the step began.
    pub(crate) began: u64,
    /// The power was cut after the first writes of a commit, before its end was known.
    pub(crate) cut_midway: bool,
    /// A purge could not read what it was to free, so its cut is on disk if the purge is.
    pub(crate) purge_cut: bool,
    /// Of a store that syncs its commits later.
    pub(crate) later: Option<Later>,
    /// What was not synced may be lost: the power was cut, or a sync lost it.
    pub(crate) lost_power: bool,
    pub(crate) floors: Floors,
    pub(crate) serials: BTreeMap<u64, u64>,
    pub(crate) report: Report,
    /// What is printed of a single run.
    pub(crate) lines: Option<Vec<String>>,
}

/// Makes a seed's history and runs it.
pub(crate) fn explore(seed: u64, steps: usize) -> (Vec<Step>, Report) {
    settled(|picks| explore_with(seed, steps, picks))
}

fn explore_with(seed: u64, steps: usize, picks: Picks) -> (Vec<Step>, Report) {
    let mut rng = Rng::with_seed(seed);
    let mut made = Vec::new();
    let mut run = None;
    let caught = catch(|| {
        let run = run.insert(Run::new(seed, None));
        run.report.picks = picks;
        let opening = history::opening(&mut rng);
        for at in 0..opening.len() + steps {
            let mut op = match opening.get(at) {
                Some(op) => op.clone(),
                None => history::next(&mut rng, &run.oracle),
            };
            if run.oracle.syncs_later {
                remember_from_the_first(&mut op);
            }
            let (number, dice) = (at as u64 + 1, rng.u64(..));
            made.push(Step { number, dice, op });
            run.step(&made[at]);
        }
        run.end();
    });
    (made, finished(run, caught))
}

/// Where a power cut takes commits with it nobody can see whether a renewal was among them: since when an id is
/// remembered does not show. Streams that slide are tried where every commit is durable.
fn remember_from_the_first(op: &mut Op) {
    if let Op::CreateStream(config) | Op::UpdateStream(config, _) = op {
        config.dedup_mode = DedupMode::Fixed;
    }
}

/// Runs a history again, or a part of one; `lines` takes what is worth printing.
pub(crate) fn replay(seed: u64, steps: &[Step], lines: &mut Vec<String>) -> Report {
    let (printed, report) = settled(|picks| replay_with(seed, steps, picks));
    *lines = printed;
    report
}

fn replay_with(seed: u64, steps: &[Step], picks: Picks) -> (Vec<String>, Report) {
    let mut run = None;
    let caught = catch(|| {
        let run = run.insert(Run::new(seed, Some(Vec::new())));
        run.report.picks = picks;
        for step in steps {
            run.step(step);
        }
        run.end();
    });
    let lines = run.as_mut().and_then(|run| run.lines.take());
    (lines.unwrap_or_default(), finished(run, caught))
}

fn finished(run: Option<Run>, caught: Result<(), Failure>) -> Report {
    let mut report = run.map(|run| run.report).unwrap_or_default();
    report.failure = caught.err();
    report
}

impl Run {
    pub(crate) fn cover(&mut self, what: String) {
        *self.report.coverage.entry(what).or_default() += 1;
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }

    /// Adds words to the trail.
    pub(crate) fn mark(&mut self, words: &str) {
        let trail = &mut self.report.trail;
        for byte in words.bytes() {
            *trail = (*trail ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Whether an operation refers to what there is; in a part of a history it may not.
    pub(crate) fn makes_sense(&self, op: &Op) -> bool {
        let known = |delivery: &u64| {
            self.oracle.deliveries.contains_key(delivery)
                && self.real.messages.contains_key(delivery)
        };
        match op {
            Op::Settle { delivery, .. } | Op::LazyAck { delivery, .. } => known(delivery),
            Op::AckBatch { deliveries, .. } | Op::AckFetch { deliveries, .. } => {
                deliveries.iter().all(known)
            }
            Op::UpdateConsumer(stream, config, _) => {
                // How far the consumer is has to be asked before.
                !(self.armed && self.refilters(stream, config))
            }
            _ => true,
        }
    }

    fn step(&mut self, step: &Step) {
        let op = &step.op;
        self.rng = Rng::with_seed(step.dice);
        self.oracle.next_delivery = self.oracle.next_delivery.max(step.number * 1_000);
        self.note(|| format!("{:4} {op:?}", step.number));
        if !self.makes_sense(op) {
            return;
        }
        self.report.operations += 1;
        self.one_commit = matches!(
            op,
            Op::Settle { .. } | Op::AckBatch { .. } | Op::Publish { .. }
        );
        self.began = self.real.disk.operations();
        match op {
            Op::Trouble(trouble) => {
                trouble.strike(&self.real.disk);
                self.armed = true;
                self.troubles.push(trouble.name());
                self.cover(format!("trouble {}", trouble.name()));
            }
            Op::Reopen => self.reopen_from(vec![self.oracle.clone()]),
            Op::Kill => self.crash(None, vec![self.oracle.clone()]),
            Op::PowerCut(seed) => self.crash(Some(*seed), vec![self.oracle.clone()]),
            Op::Pipeline { to, drafts, then } => self.pipeline(op, to, drafts, then),
            Op::LazyAck {
                delivery,
                looks,
                power_cut,
            } => self.lazy_ack(op, *delivery, *looks, *power_cut),
            Op::Group(ops, end) => {
                self.report.operations += ops.len() as u64;
                self.group(ops, end);
            }
            _ => self.plain(op),
        }
        self.written();
        self.write_beside();
        for met in std::mem::take(&mut self.oracle.met) {
            self.cover(format!("rule {met}"));
        }
        if !self.armed && self.rng.u8(..4) == 0 {
            self.compare(matches!(op, Op::Drive));
        }
        let digest = self.real.disk.digest();
        self.mark(&digest.to_string());
    }

    fn end(&mut self) {
        self.report.faults += self.real.disk.faults_met();
        if !self.armed {
            self.plain(&Op::Drive);
            self.compare(true);
        }
    }

    /// A consumer that is reset may have its floor anywhere.
    pub(crate) fn forget_floor(&mut self, op: &Op) {
        if let Op::Reset {
            stream, consumer, ..
        } = op
            && let Some(known) = self.oracle.consumer(stream, consumer)
        {
            self.floors.remove(&known.born);
        }
    }

    /// What the oracle answers, in a copy of it.
    pub(crate) fn foresee(&self, op: &Op) -> (Oracle, String) {
        let mut after = self.oracle.clone();
        after.halfway = matches!(op, Op::Drive).then(Vec::new);
        let expected = after.apply(op);
        (after, expected)
    }

    /// Both sides must answer the same.
    pub(crate) fn same(&mut self, op: &Op, said: &str, expected: &str) {
        self.mark(said);
        self.note(|| format!("  -> {said}"));
        if said == expected {
            return;
        }
        let class = match op {
            Op::Fetch {
                stream, consumer, ..
            } => classify_fetch(said, &self.oracle, stream, consumer),
            Op::Publish { .. } if said.contains("false") && expected.contains("true") => {
                Class::Doubled
            }
            _ => Class::Disagreement,
        };
        fail(
            class,
            format!("{op:?}\n  store:  {said}\n  oracle: {expected}"),
        );
    }

    pub(crate) fn plain(&mut self, op: &Op) {
        self.forget_floor(op);
        self.follow(op);
        let (mut after, expected) = self.foresee(op);
        let halfway = after.halfway.take().unwrap_or_default();
        match self.real.perform(op) {
            Answer::Said(said) => {
                self.same(op, &said, &expected);
                let word = said.split([' ', ':']).next().unwrap_or_default();
                let word = if op.name().starts_with("publish") && said.contains('[') {
                    "ok"
                } else {
                    word
                };
                self.cover(format!("{} {word}", op.name()));
                if said.contains("; TooBig") {
                    self.cover("ack_and_fetch TooBig".into());
                }
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
                match op {
                    Op::Sync => self.synced(),
                    Op::Drive => self.time_came(),
                    _ => {}
                }
                self.compare_events();
            }
            Answer::Down(why) => {
                self.cover(format!("failed in {}", op.name()));
                self.purge_cut = matches!((op, &why), (Op::Purge { .. }, Unavailable::Io { .. }));
                let mut candidates = vec![self.oracle.clone(), after];
                candidates.extend(halfway);
                self.fall(&why, candidates);
            }
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
            .store()
            .stream(&stream)
            .ok()
            .and_then(|s| s.consumer(&consumer).ok());
        match handle.map(|handle| handle.info()) {
            Some(Ok(_)) => {
                self.oracle.end_delays(&stream, &consumer);
                Ok(())
            }
            Some(Err(riverbed::ConsumerError::Unavailable(why))) => Err(why),
            _ => Err(self.real.store().streams().expect_err("the store is down")),
        }
    }

    fn compare(&mut self, with_ids: bool) {
        self.oracle.end_all_delays();
        let found = compare::actual(self.real.store(), with_ids).unwrap();
        let expected = compare::expected(&self.oracle, with_ids);
        if found != expected {
            let class = classify(&found, std::slice::from_ref(&expected));
            let what = "the store and the oracle differ".to_owned();
            fail(class, format!("{what}\n{}", difference(&found, &expected)));
        }
        compare::check_bounds(&self.oracle, self.real.store(), &mut self.floors);
        for word in crate::explaining::check_explained(&self.oracle, self.real.store()) {
            self.cover(word);
        }
        self.cover("compared".into());
    }

    pub(crate) fn compare_events(&mut self) {
        let told = self.real.told();
        self.oracle.watch();
        self.oracle.check_alerts(&self.real.standing);
        for word in std::mem::take(&mut self.real.standing.met) {
            self.cover(format!("alert {word}"));
        }
        let expected = std::mem::take(&mut self.oracle.told);
        assert_eq!(
            told, expected,
            "events of the store (left) and the oracle (right)"
        );
    }
}

/// What only one of the two has.
pub(crate) fn difference(found: &[String], expected: &[String]) -> String {
    let mut lines = Vec::new();
    for line in found.iter().filter(|line| !expected.contains(line)) {
        lines.push(format!("  store:  {line}"));
    }
    for line in expected.iter().filter(|line| !found.contains(line)) {
        lines.push(format!("  oracle: {line}"));
    }
    lines.join("\n")
}
