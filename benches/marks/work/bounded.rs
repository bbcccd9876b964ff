//! A work queue that goes round and round: its file must not grow with what has passed through it.

use crate::Result;
use crate::bench::Bench;
use crate::messages::{PAYLOAD, SUBJECT, batch};
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use riverbed::{Consumer, ConsumerConfig, Fetch, Purge, Stream, StreamConfig};
use std::fs::Metadata;

pub(crate) const NAME: &str = "bounded";
const OUTSTANDING: u64 = 10_000;
const BATCH: u64 = 500;
const FIFTHS: usize = 5;
const MIB: f64 = (1 << 20) as f64;

/// What a store's file takes.
#[derive(Clone, Copy, Default)]
struct Size {
    len: f64,
    /// What the file system has given them.
    allocated: f64,
}

pub(crate) fn run(bench: &mut Bench) -> Result {
    let options = bench.options.clone();
    let messages: u64 = options.pick_full(100_000, 1_000_000, 5_000_000);
    let place = Place::new(&options)?;
    let (stream, consumer) = queue(&place)?;
    let mut sizes = [Size::default(); FIFTHS];
    for size in &mut sizes {
        for _ in 0..messages / FIFTHS as u64 / BATCH {
            cycle(&stream, &consumer)?;
        }
        *size = Size::of(&place)?;
    }
    let [_, second, .., last] = sizes;
    for (at, size) in sizes.iter().enumerate() {
        let case = format!("fifth {}, allocated", at + 1);
        bench.row(Row::new(NAME, case, (size.allocated, "MiB")))?;
    }
    let row = |what: &str, figure, second| {
        Row::new(NAME, format!("last fifth, {what}"), (figure, "MiB"))
            .beside("second fifth", second)
            .at_most(1.1)
    };
    bench.row(row("allocated", last.allocated, second.allocated))?;
    bench.row(row("length", last.len, second.len))?;
    if let Ok(journal) = std::fs::metadata(place.journal_path()) {
        let len = Size::of_file(&journal).len;
        bench.row(Row::new(NAME, "the journal beside it", (len, "MiB")))?;
    }
    drop((stream, consumer, place));
    purged(bench, &options, messages)
}

/// There is no stream that removes what was acked; a limit removes the oldest, which are acked already.
fn queue(place: &Place) -> Result<(Stream, Consumer)> {
    let config = StreamConfig::new(SUBJECT).max_messages(OUTSTANDING + BATCH);
    let stream = place.store.create_stream(config)?;
    let consumer = stream.create_consumer(ConsumerConfig::new("worker"))?;
    for first in (0..OUTSTANDING).step_by(BATCH as usize) {
        stream.publish_batch(batch(first, BATCH, PAYLOAD))?;
    }
    Ok((stream, consumer))
}

fn cycle(stream: &Stream, consumer: &Consumer) -> Result {
    stream.publish_batch(batch(0, BATCH, PAYLOAD))?;
    let fetched = consumer.fetch(Fetch::new(BATCH as usize).no_wait())?;
    let acked = fetched.ack()?.acked as u64;
    if acked == BATCH {
        Ok(())
    } else {
        Err(format!("{acked} of {BATCH} messages came").into())
    }
}

/// What a purge of a whole backlog gives back to the file system: at once, when the store is compacted, and when
/// it was closed.
fn purged(bench: &mut Bench, options: &Options, messages: u64) -> Result {
    let mut place = Place::new(options)?;
    let stream = place.filled(messages)?;
    let before = Size::of(&place)?;
    let purged = stream.purge(Purge::all())?;
    let after = Size::of(&place)?;
    place.store.compact()?;
    let compacted = Size::of(&place)?;
    place.reopen(options.builder())?;
    let reopened = Size::of(&place)?;
    for (case, size) in [
        ("purged", after),
        ("purged, compacted", compacted),
        ("purged, compacted and closed", reopened),
    ] {
        let row = |what: &str, figure, before| {
            Row::new(NAME, format!("{messages} {case}, {what}"), (figure, "MiB"))
                .beside("before", before)
        };
        let mut allocated = row("allocated", size.allocated, before.allocated);
        if case == "purged, compacted" {
            allocated = allocated.at_most(0.05);
        }
        bench.row(allocated)?;
        bench.row(row("length", size.len, before.len))?;
    }
    if purged != messages {
        return Err(format!("{purged} of {messages} messages were there to be purged").into());
    }
    Ok(())
}

impl Size {
    /// Of the store's own file: a journal has the same length whatever passes through it.
    fn of(place: &Place) -> Result<Self> {
        Ok(Self::of_file(&std::fs::metadata(place.path())?))
    }

    fn of_file(file: &Metadata) -> Self {
        #[cfg(unix)]
        let allocated = std::os::unix::fs::MetadataExt::blocks(file) * 512;
        #[cfg(not(unix))]
        let allocated = file.len();
        Self {
            len: file.len() as f64 / MIB,
            allocated: allocated as f64 / MIB,
        }
    }
}
