//! `Report`: the table that is printed, and the lines of JSON behind it.

use crate::Result;
use crate::options::{Journal, Options};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a row's value is to be: its figure, or its ratio to what stands beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    AtMost(f64),
    AtLeast(f64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    workload: &'static str,
    case: String,
    figure: f64,
    unit: &'static str,
    beside: Option<(String, f64)>,
    mark: Option<Mark>,
    probes: Vec<f64>,
}

pub(crate) struct Report {
    json: File,
    path: PathBuf,
    rows: Vec<Row>,
}

impl Mark {
    fn bound(self) -> f64 {
        let (Self::AtMost(bound) | Self::AtLeast(bound)) = self;
        bound
    }

    fn word(self) -> &'static str {
        match self {
            Self::AtMost(_) => "at most",
            Self::AtLeast(_) => "at least",
        }
    }

    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }

    fn verdict(self, value: f64) -> String {
        if self.is_met(value) {
            return "met".to_owned();
        }
        let off = (value / self.bound() - 1.0).abs() * 100.0;
        format!("missed by {off:.0} %")
    }
}

impl Row {
    pub(crate) fn new(
        workload: &'static str,
        case: impl Into<String>,
        (figure, unit): (f64, &'static str),
    ) -> Self {
        Self {
            workload,
            case: case.into(),
            figure,
            unit,
            beside: None,
            mark: None,
            probes: Vec::new(),
        }
    }

    /// What it is compared with, in the same unit and from the same run.
    pub(crate) fn beside(mut self, what: impl Into<String>, figure: f64) -> Self {
        self.beside = Some((what.into(), figure));
        self
    }

    pub(crate) fn at_most(mut self, bound: f64) -> Self {
        self.mark = Some(Mark::AtMost(bound));
        self
    }

    pub(crate) fn at_least(mut self, bound: f64) -> Self {
        self.mark = Some(Mark::AtLeast(bound));
        self
    }

    /// The probes around the figure, and around what stands beside it.
    pub(crate) fn probes(mut self, probes: &[f64]) -> Self {
        self.probes = probes.to_vec();
        self
    }

    fn value(&self) -> f64 {
        self.beside
            .as_ref()
            .map_or(self.figure, |(_, beside)| self.figure / beside)
    }

    fn is_met(&self) -> bool {
        self.mark.is_none_or(|mark| mark.is_met(self.value()))
    }

    fn line(&self) -> String {
        let beside = self.beside.as_ref().map(|(what, figure)| {
            let ratio = self.value();
            format!("{what} {}, ratio {ratio:.2}", shown(*figure))
        });
        let mark = self.mark.map(|mark| {
            let (word, bound) = (mark.word(), mark.bound());
            format!("{word} {bound}: {}", mark.verdict(self.value()))
        });
        let probes: Vec<String> = self.probes.iter().map(|us| format!("{us:.0}")).collect();
        format!(
            "  {:<36} {:>10} {:<8} {:<42} {:<26} {}",
            self.case,
            shown(self.figure),
            self.unit,
            beside.unwrap_or_default(),
            mark.unwrap_or_default(),
            probes.join("/"),
        )
    }

    fn json(&self) -> String {
        let number = |value: Option<f64>| value.map_or("null".to_owned(), json_number);
        let probes: Vec<String> = self.probes.iter().copied().map(json_number).collect();
        format!(
            r#"{{"row":"{}","case":"{}","figure":{},"unit":"{}","beside":"{}","beside_figure":{},"value":{},"mark":{},"bound":{},"met":{},"probes_us":[{}]}}"#,
            self.workload,
            self.case,
            json_number(self.figure),
            self.unit,
            self.beside.as_ref().map_or("", |(what, _)| what.as_str()),
            number(self.beside.as_ref().map(|(_, figure)| *figure)),
            json_number(self.value()),
            number(self.mark.map(Mark::bound)),
            self.mark
                .map_or("null".to_owned(), |mark| format!(r#""{}""#, mark.word())),
            self.mark.map_or("null".to_owned(), |mark| mark
                .is_met(self.value())
                .to_string()),
            probes.join(","),
        )
    }
}

impl Report {
    pub(crate) fn begin(options: &Options) -> Result<Self> {
        let journal = match options.journal {
            Journal::Default => "as by default".to_owned(),
            Journal::Off => "off".to_owned(),
            Journal::Segment(bytes) => format!("segments of {bytes} bytes"),
        };
        println!("payloads of 100 bytes where nothing else is said; every commit is durable");
        println!("journal: {journal}; stores in {}", options.dir.display());
        println!(
            "medians of {} repetitions in turns; at the end of a line the probe: 4 KiB overwritten and synced, us",
            options.repetitions()
        );
        if options.quick {
            println!("QUICK: this shows that it works; the figures mean little");
        }
        warn_if_busy();
        let mut json = File::create(&options.out)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (quick, repetitions) = (options.quick, options.repetitions());
        writeln!(
            json,
            r#"{{"run":{now},"quick":{quick},"journal":"{journal}","repetitions":{repetitions}}}"#
        )?;
        Ok(Self {
            json,
            path: options.out.clone(),
            rows: Vec::new(),
        })
    }

    pub(crate) fn row(&mut self, row: Row) -> Result {
        println!("{}", row.line().trim_end());
        writeln!(self.json, "{}", row.json())?;
        self.rows.push(row);
        Ok(())
    }

    /// One figure of one repetition.
    pub(crate) fn sample(
        &mut self,
        (workload, case, side): (&str, &str, &str),
        repetition: usize,
        (figure, value): (&str, f64),
        probe_us: f64,
    ) -> Result {
        let (value, probe_us) = (json_number(value), json_number(probe_us));
        Ok(writeln!(
            self.json,
            r#"{{"sample":"{workload}","case":"{case}","side":"{side}","repetition":{repetition},"figure":"{figure}","value":{value},"probe_us":{probe_us}}}"#
        )?)
    }

    /// How many marks were met, and which were not.
    pub(crate) fn sum(&self) {
        let marked = self.rows.iter().filter(|row| row.mark.is_some());
        let missed: Vec<&Row> = marked.clone().filter(|row| !row.is_met()).collect();
        let all = marked.count();
        println!("\n{} of {all} marks met", all - missed.len());
        for row in missed {
            println!("  missed: {}, {}", row.workload, row.case);
        }
        println!("every repetition: {}", self.path.display());
    }
}

/// On a busy machine what is measured is how long it takes to get a core.
fn warn_if_busy() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|load| load.parse().ok());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if let Some(load) = load.filter(|load: &f64| *load > cores as f64 / 2.0) {
        println!("BUSY: a load of {load} on {cores} cores; the figures mean little");
    }
}

/// With some three digits.
fn shown(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// JSON knows no infinity: what can't be said is null.
fn json_number(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.4}")
    } else {
        "null".to_owned()
    }
}
