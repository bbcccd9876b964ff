//! The arguments.

use anyhow::{Context, Result, anyhow, bail, ensure};
use pico_args::Arguments;
use std::path::PathBuf;
use std::time::Duration;

use crate::cell::{Cell, Workload};
use crate::peers;
use crate::queue::Peer;

pub const HELP: &str = "\
Measures riverbed, what one would use instead, and the bare disk, doing the same work.

riverbed-peers [measure] [OPTIONS]
    --workloads A,B    publish, batch, drain, cycle, latency; all of them if left out
    --peers A,B        names as `riverbed-peers list` prints them; all of them if left out
    --numbers A,B      only the cells with these numbers (threads, or messages of a batch or fetch)
    --size A,B         bytes of a payload; 100,1024 if left out
    --repetitions N    5 if left out
    --minutes M        no repetition is begun that would end later; no bound if left out
    --seconds S        how long one run of one cell measures; 0.3 if left out
    --quick            0.05 seconds and one repetition, to see that it works; its figures mean nothing
    --dir PATH         a folder on the disk to be measured; target/peers if left out
    --out FILE         every repetition as a line of JSON; target/peers/results.jsonl if left out
riverbed-peers report --in FILE [--syncs FILE] [--marks FILE] --out FOLDER
    writes tables and plots of results
riverbed-peers count --peer NAME --messages N [--dir PATH]
    publishes so many single messages and nothing else; for `count_syncs`
riverbed-peers list
    names the peers, and what they promise
";

pub struct Measure {
    pub cells: Vec<Cell>,
    pub peers: Vec<&'static dyn Peer>,
    pub repetitions: usize,
    pub span: Duration,
    /// How long all of it may take.
    pub most: Option<Duration>,
    pub quick: bool,
    pub dir: PathBuf,
    pub out: PathBuf,
}

pub struct Report {
    pub input: PathBuf,
    pub syncs: Option<PathBuf>,
    /// What the library's own benchmark wrote.
    pub marks: Option<PathBuf>,
    pub out: PathBuf,
}

pub struct Count {
    pub peer: &'static dyn Peer,
    pub messages: usize,
    pub dir: PathBuf,
}

pub enum Command {
    Measure(Measure),
    Report(Report),
    Count(Count),
    List,
    Help,
}

pub fn parse() -> Result<Command> {
    let mut args = Arguments::from_env();
    if args.contains(["-h", "--help"]) {
        return Ok(Command::Help);
    }
    let command = match args.subcommand()?.as_deref() {
        None | Some("measure") => Command::Measure(measure(&mut args)?),
        Some("report") => Command::Report(Report {
            input: args.value_from_str("--in")?,
            syncs: args.opt_value_from_str("--syncs")?,
            marks: args.opt_value_from_str("--marks")?,
            out: args.value_from_str("--out")?,
        }),
        Some("count") => Command::Count(Count {
            peer: peer(&args.value_from_str::<_, String>("--peer")?)?,
            messages: args.value_from_str("--messages")?,
            dir: dir(&mut args)?,
        }),
        Some("list") => Command::List,
        Some(other) => bail!("there is no command {other}\n\n{HELP}"),
    };
    let rest = args.finish();
    ensure!(rest.is_empty(), "unknown arguments {rest:?}\n\n{HELP}");
    Ok(command)
}

fn measure(args: &mut Arguments) -> Result<Measure> {
    let quick = args.contains("--quick");
    let workloads = match list(args, "--workloads")? {
        None => Workload::ALL.to_vec(),
        Some(names) => names
            .iter()
            .map(|name| workload(name))
            .collect::<Result<_>>()?,
    };
    let peers = match list(args, "--peers")? {
        None => peers::ALL.to_vec(),
        Some(names) => names.iter().map(|name| peer(name)).collect::<Result<_>>()?,
    };
    let sizes = numbers(args, "--size")?.unwrap_or_else(|| vec![100, 1024]);
    // A payload begins with its number.
    ensure!(sizes.iter().all(|size| *size >= 8), "--size is 8 at least");
    let only = numbers(args, "--numbers")?;
    let seconds: Option<f64> = args.opt_value_from_str("--seconds")?;
    let seconds = seconds.unwrap_or(if quick { 0.05 } else { 0.3 });
    let minutes: Option<f64> = args.opt_value_from_str("--minutes")?;
    let most = minutes.map(|minutes| Duration::try_from_secs_f64(minutes * 60.0));
    let repetitions: Option<usize> = args.opt_value_from_str("--repetitions")?;
    let dir = dir(args)?;
    let out: Option<PathBuf> = args.opt_value_from_str("--out")?;
    let mut cells = Vec::new();
    for workload in workloads {
        for &size in &sizes {
            let numbers = workload.numbers().iter().copied();
            let wanted =
                numbers.filter(|number| only.as_ref().is_none_or(|only| only.contains(number)));
            cells.extend(wanted.map(|number| Cell {
                workload,
                number,
                size,
            }));
        }
    }
    ensure!(!cells.is_empty(), "no cell has these numbers");
    Ok(Measure {
        cells,
        peers,
        repetitions: repetitions.unwrap_or(if quick { 1 } else { 5 }).max(1),
        span: Duration::try_from_secs_f64(seconds).context("--seconds")?,
        most: most.transpose().context("--minutes")?,
        quick,
        out: out.unwrap_or_else(|| dir.join("results.jsonl")),
        dir,
    })
}

/// Not a temporary folder: that may be in memory, and then nothing would be measured.
fn dir(args: &mut Arguments) -> Result<PathBuf> {
    let given: Option<PathBuf> = args.opt_value_from_str("--dir")?;
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers"));
    let dir = given.unwrap_or_else(default);
    std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    Ok(dir.canonicalize()?)
}

fn list(args: &mut Arguments, name: &'static str) -> Result<Option<Vec<String>>> {
    let text: Option<String> = args.opt_value_from_str(name)?;
    Ok(text.map(|text| text.split(',').map(str::to_owned).collect()))
}

fn numbers(args: &mut Arguments, name: &'static str) -> Result<Option<Vec<usize>>> {
    let Some(words) = list(args, name)? else {
        return Ok(None);
    };
    let parse = |word: &String| word.parse().with_context(|| format!("{name}: {word}"));
    words.iter().map(parse).collect::<Result<_>>().map(Some)
}

fn workload(name: &str) -> Result<Workload> {
    let found = Workload::ALL.into_iter().find(|one| one.name() == name);
    found.ok_or_else(|| anyhow!("there is no workload {name}"))
}

fn peer(name: &str) -> Result<&'static dyn Peer> {
    let found = peers::ALL.iter().find(|peer| peer.name() == name);
    found
        .copied()
        .ok_or_else(|| anyhow!("there is no peer {name}"))
}
