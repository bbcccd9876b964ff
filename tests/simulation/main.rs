//! The simulator: the whole library against a plain oracle, on a disk that fails, without threads.
//!
//! Every seed is a history of operations of several publishers, fetchers and ackers, of the sweeper and
//! of who manages the store; of time that passes, faults of the disk, and crashes between and in the
//! middle of operations. After every step the answers are compared, and regularly everything that can be
//! seen. A failing seed prints a line that replays it, and the least part of its history that still
//! fails in the same way.
//!
//! `RIVERBED_SEEDS=n` runs n seeds: the fixed ones first, then fresh ones. `RIVERBED_SEED=n` replays one,
//! `RIVERBED_STEPS=n` sets how many operations each has; `RIVERBED_HASTY=1` ends at the first failure and
//! shrinks nothing. A history depends on nothing but these two.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod alerting;
mod answers;
mod apply;
mod batches;
mod beside;
mod campaign;
mod compare;
mod configs;
mod consumers;
mod crash;
mod delivering;
mod drafts;
mod explaining;
mod failure;
mod group_history;
mod grouped;
mod helping;
mod history;
mod lagging;
mod lanes;
mod later;
mod letters;
mod losing;
mod marking;
mod marks;
mod model;
mod op;
mod oracle;
mod passing;
mod picks;
mod pipeline;
mod published;
mod publishing;
mod rates;
mod real;
mod refiltering;
mod releasing;
mod repeating;
mod replays;
mod resetting;
mod retaining;
mod run;
mod scheduling;
mod shrink;
mod stores;
mod trouble;

use campaign::{Campaign, number};

/// Seeds of every run of the tests, and how many fresh ones come after them.
const FIXED: u64 = if cfg!(debug_assertions) { 10 } else { 400 };
const FRESH: u64 = if cfg!(debug_assertions) { 2 } else { 200 };
/// Operations of a seed.
const STEPS: usize = 400;

#[test]
fn a_store_behaves_like_the_oracle_whatever_the_disk_does() {
    let steps = number("RIVERBED_STEPS").map_or(STEPS, |steps| steps as usize);
    if let Some(seed) = number("RIVERBED_SEED") {
        let (history, report) = run::explore(seed, steps);
        if let Some(failure) = &report.failure {
            panic!("{}", campaign::story(seed, steps, &history, failure));
        }
        return;
    }
    let seeds = number("RIVERBED_SEEDS").unwrap_or(FIXED + FRESH);
    let campaign = Campaign::run(seeds, FIXED, steps);
    campaign.print(seeds);
    assert!(
        campaign.stories.is_empty(),
        "{} seeds fail",
        campaign.stories.len()
    );
    if seeds >= FIXED && !cfg!(debug_assertions) {
        let missing = campaign.missing();
        assert!(missing.is_empty(), "these were never met: {missing:?}");
    }
}

#[test]
fn a_seed_runs_twice_in_the_same_way_and_its_history_replays() {
    for seed in 0..3 {
        let (history, first) = run::explore(seed, 120);
        let (_, second) = run::explore(seed, 120);
        let replayed = run::replay(seed, &history, &mut Vec::new());
        assert_eq!(
            (first.trail, first.operations),
            (second.trail, second.operations)
        );
        assert_eq!(
            (first.trail, first.operations),
            (replayed.trail, replayed.operations)
        );
        assert_ne!(first.trail, 0);
    }
}
