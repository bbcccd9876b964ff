//! The proof of the proof: faults that are put into the source on purpose must be caught.
//!
//! Each mutant is one small change of a copy of the source: a sync left out, a fence skipped. The
//! simulator is built with it and must fail; without any it must pass. That takes minutes, so it runs
//! where it is asked for: `cargo test --test mutants -- --ignored --nocapture`. That every mutant still
//! fits the source is looked at always. `RIVERBED_MUTANT=n` runs only that one (from 0).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod list;

use list::{MUTANTS, Mutant};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// What of the repository a build of the simulator needs.
const COPIED: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "tests",
    "benches",
    "examples",
];

/// Seeds that each mutant must be caught by.
const SEEDS: &str = "60";

/// Building and running take a minute; a mutant that makes the library spin is not worth more.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a run of the simulator came to.
struct Outcome {
    /// `None` when it did not end.
    status: Option<ExitStatus>,
    said: String,
}

impl Outcome {
    fn passed(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    fn failed(&self) -> bool {
        self.status.is_some() && !self.passed() && self.said.contains("test result: FAILED")
    }
}

#[test]
fn every_mutant_fits_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for mutant in MUTANTS {
        let source = fs::read_to_string(root.join(mutant.file)).unwrap();
        let found = source.matches(mutant.from).count();
        assert_eq!(found, 1, "`{}` in {}", mutant.name, mutant.file);
        assert_ne!(mutant.from, mutant.to, "`{}`", mutant.name);
    }
}

#[test]
#[ignore = "builds the library once for each mutant; see the head of this file"]
fn every_mutant_is_caught() {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    let asked = std::env::var("RIVERBED_MUTANT").ok();
    let asked: Option<usize> = asked.map(|number| number.parse().expect("the number of a mutant"));
    refresh(&copy);
    let healthy = simulate(&copy);
    assert!(healthy.passed(), "without a mutant: {}", healthy.said);
    let mut survivors = Vec::new();
    for (number, mutant) in MUTANTS.iter().enumerate() {
        if asked.is_some_and(|asked| asked != number) {
            continue;
        }
        let undo = Undo::mutate(&copy, mutant);
        let outcome = simulate(&copy);
        drop(undo);
        let word = if outcome.failed() { "caught" } else { "MISSED" };
        println!("{word} {}: {}", mutant.name, how(&outcome.said));
        if !outcome.failed() {
            survivors.push(mutant.name);
        }
    }
    println!("mutants={} survivors={}", MUTANTS.len(), survivors.len());
    assert!(survivors.is_empty(), "nobody noticed: {survivors:?}");
}

/// A mutated file, which is as it was again when this is dropped.
struct Undo {
    path: PathBuf,
    original: String,
}

impl Undo {
    fn mutate(copy: &Path, mutant: &Mutant) -> Self {
        let path = copy.join(mutant.file);
        let original = fs::read_to_string(&path).unwrap();
        fs::write(&path, original.replacen(mutant.from, mutant.to, 1)).unwrap();
        Self { path, original }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        fs::write(&self.path, &self.original).unwrap();
    }
}

/// Builds the simulator in the copy and runs its fixed seeds.
fn simulate(copy: &Path) -> Outcome {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut child = Command::new(env!("CARGO"))
        .current_dir(copy)
        .args(["test", "--offline", "--profile", "mutants", "--test"])
        .args(["simulation", "a_store"])
        .env("CARGO_TARGET_DIR", copy.join("target"))
        // One mutant differs from the next in a line, whatever is built only once elsewhere.
        .env("CARGO_INCREMENTAL", "1")
        .env_remove("RIVERBED_SEED")
        .env("RIVERBED_SEEDS", SEEDS)
        .env("RIVERBED_FRESH", "1000000")
        .env("RIVERBED_HASTY", "1")
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = Vec::new();
        reader.read_to_end(&mut said).unwrap();
        // Nobody listens any more when the patience was over.
        let _ = sender.send(String::from_utf8_lossy(&said).into_owned());
    });
    // The pipe ends with the child and all that it started.
    let said = receiver.recv_timeout(PATIENCE).ok();
    if said.is_none() {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    Outcome {
        status: said.is_some().then_some(status),
        said: said.unwrap_or_default(),
    }
}

/// The line that says what was noticed.
fn how(said: &str) -> &str {
    let mut lines = said.lines();
    let panicked = lines.any(|line| line.contains("panicked at"));
    let next = lines.next().filter(|_| panicked);
    next.unwrap_or("it passed")
}

/// Makes the copy anew, but keeps what was built there before.
fn refresh(copy: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in COPIED {
        let (from, to) = (root.join(part), copy.join(part));
        if to.is_dir() {
            fs::remove_dir_all(&to).unwrap();
        }
        copy_all(&from, &to);
    }
}

fn copy_all(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy_all(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}
