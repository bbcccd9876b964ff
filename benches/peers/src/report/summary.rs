//! The repetitions of each cell put together: medians, and how far they lie apart.

use anyhow::{Context, Result};

use crate::cell::Workload;
use crate::probe::median;
use crate::record::{Line, Measured, Outcome, Record, Run};

pub struct Summary {
    pub run: Run,
    pub cells: Vec<Cell>,
}

/// All peers at one workload, number and size.
pub struct Cell {
    pub workload: String,
    pub number: usize,
    pub size: usize,
    pub rows: Vec<Row>,
}

pub struct Row {
    pub peer: String,
    /// What every repetition gave, or why there is nothing.
    pub figures: Result<Figures, String>,
}

pub struct Figures {
    pub per_second: f64,
    pub least: f64,
    pub most: f64,
    pub probe_us: f64,
    pub calls: Vec<Call>,
}

pub struct Call {
    pub name: String,
    /// Of all repetitions.
    pub count: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
}

impl Summary {
    pub fn of(lines: Vec<Line>) -> Result<Self> {
        let (mut run, mut records) = (None, Vec::new());
        for line in lines {
            match line {
                Line::Run(line) => run = Some(line),
                Line::Cell(record) => records.push(record),
            }
        }
        let mut run: Run = run.context("the results do not say where they were measured")?;
        // As many as there was time for, not as many as were asked for.
        let done = records.iter().map(|record| record.repetition + 1).max();
        run.repetitions = done.unwrap_or_default();
        let mut cells: Vec<Cell> = Vec::new();
        for record in &records {
            let known = cells.iter().any(|cell| cell.has(record));
            if !known {
                let of_cell = |other: &&Record| {
                    (&other.workload, other.number, other.size)
                        == (&record.workload, record.number, record.size)
                };
                let all: Vec<&Record> = records.iter().filter(of_cell).collect();
                cells.push(Cell::of(record, &run, &all));
            }
        }
        Ok(Self { run, cells })
    }

    pub fn cells(&self, workload: Workload) -> Vec<&Cell> {
        let of_it = |cell: &&Cell| cell.workload == workload.name();
        self.cells.iter().filter(of_it).collect()
    }
}

impl Cell {
    fn has(&self, record: &Record) -> bool {
        (&self.workload, self.number, self.size) == (&record.workload, record.number, record.size)
    }

    fn of(record: &Record, run: &Run, all: &[&Record]) -> Self {
        let row = |peer: &str| {
            let mine: Vec<&Outcome> = all
                .iter()
                .filter(|record| record.peer == peer)
                .map(|record| &record.result)
                .collect();
            (!mine.is_empty()).then(|| Row {
                peer: peer.to_owned(),
                figures: figures(&mine),
            })
        };
        Self {
            workload: record.workload.clone(),
            number: record.number,
            size: record.size,
            rows: run
                .peers
                .iter()
                .filter_map(|peer| row(&peer.name))
                .collect(),
        }
    }

    /// The disk that most had here.
    pub fn probe_us(&self) -> f64 {
        let measured = self.rows.iter().filter_map(|row| row.figures.as_ref().ok());
        let mut probes: Vec<f64> = measured.map(|figures| figures.probe_us).collect();
        median(&mut probes)
    }

    /// The figures of this peer, if it has any here.
    pub fn of_peer(&self, peer: &str) -> Option<&Figures> {
        let row = self.rows.iter().find(|row| row.peer == peer)?;
        row.figures.as_ref().ok()
    }
}

/// One failed repetition is a failure: medians of the rest would hide it.
fn figures(outcomes: &[&Outcome]) -> Result<Figures, String> {
    let mut measured = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Measured(one) => measured.push(one),
            Outcome::Skipped(why) => return Err(why.clone()),
            Outcome::Failed(why) => return Err(format!("FAILED: {why}")),
        }
    }
    let of = |what: &dyn Fn(&Measured) -> f64| {
        let mut values: Vec<f64> = measured.iter().map(|one| what(one)).collect();
        (median(&mut values), values)
    };
    let (per_second, sorted) = of(&|one| one.per_second);
    let names = measured.first().map(|one| one.calls.iter());
    let calls = names.into_iter().flatten().map(|call| {
        let every = |what: fn(&crate::record::Call) -> f64| {
            let same = measured.iter().flat_map(|one| &one.calls);
            let mut values: Vec<f64> = same
                .filter(|other| other.name == call.name)
                .map(what)
                .collect();
            (median(&mut values), values.iter().sum::<f64>())
        };
        Call {
            name: call.name.clone(),
            count: every(|call| call.count as f64).1 as u64,
            p50_us: every(|call| call.p50_us).0,
            p99_us: every(|call| call.p99_us).0,
            p999_us: every(|call| call.p999_us).0,
        }
    });
    Ok(Figures {
        per_second,
        least: sorted.first().copied().unwrap_or_default(),
        most: sorted.last().copied().unwrap_or_default(),
        probe_us: of(&|one| f64::midpoint(one.probe_before_us, one.probe_after_us)).0,
        calls: calls.collect(),
    })
}
