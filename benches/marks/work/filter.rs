//! A filter that wants one message of a thousand: all of them together, or spread evenly.

use crate::Result;
use crate::bench::Bench;
use crate::counting::Counting;
use crate::drain::Drain;
use crate::messages::{PAYLOAD, payload};
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use riverbed::{ConsumerConfig, Publish, StreamConfig};
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

/// What draining took, and what of the file was read for it.
struct Drained {
    drain: Drain,
    read: f64,
}

pub(crate) fn run(bench: &mut Bench) -> Result {
    let options = bench.options.clone();
    let messages = options.pick_full(20_000, 1_000_000, 10_000_000);
    let disk = Counting::default();
    let mut place = Place::with(&options, options.builder().disk(Arc::new(disk.clone())))?;
    fill(&place, messages)?;
    let all = pass(&options, &mut place, &disk)?;
    let matching = messages / ONE_OF;
    let mut drained = |filter: &'static str, wanted| {
        bench.probed(|| drain(&options, &mut place, &disk, filter, wanted))
    };
    let (unfiltered, unfiltered_probe) = drained("s.>", UNFILTERED.min(messages))?;
    let (clustered, clustered_probe) = drained("s.clustered", matching)?;
    let (uniform, uniform_probe) = drained("s.uniform", matching)?;
    let cost = |case: &str, drained: &Drained, probe| {
        Row::new(NAME, case, (drained.drain.us_a_message(), "us each"))
            .beside("without a filter", unfiltered.drain.us_a_message())
            .probes(&[probe, unfiltered_probe])
    };
    bench.row(cost("clustered", &clustered, clustered_probe).at_most(3.0))?;
    bench.row(cost("uniform", &uniform, uniform_probe))?;
    let read = |case: &str, drained: &Drained| {
        Row::new(NAME, case, (drained.read / MIB, "MiB read"))
            .beside("one pass over all", all / MIB)
    };
    bench.row(read("clustered, bytes read", &clustered))?;
    bench.row(read("uniform, bytes read", &uniform).at_most(1.0))
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

/// Bytes of the file that reading all messages once takes, in a store that was just opened.
fn pass(options: &Options, place: &mut Place, disk: &Counting) -> Result<f64> {
    place.reopen(options.builder().disk(Arc::new(disk.clone())))?;
    let stream = place.store.stream("s")?;
    let before = disk.counted();
    for message in stream.range(..) {
        message?;
    }
    Ok(disk.counted().since(before).read as f64)
}

/// One consumer with this filter, in a store that was just opened.
fn drain(
    options: &Options,
    place: &mut Place,
    disk: &Counting,
    filter: &str,
    wanted: u64,
) -> Result<Drained> {
    place.reopen(options.builder().disk(Arc::new(disk.clone())))?;
    let stream = place.store.stream("s")?;
    let name = filter.replace(['.', '>'], "-");
    let consumer = stream.create_consumer(ConsumerConfig::new(name).filter(filter))?;
    let before = disk.counted();
    let drain = Drain::run(&consumer, FETCH, wanted)?;
    let read = disk.counted().since(before).read as f64;
    Ok(Drained { drain, read })
}
