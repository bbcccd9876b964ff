//! What is written down: one line of JSON for the run, one for each repetition of a cell.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::machine::Machine;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    Run(Run),
    Cell(Record),
}

/// Where and how everything below was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub date: String,
    pub command: String,
    pub quick: bool,
    pub repetitions: usize,
    pub seconds: f64,
    pub commit: String,
    pub machine: Machine,
    pub peers: Vec<PeerFacts>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerFacts {
    pub name: String,
    pub version: String,
    pub durability: String,
    pub consuming: String,
    /// Why it was not measured at all.
    pub absent: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub workload: String,
    pub number: usize,
    pub size: usize,
    pub peer: String,
    pub repetition: usize,
    pub result: Outcome,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Measured(Measured),
    /// It can't do this, or is not here.
    Skipped(String),
    /// It should have done it.
    Failed(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    pub messages: u64,
    pub seconds: f64,
    pub per_second: f64,
    pub calls: Vec<Call>,
    /// Medians of 4 KiB overwrites with fdatasync, right before and right after.
    pub probe_before_us: f64,
    pub probe_after_us: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// What was called.
    pub name: String,
    pub count: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
}

/// All lines of a file.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let parse = |(at, line)| {
        serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), at + 1))
    };
    text.lines().enumerate().map(parse).collect()
}
