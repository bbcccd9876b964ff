//! Salvage: every message whose block is whole comes out of the bare bytes, and nothing else.

use crate::content::{Bytes, bytes};
use crate::exclude::flip_all;
use crate::hurt::Hurt;
use crate::seed::{Seed, bytes_of, clock, disk_of, open, path, seeds};
use crate::watched::PAGE;
use riverbed::salvage::Salvage;
use std::collections::BTreeMap;
use std::io::Cursor;

fn salvaged(file: Vec<u8>) -> Messages {
    messages(Salvage::of(Cursor::new(file)).unwrap())
}

/// By stream and sequence; each comes once.
pub(crate) type Messages = BTreeMap<(String, u64), Bytes>;

pub(crate) fn messages(salvage: Salvage<Cursor<Vec<u8>>>) -> Messages {
    let entry = |salvaged: riverbed::salvage::Salvaged| {
        let key = (salvaged.stream_name(), salvaged.message.seq().get());
        (key, bytes(&salvaged.message))
    };
    let (mut found, mut count) = (BTreeMap::new(), 0);
    for (key, message) in salvage.messages().map(entry) {
        found.insert(key, message);
        count += 1;
    }
    assert_eq!(found.len(), count, "a message came twice");
    found
}

/// What the seed's store shows, as salvage names it.
fn truth(seed: &Seed) -> impl Iterator<Item = ((String, u64), &Bytes)> {
    seed.truth.streams.iter().flat_map(|(name, stream)| {
        let messages = stream.messages.iter();
        messages.map(move |(seq, message)| ((name.clone(), *seq), message))
    })
}

#[test]
fn salvage_finds_every_message_of_an_undamaged_file() {
    for seed in &seeds() {
        let found = salvaged(seed.bytes.clone());
        for (key, message) in truth(seed) {
            assert_eq!(found.get(&key), Some(message), "{}: {key:?}", seed.name);
        }
    }
}

#[test]
fn salvage_needs_neither_header_nor_database() {
    for seed in &seeds() {
        let mut file = seed.bytes.clone();
        file[..2 * PAGE as usize].fill(0);
        let found = salvaged(file);
        for (key, message) in truth(seed) {
            assert_eq!(found.get(&key), Some(message), "{}: {key:?}", seed.name);
        }
    }
}

#[test]
fn salvage_from_a_damaged_file_never_shows_what_was_not_stored() {
    let seeds = seeds();
    let mut random = fastrand::Rng::with_seed(7);
    let all: Vec<_> = seeds
        .iter()
        .map(|seed| salvaged(seed.bytes.clone()))
        .collect();
    for _ in 0..100 {
        let n = random.usize(..seeds.len());
        let hurt = Hurt::choose(&mut random, &seeds[n]);
        for (key, message) in salvaged(hurt.apply(&seeds[n])) {
            let known: Vec<_> = all[n].iter().filter(|(at, _)| at.1 == key.1).collect();
            // The row with the stream's name may be what is damaged.
            assert!(
                known.iter().any(|(_, whole)| **whole == message),
                "{hurt:?}: {key:?}"
            );
        }
    }
}

#[test]
fn salvage_does_not_show_what_stands_for_excluded_messages() {
    // The last block is grown when it is small: then messages follow in the same block.
    for (needle, grow) in [
        (&b"message 7 2 "[..], false),
        (b"the last commit", false),
        (b"the last commit", true),
    ] {
        let seed = &seeds()[0];
        let mut bytes = seed.bytes.clone();
        flip_all(&mut bytes, needle);
        let disk = disk_of(&bytes);
        let store = open(disk.clone(), path(), &clock()).unwrap();
        let excluded = store.exclude_damaged().unwrap().excluded;
        assert_eq!(excluded.len(), 1);
        let new = grow.then(|| store.publish("orders.new", "new").unwrap().seq.get());
        store.close().unwrap();
        let whole = salvaged(seed.bytes.clone());
        let mut found = salvaged(bytes_of(&disk));
        if let Some(new) = new {
            assert!(found.remove(&("orders".to_owned(), new)).is_some());
        }
        assert!(!found.is_empty());
        for (key, message) in found {
            assert_eq!(whole.get(&key), Some(&message), "{key:?}");
        }
    }
}

#[test]
fn salvage_of_nothing_is_nothing() {
    for file in [Vec::new(), vec![0; 10], b"RvBk".repeat(3_000)] {
        assert!(salvaged(file).is_empty());
    }
}
