//! Salvage from a store that had a journal: what only the journal holds comes out, too, whatever
//! became of either file.

use crate::case::Case;
use crate::content::{Content, bytes};
use crate::salvaged::{Messages, messages};
use crate::seed::{bytes_at, bytes_of, clock, disk_of, journal_path, open, open_journaled, path};
use riverbed::disk::MemoryDisk;
use riverbed::salvage::Salvage;
use riverbed::{ConsumerConfig, Riverbed, StreamConfig};
use std::io::Cursor;

const MESSAGES: u64 = 60;

/// A store that a journal holds the last messages of, and its two files as a kill leaves them. `later`
/// is a stream that is made when the journal is there.
struct Killed {
    store: Vec<u8>,
    journal: Vec<u8>,
    truth: Messages,
}

fn payload(n: u64) -> Vec<u8> {
    format!("number {n}.").repeat(40).into_bytes()
}

fn killed() -> Killed {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let store = open_journaled(disk.clone(), path(), &clock, 512 << 10).unwrap();
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    stream.create_consumer(ConsumerConfig::new("c")).unwrap();
    for n in 1..=MESSAGES {
        stream.publish("s", payload(n)).unwrap();
        if n == 2 {
            // Makes the journal; what comes behind is in it.
            store.drive().unwrap();
        }
        if n == 30 {
            store.create_stream(StreamConfig::new("later")).unwrap();
        }
        if n > 30 {
            store.publish("later", payload(1_000 + n)).unwrap();
        }
    }
    let image = disk.kill_image();
    Killed {
        store: bytes_of(&image),
        journal: bytes_at(&image, journal_path()),
        truth: truth(&store),
    }
}

fn truth(store: &Riverbed) -> Messages {
    let content = Content::read(store).unwrap();
    let streams = content.streams.into_iter();
    let of = |(name, stream): (String, crate::content::StreamContent)| {
        let messages = stream.messages.into_iter();
        messages.map(move |(seq, message)| ((name.clone(), seq), message))
    };
    streams.flat_map(of).collect()
}

fn both(store: Vec<u8>, journal: Vec<u8>) -> Salvage<Cursor<Vec<u8>>> {
    Salvage::with_journal(Cursor::new(store), Cursor::new(journal)).unwrap()
}

/// Where each record begins, as docs/format.md says, of all that are there.
fn records(journal: &[u8]) -> Vec<usize> {
    let starts = (4096..journal.len()).step_by(8);
    starts
        .filter(|at| journal[*at..].starts_with(b"RvJr"))
        .collect()
}

#[test]
fn what_only_the_journal_holds_is_salvaged() {
    let killed = killed();
    let alone = Salvage::of(Cursor::new(killed.store.clone())).unwrap();
    assert!(alone.misses_journal());
    assert_eq!(alone.journal_blocks(), None);
    let alone = messages(alone);
    assert!(alone.len() < killed.truth.len() / 4, "{}", alone.len());
    for (key, message) in &alone {
        assert_eq!(killed.truth.get(key), Some(message), "{key:?}");
    }
    let found = both(killed.store, killed.journal);
    assert!(!found.misses_journal());
    assert!(found.journal_blocks() > Some(10));
    assert_eq!(messages(found), killed.truth);
}

#[test]
fn salvage_finds_the_journal_by_its_name() {
    let killed = killed();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.riverbed");
    std::fs::write(&path, &killed.store).unwrap();
    assert!(Salvage::open(&path).unwrap().misses_journal());
    std::fs::write(folder.path().join("q.riverbed.journal"), &killed.journal).unwrap();
    let found = Salvage::open(&path).unwrap();
    assert!(found.journal_blocks().is_some());
    let found = found.messages().map(|salvaged| {
        let key = (salvaged.stream_name(), salvaged.message.seq().get());
        (key, bytes(&salvaged.message))
    });
    assert_eq!(found.collect::<Messages>(), killed.truth);
    assert_eq!(std::fs::read(&path).unwrap(), killed.store);
}

#[test]
fn a_closed_store_misses_no_journal() {
    let killed = killed();
    let disk = disk_of(&killed.store);
    riverbed::disk::Disk::create(&disk, journal_path())
        .unwrap()
        .write_at(0, &killed.journal)
        .unwrap();
    open(disk.clone(), path(), &clock())
        .unwrap()
        .close()
        .unwrap();
    let closed = Salvage::of(Cursor::new(bytes_of(&disk))).unwrap();
    assert!(!closed.misses_journal());
    assert_eq!(messages(closed), killed.truth);
}

#[test]
fn a_damaged_head_hides_nothing() {
    let killed = killed();
    let mut journal = killed.journal.clone();
    journal[..4096].fill(0);
    assert_eq!(messages(both(killed.store.clone(), journal)), killed.truth);
    let mut store = killed.store.clone();
    store[..8192].fill(0);
    assert_eq!(messages(both(store, killed.journal)), killed.truth);
}

#[test]
fn nothing_left_of_the_store_leaves_what_the_journal_holds() {
    let killed = killed();
    let store = vec![0; killed.store.len()];
    let found = messages(both(store, killed.journal.clone()));
    assert!(found.len() > killed.truth.len() / 2);
    for ((name, seq), message) in &found {
        // The name of the older stream was in the store's file alone.
        let name = name.replace("stream-1", "s");
        assert_eq!(killed.truth.get(&(name, *seq)), Some(message), "{seq}");
    }
    assert!(found.contains_key(&("later".to_owned(), 3)));
}

#[test]
fn a_damaged_record_hides_only_itself() {
    let killed = killed();
    let starts = records(&killed.journal);
    let middle = starts[starts.len() / 2];
    // Its head alone: the block in it is whole.
    let mut journal = killed.journal.clone();
    journal[middle + 8] ^= 1;
    assert_eq!(messages(both(killed.store.clone(), journal)), killed.truth);
    for n in [0, starts.len() / 2, starts.len() - 1] {
        let mut journal = killed.journal.clone();
        let end = starts.get(n + 1).copied().unwrap_or(starts[n] + 300);
        journal[starts[n]..end].fill(0x5a);
        let found = messages(both(killed.store.clone(), journal));
        assert!(found.len() + 1 >= killed.truth.len(), "record {n}");
        for (key, message) in found {
            assert_eq!(killed.truth.get(&key), Some(&message), "{key:?}");
        }
    }
}

#[test]
fn the_journal_of_another_store_is_passed_over() {
    let (ours, other) = (killed(), killed());
    let found = both(ours.store.clone(), other.journal);
    assert_eq!(found.journal_blocks(), Some(0));
    assert_eq!(
        messages(found),
        messages(Salvage::of(Cursor::new(ours.store)).unwrap())
    );
}

#[test]
fn any_bytes_beside_a_store_do_no_harm() {
    let killed = killed();
    let alone = messages(Salvage::of(Cursor::new(killed.store.clone())).unwrap());
    let mut random = fastrand::Rng::with_seed(3);
    let noise: Vec<u8> = (0..50_000).map(|_| random.u8(..)).collect();
    // A record's head with a length that no file has, again and again.
    let mut endless = killed.journal[records(&killed.journal)[0]..][..48].to_vec();
    for len in [0_u64, 7, 4_000, 1 << 20, 1 << 40, u64::MAX - 60, u64::MAX] {
        endless[40..48].copy_from_slice(&len.to_le_bytes());
        let found = both(killed.store.clone(), endless.repeat(2_000));
        assert_eq!(messages(found), alone, "{len}");
    }
    for journal in [
        Vec::new(),
        noise,
        b"RvJr".repeat(20_000),
        b"RvBk".repeat(20_000),
    ] {
        assert_eq!(messages(both(killed.store.clone(), journal)), alone);
    }
}

#[test]
fn salvage_from_damaged_files_never_shows_what_was_not_stored() {
    let seeds = crate::journaled::seeds();
    let found = |seed| {
        let (store, journal) = Case::whole(seed).files();
        messages(both(store, journal.unwrap()))
    };
    let all: Vec<_> = seeds.iter().map(found).collect();
    let mut random = fastrand::Rng::with_seed(9);
    for n in (0..100).map(|n| n % seeds.len()) {
        let case = Case::choose(&mut random, &seeds[n]);
        let (store, journal) = case.files();
        for (key, message) in messages(both(store, journal.unwrap_or_default())) {
            let known = all[n].iter().filter(|(at, _)| at.1 == key.1);
            // The row with the stream's name may be what is damaged.
            let mut known = known.map(|(_, whole)| whole);
            assert!(known.any(|whole| *whole == message), "{case:?}: {key:?}");
        }
    }
}
