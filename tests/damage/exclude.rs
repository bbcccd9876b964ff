//! Excluding damaged blocks: the store goes on without them, and says what was lost to whom.

use crate::content::Content;
use crate::hurt::Hurt;
use crate::seed::{Seed, bytes_of, clock, disk_of, open, path, seeds};
use crate::slow::Slow;
use riverbed::disk::MemoryDisk;
use riverbed::{Event, ExclusionError, Fetch, Purge, Removal, Riverbed, Seq, StreamConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The seed's store with a bit flipped in every place of the file where these bytes are.
fn damaged(seed: &Seed, needle: &[u8]) -> Riverbed {
    let mut bytes = seed.bytes.clone();
    flip_all(&mut bytes, needle);
    open(disk_of(&bytes), path(), &clock()).unwrap()
}

pub(crate) fn flip_all(bytes: &mut [u8], needle: &[u8]) {
    let found: Vec<usize> = bytes
        .windows(needle.len())
        .enumerate()
        .filter_map(|(at, window)| (window == needle).then_some(at))
        .collect();
    assert!(!found.is_empty());
    for at in found {
        bytes[at] ^= 0x10;
    }
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
        let excluded = store.exclude_damaged().unwrap().excluded;
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
    assert_eq!(store.exclude_damaged().unwrap().excluded.len(), 1);
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
        if let Ok(found) = store.exclude_damaged()
            && found.refused.is_empty()
        {
            excluded += usize::from(!found.excluded.is_empty());
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
    assert_eq!(store.exclude_damaged().unwrap().excluded.len(), 1);
    settled(&store);
    assert_eq!(orders.get(ack.seq).unwrap(), Some(back));
}

/// A closed store with these streams, each of 20 messages that fill a leaf of their own.
fn large(names: &[&str]) -> Vec<u8> {
    let disk = MemoryDisk::new();
    let store = open(disk.clone(), path(), &clock()).unwrap();
    for name in names {
        let stream = store.create_stream(StreamConfig::new(*name)).unwrap();
        for number in 0..20 {
            let mut payload = format!("{name} number {number}.").into_bytes();
            payload.resize(60_000, b'x');
            stream.publish(*name, payload).unwrap();
        }
    }
    store.close().unwrap();
    bytes_of(&disk)
}

fn rfind(bytes: &[u8], needle: &[u8]) -> usize {
    let mut windows = bytes.windows(needle.len());
    windows.rposition(|window| window == needle).unwrap()
}

fn hurt_payload(bytes: &mut [u8], needle: &[u8]) {
    let at = rfind(bytes, needle);
    bytes[at] ^= 0x10;
}

/// Damages the key of the block that holds these bytes.
fn hurt_key(bytes: &mut [u8], needle: &[u8]) {
    let payload = rfind(bytes, needle);
    let block = rfind(&bytes[..payload], b"RvBk");
    assert_eq!(bytes[block - 8..block], 8u64.to_le_bytes());
    bytes[block - 8 + 4] ^= 1;
}

fn messages(store: &Riverbed, stream: &str) -> u64 {
    store.stream(stream).unwrap().info().unwrap().messages
}

#[test]
fn a_block_under_a_damaged_key_is_not_excluded_and_takes_no_others_with_it() {
    let mut bytes = large(&["s"]);
    hurt_key(&mut bytes, b"s number 7.");
    let store = open(disk_of(&bytes), path(), &clock()).unwrap();
    let stream = store.stream("s").unwrap();
    let readable = || {
        let seqs = 1..=20;
        let there = |seq: &u64| matches!(stream.get(Seq::new(*seq)), Ok(Some(_)));
        seqs.filter(there).collect::<Vec<u64>>()
    };
    let before = readable();
    assert_eq!(before.len(), 19, "{before:?}");
    let said = store.exclude_damaged().unwrap();
    assert_eq!((said.excluded.len(), said.refused.len()), (0, 1));
    assert_eq!(said.refused[0].stream, "s");
    let why = &said.refused[0].why;
    assert!(matches!(why, ExclusionError::Damaged { .. }), "{why}");
    assert!(why.to_string().contains("whose key is damaged"), "{why}");
    // What can be read is not excluded.
    assert_eq!(readable(), before);
    assert_eq!(messages(&store, "s"), 20);
}

#[test]
fn a_stream_that_cannot_be_excluded_hides_no_others() {
    // Once the one that can be excluded comes first, once the other.
    for (key, payload) in [("aa", "bb"), ("bb", "aa")] {
        let mut bytes = large(&["aa", "bb"]);
        hurt_key(&mut bytes, format!("{key} number 7.").as_bytes());
        hurt_payload(&mut bytes, format!("{payload} number 7.").as_bytes());
        let store = open(disk_of(&bytes), path(), &clock()).unwrap();
        let wrong = store.check().unwrap();
        let told = |what: String| wrong.iter().any(|wrong| wrong.contains(&what));
        assert!(told("whose key is damaged".to_owned()), "{wrong:?}");
        let unreadable = format!("stream `{payload}`: messages 8 to 8");
        assert!(told(unreadable), "{wrong:?}");
        let said = store.exclude_damaged().unwrap();
        assert_eq!((said.excluded.len(), said.refused.len()), (1, 1));
        assert_eq!(said.excluded[0].stream, payload);
        assert_eq!(said.excluded[0].first, Seq::new(8));
        assert_eq!(said.refused[0].stream, key);
        assert_eq!((messages(&store, key), messages(&store, payload)), (20, 19));
        let again = store.exclude_damaged().unwrap();
        assert_eq!((again.excluded.len(), again.refused), (0, said.refused));
    }
}

#[test]
fn any_number_of_damaged_streams_is_excluded() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone(), path(), &clock()).unwrap();
    for n in 0..105 {
        let name = format!("s{n}");
        let stream = store.create_stream(StreamConfig::new(&name)).unwrap();
        stream.publish(name, "a needle here").unwrap();
    }
    store.close().unwrap();
    let mut bytes = bytes_of(&disk);
    flip_all(&mut bytes, b"a needle here");
    let store = open(disk_of(&bytes), path(), &clock()).unwrap();
    assert_eq!(store.exclude_damaged().unwrap().excluded.len(), 105);
    settled(&store);
}

#[test]
fn what_blocks_take_is_known_after_one_of_a_damaged_length_is_freed() {
    let mut bytes = large(&["s"]);
    let payload = rfind(&bytes, b"s number 7.");
    let block = rfind(&bytes[..payload], b"RvBk");
    // In front of the key is where the value ends.
    bytes[block - 11] ^= 0x80;
    for excluding in [true, false] {
        let disk = disk_of(&bytes);
        let store = open(disk.clone(), path(), &clock()).unwrap();
        let stream = store.stream("s").unwrap();
        if excluding {
            assert_eq!(store.exclude_damaged().unwrap().excluded.len(), 1);
            settled(&store);
        } else {
            stream.purge(Purge::all()).unwrap();
            stream.publish("s", "goes on").unwrap();
            store.drive().unwrap();
            settled(&store);
        }
        let used = store.info().unwrap().used_bytes;
        store.close().unwrap();
        let store = open(disk, path(), &clock()).unwrap();
        assert_eq!(store.info().unwrap().used_bytes, used);
        settled(&store);
    }
}

#[test]
fn a_store_that_is_never_at_rest_says_so() {
    let store = damaged(&seeds()[0], b"message 7 2 ");
    let streams = store.streams().unwrap().len();
    store.hold_group();
    store.publish("orders.new", "not committed").unwrap();
    let said = store.exclude_damaged().unwrap();
    assert_eq!((said.excluded.len(), said.refused.len()), (0, streams));
    for refused in said.refused {
        assert_eq!(refused.why, ExclusionError::NeverAtRest);
    }
    store.commit_held().unwrap();
    assert_eq!(store.exclude_damaged().unwrap().excluded.len(), 1);
    settled(&store);
}

#[test]
fn excluding_waits_for_a_commit_that_is_under_way() {
    let store = Riverbed::builder()
        .disk(Arc::new(Slow(MemoryDisk::new())))
        .open(path())
        .unwrap();
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    let busy = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while busy.load(Ordering::Relaxed) {
                stream.publish("s", vec![1; 1_000]).unwrap();
                std::thread::yield_now();
            }
        });
        let tried: Vec<_> = std::iter::repeat_with(|| store.exclude_damaged())
            .take(100)
            .collect();
        busy.store(false, Ordering::Relaxed);
        for said in tried {
            assert!(said.unwrap().is_empty());
        }
    });
}
