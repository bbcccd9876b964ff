//! `Options`: what is to be run, how long, and on what kind of store.

use crate::{Result, work};
use riverbed::{Builder, Riverbed};
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of a journal's segment where nobody says otherwise: what the sizes of workloads are made by.
const SEGMENT: u64 = 1 << 20;

/// Whether stores have a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Journal {
    /// As the library has it by default.
    Default,
    Off,
    /// With segments of so many bytes.
    Segment(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where stores are made: the disk that is measured.
    pub(crate) dir: PathBuf,
    /// Where the lines of JSON go.
    pub(crate) out: PathBuf,
    pub(crate) quick: bool,
    /// With the backlogs of ten million.
    pub(crate) full: bool,
    pub(crate) journal: Journal,
    /// The workloads; none means all.
    names: Vec<String>,
    /// In a process that this benchmark started: what it is to do.
    pub(crate) child: Option<Vec<String>>,
}

impl Options {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let mut options = Self {
            out: folder.join("marks.jsonl"),
            dir: folder,
            quick: false,
            full: false,
            journal: Journal::Default,
            names: Vec::new(),
            child: None,
        };
        let mut bench = false;
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} wants a value"));
            match arg.as_str() {
                "--bench" => bench = true,
                "--quick" => options.quick = true,
                "--full" => options.full = true,
                "--dir" => options.dir = value()?.into(),
                "--out" => options.out = value()?.into(),
                "--journal" => {
                    options.journal = match value()?.as_str() {
                        "off" => Journal::Off,
                        "default" => Journal::Default,
                        bytes => Journal::Segment(bytes.parse()?),
                    }
                }
                "--child" => options.child = Some(args.by_ref().collect()),
                name if work::ALL.iter().any(|work| work.name == name) => {
                    options.names.push(name.to_owned());
                }
                other => {
                    let names: Vec<&str> = work::ALL.iter().map(|work| work.name).collect();
                    let names = names.join(", ");
                    return Err(format!("{other} is no option and none of: {names}").into());
                }
            }
        }
        // `cargo test --benches` runs this too, to see that it works.
        options.quick |= !bench;
        Ok(options)
    }

    /// The arguments that give a child the same options.
    pub(crate) fn to_args(&self) -> Vec<String> {
        let mut args = vec!["--bench".to_owned()];
        if self.quick {
            args.push("--quick".to_owned());
        }
        if self.full {
            args.push("--full".to_owned());
        }
        let journal = match self.journal {
            Journal::Default => "default".to_owned(),
            Journal::Off => "off".to_owned(),
            Journal::Segment(bytes) => bytes.to_string(),
        };
        args.extend(["--journal".to_owned(), journal]);
        args
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }

    /// How a store is opened. Without a word it is as the library makes it.
    pub(crate) fn builder(&self) -> Builder {
        match self.journal {
            Journal::Default => Riverbed::builder(),
            Journal::Off => Riverbed::builder().without_journal(),
            Journal::Segment(bytes) => Riverbed::builder().journal_segment(bytes),
        }
    }

    /// Bytes of a journal's three segments, or of what would be them.
    pub(crate) fn journal_bytes(&self) -> u64 {
        let segment = match self.journal {
            Journal::Default | Journal::Off => SEGMENT,
            Journal::Segment(bytes) => bytes,
        };
        3 * segment
    }

    /// How often everything that is compared has its turn.
    pub(crate) fn repetitions(&self) -> usize {
        self.pick(2, 5)
    }

    /// For how long calls are repeated in one turn.
    pub(crate) fn span(&self) -> Duration {
        Duration::from_millis(self.pick(60, 700))
    }

    /// A size for a quick run, and the usual one.
    pub(crate) fn pick<T>(&self, quick: T, usual: T) -> T {
        if self.quick { quick } else { usual }
    }

    /// A size for a quick run, the usual one, and the one with `--full`.
    pub(crate) fn pick_full<T>(&self, quick: T, usual: T, full: T) -> T {
        if self.full {
            full
        } else {
            self.pick(quick, usual)
        }
    }
}
