//! Many seeds on all cores, and what is said of them.

use crate::failure::{Class, Failure};
use crate::marks::MUST_MEET;
use crate::op::Step;
use crate::run::{Coverage, Report, explore, replay};
use crate::shrink::shrink;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
}

/// How long it is quiet between two lines of progress.
const QUIET: Duration = Duration::from_secs(20);

/// What all seeds together came to.
#[derive(Debug, Default)]
pub(crate) struct Campaign {
    operations: u64,
    crashes: u64,
    faults: u64,
    failed: Vec<Class>,
    pub(crate) stories: Vec<String>,
    met: Coverage,
}

impl Campaign {
    /// Runs the fixed seeds, then fresh ones, a thread for each core.
    pub(crate) fn run(seeds: u64, fixed: u64, steps: usize) -> Self {
        let fresh = number("RIVERBED_FRESH").unwrap_or_else(|| fastrand::u64(1 << 20..1 << 48));
        println!("seeds 0 to {}, then from {fresh} on", fixed.min(seeds) - 1);
        let (next, began) = (AtomicU64::new(0), Instant::now());
        let (sender, receiver) = mpsc::channel();
        // For a run that only asks whether anything fails: the first failure ends it, as it is.
        let hasty = number("RIVERBED_HASTY").is_some();
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= seeds {
                            return;
                        }
                        let seed = if at < fixed { at } else { fresh + at - fixed };
                        let (history, report) = explore(seed, steps);
                        let failure = report.failure.as_ref();
                        let story = failure.map(|failure| {
                            if hasty {
                                next.store(seeds, Ordering::Relaxed);
                                return format!("seed {seed}: {}", failure.what);
                            }
                            story(seed, steps, &history, failure)
                        });
                        if sender.send((report, story)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let (mut campaign, mut done, mut told) = (Self::default(), 0, began);
            for (report, story) in receiver {
                campaign.take(report, story);
                done += 1;
                if told.elapsed() >= QUIET {
                    told = Instant::now();
                    let rest = began.elapsed().as_secs() * (seeds - done) / done;
                    println!("{done} of {seeds} seeds, about {rest} s to go");
                }
            }
            campaign
        })
    }

    fn take(&mut self, report: Report, story: Option<String>) {
        self.operations += report.operations;
        self.crashes += report.crashes;
        self.faults += report.faults;
        for (what, count) in report.coverage {
            *self.met.entry(what).or_default() += count;
        }
        if let (Some(failure), Some(story)) = (report.failure, story) {
            println!("{story}");
            self.failed.push(failure.class);
            self.stories.push(story);
        }
    }

    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let all = MUST_MEET.iter().copied();
        all.filter(|what| !self.met.contains_key(*what)).collect()
    }

    pub(crate) fn print(&self, seeds: u64) {
        for (what, count) in &self.met {
            println!("{count:8} {what}");
        }
        let count = |class| {
            self.failed
                .iter()
                .filter(|failed| **failed == class)
                .count()
        };
        println!(
            "seeds={seeds} operations={} crashes={} faults={} lost={} doubled={} phantom={} \
             disagreements={}",
            self.operations,
            self.crashes,
            self.faults,
            count(Class::Lost),
            count(Class::Doubled),
            count(Class::Phantom),
            count(Class::Disagreement),
        );
    }
}

/// The line that replays a failing seed, and the least of its history that fails in the same way.
pub(crate) fn story(seed: u64, steps: usize, history: &[Step], failure: &Failure) -> String {
    let class = failure.class;
    let fails = |part: &[Step]| {
        let again = replay(seed, part, &mut Vec::new()).failure;
        again.is_some_and(|again| again.kind() == failure.kind())
    };
    let least = shrink(history, fails);
    let mut lines = Vec::new();
    let still = replay(seed, &least, &mut lines).failure;
    let what = still.map_or_else(|| failure.what.clone(), |failure| failure.what);
    format!(
        "{class:?}: {}\n{} of {} steps:\n{}\n{what}\nreplay: RIVERBED_SEED={seed} \
         RIVERBED_STEPS={steps} cargo test --release --test simulation -- --nocapture",
        failure.what.lines().next().unwrap_or_default(),
        least.len(),
        history.len(),
        lines.join("\n"),
    )
}
