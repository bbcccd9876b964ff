//! The power fails at every disk operation of named histories, one after the other.
//!
//! Pass one counts a history's disk operations. Pass two runs it once for each of them with a disk
//! that fails from there on, takes what a power cut may leave (all unsynced sectors lost, all kept,
//! some of each), opens it, and holds it against what the application was told before the cut.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod histories;
mod verify;
mod world;

use histories::{History, histories, stream_config};
use riverbed::disk::{Disk, MemoryDisk};
use riverbed::{ConsumerConfig, Discard, ManualClock, StreamConfig};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use verify::verify;
use world::{JOURNAL, Told, World, open};

/// Every operation is cut in release, and a sample of them where the code is slow; it is another one for each history.
const STEP: usize = if cfg!(debug_assertions) { 4 } else { 1 };

/// The disk and the promises when the power may begin to fail.
pub(crate) fn prepared(history: &History) -> World {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = open(&disk, &clock).unwrap();
    let stream = store.create_stream(stream_config()).unwrap();
    // The dead-letter stream exists, so that every history has one.
    let dead = StreamConfig::new("dead")
        .subjects(["dead.>"])
        .without_dedup();
    store.create_stream(dead.discard(Discard::New)).unwrap();
    let config = (history.consumer)(ConsumerConfig::new("c"));
    let consumer = stream.create_consumer(config).unwrap();
    // If there is to be a journal, it is made now: failing to make one is nothing that anybody would feel.
    store.drive().unwrap();
    let journal = disk.exists(Path::new("/store.journal")).unwrap();
    assert_eq!(journal, JOURNAL.get().is_some());
    let (told, held) = (Told::default(), BTreeMap::new());
    let mut world = World {
        disk,
        clock,
        store,
        stream,
        consumer,
        told,
        held,
    };
    (history.before)(&mut world).unwrap();
    if history.name == "dead_letter" || history.name == "park" {
        // What is out alone when the process dies has failed for good; these are three.
        assert_eq!(world.held.len(), 3);
    }
    if ["redrive", "stream_delete", "close_and_open"].contains(&history.name) {
        world.told.dead.insert("a2".into());
    }
    world
}

/// Verifies what is left on a disk; a failure says where the cut was.
fn verify_image(world: &World, image: &MemoryDisk, place: &str) {
    let store = open(image, &world.clock);
    let store = store.unwrap_or_else(|why| panic!("{place}: {why:?}"));
    let verified = catch_unwind(AssertUnwindSafe(|| verify(world, &store)));
    assert!(verified.is_ok(), "{place}");
}

/// Cuts one history at each of its disk operations; returns how many cuts there were.
fn cut(history: &History) -> u64 {
    let mut counted = prepared(history);
    let first = counted.disk.operations();
    (history.cut)(&mut counted).unwrap();
    let last = counted.disk.operations();
    verify_image(&counted, &counted.disk.crash_image(0), history.name);
    let mut cuts = 0;
    for at in (first..last).skip(history.name.len() % STEP).step_by(STEP) {
        let mut world = prepared(history);
        let operations = world.disk.operations();
        assert_eq!(operations, first, "a history is the same every time");
        world.disk.fail_from(at);
        let ended = (history.cut)(&mut world);
        // A close that fails is the only thing that nobody waits for.
        let felt = ended.is_err() || history.name == "close_and_open";
        assert!(felt, "the cut was not felt");
        for seed in [0, 1, at * 31 + 2] {
            let name = history.name;
            let place = format!("history {name} cut at {at} of {first}..{last}, seed {seed}");
            verify_image(&world, &world.disk.crash_image(seed), &place);
            cuts += 1;
        }
    }
    cuts
}

/// The power fails again while a store is opened that a power cut left: in the middle of a commit,
/// with messages in flight and dead letters to be moved.
fn cut_while_opening() -> u64 {
    let history = histories().find(|known| known.name == "dead_letter");
    let history = history.unwrap();
    let mut counted = prepared(history);
    let first = counted.disk.operations();
    (history.cut)(&mut counted).unwrap();
    let last = counted.disk.operations();
    let mut cuts = 0;
    for before in (first..last).step_by(STEP) {
        let mut world = prepared(history);
        world.disk.fail_from(before);
        (history.cut)(&mut world).unwrap_err();
        for at in 0.. {
            let seed = before * 7 + at;
            let image = world.disk.crash_image(seed);
            image.fail_from(at);
            let opened = open(&image, &world.clock);
            if opened.is_ok() {
                assert!(at > 0, "opening writes nothing");
                break;
            }
            let place = format!("opening cut at {at} after a cut at {before}, seed {seed}");
            verify_image(&world, &image.crash_image(seed), &place);
            cuts += 1;
        }
    }
    cuts
}

/// The power fails again and again while a store repairs itself: a repair can be cut off, too, and so can
/// the repair of what that leaves.
fn cut_while_repairing() -> u64 {
    let history = histories().find(|known| known.name == "publish");
    let world = prepared(history.unwrap());
    let whole = |image: &MemoryDisk, place: &str| {
        let store = open(image, &world.clock);
        let store = store.unwrap_or_else(|why| panic!("{place}: {why}"));
        assert_eq!(store.check().unwrap(), Vec::<String>::new(), "{place}");
        let messages = store.stream("s").unwrap().info().unwrap().messages;
        assert_eq!(messages, world.told.stored.len() as u64, "{place}");
    };
    let (mut cuts, mut longest) = (0, 0);
    let mut chains = vec![("repairing".to_owned(), world.disk.crash_image(0))];
    for _ in 0..3 {
        let mut next = Vec::new();
        for (of, (chain, before)) in chains.iter().enumerate() {
            for at in 0.. {
                let image = before.kill_image();
                image.fail_from(at);
                if open(&image, &world.clock).is_ok() {
                    longest = longest.max(at);
                    break;
                }
                for seed in [0, 1, at * 31 + 2] {
                    let left = image.crash_image(seed);
                    let place = format!("{chain}, cut at {at}, seed {seed}");
                    whole(&left.kill_image(), &place);
                    next.push((place, of, at, seed));
                    cuts += 1;
                }
            }
        }
        // A sample, the same every time, made once more: all of them take gigabytes.
        let step = next.len().div_ceil(30);
        let again = |(place, of, at, seed): (String, usize, u64, u64)| {
            let image = chains[of].1.kill_image();
            image.fail_from(at);
            assert!(open(&image, &world.clock).is_err(), "{place}");
            (place, image.crash_image(seed))
        };
        chains = next.into_iter().step_by(step).map(again).collect();
    }
    assert!(longest > 8, "nothing was repaired: {longest} operations");
    cuts
}

/// The power fails while a store is created, up to its first messages, and while its journal is made (R24, J8).
fn cut_while_creating() -> u64 {
    let mut cuts = 0;
    for at in 0.. {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        disk.fail_from(at);
        let (mut stream, mut stored) = (false, 0);
        let ended = || -> Result<(), riverbed::Error> {
            let store = open(&disk, &clock)?;
            let made = store.create_stream(stream_config())?;
            stream = true;
            for _ in 0..6 {
                stored = made.publish("s.x", "x")?.seq.get();
                store.drive()?;
            }
            Ok(())
        }();
        if ended.is_ok() && disk.operations() <= at {
            return cuts;
        }
        for seed in [0, 1, at * 31 + 2] {
            let store = open(&disk.crash_image(seed), &clock);
            let store = store.unwrap_or_else(|why| panic!("created, cut at {at}: {why:?}"));
            let there = store.streams().unwrap() == ["s"];
            assert!(there || !stream, "cut at {at}: the stream is lost");
            let made = store.create_stream(stream_config()).unwrap();
            let last = made.info().unwrap().last_seq.get();
            assert!(last == stored || last == stored + 1, "cut at {at}: {last}");
            assert_eq!(made.publish("s.x", "x").unwrap().seq, last + 1);
            assert_eq!(store.check().unwrap(), Vec::<String>::new());
            cuts += 1;
        }
    }
    cuts
}

#[test]
fn a_power_cut_at_any_disk_operation_breaks_no_promise() {
    let (mut histories, mut cuts) = (0, 0);
    // With a journal beside the store, and without.
    for segment in [None, Some(16 << 10)] {
        JOURNAL.set(segment);
        cuts += histories::histories().map(cut).sum::<u64>();
        cuts += cut_while_opening() + cut_while_repairing() + cut_while_creating();
        histories += histories::histories().count() + 3;
    }
    println!("histories={histories} cuts={cuts} failures=0");
}
