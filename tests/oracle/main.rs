//! A seeded test of the whole library against a plain oracle, on a simulated disk, without threads.
//!
//! Every seed is a history of operations: what streams and consumers do, time that passes, and
//! crashes between and in the middle of operations. After every step the answers are compared, and
//! regularly everything that can be seen. A failing seed prints its operations and a line that
//! replays it.
//!
//! `RIVERBED_SEED=n` runs one seed, `RIVERBED_SEEDS=n` that many more than the fixed ones,
//! `RIVERBED_STEPS=n` sets how many operations each has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

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
const SEEDS: u64 = 32;
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
const MUST_MEET: &[&str] = &[
    "ack ConsumerGone",
    "ack Gone",
    "ack Stale",
    "ack done",
    "ack_and_fetch acked",
    "ack_batch acked",
    "advance later",
    "close done",
    "compared",
    "create_consumer Exists",
    "create_consumer created",
    "create_stream Exists",
    "create_stream SubjectOverlap",
    "create_stream created",
    "delete NoMessage",
    "delete deleted",
    "delete_consumer deleted",
    "delete_stream InUse",
    "delete_stream deleted",
    "discard NotParked",
    "discard done",
    "drive driven",
    "drop done",
    "fall OutcomeUnknown",
    "fetch TooBig",
    "fetch fetched",
    "fetch nothing",
    "in_progress Gone",
    "in_progress Stale",
    "in_progress done",
    "kill quiet",
    "lazy flushed",
    "lazy_ack done",
    "nak Gone",
    "nak Stale",
    "nak done",
    "nak_after Gone",
    "nak_after Stale",
    "nak_after done",
    "nak_now Gone",
    "nak_now Stale",
    "nak_now done",
    "nothing DelayedUntil",
    "nothing HandledAlone",
    "nothing InFlight",
    "nothing InFlightBytes",
    "nothing NoMessages",
    "open failed",
    "pipeline_fetch done",
    "pipeline_flush done",
    "pipeline_kill done",
    "pipeline_power_cut done",
    "pipeline_reopen done",
    "power_cut quiet",
    "publish DedupFull",
    "publish Full",
    "publish NoDedup",
    "publish NoStream",
    "publish NotCaptured",
    "publish SubjectsFull",
    "publish TooLarge",
    "publish WrongLastSequence",
    "publish ok",
    "publish_batch BatchSize",
    "publish_batch DedupFull",
    "publish_batch ExpectInBatch",
    "publish_batch Full",
    "publish_batch NoDedup",
    "publish_batch NoStream",
    "publish_batch NotCaptured",
    "publish_batch SubjectsFull",
    "publish_batch TooLarge",
    "publish_batch TwoStreams",
    "publish_batch WrongLastSequence",
    "publish_batch ok",
    "purge purged",
    "redrive Gone",
    "redrive NoMessage",
    "redrive NotDeadLetter",
    "redrive Refused",
    "redrive redriven",
    "redrive_to_consumer Gone",
    "redrive_to_consumer redriven",
    "release NotParked",
    "release done",
    "rule Delete",
    "rule MaxAge",
    "rule MaxBytes",
    "rule MaxMessages",
    "rule Purge",
    "rule batch_ack_refused_some",
    "rule dead_lettered",
    "rule delay_over",
    "rule died_alone",
    "rule died_beside_others",
    "rule dropped",
    "rule duplicate",
    "rule exhausted_by_death",
    "rule lapsed",
    "rule limit_lowered",
    "rule lost",
    "rule parked",
    "rule redelivered",
    "rule refused",
    "rule refused_again_tried",
    "rule suspect",
    "rule suspect_alone",
    "term Gone",
    "term Stale",
    "term done",
    "update_consumer Fixed",
    "update_consumer updated",
    "update_stream updated",
];
