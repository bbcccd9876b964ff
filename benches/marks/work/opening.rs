//! Opening a store after its process ended in one way or another; `benches/recovery.rs` measures the same
//! with any number and size of messages.

use crate::bench::Bench;
use crate::messages::PAYLOAD;
use crate::opening::{Backlog, End, Opening};
use crate::options::Options;
use crate::report::Row;
use crate::{Result, child};
use std::path::Path;

pub(crate) const NAME: &str = "opening";

pub(crate) fn run(bench: &mut Bench) -> Result {
    let options = bench.options.clone();
    for end in End::ALL {
        let (opening, probe) = bench.probed(|| open(&options, end))?;
        let row = |what: &str, figure| Row::new(NAME, format!("{}, {what}", end.name()), figure);
        bench.row(row("open", (opening.open_ms, "ms")).probes(&[probe]))?;
        bench.row(row("first message", (opening.first_ms, "ms")))?;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        bench.row(
            row("read", (mib(opening.bytes_read), "MiB")).beside("in use", mib(opening.used)),
        )?;
    }
    Ok(())
}

fn backlog(options: &Options) -> Backlog {
    Backlog {
        messages: options.pick_full(50_000, 1_000_000, 10_000_000),
        payload: PAYLOAD,
    }
}

fn open(options: &Options, end: End) -> Result<Opening> {
    let folder = tempfile::tempdir_in(&options.dir)?;
    let path = folder.path().join("store");
    let name = path.to_str().ok_or("the folder's name is no text")?;
    end.run(child::command(options, &[NAME, name, end.name()])?)?;
    Opening::of(options.builder(), &path, backlog(options).messages)
}

/// In the child that is going to end.
pub(crate) fn in_child(options: &Options, words: &[&str]) -> Result {
    let [path, end] = words else {
        return Err("a path and a way to end are wanted".into());
    };
    End::named(end)?.fill(options.builder(), Path::new(path), backlog(options))
}
