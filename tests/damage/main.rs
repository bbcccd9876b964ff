//! A store's file is damaged in thousands of ways, and each time the answer is true: the data is
//! intact, or the damage is reported with its place, or (only in a file that was not closed) the last
//! commit is gone. Where a journal stands beside the file, either of the two is damaged. Never wrong bytes, a panic, a hang, or memory without bound.
//!
//! `RIVERBED_CASES=n` runs that many cases, `RIVERBED_SEED=n` one that is named by a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod case;
mod content;
mod exclude;
mod hurt;
mod journaled;
mod lost;
mod opening;
mod purging;
mod salvaged;
mod salvaged_journal;
mod seed;
mod slow;
mod tally;
mod watched;

use case::Case;
use seed::{Seed, seeds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tally::{Outcome, Tally};

/// Cases without a wish: enough to meet every kind of damage on every kind of file.
const CASES: u64 = if cfg!(debug_assertions) { 300 } else { 6_000 };
/// One case in so many runs on a file of the real file system.
const REAL_FILE_EVERY: u64 = 20;

/// The stores without a journal, and those with one.
fn all() -> Vec<Seed> {
    let mut all = seeds();
    all.extend(journaled::seeds());
    all
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn damage_anywhere_is_reported_or_does_no_harm() {
    let seeds = all();
    let mut tally = Tally::default();
    let cases = match number("RIVERBED_SEED") {
        Some(case) => case..case + 1,
        None => 0..number("RIVERBED_CASES").unwrap_or(CASES),
    };
    silence_contained_panics();
    for case in cases {
        let mut random = fastrand::Rng::with_seed(case);
        let seed = &seeds[random.usize(..seeds.len())];
        let case_of = Case::choose(&mut random, seed);
        let real = case % REAL_FILE_EVERY == REAL_FILE_EVERY - 1;
        let outcome = catch_unwind(AssertUnwindSafe(|| case_of.run(real)))
            .unwrap_or_else(|panic| Outcome::Panic(text_of(&*panic)));
        tally.add(case, case_of.name(), &case_of.hurt, &outcome);
    }
    let _: Box<dyn Fn(&std::panic::PanicHookInfo<'_>) + Sync + Send> = std::panic::take_hook();
    tally.finish();
}

/// What is caught inside the library, or counted here, need not be printed too.
fn silence_contained_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

#[test]
fn without_damage_every_seed_is_intact() {
    for seed in &all() {
        for real in [false, true] {
            let outcome = Case::whole(seed).run(real);
            assert!(
                matches!(outcome, Outcome::Intact),
                "{}: {outcome:?}",
                seed.name
            );
        }
        let used = Seed::used(seed);
        assert!(used.len() > 10, "{}: {}", seed.name, used.len());
    }
}
