//! Bytes given to write calls for each byte of payload.

use crate::Result;
use crate::bench::Bench;
use crate::counting::{Counted, Counting};
use crate::messages::{PAYLOAD, batch};
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const NAME: &str = "written";
/// On a slow disk it ends after so long, with what was published until then.
const LONG_ENOUGH: Duration = Duration::from_secs(20);
/// Commits until a store is what it stays: with its tables, and with a journal if it has one.
const FIRST_COMMITS: u64 = 16;

/// So many messages of such a size, so many a commit.
struct Case {
    payload: usize,
    batch: u64,
    /// At most.
    messages: u64,
}

pub(crate) fn run(bench: &mut Bench) -> Result {
    let options = bench.options.clone();
    let cases = [
        (PAYLOAD, 1, options.pick(500, 50_000), 12.0),
        (PAYLOAD, 1_000, options.pick(100_000, 1_000_000), 2.6),
        (1_024, 1_000, options.pick(10_000, 200_000), 2.2),
    ];
    for (payload, batch, messages, mark) in cases {
        let case = Case {
            payload,
            batch,
            messages,
        };
        case.run(bench, &options, mark)?;
    }
    Ok(())
}

impl Case {
    fn run(&self, bench: &mut Bench, options: &Options, mark: f64) -> Result {
        let (counted, published) = self.counted(options)?;
        let payloads = (published * self.payload as u64) as f64;
        let name = format!("{} B, {} a commit", self.payload, self.batch);
        let row = |what: &str, bytes: u64| {
            let figure = (bytes as f64 / payloads, "a byte");
            Row::new(NAME, format!("{name}{what}"), figure)
        };
        bench.row(row("", counted.to_store + counted.to_journal).at_most(mark))?;
        bench.row(row(", to the store", counted.to_store))?;
        bench.row(row(", to the journal", counted.to_journal))?;
        let commits = published / self.batch;
        let syncs = counted.syncs as f64 / commits as f64;
        bench.row(Row::new(
            NAME,
            format!("{name}, syncs"),
            (syncs, "a commit"),
        ))
    }

    /// What was written from the first messages on until the store was closed; making it is left out. And
    /// how many messages these were.
    fn counted(&self, options: &Options) -> Result<(Counted, u64)> {
        let disk = Counting::default();
        let place = Place::with(options, options.builder().disk(Arc::new(disk.clone())))?;
        let stream = place.stream()?;
        for _ in 0..FIRST_COMMITS {
            stream.publish_batch(batch(0, 1, self.payload))?;
        }
        let (before, started, mut published) = (disk.counted(), Instant::now(), 0);
        while published < self.messages && started.elapsed() < LONG_ENOUGH {
            stream.publish_batch(batch(published, self.batch, self.payload))?;
            published += self.batch;
        }
        place.store.close()?;
        Ok((disk.counted().since(before), published))
    }
}
