//! Excluding damaged blocks: the store goes on without them, and says what was lost to whom.

use crate::content::Content;
use crate::hurt::Hurt;
use crate::seed::{Seed, bytes_of, clock, disk_of, open, path, seeds};
use crate::slow::Slow;
use riverbed::disk::MemoryDisk;
use riverbed::{Event, Fetch, Removal, Riverbed, Seq};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The seed's store with a bit flipped in every place of the file where these bytes are.
fn damaged(seed: &Seed, needle: &[u8]) -> Riverbed {
    let mut bytes = seed.bytes.clone();
    let found: Vec<usize> = bytes
        .windows(needle.len())
        .enumerate()
        .filter_map(|(at, window)| (window == needle).then_some(at))
        .collect();
    assert!(!found.is_empty());
    for at in found {
        bytes[at] ^= 0x10;
    }
    open(disk_of(&bytes), path(), &clock()).unwrap()
}

fn settled(store: &Riverbed) {
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    assert!(store.exclude_damaged().unwrap().is_empty());
}

#[test]
fn an_excluded_block_is_counted_as_lost_and_everything_else_goes_on() {
    let seed = &seeds()[0];
    for needle in [
        &b"message 7 2 "[..],
        b"message 0 0 ",
        b"message 11 38 ",
        b"the last commit",
    ] {
        let store = damaged(seed, needle);
        let events = store.events(1_000);
        assert!(
            store
                .check()
                .unwrap()
                .iter()
                .any(|wrong| wrong.contains("block"))
        );
        let excluded = store.exclude_damaged().unwrap();
        assert_eq!(excluded.len(), 1, "{excluded:?}");
        assert_eq!(excluded[0].stream, "orders");
        settled(&store);
        let (content, complaints) = Content::read_on(&store);
        assert_eq!(complaints, Vec::<String>::new());
        let (whole, rest) = (&seed.truth.streams["orders"], &content.streams["orders"]);
        let gone = |seq: u64| excluded[0].first.get() <= seq && seq <= excluded[0].last.get();
        for (seq, message) in &whole.messages {
            assert_eq!(
                rest.messages.get(seq),
                (!gone(*seq)).then_some(message),
                "{seq}"
            );
        }
        let told = events.try_iter().filter(|event| {
            matches!(
                event,
                Event::UnfinishedRemoved {
                    by: Removal::Damage,
                    ..
                }
            )
        });
        assert!(told.count() > 0);
        let all = store.stream("orders").unwrap().consumer("all").unwrap();
        while !all.fetch(Fetch::new(100).no_wait()).unwrap().is_empty() {}
        store.publish("orders.new", "goes on").unwrap();
        settled(&store);
        store.close().unwrap();
    }
}

#[test]
fn what_is_excluded_stays_excluded() {
    let seed = &seeds()[0];
    let bytes = {
        let mut bytes = seed.bytes.clone();
        let needle = b"message 7 2 ";
        while let Some(at) = bytes
            .windows(needle.len())
            .position(|window| window == needle)
        {
            bytes[at] ^= 0x10;
        }
        bytes
    };
    let disk = disk_of(&bytes);
    let store = open(disk.clone(), path(), &clock()).unwrap();
    assert_eq!(store.exclude_damaged().unwrap().len(), 1);
    let before = Content::read(&store).unwrap();
    store.close().unwrap();
    let store = open(disk, path(), &clock()).unwrap();
    settled(&store);
    let after = Content::read(&store).unwrap();
    let messages = |content: &Content| content.streams["orders"].messages.clone();
    assert_eq!(messages(&before), messages(&after));
}

#[test]
fn damage_that_opens_can_be_excluded() {
    let seeds = seeds();
    let mut random = fastrand::Rng::with_seed(11);
    let mut excluded = 0;
    for _ in 0..150 {
        let seed = &seeds[random.usize(..seeds.len())];
        let hurt = Hurt::choose(&mut random, seed);
        let disk = disk_of(&hurt.apply(seed));
        let Ok(store) = open(disk, path(), &clock()) else {
            continue;
        };
        // A store that stopped, because of a page that only a closer look found, says so.
        if let Ok(found) = store.exclude_damaged() {
            excluded += usize::from(!found.is_empty());
            assert_eq!(store.check().unwrap(), Vec::<String>::new(), "{hurt:?}");
        }
    }
    assert!(excluded > 3, "{excluded}");
}

#[test]
fn publishing_goes_on_behind_a_damaged_last_block() {
    let store = damaged(&seeds()[0], b"the last commit");
    let ack = store.publish("orders.new", "goes on").unwrap();
    let orders = store.stream("orders").unwrap();
    let back = orders.get(ack.seq).unwrap().unwrap();
    assert_eq!(back.payload(), b"goes on");
    assert_eq!(store.exclude_damaged().unwrap().len(), 1);
    settled(&store);
    assert_eq!(orders.get(ack.seq).unwrap(), Some(back));
}

#[test]
fn a_block_under_a_damaged_key_is_not_excluded_and_takes_no_others_with_it() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone(), path(), &clock()).unwrap();
    let stream = store
        .create_stream(riverbed::StreamConfig::new("s"))
        .unwrap();
    // Each fills a leaf of its own.
    for number in 0..20 {
        let mut payload = format!("number {number}.").into_bytes();
        payload.resize(60_000, b'x');
        stream.publish("s", payload).unwrap();
    }
    store.close().unwrap();
    let mut bytes = bytes_of(&disk);
    let find = |bytes: &[u8], needle: &[u8]| {
        bytes
            .windows(needle.len())
            .rposition(|window| window == needle)
            .unwrap()
    };
    let payload = find(&bytes, b"number 7.");
    let block = find(&bytes[..payload], b"RvBk");
    assert_eq!(bytes[block - 8..block], 8u64.to_le_bytes());
    bytes[block - 8 + 4] ^= 1;
    let store = open(disk_of(&bytes), path(), &clock()).unwrap();
    let stream = store.stream("s").unwrap();
    let readable = || {
        let seqs = 1..=20;
        let there = |seq: &u64| matches!(stream.get(Seq::new(*seq)), Ok(Some(_)));
        seqs.filter(there).collect::<Vec<u64>>()
    };
    let before = readable();
    assert_eq!(before.len(), 19, "{before:?}");
    let why = store.exclude_damaged().unwrap_err().to_string();
    assert!(why.contains("whose key is damaged"), "{why}");
    // What can be read is not excluded.
    assert_eq!(readable(), before);
    assert_eq!(stream.info().unwrap().messages, 20);
}

#[test]
fn excluding_waits_for_a_commit_that_is_under_way() {
    let store = Riverbed::builder()
        .disk(Arc::new(Slow(MemoryDisk::new())))
        .open(path())
        .unwrap();
    let stream = store
        .create_stream(riverbed::StreamConfig::new("s"))
        .unwrap();
    let busy = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while busy.load(Ordering::Relaxed) {
                stream.publish("s", vec![1; 1_000]).unwrap();
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let later = || std::thread::sleep(Duration::from_millis(1));
        let tried: Vec<_> = std::iter::repeat_with(|| (store.exclude_damaged(), later()).0)
            .take(100)
            .collect();
        busy.store(false, Ordering::Relaxed);
        for said in tried {
            assert!(said.unwrap().is_empty());
        }
    });
}
