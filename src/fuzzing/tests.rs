//! The fuzz targets' short run in `cargo test`: kept corpus, mutations of it, random bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::changes::{Change, Changes, RowKey, Table};
use crate::config::{ConsumerConfig, StreamConfig};
use crate::event::Removal;
use crate::format::journal::{self, Head};
use crate::format::rows::{
    ConsumerConfigRow, DedupId, DedupRow, EntriesRow, EntryRow, Place, PurgeRow, Reason,
    StreamConfigRow, StreamRow, encode_row,
};
use crate::format::{BlockBuilder, RecordInput, encode_changes, encode_runs};
use crate::headers::Headers;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

/// The kept inputs in a fixed order; none in the published crate, which comes without them.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(corpus(target)) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| fs::read(path).unwrap())
        .collect()
}

fn mutate(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(0..=bytes.len());
        match rng.u8(0..4) {
            0 => bytes.insert(at, rng.u8(..)),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ if at < bytes.len() => bytes[at] = rng.u8(..) >> rng.u8(0..8),
            _ => {}
        }
    }
}

fn run(target: &str, check: fn(&[u8])) {
    let mut rng = fastrand::Rng::with_seed(1);
    let kept = kept(target);
    for input in &kept {
        check(input);
        for _ in 0..20 {
            let mut mutated = input.clone();
            mutate(&mut rng, &mut mutated);
            check(&mutated);
        }
    }
    for _ in 0..300 {
        let random: Vec<u8> = (0..rng.usize(0..300))
            .map(|_| rng.u8(..) >> rng.u8(0..8))
            .collect();
        check(&random);
    }
}

#[test]
fn block() {
    run("block", super::block);
}

#[test]
fn record() {
    run("record", super::record);
}

#[test]
fn subject() {
    run("subject", super::subject);
}

#[test]
fn runs() {
    run("runs", super::runs);
}

#[test]
fn rows() {
    run("rows", super::rows);
}

#[test]
fn changes() {
    run("changes", super::changes);
}

#[test]
fn journal() {
    run("journal", super::journal);
}

/// A case of this target is a thousand times one of the others.
#[test]
fn open() {
    let mut rng = fastrand::Rng::with_seed(1);
    for mut input in kept("open") {
        super::open(&input);
        mutate(&mut rng, &mut input);
        super::open(&input);
    }
    for kind in 0..40 {
        let mut random: Vec<u8> = (0..rng.usize(1..60)).map(|_| rng.u8(..)).collect();
        random[0] = kind;
        super::open(&random);
    }
}

fn seed(target: &str, name: &str, bytes: &[u8]) {
    fs::create_dir_all(corpus(target)).unwrap();
    fs::write(corpus(target).join(name), bytes).unwrap();
}

/// Makes the corpus anew when the format gets another version:
/// `cargo test --lib seeds -- --ignored`.
#[test]
#[ignore = "writes the seed corpus"]
fn seeds() {
    for (name, count) in [("one", 1), ("three", 3), ("many", 40)] {
        seed("block", name, &seed_block(count));
    }
    let mut rng = fastrand::Rng::with_seed(2);
    for name in ["a", "b", "c"] {
        let bytes: Vec<u8> = (0..400).map(|_| rng.u8(..) >> rng.u8(0..8)).collect();
        seed("record", name, &bytes);
        seed("runs", name, &bytes[..200]);
    }
    for (n, text) in ["a.b", "a.*.c", "a.>", "*.>", "a*b.ü", "a..b", "a.>.b"]
        .iter()
        .enumerate()
    {
        seed("subject", &n.to_string(), text.as_bytes());
    }
    for (name, runs) in [
        ("none", &[][..]),
        ("two", &[(1, 3), (900, 70_000)]),
        ("all", &[(0, u64::MAX)]),
    ] {
        let mut bytes = Vec::new();
        encode_runs(&mut bytes, runs.iter().copied());
        seed("runs", name, &bytes);
    }
    for (name, bytes) in [
        ("raw", &b"\0riverbed"[..]),
        ("closed", &[2]),
        ("killed", &[1]),
        ("flip", &[2, 3, 3, 0, 16, 72, 1, 1, 1]),
        ("cut", &[2, 0, 3, 8, 0, 0]),
        ("zeros", &[1, 1, 3, 0, 64, 0, 2, 16, 0]),
        ("moved", &[2, 2, 3, 0, 96, 0, 3, 0, 128, 0]),
        ("journal", &[4]),
        ("journal-flip", &[4, 3, 3, 0, 32, 72, 1, 1, 1]),
        ("journal-gone", &[4, 0, 0]),
        ("under-a-journal", &[5, 3, 3, 0, 16, 72, 1, 1, 1]),
    ] {
        seed("open", name, bytes);
    }
    seed("changes", "each", &encode_changes(&seed_changes()));
    seed_journal();
    seed_rows();
}

/// A whole file, and choices: records in place, one of elsewhere, garbage, a lap that goes on.
fn seed_journal() {
    let head = Head {
        store: 5,
        journal: 7,
        segment: 256,
    };
    let mut file = head.encode();
    file.resize(head.start_of(1) as usize, 0);
    let place = journal::Place {
        journal: 7,
        lap: 1,
        number: 1,
        after: 0,
        unsynced: 0,
    };
    let payload = encode_changes(&seed_changes());
    file.extend(journal::encode_record(5, place, &payload).0);
    file.resize(head.file_len() as usize, 0);
    seed("journal", "file", &file);
    for (name, choices) in [
        ("empty", &[][..]),
        (
            "laps",
            &[
                2, 3, 232, 1, 2, 3, 0, 1, 9, 0, 1, 8, 1, 0, 0, 2, 0, 1, 7, 0, 0,
            ],
        ),
        (
            "stray",
            &[2, 3, 232, 1, 1, 3, 0, 1, 9, 5, 3, 2, 1, 8, 0, 1, 8],
        ),
        (
            "garbage",
            &[2, 3, 232, 1, 0, 3, 0, 0, 6, 1, 3, 82, 118, 74, 0, 0],
        ),
        (
            "torn",
            &[2, 3, 232, 1, 0, 2, 0, 0, 0, 0, 0, 1, 200, 1, 1, 255],
        ),
    ] {
        seed("journal", name, choices);
    }
}

/// Rows whose every field comes right behind the one before.
fn seed_rows() {
    let config = StreamConfig::new("orders")
        .subjects(["orders.>"])
        .max_age(Duration::from_millis(90_500));
    seed(
        "rows",
        "stream-config",
        &encode_row(&StreamConfigRow { config }),
    );
    let config = ConsumerConfig::new("billing")
        .filter("orders.*")
        .backoff([Duration::from_secs(1), Duration::from_secs(600)])
        .dead_letter("dead");
    let row = ConsumerConfigRow { stream: 3, config };
    seed("rows", "consumer-config", &encode_row(&row));
    let purges = vec![PurgeRow {
        filter: "a.*".to_owned(),
        below: 300,
        at: 70_000,
    }];
    let row = StreamRow {
        hole_from: Some(1 << 40),
        purges,
        rejudged: Some((3, 9)),
        removed: [(Removal::Purge, 70_000)].into(),
        emptied: 300,
        ..StreamRow::default()
    };
    seed("rows", "stream", &encode_row(&row));
    let id = |n| DedupId {
        hash: u128::MAX - n,
        seq: 251,
        time: 1 << 50,
    };
    let row = DedupRow {
        ids: (0..3).map(id).collect(),
    };
    seed("rows", "dedup", &encode_row(&row));
    let reason = Reason::Term("no".to_owned());
    let entry = |place| EntryRow {
        place,
        attempts: 2,
        failures: 1,
        crashes: 0,
    };
    let entries = vec![
        (1, entry(Place::Delayed { until: 1 << 50 })),
        (2, entry(Place::Parked { reason, since: 3 })),
    ];
    seed("rows", "entries", &encode_row(&EntriesRow { entries }));
    // A string that claims to be longer than memory.
    seed("rows", "endless", b"\x01\xfd\0\0\0\0\0\0\0\x10name");
}

fn seed_block(count: u64) -> Vec<u8> {
    let mut builder = BlockBuilder::new(1, 2, 3);
    for n in 0..count {
        let headers: Headers = (0..n % 3)
            .map(|k| (format!("h{k}"), format!("v{n}")))
            .collect();
        let (subject, id) = (format!("s.{}", n % 7), format!("id-{n}"));
        let id = (n % 2 == 1).then_some(id.as_str());
        let (time, payload) = (1_000_000 + n * 100, id.unwrap_or("payload").as_bytes());
        builder
            .push(&RecordInput {
                time,
                subject: &subject,
                id,
                headers: &headers,
                payload,
            })
            .unwrap();
    }
    builder.finish()
}

fn seed_changes() -> Changes {
    let key = RowKey::new(Table::ConsumerState, 1, 2);
    let changes = vec![
        Change::Put {
            key,
            value: b"state".to_vec(),
        },
        Change::Delete { key },
        Change::DeleteParts {
            table: Table::Dedup,
            id: 1,
            from: 2,
            to: 300,
        },
        Change::Block {
            stream: 1,
            first_seq: 1000,
            bytes: b"block".to_vec(),
        },
        Change::Grow {
            stream: 1,
            first_seq: 1000,
            added: b"more".to_vec(),
            whole: None,
        },
        Change::DropBlocks {
            stream: 1,
            from: 2,
            to: 3,
        },
        Change::DropStream { stream: 4 },
    ];
    Changes { group: 5, changes }
}
