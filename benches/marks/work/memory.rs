//! What a process takes that made a backlog: of its own, so that nothing else is in the figure.

use crate::bench::Bench;
use crate::messages::{PAYLOAD, payload};
use crate::options::Options;
use crate::report::Row;
use crate::{Result, child};
use riverbed::{ConsumerConfig, Publish, Riverbed, StreamConfig};
use std::path::Path;
use std::time::Duration;

pub(crate) const NAME: &str = "memory";
const MIB: f64 = (1 << 20) as f64;
/// What the library may take beside its page cache, whatever is stored.
const BESIDE: f64 = 48.0 * MIB;
/// What one remembered id may take: 33 bytes in a table and 32 in a row of them, both of which double when
/// they are full, and the table is there twice while it does.
const OF_AN_ID: f64 = 160.0;
/// What a subject may take: its name, and a place in each of two tables.
const OF_A_SUBJECT: f64 = 256.0;
const BATCH: u64 = 1_000;
/// The library's default for how many ids a stream remembers.
const IDS: u64 = 1_000_000;

/// What a backlog consists of.
#[derive(Clone, Copy)]
struct Backlog {
    messages: u64,
    /// So many of the last messages have ids.
    ids: u64,
    subjects: u64,
}

/// What the system says of the child, in bytes.
struct Taken {
    peak: f64,
    resident: f64,
}

pub(crate) fn run(bench: &mut Bench) -> Result {
    let options = bench.options.clone();
    let messages = options.pick_full(100_000, 1_000_000, 10_000_000);
    let subjects = options.pick(20_000, 100_000);
    let ids = messages.min(IDS);
    let make = |ids, subjects| {
        Backlog {
            messages,
            ids,
            subjects,
        }
        .in_child_process(&options)
    };
    let Some(plain) = make(0, 1)? else {
        println!("  the system does not say what memory a process takes");
        return Ok(());
    };
    let mib = |bytes: f64| (bytes / MIB, "MiB");
    let bound = cache(&options) as f64 + BESIDE;
    let case = |what: &str| format!("{messages} messages, {what}");
    bench.row(Row::new(NAME, case("peak"), mib(plain.peak)).at_most(bound / MIB))?;
    bench.row(Row::new(NAME, case("at the end"), mib(plain.resident)))?;
    for (what, ids, subjects, stated) in [
        ("id", ids, 1, OF_AN_ID),
        ("subject", 0, subjects, OF_A_SUBJECT),
    ] {
        if let Some(taken) = make(ids, subjects)? {
            let each = (taken.resident - plain.resident) / ids.max(subjects) as f64;
            let case = format!("an {what}, of {}", ids.max(subjects)).replace("an s", "a s");
            bench.row(Row::new(NAME, case, (each, "bytes")).at_most(stated))?;
        }
    }
    if let Some(both) = make(ids, subjects)? {
        let bound = bound + ids as f64 * OF_AN_ID + subjects as f64 * OF_A_SUBJECT;
        let row = Row::new(
            NAME,
            case("ids and subjects, peak"),
            (both.peak / MIB, "MiB"),
        );
        bench.row(row.at_most((bound / MIB).round()))?;
    }
    Ok(())
}

/// Bytes of the page cache: the default, and less where there is less to store. It must be full in every
/// case, or what a message's id takes on disk would be in the difference, too.
fn cache(options: &Options) -> usize {
    options.pick(4 << 20, 64 << 20)
}

impl Backlog {
    /// Makes it in a process of its own; `None` where the system does not say what that took.
    fn in_child_process(self, options: &Options) -> Result<Option<Taken>> {
        let folder = tempfile::tempdir_in(&options.dir)?;
        let path = folder.path().join("store");
        let path = path.to_str().ok_or("the folder's name is no text")?;
        let numbers = [self.messages, self.ids, self.subjects].map(|number| number.to_string());
        let [messages, ids, subjects] = &numbers;
        let said = child::output(options, &[NAME, path, messages, ids, subjects])?;
        let kib = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        let taken = kib("VmHWM:").zip(kib("VmRSS:"));
        Ok(taken.map(|(peak, resident)| Taken {
            peak: peak * 1024.0,
            resident: resident * 1024.0,
        }))
    }

    fn make(self, store: &Riverbed) -> Result {
        let config = StreamConfig::new("backlog")
            .subjects(["backlog.>"])
            .dedup_ids(IDS)
            .dedup_window(Duration::from_secs(3600));
        let stream = store.create_stream(config)?;
        stream.create_consumer(ConsumerConfig::new("nobody"))?;
        for first in (0..self.messages).step_by(BATCH as usize) {
            let numbers = first..(first + BATCH).min(self.messages);
            stream.publish_batch(numbers.map(|number| self.message(number)))?;
        }
        Ok(())
    }

    fn message(self, number: u64) -> Publish {
        let subject = format!("backlog.{}", number % self.subjects);
        let message = Publish::new(subject, payload(number, PAYLOAD));
        if number >= self.messages - self.ids {
            message.id(format!("message-{number}"))
        } else {
            message
        }
    }
}

/// In the child: makes the backlog, and prints what the system says while the store is open.
pub(crate) fn in_child(options: &Options, words: &[&str]) -> Result {
    let [path, messages, ids, subjects] = words else {
        return Err("a path and three numbers are wanted".into());
    };
    let backlog = Backlog {
        messages: messages.parse()?,
        ids: ids.parse()?,
        subjects: subjects.parse()?,
    };
    let store = options
        .builder()
        .cache_bytes(cache(options))
        .open(Path::new(path))?;
    backlog.make(&store)?;
    print!(
        "{}",
        std::fs::read_to_string("/proc/self/status").unwrap_or_default()
    );
    Ok(store.close()?)
}
