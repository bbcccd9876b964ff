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

use riverbed::disk::MemoryDisk;
use riverbed::{
    Consumer, ConsumerConfig, Discard, Fetch, ManualClock, Message, OnExhausted, Publish, Purge,
    Riverbed, Seq, Stream, StreamConfig,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The power is gone.
#[derive(Debug)]
struct Down;

type Outcome = Result<(), Down>;

fn down<E: std::fmt::Debug>(_: E) -> Down {
    Down
}

/// What the application was told, and what it asked for without being told the outcome.
#[derive(Default)]
struct Told {
    /// Payloads of acknowledged publishes with their sequence.
    stored: BTreeMap<String, u64>,
    /// Batches without an answer.
    open: Vec<Vec<String>>,
    /// Published without an id.
    without_id: BTreeSet<String>,
    acked: BTreeSet<String>,
    maybe_acked: BTreeSet<String>,
    /// Given up for certain, and not brought back since.
    dead: BTreeSet<String>,
    gone: BTreeSet<String>,
    maybe_gone: BTreeSet<String>,
    /// Whether the stream was deleted: asked for, and told.
    delete: (bool, bool),
    /// A limit that was asked for, and told.
    limit: (Option<u64>, bool),
    highest: u64,
    /// The dedup window has passed.
    late: bool,
}

struct World {
    disk: MemoryDisk,
    clock: ManualClock,
    store: Riverbed,
    stream: Stream,
    consumer: Consumer,
    told: Told,
    held: BTreeMap<String, Message>,
}

fn text(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// A name and some bytes behind it; every fourth message is larger than a page.
fn payload(name: &str) -> Vec<u8> {
    let bulk = if name.ends_with('3') { 5_000 } else { 40 };
    format!("{name} {}", name.repeat(bulk / name.len())).into_bytes()
}

fn open(disk: &MemoryDisk, clock: &ManualClock) -> Result<Riverbed, riverbed::OpenError> {
    let builder = Riverbed::builder()
        .cache_bytes(1 << 20)
        .clock(clock.clock());
    builder
        .disk(Arc::new(disk.clone()))
        .without_threads()
        .open("/store")
}

impl World {
    fn publish(&mut self, names: &[&str]) -> Outcome {
        let batch: Vec<Publish> = names
            .iter()
            .map(|name| Publish::new("s.x", payload(name)).id(*name))
            .collect();
        // What was stored before is only answered again.
        let fresh = names
            .iter()
            .filter(|name| !self.told.stored.contains_key(**name));
        self.told
            .open
            .push(fresh.map(ToString::to_string).collect());
        let acks = self.stream.publish_batch(batch).map_err(down)?;
        self.told.open.pop();
        for (name, ack) in names.iter().zip(acks) {
            self.told.stored.insert((*name).to_owned(), ack.seq.get());
            self.told.highest = self.told.highest.max(ack.seq.get());
        }
        Ok(())
    }

    fn fetch(&mut self, n: usize) -> Outcome {
        for message in self.consumer.fetch(Fetch::new(n).no_wait()).map_err(down)? {
            self.held.insert(text(message.payload()), message);
        }
        Ok(())
    }

    fn ack(&mut self, names: &[&str]) -> Outcome {
        self.told
            .maybe_acked
            .extend(names.iter().map(ToString::to_string));
        let messages: Vec<Message> = names.iter().map(|name| self.held[*name].clone()).collect();
        let acked = self.consumer.ack_batch(&messages).map_err(down)?;
        assert_eq!(acked.acked, names.len());
        self.told
            .acked
            .extend(names.iter().map(ToString::to_string));
        Ok(())
    }

    fn nak(&mut self, name: &str) -> Outcome {
        self.held[name].nak().map_err(down)
    }

    fn term(&mut self, name: &str) -> Outcome {
        self.held[name].term("no use").map_err(down)?;
        self.told.dead.insert(name.to_owned());
        Ok(())
    }

    fn later(&mut self, seconds: u64) -> Outcome {
        self.clock.advance(Duration::from_secs(seconds));
        self.store.drive().map_err(down)
    }

    fn remove(&mut self, names: &[&str], act: impl FnOnce(&Self) -> Outcome) -> Outcome {
        self.told
            .maybe_gone
            .extend(names.iter().map(ToString::to_string));
        act(self)?;
        self.told.gone.extend(names.iter().map(ToString::to_string));
        Ok(())
    }

    fn redrive(&mut self, name: &str, seq: u64, to_consumer: bool) -> Outcome {
        self.told.dead.remove(name);
        let dead = self.store.stream("dead").map_err(down)?;
        let seq = Seq::new(seq);
        let moved = if to_consumer {
            dead.redrive_to_consumer(seq)
        } else {
            dead.redrive(seq)
        };
        let seq = moved.map_err(down)?.get();
        self.told.highest = self.told.highest.max(seq);
        Ok(())
    }
}

struct History {
    name: &'static str,
    consumer: fn(ConsumerConfig) -> ConsumerConfig,
    /// What is there before the power may fail.
    before: fn(&mut World) -> Outcome,
    cut: fn(&mut World) -> Outcome,
}

fn plain(config: ConsumerConfig) -> ConsumerConfig {
    config
}

fn dead(config: ConsumerConfig) -> ConsumerConfig {
    config.max_deliver(1).dead_letter("dead")
}

fn park(config: ConsumerConfig) -> ConsumerConfig {
    config.max_deliver(1).on_exhausted(OnExhausted::Park)
}

fn some(world: &mut World) -> Outcome {
    world.publish(&["a1", "a2", "a3", "a4"])
}

fn some_out(world: &mut World) -> Outcome {
    some(world)?;
    world.fetch(3)
}

fn some_dead(world: &mut World) -> Outcome {
    some_out(world)?;
    world.term("a1")?;
    world.nak("a2")
}

const HISTORIES: &[History] = &[
    History {
        name: "publish",
        consumer: plain,
        before: some,
        cut: |world| {
            world.publish(&["b1"])?;
            world.publish(&["b2"])?;
            world.publish(&["b3"])
        },
    },
    History {
        name: "batch",
        consumer: plain,
        before: some,
        cut: |world| {
            world.publish(&["b1", "b2", "b3", "b13", "b23", "b33", "b43", "b53"])?;
            world.publish(&["c1", "c2"])
        },
    },
    History {
        name: "pipeline",
        consumer: plain,
        before: some,
        cut: |world| {
            for name in ["b1", "b2", "b3"] {
                // Accepted one by one, durable as a prefix; the answer comes with the flush.
                world.told.open.push(vec![name.to_owned()]);
                world.told.without_id.insert(name.to_owned());
                world
                    .stream
                    .publish_async(("s.x", payload(name)))
                    .map_err(down)?;
            }
            world.stream.flush().map_err(down)?;
            for (at, batch) in std::mem::take(&mut world.told.open).iter().enumerate() {
                world.told.stored.insert(batch[0].clone(), 5 + at as u64);
                world.told.highest = 5 + at as u64;
            }
            Ok(())
        },
    },
    History {
        name: "fetch",
        consumer: plain,
        before: some,
        cut: |world| {
            world.fetch(2)?;
            world.fetch(2)
        },
    },
    History {
        name: "ack",
        consumer: plain,
        before: some_out,
        cut: |world| {
            world.ack(&["a1"])?;
            world.ack(&["a2", "a3"])
        },
    },
    History {
        name: "nak",
        consumer: |config| config.backoff([Duration::from_secs(3)]),
        before: some_out,
        cut: |world| {
            world.nak("a2")?;
            world.nak("a1")?;
            world.later(4)?;
            world.fetch(4)?;
            world.ack(&["a1"])
        },
    },
    History {
        name: "timeout",
        consumer: plain,
        before: some_out,
        cut: |world| {
            world.later(31)?;
            world.fetch(3)?;
            world.later(31)
        },
    },
    History {
        name: "dead_letter",
        consumer: dead,
        before: some_out,
        cut: |world| {
            world.term("a1")?;
            world.nak("a2")?;
            world.told.dead.insert("a2".into());
            world.later(31)?;
            world.told.dead.insert("a3".into());
            Ok(())
        },
    },
    History {
        name: "park",
        consumer: park,
        before: some_out,
        cut: |world| {
            world.nak("a1")?;
            world.nak("a3")?;
            world.told.dead.extend(["a1".to_owned(), "a3".to_owned()]);
            world.told.dead.remove("a1");
            world.consumer.release(Seq::new(1)).map_err(down)?;
            world.fetch(1)
        },
    },
    History {
        name: "redrive",
        consumer: dead,
        before: some_dead,
        cut: |world| {
            world.redrive("a1", 1, false)?;
            world.redrive("a2", 2, true)?;
            world.fetch(2)
        },
    },
    History {
        name: "purge",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            world.publish(&["b1", "b2", "b3"])
        },
        cut: |world| {
            world.remove(&["a1", "a2"], |world| {
                world
                    .stream
                    .purge(Purge::all().up_to(Seq::new(3)))
                    .map(drop)
                    .map_err(down)
            })?;
            world.remove(&["a4"], |world| {
                world.stream.delete(Seq::new(4)).map_err(down)
            })?;
            world.remove(&["a3", "b1"], |world| {
                world
                    .stream
                    .purge(Purge::all().filter("s.*").keep(2))
                    .map(drop)
                    .map_err(down)
            })?;
            world.remove(&["b2", "b3"], |world| {
                world.stream.purge(Purge::all()).map(drop).map_err(down)
            })?;
            world.publish(&["c1"])
        },
    },
    History {
        name: "expiry",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            let config = stream_config().max_age(Duration::from_secs(600));
            world.store.update_stream(config).map(drop).map_err(down)
        },
        cut: |world| {
            world.later(400)?;
            world.publish(&["b1"])?;
            world
                .told
                .maybe_gone
                .extend(["a1", "a2", "a3", "a4"].map(String::from));
            world.told.late = true;
            world.later(300)?;
            world
                .told
                .gone
                .extend(["a1", "a2", "a3", "a4"].map(String::from));
            world.publish(&["b2"])
        },
    },
    History {
        name: "dedup",
        consumer: plain,
        before: some,
        cut: |world| {
            world.publish(&["b1", "b2"])?;
            let again = Publish::new("s.x", payload("b1")).id("b1");
            let ack = world.stream.publish_message(again).map_err(down)?;
            assert!(ack.duplicate);
            world.publish(&["b1", "b4"])
        },
    },
    History {
        name: "stream_delete",
        consumer: dead,
        before: some_dead,
        cut: |world| {
            world.told.delete.0 = true;
            world.store.delete_stream("s").map_err(down)?;
            world.told.delete.1 = true;
            world.store.drive().map_err(down)
        },
    },
    History {
        name: "config_update",
        consumer: plain,
        before: some_out,
        cut: |world| {
            world.told.limit = (Some(2), false);
            world.told.maybe_gone.extend(["a1", "a2"].map(String::from));
            let config = stream_config().max_messages(2);
            world.store.update_stream(config).map_err(down)?;
            world.told.limit.1 = true;
            world.told.gone.extend(["a1", "a2"].map(String::from));
            let config = ConsumerConfig::new("c").ack_wait(Duration::from_secs(7));
            world.stream.update_consumer(config).map(drop).map_err(down)
        },
    },
    History {
        name: "close_and_open",
        consumer: dead,
        before: some_dead,
        cut: |world| {
            world.fetch(1)?;
            world.store.close().map_err(down)?;
            world.store = open(&world.disk, &world.clock).map_err(down)?;
            Ok(())
        },
    },
];

fn stream_config() -> StreamConfig {
    StreamConfig::new("s")
        .subjects(["s.*"])
        .dedup_window(Duration::from_secs(600))
}

/// The disk and the promises when the power may begin to fail.
fn prepared(history: &History) -> World {
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
    if history.name == "redrive"
        || history.name == "stream_delete"
        || history.name == "close_and_open"
    {
        world.told.dead.insert("a2".into());
    }
    world
}

/// Where every payload is after the store was opened again.
struct Places {
    stream: BTreeMap<String, Vec<u64>>,
    dead: BTreeMap<String, Vec<u64>>,
    parked: BTreeSet<String>,
    delivered: BTreeMap<String, u64>,
}

fn contents(store: &Riverbed, name: &str) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let stream = store.stream(name).unwrap();
    let mut last = 0;
    for message in stream.range(..) {
        let message = message.unwrap();
        let (name, seq) = (text(message.payload()), message.seq().get());
        assert_eq!(message.payload(), payload(&name), "the bytes of {name}");
        assert!(seq > last, "sequences grow");
        last = seq;
        found.entry(name).or_default().push(seq);
    }
    let count: usize = found.values().map(Vec::len).sum();
    assert_eq!(
        stream.info().unwrap().messages,
        count as u64,
        "the count of {name}"
    );
    found
}

/// Takes everything that the consumer has left.
fn drain(consumer: &Consumer, store: &Riverbed, clock: &ManualClock) -> BTreeMap<String, u64> {
    let mut delivered: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..4 {
        loop {
            let batch = consumer.fetch(Fetch::new(100).no_wait()).unwrap();
            if batch.is_empty() {
                break;
            }
            for message in &batch {
                *delivered.entry(text(message.payload())).or_default() += 1;
            }
            assert_eq!(batch.ack().unwrap().refused, []);
        }
        // Delays end; nothing is out that could time out.
        clock.advance(Duration::from_secs(2));
        store.drive().unwrap();
    }
    let info = consumer.info().unwrap();
    let left = (info.pending, info.in_flight, info.due, info.delayed);
    assert_eq!(left, (0, 0, 0, 0), "all of it came");
    delivered
}

#[allow(clippy::too_many_lines, reason = "one promise after the other")]
fn verify(world: &World, store: &Riverbed) {
    let told = &world.told;
    assert_eq!(store.check().unwrap(), Vec::<String>::new(), "check()");
    let deleted = store.stream("s").is_err();
    assert!(!deleted || told.delete.0, "a stream vanished");
    assert!(deleted || !told.delete.1, "a deleted stream is back");
    if deleted {
        let dead = contents(store, "dead");
        assert!(
            told.dead.iter().all(|name| dead.contains_key(name)),
            "dead letters stay"
        );
        return;
    }
    let stream = store.stream("s").unwrap();
    let consumer = stream.consumer("c").unwrap();
    let parked = consumer.parked(Seq::new(0), 100).unwrap();
    let mut places = Places {
        stream: contents(store, "s"),
        dead: contents(store, "dead"),
        parked: parked
            .iter()
            .map(|parked| text(parked.message.payload()))
            .collect(),
        delivered: BTreeMap::new(),
    };
    let limit = stream.info().unwrap().config.max_messages;
    assert!(
        !told.limit.1 || limit == told.limit.0,
        "a new configuration is lost"
    );
    assert!(
        limit.is_none_or(|limit| places.stream.len() as u64 <= limit),
        "over the new limit"
    );
    places.delivered = drain(&consumer, store, &world.clock);
    for (name, seq) in &told.stored {
        verify_stored(told, &places, name, *seq);
    }
    let mut open = true;
    for batch in &told.open {
        let there = batch
            .iter()
            .filter(|name| places.stream.contains_key(*name))
            .count();
        assert!(
            there == 0 || there == batch.len(),
            "part of a batch is stored: {batch:?}"
        );
        assert!(
            open || there == 0,
            "what was accepted later is there, earlier is not"
        );
        open = there > 0;
        for name in batch {
            let delivered = places.delivered.get(name).copied().unwrap_or(0);
            assert_eq!(
                delivered,
                u64::from(there > 0),
                "stored is delivered, and nothing else"
            );
        }
    }
    let highest = places
        .stream
        .values()
        .flatten()
        .max()
        .copied()
        .unwrap_or(0)
        .max(told.highest);
    // Ids are known for their window, also of messages that are gone; sequences are never used again.
    for (name, seq) in told
        .stored
        .iter()
        .filter(|(name, _)| !told.without_id.contains(*name))
    {
        let again = Publish::new("s.x", payload(name)).id(name.clone());
        let ack = stream.publish_message(again).unwrap();
        let forgotten = told.maybe_gone.contains(name) && told.late;
        assert!(
            (ack.duplicate && ack.seq == *seq) || forgotten,
            "{name} was stored twice: {ack:?}"
        );
    }
    for name in told
        .open
        .iter()
        .flatten()
        .filter(|name| !told.without_id.contains(*name))
    {
        let again = Publish::new("s.x", payload(name)).id(name.clone());
        let ack = stream.publish_message(again).unwrap();
        assert_eq!(
            ack.duplicate,
            places.stream.contains_key(name),
            "{name} is stored once"
        );
    }
    let fresh = stream.publish("s.x", payload("fresh")).unwrap();
    assert!(
        fresh.seq.get() > highest,
        "sequence {} is used again",
        fresh.seq
    );
    assert_eq!(
        store.check().unwrap(),
        Vec::<String>::new(),
        "check() in the end"
    );
}

/// Every acknowledged message is stored once, and for its consumer in exactly one place.
fn verify_stored(told: &Told, places: &Places, name: &str, seq: u64) {
    let maybe_gone = told.maybe_gone.contains(name);
    let original = places
        .stream
        .get(name)
        .is_some_and(|seqs| seqs.contains(&seq));
    assert!(original || maybe_gone, "{name} is lost");
    assert!(!original || !told.gone.contains(name), "{name} is back");
    let copies = |found: &BTreeMap<String, Vec<u64>>| found.get(name).map_or(0, Vec::len);
    let dead = copies(&places.dead) as u64;
    let delivered = places.delivered.get(name).copied().unwrap_or(0);
    let somewhere = dead + delivered + u64::from(places.parked.contains(name));
    if told.acked.contains(name) {
        assert_eq!(somewhere, 0, "{name} was acked and is back");
    } else if told.maybe_acked.contains(name) || maybe_gone {
        assert!(somewhere <= 1, "{name} is in {somewhere} places");
    } else {
        assert_eq!(somewhere, 1, "{name} is in {somewhere} places");
    }
    if told.dead.contains(name) {
        assert_eq!(delivered, 0, "{name} was given up and is delivered again");
    }
}

#[test]
fn a_power_cut_at_any_disk_operation_breaks_no_promise() {
    let mut cuts = 0;
    for history in HISTORIES {
        let mut counted = prepared(history);
        let first = counted.disk.operations();
        (history.cut)(&mut counted).unwrap();
        let last = counted.disk.operations();
        verify(
            &counted,
            &open(&counted.disk.crash_image(0), &counted.clock).unwrap(),
        );
        for at in first..last {
            let mut world = prepared(history);
            assert_eq!(
                world.disk.operations(),
                first,
                "a history is the same every time"
            );
            world.disk.fail_from(at);
            let ended = (history.cut)(&mut world);
            // A close that fails is the only thing that nobody waits for.
            assert!(
                ended.is_err() || history.name == "close_and_open",
                "the cut was not felt"
            );
            for seed in [0, 1, at * 31 + 2] {
                let image = world.disk.crash_image(seed);
                let store = open(&image, &world.clock);
                let place = format!(
                    "history {} cut at {at} of {first}..{last}, seed {seed}",
                    history.name
                );
                let store = store.unwrap_or_else(|why| panic!("{place}: {why:?}"));
                let verified = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    verify(&world, &store);
                }));
                assert!(verified.is_ok(), "{place}");
                cuts += 1;
            }
        }
    }
    println!("histories={} cuts={cuts} failures=0", HISTORIES.len());
}
