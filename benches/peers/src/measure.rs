//! All cells, peer by peer in turns, in one process.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cell::Cell;
use crate::machine::{Machine, ask};
use crate::options::Measure;
use crate::probe::Probe;
use crate::queue::Peer;
use crate::record::{Call, Line, Measured, Outcome, PeerFacts, Record, Run};
use crate::work;

pub fn run(options: &Measure, folder: &Path) -> Result<()> {
    let mut out = Output::create(&options.out)?;
    out.line(&Line::Run(facts(options)))?;
    let mut probe = Probe::new(folder)?;
    let started = Instant::now();
    let (mut failures, mut folders) = (0, 0);
    for repetition in 0..options.repetitions {
        // A round more takes about as long as those before did; it is begun only if there is time for it.
        let needed = started.elapsed() * (repetition as u32 + 1) / (repetition as u32).max(1);
        if repetition > 0 && options.most.is_some_and(|most| needed > most) {
            eprintln!("no time for more than {repetition} repetitions");
            break;
        }
        for (at, cell) in options.cells.iter().enumerate() {
            eprintln!(
                "{}/{}, {}/{} {cell}",
                repetition + 1,
                options.repetitions,
                at + 1,
                options.cells.len()
            );
            let mut order = options.peers.clone();
            // Everybody comes first once in a while, and has another neighbour.
            let turn = (repetition * 5 + at) % order.len().max(1);
            order.rotate_left(turn);
            for peer in order {
                folders += 1;
                let place = folder.join(format!("{folders}-{}", peer.name()));
                let result = one(peer, cell, options, &place, &mut probe);
                if let Outcome::Failed(why) = &result {
                    failures += 1;
                    eprintln!("  FAILED {}: {why}", peer.name());
                }
                let record = Record {
                    workload: cell.workload.name().to_owned(),
                    number: cell.number,
                    size: cell.size,
                    peer: peer.name().to_owned(),
                    repetition,
                    result,
                };
                show(&record, repetition);
                out.line(&Line::Cell(record))?;
            }
        }
    }
    eprintln!("every repetition: {}", options.out.display());
    ensure!(failures == 0, "{failures} runs failed");
    Ok(())
}

/// One peer's run of one cell, on a folder of its own, between two probes.
fn one(
    peer: &dyn Peer,
    cell: &Cell,
    options: &Measure,
    place: &PathBuf,
    probe: &mut Probe,
) -> Outcome {
    if let Some(why) = peer.refuses(cell) {
        return Outcome::Skipped(why.to_owned());
    }
    if let Some(why) = peer.absent() {
        return Outcome::Skipped(why);
    }
    let mut work = || -> Result<Measured> {
        std::fs::create_dir(place)?;
        let queue = peer.open(place)?;
        let probe_before_us = probe.median_us()?;
        let outcome = work::run(queue.as_ref(), cell, options.span);
        let probe_after_us = probe.median_us()?;
        queue.close()?;
        let outcome = outcome?;
        ensure!(outcome.seconds > 0.0, "nothing was measured");
        let summed = |(name, times): &(&str, work::Times)| Call {
            name: (*name).to_owned(),
            count: times.count(),
            p50_us: times.quantile_us(0.5),
            p99_us: times.quantile_us(0.99),
            p999_us: times.quantile_us(0.999),
        };
        Ok(Measured {
            messages: outcome.messages,
            seconds: outcome.seconds,
            per_second: outcome.messages as f64 / outcome.seconds,
            calls: outcome.calls.iter().map(summed).collect(),
            probe_before_us,
            probe_after_us,
        })
    };
    let result = work();
    // What is left over would only fill the disk.
    let _ = std::fs::remove_dir_all(place);
    match result {
        Ok(measured) => Outcome::Measured(measured),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

fn show(record: &Record, repetition: usize) {
    match &record.result {
        Outcome::Measured(measured) => {
            let calls: Vec<String> = measured
                .calls
                .iter()
                .map(|call| format!("{} {:.0}/{:.0}", call.name, call.p50_us, call.p99_us))
                .collect();
            eprintln!(
                "  {:<24} {:>10.0}/s  p50/p99 us: {}  probe {:.0} us",
                record.peer,
                measured.per_second,
                calls.join(", "),
                measured.probe_before_us
            );
        }
        Outcome::Skipped(why) if repetition == 0 => {
            eprintln!("  SKIPPED {}: {why}", record.peer);
        }
        Outcome::Skipped(_) | Outcome::Failed(_) => {}
    }
}

fn facts(options: &Measure) -> Run {
    let unknown = || "unknown".to_owned();
    let peers = options.peers.iter().map(|peer| PeerFacts {
        name: peer.name().to_owned(),
        version: peer.version(),
        durability: peer.durability().to_owned(),
        consuming: peer.consuming().to_owned(),
        absent: peer.absent(),
    });
    Run {
        date: ask("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_else(unknown),
        command: command(),
        quick: options.quick,
        repetitions: options.repetitions,
        seconds: options.span.as_secs_f64(),
        commit: ask(
            "git",
            &[
                "-C",
                env!("CARGO_MANIFEST_DIR"),
                "describe",
                "--always",
                "--dirty",
                "--abbrev=12",
            ],
        )
        .unwrap_or_else(unknown),
        machine: Machine::here(&options.dir),
        peers: peers.collect(),
    }
}

/// As it was given, without paths: they say nothing to a reader.
fn command() -> String {
    let mut words = vec!["riverbed-peers".to_owned()];
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--dir" || arg == "--out" {
            args.next();
        } else if !arg.starts_with("--dir=") && !arg.starts_with("--out=") {
            words.push(arg);
        }
    }
    words.join(" ")
}

struct Output(File);

impl Output {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self(file))
    }

    fn line(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        Ok(self.0.write_all(text.as_bytes())?)
    }
}
