//! Salvage: every message whose block is whole comes out of the bare bytes, and nothing else.

use crate::content::{Bytes, bytes};
use crate::hurt::Hurt;
use crate::seed::{Seed, seeds};
use crate::watched::PAGE;
use riverbed::salvage::Salvage;
use std::collections::BTreeMap;
use std::io::Cursor;

fn salvaged(file: Vec<u8>) -> BTreeMap<(String, u64), Bytes> {
    let messages = Salvage::of(Cursor::new(file)).unwrap().messages();
    let entry = |salvaged: riverbed::salvage::Salvaged| {
        let key = (salvaged.stream_name(), salvaged.message.seq().get());
        (key, bytes(&salvaged.message))
    };
    messages.map(entry).collect()
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
fn salvage_of_nothing_is_nothing() {
    for file in [Vec::new(), vec![0; 10], b"RvBk".repeat(3_000)] {
        assert!(salvaged(file).is_empty());
    }
}
