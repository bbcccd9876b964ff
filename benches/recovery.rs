//! How long opening takes after a clean close, after a kill while idle, and after a kill at work.
//!
//! ```text
//! cargo bench --bench recovery                                   # 100,000 messages of 100 bytes
//! cargo bench --bench recovery -- --messages 1000000
//! cargo bench --bench recovery -- --messages 1000000 --payload 1024 --dir PATH
//! ```
//!
//! A process of its own publishes in batches of 10,000, and ends as the case says: it closes the store;
//! or it is killed after two seconds of silence; or it is killed while it publishes. Then the store is
//! opened through a disk that counts the bytes read. The file comes from the page cache where memory allows
//! (`--cold` drops it first, as far as the system lets a process do that), so the bytes are what holds
//! on another machine, and the seconds are what a fast device would take.
#![allow(clippy::cast_precision_loss, reason = "figures have a few digits")]

#[path = "marks/counting.rs"]
#[expect(dead_code, reason = "only what is read is shown here")]
mod counting;
#[path = "marks/opening.rs"]
mod opening;

use opening::{Backlog, End, Opening};
use riverbed::Riverbed;
use riverbed::disk::{Disk, FileDisk};
use std::path::PathBuf;
use std::process::Command;

/// What went wrong is printed; nobody tells errors apart here.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Options {
    backlog: Backlog,
    dir: PathBuf,
    cold: bool,
    /// In the process that is going to end: the store and how.
    child: Option<(PathBuf, End)>,
}

fn main() -> Result {
    let options = options()?;
    let backlog = options.backlog;
    if let Some((path, end)) = &options.child {
        return end.fill(Riverbed::builder(), path, backlog);
    }
    println!(
        "{} messages of {} bytes, one consumer that fetched none",
        backlog.messages, backlog.payload
    );
    for end in End::ALL {
        measure(&options, end)?;
    }
    Ok(())
}

fn options() -> Result<Options> {
    let mut options = Options {
        backlog: Backlog {
            messages: 100_000,
            payload: 100,
        },
        dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        cold: false,
        child: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut text = || args.next().ok_or(format!("{arg} wants a value"));
        match arg.as_str() {
            "--bench" => {}
            "--messages" => options.backlog.messages = text()?.parse()?,
            "--payload" => options.backlog.payload = text()?.parse()?,
            "--dir" => options.dir = text()?.into(),
            "--cold" => options.cold = true,
            "--child" => options.child = Some((text()?.into(), End::named(&text()?)?)),
            other => {
                let why = format!("unknown option {other}; see the head of benches/recovery.rs");
                return Err(why.into());
            }
        }
    }
    Ok(options)
}

fn measure(options: &Options, end: End) -> Result {
    let folder = tempfile::tempdir_in(&options.dir)?;
    let path = folder.path().join("store");
    let Backlog { messages, payload } = options.backlog;
    let mut child = Command::new(std::env::current_exe()?);
    child
        .args(["--messages", &messages.to_string()])
        .args(["--payload", &payload.to_string(), "--child"])
        .arg(&path)
        .arg(end.name());
    end.run(child)?;
    if options.cold {
        std::fs::File::open(&path)?.sync_all()?;
        FileDisk::new().open(&path)?.drop_cache()?;
    }
    let opening = Opening::of(Riverbed::builder(), &path, messages)?;
    println!(
        "{:17}: {:7.1} ms to open, {:7.1} ms to the first message, {:8.1} MiB read ({:.2} of {:.0} MiB in use)",
        end.name(),
        opening.open_ms,
        opening.first_ms,
        mib(opening.bytes_read),
        opening.bytes_read as f64 / opening.used as f64,
        mib(opening.used),
    );
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
