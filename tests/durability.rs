//! Commits that are written at once and synced a little later: what a kill, a power cut and a failing sync leave.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use riverbed::disk::{Disk, DiskFault, MemoryDisk};
use riverbed::{
    Builder, Consumer, ConsumerConfig, Durability, Fetch, Limits, ManualClock, Message, OpenError,
    Purge, Riverbed, Stream, StreamConfig,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const WITHIN: Duration = Duration::from_millis(100);
const JOURNAL: &str = "/store.journal";

fn builder(disk: &MemoryDisk, clock: &ManualClock) -> Builder {
    Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .clock(clock.clock())
        .journal_segment(16 << 10)
        .identity(7)
        .without_threads()
}

fn written(disk: &MemoryDisk, clock: &ManualClock) -> Result<Riverbed, OpenError> {
    builder(disk, clock)
        .durability(Durability::written(WITHIN))
        .open("/store")
}

/// A store that writes to its journal, with a stream and a consumer.
fn prepared(disk: &MemoryDisk, clock: &ManualClock) -> (Riverbed, Stream, Consumer) {
    let store = written(disk, clock).unwrap();
    let stream = store.create_stream(StreamConfig::new("log")).unwrap();
    let consumer = stream.create_consumer(ConsumerConfig::new("c")).unwrap();
    for n in 0..6 {
        stream.publish("log", format!("before {n}")).unwrap();
        store.drive().unwrap();
    }
    assert!(disk.exists(Path::new(JOURNAL)).unwrap());
    store.sync().unwrap();
    (store, stream, consumer)
}

fn messages(store: &Riverbed) -> Vec<String> {
    let stream = store.stream("log").unwrap();
    let all = stream.range(..).map(|message| {
        let message = message.unwrap();
        String::from_utf8(message.payload().to_vec()).unwrap()
    });
    all.collect()
}

/// What is on a disk, when the store on it is opened.
fn found(image: &MemoryDisk, clock: &ManualClock) -> Vec<String> {
    let store = written(image, clock).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    messages(&store)
}

#[test]
fn a_killed_process_loses_nothing() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let (store, stream, _) = prepared(&disk, &clock);
    for n in 0..20 {
        stream.publish("log", format!("written {n}")).unwrap();
    }
    let all = messages(&store);
    assert_eq!(all.len(), 26);
    assert_eq!(found(&disk.kill_image(), &clock), all);
}

#[test]
fn a_call_does_not_wait_for_a_sync() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let (_store, stream, _) = prepared(&disk, &clock);
    // A sync would fail, and stop the store.
    disk.fault_sync_after(0, DiskFault::LostSync { seed: 5 });
    stream.publish("log", "written").unwrap();
}

#[test]
fn a_power_cut_loses_what_was_not_synced_and_nothing_else() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let (store, stream, _) = prepared(&disk, &clock);
    let synced = messages(&store);
    for n in 0..3 {
        stream.publish("log", format!("written {n}")).unwrap();
    }
    // The worst: nothing that was not synced is there.
    assert_eq!(found(&disk.crash_image(0), &clock), synced);
}

#[test]
fn what_was_written_is_synced_when_its_time_has_come() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let (store, stream, _) = prepared(&disk, &clock);
    let before = messages(&store);
    stream.publish("log", "first").unwrap();
    clock.advance(Duration::from_millis(99));
    stream.publish("log", "second").unwrap();
    store.drive().unwrap();
    assert_eq!(found(&disk.crash_image(0), &clock), before);
    clock.advance(Duration::from_millis(1));
    store.drive().unwrap();
    assert_eq!(found(&disk.crash_image(0), &clock).len(), before.len() + 2);
    // And again, from the first one on that was written since.
    stream.publish("log", "third").unwrap();
    clock.advance(WITHIN);
    store.drive().unwrap();
    assert_eq!(found(&disk.crash_image(0), &clock).len(), before.len() + 3);
}

#[test]
fn a_thread_of_the_store_syncs_in_time() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .clock(clock.clock())
        .journal_segment(16 << 10)
        .durability(Durability::written(WITHIN))
        .open("/store")
        .unwrap();
    let stream = store.create_stream(StreamConfig::new("log")).unwrap();
    let mut sent = 0;
    while !disk.exists(Path::new(JOURNAL)).unwrap() || sent < 20 {
        stream.publish("log", "before").unwrap();
        sent += 1;
        std::thread::yield_now();
    }
    store.sync().unwrap();
    stream.publish("log", "written").unwrap();
    clock.advance(WITHIN);
    let clock = ManualClock::new();
    while found(&disk.crash_image(0), &clock).len() <= sent {
        std::thread::yield_now();
    }
}

#[test]
fn on_demand_everything_is_synced_lazy_acks_too() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let (store, stream, _) = prepared(&disk, &clock);
    let lazy = ConsumerConfig::new("lazy").lazy_acks();
    let lazy = stream.create_consumer(lazy).unwrap();
    stream.publish("log", "written").unwrap();
    for message in lazy.fetch(7).unwrap() {
        message.ack().unwrap();
    }
    store.sync().unwrap();
    let image = disk.crash_image(0);
    assert_eq!(found(&image, &clock), messages(&store));
    let store = written(&image, &clock).unwrap();
    let lazy = store.stream("log").unwrap().consumer("lazy").unwrap();
    assert_eq!(lazy.info().unwrap().acked, 7);
}

#[test]
fn a_sync_of_a_store_that_syncs_each_commit_does_nothing() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = builder(&disk, &clock).open("/store").unwrap();
    store.create_stream(StreamConfig::new("log")).unwrap();
    for n in 0..9 {
        store.publish("log", format!("{n}")).unwrap();
        store.drive().unwrap();
    }
    assert!(disk.exists(Path::new(JOURNAL)).unwrap());
    let before = disk.operations();
    store.sync().unwrap();
    assert_eq!(disk.operations(), before);
}

#[test]
fn closing_makes_everything_durable() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let (store, stream, _) = prepared(&disk, &clock);
    stream.publish("log", "written").unwrap();
    let all = messages(&store);
    store.close().unwrap();
    let image = disk.crash_image(0);
    assert_eq!(found(&image, &clock), all);
}

#[test]
fn a_sync_that_fails_stops_the_store() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let (store, stream, _) = prepared(&disk, &clock);
    let before = messages(&store);
    stream.publish("log", "written").unwrap();
    disk.fault_sync_after(0, DiskFault::LostSync { seed: 5 });
    store.sync().unwrap_err();
    stream.publish("log", "after").unwrap_err();
    store.sync().unwrap_err();
    // Whatever is there, it is what the store was at one moment.
    let left = found(&disk.crash_image(3), &clock);
    assert!(
        left.len() <= before.len() + 1 && left.starts_with(&before),
        "{left:?}"
    );
}

#[test]
fn damage_in_front_of_a_sync_is_not_taken_for_a_torn_end() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let (store, stream, _) = prepared(&disk, &clock);
    stream.publish("log", "to be damaged").unwrap();
    stream.publish("log", "behind it").unwrap();
    let image = |disk: &MemoryDisk| {
        let image = disk.kill_image();
        let file = image.open(Path::new(JOURNAL)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        let wanted = b"to be damaged";
        let at = bytes
            .windows(wanted.len())
            .position(|found| found == wanted)
            .unwrap();
        file.write_at(at as u64, b"T").unwrap();
        image
    };
    // Neither was synced: a power cut can have left the second alone, and both are gone.
    let left = found(&image(&disk), &clock);
    assert_eq!(left.len(), messages(&store).len() - 2);
    // What is synced is there.
    store.sync().unwrap();
    stream.publish("log", "written behind the sync").unwrap();
    let refused = written(&image(&disk), &clock).unwrap_err().to_string();
    assert!(
        refused.contains("is not what was written there"),
        "{refused}"
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let later = Durability::written(WITHIN);
    let opened = |builder: Builder| builder.open("/store").unwrap_err().to_string();
    let why = opened(builder(&disk, &clock).durability(later).without_journal());
    assert!(why.contains("without_journal"), "{why}");
    let mut limits = Limits::default();
    limits.max_store_bytes = Some(64 << 20);
    let why = opened(builder(&disk, &clock).durability(later).limits(limits));
    assert!(why.contains("max_store_bytes"), "{why}");
    for within in [
        Duration::ZERO,
        Duration::from_micros(999),
        Duration::from_secs(61),
    ] {
        let why = opened(builder(&disk, &clock).durability(Durability::written(within)));
        assert!(why.contains("1 ms to 60 s"), "{why}");
    }
    assert!(!disk.exists(Path::new("/store")).unwrap());
}

/// What can be seen of a store, but for what opening it changes.
type Seen = (Vec<(u64, String)>, Vec<u64>, u64);

fn seen(store: &Riverbed) -> Seen {
    let stream = store.stream("log").unwrap();
    let stored = stream.range(..).map(|message| {
        let message = message.unwrap();
        let text = String::from_utf8(message.payload().to_vec()).unwrap();
        (message.seq().get(), text)
    });
    let stored = stored.collect();
    let consumer = stream.consumer("c").unwrap();
    let mut due = Vec::new();
    // The acks alone: what is out of the consumer's hands is due again when the store is opened.
    for message in consumer.fetch(Fetch::new(1000).no_wait()).unwrap() {
        due.push(message.seq().get());
    }
    due.sort_unstable();
    (stored, due, stream.info().unwrap().last_seq.get())
}

/// Any power cut leaves what the store was after one of its commits, and no older one than the last sync.
#[test]
fn a_power_cut_leaves_what_the_store_was_at_one_moment_since_the_last_sync() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..25 {
        let rng = &mut fastrand::Rng::with_seed(seed);
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let (store, stream, consumer) = prepared(&disk, &clock);
        let mut held = Vec::new();
        // Since the last sync: what each commit left, as a process that is killed leaves it.
        let mut moments = vec![disk.kill_image()];
        for n in 0..rng.usize(1..60) {
            match rng.u8(0..10) {
                0..5 => {
                    let text = format!("{n} {}", "x".repeat(rng.usize(0..400)));
                    stream.publish("log", text).unwrap();
                }
                5 => {
                    let fetch = Fetch::new(rng.usize(1..5)).no_wait();
                    held.extend(consumer.fetch(fetch).unwrap());
                }
                6 => held.drain(..).for_each(|message: Message| {
                    // Of one that was purged meanwhile it is refused.
                    let _ = message.ack();
                    moments.push(disk.kill_image());
                }),
                7 => {
                    let half = stream.info().unwrap().messages / 2;
                    stream.purge(Purge::all().keep(half)).unwrap();
                }
                8 => {
                    store.drive().unwrap();
                    clock.advance(Duration::from_millis(rng.u64(0..60)));
                }
                _ => {
                    store.sync().unwrap();
                    moments.clear();
                }
            }
            moments.push(disk.kill_image());
        }
        let expected: Vec<Seen> = moments
            .iter()
            .map(|image| seen(&written(image, &clock).unwrap()))
            .collect();
        for cut in [0, 1, seed + 2, seed + 300, seed + 5000] {
            let store = written(&disk.crash_image(cut), &clock).unwrap();
            let found = seen(&store);
            assert_eq!(store.check().unwrap(), Vec::<String>::new());
            let moment = expected.iter().position(|moment| *moment == found);
            let moment = moment.unwrap_or_else(|| panic!("seed {seed} cut {cut}: {found:?}"));
            lost += usize::from(moment + 1 < expected.len());
            kept += usize::from(moment > 0);
        }
    }
    // Both ends were met, and much in between.
    assert!(lost > 50 && kept > 50, "{lost} {kept}");
}
