//! The marks: what riverbed is to reach beside the floor and its peers, whether it did, and why not.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::fmt::Write;
use std::path::Path;

use super::index::conditions;
use super::summary::{Figures, Summary};
use super::table::escape;
use crate::cell::Workload;

/// Payloads that the marks are about.
const SIZE: usize = 100;

/// What costs a call most of what it takes beside the disk.
const PROCESSOR: &str = "time on the processor: making, staging, encoding and freeing a message takes 0.4 to 0.7 µs, \
     spread over a flat profile (history.md); the floor only writes";
const PER_COMMIT: &str =
    "some 8 µs of the caller's time a commit beside its write and sync (history.md)";
const PEER_BATCHES: &str = "time on the processor: making, staging, encoding and freeing a message takes 0.4 to 0.7 µs, \
     spread over a flat profile (history.md); some of it for what that peer does not keep: subjects, times, counters";
const HAND_OVER: &str = "the waiting thread is woken by the one that commits, on cores that the journal's and the \
     store's own threads use as well; beside a publish under the same load it is 1.1 to 1.3 (below)";
const THREADS: &str = "the threads' own work shares two cores with the commits; the floor has none";
const BOTH_WAYS: &str = "each byte is published, read, counted and acked by the same two cores while the floor only writes it";

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One mark: riverbed's figure beside another of the same cell.
struct Mark {
    what: &'static str,
    workload: Workload,
    number: usize,
    /// Who of riverbed's rows.
    ours: &'static str,
    beside: Beside,
    of: fn(&Figures) -> Option<f64>,
    bound: Bound,
    /// Why it is missed, where it is.
    cause: &'static str,
}

enum Beside {
    Peer(&'static str),
    /// Of another cell.
    Of((Workload, usize), &'static str),
    /// Whoever is durable and best at it.
    Best,
}

#[allow(clippy::unnecessary_wraps, reason = "beside one that may have none")]
fn rate(figures: &Figures) -> Option<f64> {
    Some(figures.per_second)
}

fn first_call_p50(figures: &Figures) -> Option<f64> {
    figures.calls.first().map(|call| call.p50_us)
}

const fn mark(
    what: &'static str,
    (workload, number): (Workload, usize),
    beside: Beside,
    of: fn(&Figures) -> Option<f64>,
    bound: Bound,
    cause: &'static str,
) -> Mark {
    Mark {
        what,
        workload,
        number,
        ours: "riverbed",
        beside,
        of,
        bound,
        cause,
    }
}

const FLOOR: Beside = Beside::Peer("floor-zero");

const MARKS: &[Mark] = {
    use Bound::{AtLeast, AtMost};
    use Workload::{Batch, Cycle, Drain, Latency, Publish};
    &[
        mark(
            "one message, one thread: latency, of the floor's",
            (Publish, 1),
            FLOOR,
            first_call_p50,
            AtMost(1.3),
            PER_COMMIT,
        ),
        mark(
            "… rate, of SQLite's",
            (Publish, 1),
            Beside::Peer("sqlite"),
            rate,
            AtLeast(1.0),
            PER_COMMIT,
        ),
        mark(
            "… rate, of fjall's",
            (Publish, 1),
            Beside::Peer("fjall"),
            rate,
            AtLeast(0.95),
            PER_COMMIT,
        ),
        mark(
            "8 threads: rate, of Redis's",
            (Publish, 8),
            Beside::Peer("redis"),
            rate,
            AtLeast(1.2),
            THREADS,
        ),
        mark(
            "… of the floor with a group commit",
            (Publish, 8),
            FLOOR,
            rate,
            AtLeast(0.85),
            THREADS,
        ),
        mark(
            "32 threads: rate, of Redis's",
            (Publish, 32),
            Beside::Peer("redis"),
            rate,
            AtLeast(1.2),
            THREADS,
        ),
        mark(
            "… of the floor with a group commit",
            (Publish, 32),
            FLOOR,
            rate,
            AtLeast(0.85),
            THREADS,
        ),
        mark(
            "batches of 100: rate, of the floor's",
            (Batch, 100),
            FLOOR,
            rate,
            AtLeast(0.6),
            PROCESSOR,
        ),
        mark(
            "… of SQLite's",
            (Batch, 100),
            Beside::Peer("sqlite"),
            rate,
            AtLeast(1.3),
            PEER_BATCHES,
        ),
        mark(
            "batches of 1,000: rate, of the floor's",
            (Batch, 1_000),
            FLOOR,
            rate,
            AtLeast(0.5),
            PROCESSOR,
        ),
        mark(
            "… of queue-file's",
            (Batch, 1_000),
            Beside::Peer("queue-file"),
            rate,
            AtLeast(1.0),
            PEER_BATCHES,
        ),
        mark(
            "drain by 100: rate, of the best durable peer's",
            (Drain, 100),
            Beside::Best,
            rate,
            AtLeast(1.0),
            PEER_BATCHES,
        ),
        Mark {
            ours: "riverbed-ack-and-fetch",
            ..mark(
                "… with `ack_and_fetch`",
                (Drain, 100),
                Beside::Best,
                rate,
                AtLeast(2.0),
                PEER_BATCHES,
            )
        },
        mark(
            "full cycle by 1,000: rate, of the best durable peer's",
            (Cycle, 1_000),
            Beside::Best,
            rate,
            AtLeast(1.0),
            BOTH_WAYS,
        ),
        mark(
            "… of the floor's rate of publishing alone",
            (Cycle, 1_000),
            Beside::Of((Batch, 1_000), "floor-zero"),
            rate,
            AtLeast(0.3),
            BOTH_WAYS,
        ),
        mark(
            "publish to receive: p50, of one commit's",
            (Latency, 1),
            Beside::Of((Publish, 1), "riverbed"),
            first_call_p50,
            AtMost(1.5),
            HAND_OVER,
        ),
        mark(
            "… of the best durable peer's",
            (Latency, 1),
            Beside::Best,
            first_call_p50,
            AtMost(1.0),
            PER_COMMIT,
        ),
    ]
};

/// Who is no peer, promises less, or counts no deliveries, so that a drain or a cycle is not the same work.
const NOT_THE_SAME: [&str; 6] = [
    "floor-zero",
    "floor-append",
    "yaque",
    "queue-file",
    "persistent-queue",
    "walrus-rust",
];

impl Mark {
    /// Our figure, the other one, and whose that is.
    fn figures(&self, summary: &Summary) -> Option<(f64, f64, String)> {
        let cell_of = |workload, number| {
            let mut cells = summary.cells(workload).into_iter();
            cells.find(|cell| (cell.number, cell.size) == (number, SIZE))
        };
        let cell = cell_of(self.workload, self.number)?;
        let of = |peer: &str| cell.of_peer(peer).and_then(self.of);
        let ours = of(self.ours)?;
        let (theirs, whose) = match self.beside {
            Beside::Peer(peer) => (of(peer)?, peer.to_owned()),
            Beside::Of((workload, number), peer) => {
                let other = cell_of(workload, number)?.of_peer(peer);
                (
                    other.and_then(self.of)?,
                    format!("{peer}, {} {number}", workload.name()),
                )
            }
            Beside::Best => {
                let peers = cell.rows.iter().map(|row| row.peer.clone());
                let peers = peers.filter(|peer| {
                    !peer.starts_with("riverbed") && !NOT_THE_SAME.contains(&peer.as_str())
                });
                let measured = peers.filter_map(|peer| of(&peer).map(|figure| (figure, peer)));
                let best = |one: &(f64, String), other: &(f64, String)| one.0.total_cmp(&other.0);
                match self.bound {
                    Bound::AtLeast(_) => measured.max_by(best)?,
                    Bound::AtMost(_) => measured.min_by(best)?,
                }
            }
        };
        Some((ours, theirs, whose))
    }

    fn line(&self, summary: &Summary) -> String {
        let (word, bound) = match self.bound {
            Bound::AtLeast(bound) => ("at least", bound),
            Bound::AtMost(bound) => ("at most", bound),
        };
        let mark = format!("| {} | {word} {bound} |", self.what);
        let Some((ours, theirs, whose)) = self.figures(summary) else {
            return format!("{mark} not measured | |");
        };
        let ratio = ours / theirs;
        let met = match self.bound {
            Bound::AtLeast(bound) => ratio >= bound,
            Bound::AtMost(bound) => ratio <= bound,
        };
        format!(
            "{mark} {ratio:.2} ({} against {} of {whose}) | {} |",
            shown(ours),
            shown(theirs),
            verdict(met, ratio, bound, self.cause)
        )
    }
}

fn shown(figure: f64) -> String {
    if figure >= 10_000.0 {
        format!("{:.0} k", figure / 1_000.0)
    } else {
        format!("{figure:.0}")
    }
}

fn verdict(met: bool, value: f64, bound: f64, cause: &str) -> String {
    if met {
        return "met".to_owned();
    }
    let off = (value / bound - 1.0).abs() * 100.0;
    let digits = usize::from(off < 2.0);
    format!("**missed by {off:.digits$} %**: {cause}")
}

/// A line of the library's own benchmark.
#[derive(Debug, Deserialize)]
struct Own {
    row: String,
    case: String,
    figure: f64,
    unit: String,
    beside: String,
    beside_figure: Option<f64>,
    value: f64,
    mark: Option<f64>,
    bound: Option<String>,
    met: Option<bool>,
}

/// What the library's own benchmark knows of its workloads.
fn own_cause(workload: &str) -> &'static str {
    match workload {
        "floor" | "cycle" | "large" => PROCESSOR,
        "leases" => {
            "up to 1,024 leases lapse in one commit, and whoever publishes meanwhile waits for it; fewer in each make all of it take longer"
        }
        "filter" => "every block's summary is read and verified to be passed over",
        _ => "not known; see history.md",
    }
}

impl Own {
    fn line(&self) -> String {
        let beside = match self.beside_figure {
            Some(figure) => format!(
                "against {} of {}, ratio {:.2}",
                shown_small(figure),
                escape(&self.beside),
                self.value
            ),
            None => String::new(),
        };
        let bound = self.mark.unwrap_or_default();
        format!(
            "| {}: {} | {} {bound} | {} {} {} | {} |",
            self.row,
            escape(&self.case),
            self.bound.as_deref().unwrap_or_default(),
            shown_small(self.figure),
            self.unit,
            beside,
            verdict(
                self.met.unwrap_or_default(),
                self.value,
                bound,
                own_cause(&self.row)
            )
        )
    }
}

fn shown_small(figure: f64) -> String {
    if figure < 100.0 {
        format!("{figure:.2}")
    } else {
        shown(figure)
    }
}

fn own(path: &Path) -> Result<Vec<Own>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let rows = text.lines().filter(|line| line.starts_with(r#"{"row":"#));
    rows.map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

/// The page.
pub fn page(summary: &Summary, marks: Option<&Path>) -> Result<String> {
    let mut page = String::from(
        "# The marks\n\n\
         What was to be reached, nearly all of it set before anything was built, and what was measured: met, or by \
         how much it was missed and why. \
         Payloads of 100 B, one durable commit a call.\n\n",
    );
    page.push_str(&conditions(&summary.run));
    page.push_str("\n| what | mark | measured | |\n|---|---|---|---|\n");
    for mark in MARKS {
        let _ = writeln!(page, "{}", mark.line(summary));
    }
    if let Some(path) = marks {
        page.push_str(
            "\n## riverbed beside itself and the bare disk\n\n\
             Of `cargo bench --bench marks`, right after the run above; what is done is in \
             [its README](../../benches/marks/README.md).\n\n\
             | what | mark | measured | |\n|---|---|---|---|\n",
        );
        for row in own(path)?.iter().filter(|row| row.mark.is_some()) {
            let _ = writeln!(page, "{}", row.line());
        }
    }
    Ok(page)
}
