//! The same work on riverbed, on what one would use instead, and on the bare disk. See README.md.

mod bell;
mod cell;
mod count;
mod embedded;
mod group;
mod machine;
mod measure;
mod options;
mod payload;
mod peers;
mod probe;
mod queue;
mod record;
mod report;
mod version;
mod work;

use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use options::Command;
use peers::walrus::{DATA_DIR, QUIET};

fn main() -> Result<()> {
    match options::parse()? {
        Command::Measure(options) => {
            let folder = Folder::enter(&options.dir)?;
            measure::run(&options, &folder.0)
        }
        Command::Count(options) => {
            let folder = Folder::enter(&options.dir)?;
            count::run(&options, &folder.0)
        }
        Command::Report(options) => report::run(&options),
        Command::List => {
            count::list();
            Ok(())
        }
        Command::Help => {
            print!("{}", options::HELP);
            Ok(())
        }
    }
}

/// Where this process puts its queues; removed at the end.
struct Folder(PathBuf);

impl Folder {
    /// walrus-rust learns its folder from the environment, which a program can't change safely once it runs. So
    /// it starts itself again, with the same process id.
    fn enter(dir: &Path) -> Result<Self> {
        let folder = dir.join(format!("run-{}", std::process::id()));
        if std::env::var_os(DATA_DIR).is_none_or(|set| set != folder.as_os_str()) {
            let error = Process::new(std::env::current_exe()?)
                .args(std::env::args_os().skip(1))
                .env(DATA_DIR, &folder)
                .env(QUIET, "1")
                .exec();
            return Err(error).context("start again with another environment");
        }
        std::fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} could not be removed: {error}", self.0.display());
        }
    }
}
