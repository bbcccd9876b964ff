//! A whole file: any bytes, or a good store with any damage, opened and read to its end.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::source::Source;
use crate::disk::{Disk, MemoryDisk};
use crate::salvage::Salvage;
use crate::{
    ConsumerConfig, Fetch, ManualClock, OpenError, Publish, Riverbed, Seq, StreamConfig,
    Unavailable,
};

/// How many messages the good store has.
const MESSAGES: u64 = 200;
/// Bytes of a segment of a journal.
const SEGMENT: u64 = 128 << 10;
/// What is read of an endless range: more than there can be.
const RANGE_MAX: usize = 10_000;

/// Opens the bytes as a store, reads, delivers, publishes, closes, and salvages. Nothing may panic, and
/// no message may come out that was never stored.
pub fn open(data: &[u8]) {
    ignore_contained_panics();
    let mut source = Source::new(data);
    let files = match source.below(6) {
        0 => (data.get(1..).unwrap_or_default().to_vec(), None),
        // A store that has a journal: that is damaged, or the store's file under it.
        4 => {
            let (file, journal) = good_pair();
            (file.clone(), Some(damaged(journal, &mut source)))
        }
        5 => {
            let (file, journal) = good_pair();
            (damaged(file, &mut source), Some(journal.clone()))
        }
        kind => {
            let good = &good_stores()[usize::from(kind) % 2];
            (damaged(good, &mut source), None)
        }
    };
    salvage(&files);
    exercise(&files, data.len() % 2 == 1);
}

/// A store's file, and its journal if it has one.
type Files = (Vec<u8>, Option<Vec<u8>>);

/// The good store, closed and killed.
fn good_stores() -> &'static [Vec<u8>; 2] {
    static STORES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    STORES.get_or_init(|| {
        let disk = MemoryDisk::new();
        let store = begin(&disk, false).unwrap();
        fill(&store, 4);
        store.drive().unwrap();
        let stream = store.stream("s").unwrap();
        stream.delete(Seq::new(50)).unwrap();
        let killed = bytes_of(&disk, path());
        store.close().unwrap();
        [bytes_of(&disk, path()), killed]
    })
}

/// A killed store whose journal holds most of it.
fn good_pair() -> &'static (Vec<u8>, Vec<u8>) {
    static PAIR: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    PAIR.get_or_init(|| {
        let disk = MemoryDisk::new();
        let store = begin(&disk, true).unwrap();
        fill(&store, 20);
        let image = disk.kill_image();
        (bytes_of(&image, path()), bytes_of(&image, journal_path()))
    })
}

fn fill(store: &Riverbed, batches: u64) {
    let stream = store
        .create_stream(StreamConfig::new("s").subjects(["s.>"]))
        .unwrap();
    let worker = ConsumerConfig::new("worker")
        .max_deliver(1)
        .dead_letter("d");
    let worker = stream.create_consumer(worker).unwrap();
    let size = MESSAGES / batches;
    for batch in 0..batches {
        let messages = (1..=size).map(|n| message(batch * size + n));
        stream.publish_batch(messages).unwrap();
        // The journal is made here, if there is to be one, and nothing is old enough for more.
        if batch < 2 {
            store.drive().unwrap();
        }
    }
    for (n, message) in worker.fetch(20).unwrap().into_iter().enumerate() {
        match n % 3 {
            0 => message.ack().unwrap(),
            1 => message.nak().unwrap(),
            _ => {}
        }
    }
}

fn message(seq: u64) -> Publish {
    Publish::new(format!("s.{}", seq % 5), payload(seq)).id(format!("id-{seq}"))
}

fn payload(seq: u64) -> Vec<u8> {
    format!("payload {seq} ")
        .repeat(seq as usize % 40 + 1)
        .into_bytes()
}

/// Patches, each at a place of its own, until the bytes are used up.
fn damaged(good: &[u8], source: &mut Source<'_>) -> Vec<u8> {
    let mut file = good.to_vec();
    while !source.is_empty() {
        let (kind, at) = (
            source.below(5),
            source.number() as usize % file.len().max(1),
        );
        match kind {
            0 => file.truncate(at.max(1)),
            1 => {
                let len = (source.number() as usize % 8192).min(file.len() - at);
                file[at..at + len].fill(0);
            }
            2 => {
                let from = source.number() as usize % file.len();
                let len = 4096.min(file.len() - at).min(file.len() - from);
                file.copy_within(from..from + len, at);
            }
            _ => {
                for (byte, patch) in file[at..].iter_mut().zip(source.bytes(64)) {
                    *byte ^= patch;
                }
            }
        }
    }
    file
}

fn begin(disk: &MemoryDisk, keeps_journal: bool) -> Result<Riverbed, OpenError> {
    let builder = Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .clock(ManualClock::new().clock())
        .cache_bytes(1 << 20)
        .without_threads();
    if keeps_journal {
        builder.journal_segment(SEGMENT).open(path())
    } else {
        builder.without_journal().open(path())
    }
}

fn path() -> &'static Path {
    Path::new("/d/q")
}

fn journal_path() -> &'static Path {
    Path::new("/d/q.journal")
}

fn bytes_of(disk: &MemoryDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn exercise((file, journal): &Files, keeps_journal: bool) {
    let disk = MemoryDisk::new();
    disk.create(path()).unwrap().write_at(0, file).unwrap();
    if let Some(journal) = journal {
        let beside = disk.create(journal_path()).unwrap();
        beside.write_at(0, journal).unwrap();
    }
    let Ok(store) = begin(&disk, keeps_journal) else {
        return;
    };
    // What is wrong may be said by any of these, and nothing else may happen.
    let _: Result<Vec<String>, Unavailable> = store.check();
    for name in store.streams().unwrap_or_default() {
        let Ok(stream) = store.stream(&name) else {
            continue;
        };
        for message in stream.range(..).take(RANGE_MAX).flatten() {
            stored(&name, message.seq(), message.payload());
        }
        for consumer in stream.consumers().unwrap_or_default() {
            let Ok(consumer) = stream.consumer(&consumer) else {
                continue;
            };
            for message in consumer
                .fetch(Fetch::new(1_000).no_wait())
                .into_iter()
                .flatten()
            {
                stored(&name, message.seq(), message.payload());
            }
        }
        if let Ok(ack) = stream.publish("s.new", "new")
            && let Ok(back) = stream.get(ack.seq)
        {
            assert_eq!(back.unwrap().payload(), b"new");
        }
    }
    if store.close().is_ok() {
        drop(begin(&disk, keeps_journal));
    }
}

/// Only what was stored comes out. The dead-letter stream has copies of it.
fn stored(stream: &str, seq: Seq, bytes: &[u8]) {
    if stream == "s" {
        assert_eq!(bytes, payload(seq.get()), "{seq:?}");
    } else {
        assert!((1..=MESSAGES).any(|seq| payload(seq) == bytes));
    }
}

fn salvage((file, journal): &Files) {
    let source = Cursor::new(file.as_slice());
    let salvage = match journal {
        Some(journal) => Salvage::with_journal(source, Cursor::new(journal.as_slice())),
        None => Salvage::of(source),
    };
    let mut seen = BTreeSet::new();
    for salvaged in salvage.unwrap().messages() {
        let seq = salvaged.message.seq();
        assert!(seen.insert((salvaged.stream_number, seq)), "{seq:?} twice");
    }
}

/// A fuzzer ends the process at every panic, also at one that the store catches.
fn ignore_contained_panics() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !crate::store::is_guarded() {
                report(info);
            }
        }));
    });
}
