//! Filtered fetches pass over blocks by their summaries, and miss nothing when one of these can't be trusted.

use super::tests::open;
use crate::clock::ManualClock;
use crate::config::{ConsumerConfig, StreamConfig};
use crate::disk::MemoryDisk;
use crate::fetch::Fetch;
use crate::riverbed::Riverbed;
use crate::store::Reader;
use crate::stream::Stream;

/// Every how many messages one is wanted.
const PERIOD: u64 = 4_000;

/// A stream of many blocks in which few messages are wanted, opened anew.
fn log() -> (MemoryDisk, ManualClock, Riverbed, Stream) {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock);
    let config = StreamConfig::new("log").subjects(["log.*"]);
    let stream = store.create_stream(config).unwrap();
    for first in (1..=20_000).step_by(4_000) {
        let messages = (first..first + 4_000).map(|seq| {
            let wanted = seq % PERIOD == 1;
            let subject = if wanted { "log.wanted" } else { "log.other" };
            (subject, vec![seq as u8; 100])
        });
        stream.publish_batch(messages).unwrap();
    }
    store.close().unwrap();
    let store = open(&disk, &clock);
    let stream = store.stream("log").unwrap();
    (disk, clock, store, stream)
}

/// The sequences that a new consumer of what is wanted gets.
fn wanted(stream: &Stream) -> Vec<u64> {
    let config = ConsumerConfig::new("few").filter("log.wanted");
    let consumer = stream.create_consumer(config).unwrap();
    let mut seqs = Vec::new();
    loop {
        let batch = consumer.fetch(Fetch::new(2).no_wait()).unwrap();
        if batch.is_empty() {
            stream.delete_consumer("few").unwrap();
            return seqs;
        }
        seqs.extend(batch.iter().map(|message| message.seq().get()));
        batch.ack().unwrap();
    }
}

const WANTED: [u64; 5] = [1, 4_001, 8_001, 12_001, 16_001];

fn places(stream: &Stream) -> Vec<(u32, u64)> {
    let engine = &stream.root.engine;
    engine.store.read(Reader::summary_places).unwrap()
}

#[test]
fn blocks_that_are_not_wanted_are_not_read() {
    let (disk, _clock, _store, stream) = log();
    let blocks = places(&stream).len() as u64;
    assert!(blocks >= 35, "{blocks}");
    let before = disk.bytes_read();
    assert_eq!(wanted(&stream), WANTED);
    let read = disk.bytes_read() - before;
    let stored = stream.info().unwrap().bytes;
    assert!(read < stored / 4, "{read} bytes read of {stored}");
}

#[test]
fn g3_missing_summaries_hide_nothing() {
    let (_disk, _clock, store, stream) = log();
    let places = places(&stream);
    for skip in [0, 1, 2] {
        for (stream_id, first_seq) in places.iter().skip(skip).step_by(3) {
            let engine = &stream.root.engine;
            engine.store.tamper_summary(*stream_id, *first_seq, None);
        }
        assert_eq!(wanted(&stream), WANTED, "{skip}");
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn g11_damaged_summaries_hide_nothing_are_told_and_made_anew() {
    let (_disk, _clock, store, stream) = log();
    for (stream_id, first_seq) in places(&stream) {
        let engine = &stream.root.engine;
        // Whatever it says, it is of another version.
        let row = Some(vec![9; 40]);
        engine.store.tamper_summary(stream_id, first_seq, row);
    }
    assert_eq!(wanted(&stream), WANTED);
    let wrong = store.check().unwrap();
    assert_eq!(wrong.len(), places(&stream).len(), "{wrong:?}");
    assert_eq!(
        wrong[0],
        "row (1, 1) of table summaries does not say what its block has"
    );
    assert!(store.exclude_damaged().unwrap().is_empty());
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    assert_eq!(wanted(&stream), WANTED);
}

#[test]
fn a_summary_of_no_block_is_found() {
    let (_disk, _clock, store, stream) = log();
    let engine = &stream.root.engine;
    engine.store.tamper_summary(1, 99_999, Some(vec![1; 40]));
    let said = "row (1, 99999) of table summaries is of no block";
    assert_eq!(store.check().unwrap(), [said]);
}
