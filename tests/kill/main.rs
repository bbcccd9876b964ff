//! Processes that are killed while they work: what they were told is true afterwards (G1 to G8, R17).
//!
//! The test runs itself again as a child whose threads publish, fetch, ack, nak and give up messages
//! on a real file, and tell each acknowledged fact through a pipe. It kills the child after a random
//! number of facts, and holds what is left against them. `RIVERBED_KILLS=n` sets the number of rounds,
//! `RIVERBED_SEED=n` what is random about them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod child;
mod fact;
mod ledger;
mod shape;
mod supervisor;
mod verify;

use ledger::{Findings, Ledger};
use std::path::Path;
use supervisor::{CHILD, Supervisor};

/// The child's body when this binary was started as one; a test that does nothing otherwise.
#[test]
fn run_as_child() {
    let Ok(told) = std::env::var(CHILD) else {
        return;
    };
    let told: Vec<&str> = told.splitn(3, '|').collect();
    // The line before this one has no end: the test's name.
    println!();
    let (number, seed) = (told[0].parse().unwrap(), told[1].parse().unwrap());
    child::run(Path::new(told[2]), number, seed);
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn g1_what_a_killed_process_was_told_is_true() {
    let rounds = number("RIVERBED_KILLS").unwrap_or(if cfg!(debug_assertions) { 10 } else { 400 });
    let seed = number("RIVERBED_SEED").unwrap_or_else(|| fastrand::u64(..));
    let folder = tempfile::tempdir().unwrap();
    let mut supervisor = Supervisor::new(seed);
    let (mut findings, mut ledger) = (Findings::default(), Ledger::default());
    let mut path = folder.path().join("store");
    for round in 0..rounds {
        if round > 0 && supervisor.starts_afresh() {
            std::fs::remove_file(&path).unwrap();
            path = folder.path().join(format!("store-{round}"));
            ledger = Ledger::default();
        }
        supervisor.round(&path, &mut ledger, &mut findings);
        verify::verify(&path, &mut ledger, &mut findings);
        assert!(
            findings.is_empty(),
            "round {round}, RIVERBED_SEED={seed}: {findings:#?}"
        );
    }
    println!("{}", supervisor.kinds());
    println!(
        "rounds={rounds} facts={} lost={} doubled={} phantom={}",
        supervisor.facts(),
        findings.lost.len(),
        findings.doubled.len(),
        findings.phantom.len()
    );
}
