//! Tables and plots of what was measured.

mod index;
mod marks;
mod plot;
mod summary;
mod syncs;
mod table;

use anyhow::{Context, Result};
use std::path::Path;

use crate::cell::Workload;
use crate::options::Report;
use crate::record;
use summary::Summary;

pub fn run(options: &Report) -> Result<()> {
    let summary = Summary::of(record::read(&options.input)?)?;
    let syncs = match &options.syncs {
        Some(path) => syncs::read(path)?,
        None => syncs::Syncs::default(),
    };
    let out = &options.out;
    std::fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    for workload in Workload::ALL {
        let cells = summary.cells(workload);
        if cells.is_empty() {
            continue;
        }
        let name = workload.name();
        let page = table::page(&summary.run, workload, &cells);
        write(&out.join(format!("{name}.md")), &page)?;
        let plot = plot::svg(workload, &cells);
        write(&out.join(format!("{name}.svg")), &plot)?;
    }
    let marks = marks::page(&summary, options.marks.as_deref())?;
    write(&out.join("marks.md"), &marks)?;
    write(&out.join("README.md"), &index::page(&summary, &syncs))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
