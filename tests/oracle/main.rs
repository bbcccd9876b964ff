//! A seeded test of the whole library against a plain oracle, on a simulated disk, without threads.
//!
//! Every seed is a history of operations: what streams and consumers do, time that passes, and
//! crashes between and in the middle of operations. After every step the answers are compared, and
//! regularly everything that can be seen. A failing seed prints its operations and a line that
//! replays it.
//!
//! `RIVERBED_SEED=n` runs one seed, `RIVERBED_SEEDS=n` that many more than the fixed ones,
//! `RIVERBED_STEPS=n` sets how many operations each has.

mod compare;
mod delivering;
mod history;
mod model;
mod op;
mod oracle;
mod publishing;
mod real;
mod run;

use run::Coverage;

/// Seeds of every test run.
const SEEDS: u64 = 40;
/// Operations of a seed.
const STEPS: usize = 400;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
}

#[test]
fn a_store_behaves_like_the_oracle() {
    let steps = number("RIVERBED_STEPS").map_or(STEPS, |steps| steps as usize);
    if let Some(seed) = number("RIVERBED_SEED") {
        run::run(seed, steps);
        return;
    }
    let mut met = Coverage::new();
    let seeds = SEEDS + number("RIVERBED_SEEDS").unwrap_or(0);
    for seed in 0..seeds {
        for (what, count) in run::run(seed, steps) {
            *met.entry(what).or_default() += count;
        }
    }
    for (what, count) in &met {
        println!("{count:7} {what}");
    }
    println!("seeds={seeds} steps={}", seeds * steps as u64);
    let missing: Vec<&&str> = MUST_MEET
        .iter()
        .filter(|what| !met.contains_key(**what))
        .collect();
    assert!(
        missing.is_empty(),
        "these operations and outcomes were never met: {missing:?}"
    );
}

/// Operations with their outcomes, and rules, that the fixed seeds must meet.
const MUST_MEET: &[&str] = &[];
