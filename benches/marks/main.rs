//! What the library alone does, beside the least that the same promise costs, each with the mark that it
//! is to reach: see `benches/marks/README.md`.
//!
//! ```text
//! cargo bench --bench marks                      # everything
//! cargo bench --bench marks -- --quick           # that it works; the figures mean little
//! cargo bench --bench marks -- floor latency     # some of it
//! ```
//!
//! A missed mark is printed and is no failure; a wrong answer is one.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures are shown with a few digits"
)]

mod bare;
mod bench;
mod callers;
mod child;
mod counting;
mod drain;
mod group;
mod median;
mod messages;
mod opening;
mod options;
mod place;
mod report;
mod times;
mod work;
mod zeroed;

use bench::Bench;
use options::Options;

/// What went wrong is printed and ends the workload; nobody tells errors apart here.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result {
    let options = Options::parse(std::env::args().skip(1))?;
    if let Some(child) = &options.child {
        return work::in_child(&options, child);
    }
    let mut bench = Bench::new(options)?;
    let mut failed = Vec::new();
    for work in work::ALL {
        if !bench.options.wants(work.name) {
            continue;
        }
        println!("\n{}: {}", work.name, work.what);
        if let Err(why) = (work.run)(&mut bench) {
            println!("FAILED {}: {why}", work.name);
            failed.push(work.name);
        }
    }
    bench.report.sum();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")).into())
    }
}
