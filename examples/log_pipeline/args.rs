//! The command line, read by hand: it has four options.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: log_pipeline --store PATH [--batch N] FILE...

  --store PATH   the store; made if it is not there, taken up where it was left if it is
  --batch N      lines in one publish and messages in one fetch (default 4096)
  FILE           log files of any kind; `-` reads standard input
";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) store: PathBuf,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) batch: usize,
    /// Not in the usage: a line on standard error for every step, for a test that kills this program.
    pub(crate) steps: bool,
}

/// Reads the arguments. `None` means that help was asked for.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Args>, String> {
    let mut args = args.into_iter();
    let (mut store, mut files, mut batch, mut steps) = (None, Vec::new(), 4096, false);
    let mut options = true;
    while let Some(arg) = args.next() {
        match arg.to_str().filter(|_| options) {
            Some("--help" | "-h") => return Ok(None),
            Some("--store") => store = Some(args.next().ok_or("--store needs a path")?.into()),
            Some("--batch") => {
                let number = args.next().ok_or("--batch needs a number")?;
                let number = number.to_str().and_then(|text| text.parse().ok());
                batch = number
                    .filter(|n| (1..=65_536).contains(n))
                    .ok_or("--batch takes 1 to 65536")?;
            }
            Some("--steps") => steps = true,
            Some("--") => options = false,
            Some(other) if other.starts_with("--") => {
                return Err(format!("unknown option {other}"));
            }
            _ => files.push(arg.into()),
        }
    }
    let store = store.ok_or("--store is missing")?;
    if files.is_empty() {
        return Err("no files; `-` reads standard input".to_owned());
    }
    Ok(Some(Args {
        store,
        files,
        batch,
        steps,
    }))
}
