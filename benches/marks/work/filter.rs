//! A filter that wants one message of a thousand: all of them together, or spread evenly.

use crate::Result;
use crate::bench::{Bench, Turns};
use crate::counting::{Counted, Counting};
use crate::drain::Drain;
use crate::messages::{PAYLOAD, payload};
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use riverbed::{ConsumerConfig, Publish, Stream, StreamConfig};
use std::cell::RefCell;
use std::sync::Arc;

pub(crate) const NAME: &str = "filter";
const ONE_OF: u64 = 1_000;
const FETCH: usize = 100;
const BATCH: u64 = 10_000;
/// Messages that lie together in the clustered case, or all that match if they are fewer.
const CLUSTER: u64 = 1_000;

/// Messages by which the cost without a filter is known: each costs the same.
const UNFILTERED: u64 = 100_000;
const MIB: f64 = (1 << 20) as f64;

/// A store with the messages, and the disk that counts what is read of it.
struct Log {
    place: Place,
    disk: Counting,
    options: Options,
}

pub(crate) fn run(bench: &mut Bench) -> Result {
    let messages = bench.options.pick_full(20_000, 1_000_000, 10_000_000);
    let log = RefCell::new(Log::new(&bench.options, messages)?);
    let all = log.borrow_mut().pass()?;
    let matching = messages / ONE_OF;
    let turns = bench.turns(
        (NAME, "drain"),
        ["us_each", "mib_read"],
        [
            ("unfiltered", &mut || {
                log.borrow_mut().drain("s.>", UNFILTERED.min(messages))
            }),
            ("clustered", &mut || {
                log.borrow_mut().drain("s.clustered", matching)
            }),
            ("uniform", &mut || {
                log.borrow_mut().drain("s.uniform", matching)
            }),
        ],
    )?;
    let Turns {
        medians:
            [
                [unfiltered, _],
                [clustered, clustered_read],
                [uniform, uniform_read],
            ],
        probes: [unfiltered_probe, clustered_probe, uniform_probe],
    } = turns;
    let cost = |case: &str, us, probe| {
        Row::new(NAME, case, (us, "us each"))
            .beside("without a filter", unfiltered)
            .probes(&[probe, unfiltered_probe])
    };
    bench.row(cost("clustered", clustered, clustered_probe).at_most(3.0))?;
    bench.row(cost("uniform", uniform, uniform_probe))?;
    let read =
        |case: &str, mib| Row::new(NAME, case, (mib, "MiB read")).beside("one pass over all", all);
    bench.row(read("clustered, bytes read", clustered_read))?;
    bench.row(read("uniform, bytes read", uniform_read).at_most(1.0))
}

impl Log {
    fn new(options: &Options, messages: u64) -> Result<Self> {
        let log = Self {
            place: Place::new(options)?,
            disk: Counting::default(),
            options: options.clone(),
        };
        fill(&log.place, messages)?;
        Ok(log)
    }

    /// With nothing of it in memory.
    fn reopen(&mut self) -> Result<Stream> {
        let disk = Arc::new(self.disk.clone());
        self.place.reopen(self.options.builder().disk(disk))?;
        Ok(self.place.store.stream("s")?)
    }

    /// MiB that reading all messages once takes.
    fn pass(&mut self) -> Result<f64> {
        let stream = self.reopen()?;
        let before = self.disk.counted();
        for message in stream.range(..) {
            message?;
        }
        Ok(self.read_since(before))
    }

    /// One new consumer with this filter: microseconds a message, and MiB read.
    fn drain(&mut self, filter: &str, wanted: u64) -> Result<[f64; 2]> {
        let stream = self.reopen()?;
        let consumer = stream.create_consumer(ConsumerConfig::new("one").filter(filter))?;
        let before = self.disk.counted();
        let drain = Drain::run(&consumer, FETCH, wanted)?;
        let read = self.read_since(before);
        stream.delete_consumer("one")?;
        Ok([drain.us_a_message(), read])
    }

    fn read_since(&self, before: Counted) -> f64 {
        self.disk.counted().since(before).read as f64 / MIB
    }
}

/// Both kinds of matches are in one stream. A cluster is in the middle of what it stands for.
fn fill(place: &Place, messages: u64) -> Result {
    let stream = place
        .store
        .create_stream(StreamConfig::new("s").subjects(["s.>"]))?;
    let cluster = CLUSTER.min(messages / ONE_OF);
    let period = cluster * ONE_OF;
    let subject = |number: u64| {
        let in_period = number % period;
        if (period / 2..period / 2 + cluster).contains(&in_period) {
            "s.clustered"
        } else if number % ONE_OF == ONE_OF / 3 {
            "s.uniform"
        } else {
            "s.other"
        }
    };
    // Those that would lie in a cluster follow at the end.
    let mut uniform = 0;
    for first in (0..messages).step_by(BATCH as usize) {
        let numbers = first..(first + BATCH).min(messages);
        let batch = numbers.map(|number| {
            let subject = subject(number);
            uniform += u64::from(subject == "s.uniform");
            Publish::new(subject, payload(number, PAYLOAD))
        });
        stream.publish_batch(batch)?;
    }
    for number in uniform..messages / ONE_OF {
        stream.publish("s.uniform", payload(number, PAYLOAD))?;
    }
    Ok(())
}
