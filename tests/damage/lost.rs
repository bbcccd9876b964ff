//! What consumers lose with a damaged block: whatever their filters and wherever they are in it, what
//! is still ahead of them is counted right, now and later.

use crate::exclude::flip_all;
use crate::seed::{bytes_of, clock, disk_of, open, path};
use riverbed::disk::MemoryDisk;
use riverbed::{
    Consumer, ConsumerConfig, DeliverPolicy, Event, Fetch, Purge, Riverbed, Seq, Stream,
    StreamConfig,
};

const NEEDLE: &[u8] = b"a needle here";

fn create(disk: &MemoryDisk) -> (Riverbed, Stream) {
    let store = open(disk.clone(), path(), &clock()).unwrap();
    let config = StreamConfig::new("s").subjects(["s.>"]);
    let stream = store.create_stream(config).unwrap();
    (store, stream)
}

/// The same store, closed, with these bytes damaged wherever they are, and opened again.
fn hurt(store: &Riverbed, disk: &MemoryDisk, needles: &[&[u8]]) -> (Riverbed, Stream) {
    store.close().unwrap();
    let mut bytes = bytes_of(disk);
    for needle in needles {
        flip_all(&mut bytes, needle);
    }
    let store = open(disk_of(&bytes), path(), &clock()).unwrap();
    let stream = store.stream("s").unwrap();
    (store, stream)
}

/// Acknowledged, lost and pending.
fn accounts(consumer: &Consumer) -> (u64, u64, u64) {
    let info = consumer.info().unwrap();
    (info.acked, info.lost, info.pending)
}

fn settled(store: &Riverbed) {
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_consumer_that_started_in_the_middle_of_a_lost_block_loses_what_was_ahead() {
    let disk = MemoryDisk::new();
    let (store, stream) = create(&disk);
    stream.publish("s.b", NEEDLE).unwrap();
    let wanted = ConsumerConfig::new("w")
        .filter("s.a")
        .deliver(DeliverPolicy::New);
    stream.create_consumer(wanted).unwrap();
    stream.publish("s.a", NEEDLE).unwrap();
    let (store, stream) = hurt(&store, &disk, &[NEEDLE]);
    let events = store.events(10);
    assert_eq!(store.exclude_damaged().unwrap().excluded.len(), 1);
    let worker = stream.consumer("w").unwrap();
    assert_eq!(accounts(&worker), (0, 1, 0));
    let told: Vec<_> = events.try_iter().collect();
    assert!(
        matches!(told[..], [Event::UnfinishedRemoved { messages: 1, first, last, .. }]
            if first == Seq::new(2) && last == Seq::new(2)),
        "{told:?}"
    );
    settled(&store);
}

#[test]
fn a_consumer_that_acked_its_part_of_a_lost_block_loses_nothing() {
    let disk = MemoryDisk::new();
    let (store, stream) = create(&disk);
    let wanted = ConsumerConfig::new("w").filter("s.b");
    let worker = stream.create_consumer(wanted).unwrap();
    // A block of its own, and one of two messages.
    stream.publish("s.b", vec![b'y'; 5_000]).unwrap();
    stream.publish("s.b", NEEDLE).unwrap();
    for message in worker.fetch(10).unwrap() {
        message.ack().unwrap();
    }
    stream.publish("s.a", NEEDLE).unwrap();
    let (store, stream) = hurt(&store, &disk, &[NEEDLE]);
    let events = store.events(10);
    assert_eq!(store.exclude_damaged().unwrap().excluded.len(), 1);
    let worker = stream.consumer("w").unwrap();
    assert_eq!(accounts(&worker), (2, 0, 0));
    assert_eq!(events.try_iter().count(), 0);
    stream.publish("s.b", "new").unwrap();
    assert_eq!(accounts(&worker), (2, 0, 1));
    settled(&store);
}

/// A stream of 40 messages of four subjects, with consumers here and there, some messages acked and
/// some deleted.
fn scatter(random: &mut fastrand::Rng, stream: &Stream) {
    let mut consumers: Vec<Consumer> = Vec::new();
    for n in 0..40 {
        let mut payload = format!("number {n}.").into_bytes();
        payload.resize(random.usize(10..400), b'x');
        let subject = format!("s.{}", random.u32(0..4));
        stream.publish(subject, payload).unwrap();
        if random.u32(0..8) == 0 {
            let mut config = ConsumerConfig::new(format!("c{n}"));
            if random.bool() {
                config = config.filter(format!("s.{}", random.u32(0..4)));
            }
            if random.bool() {
                config = config.deliver(DeliverPolicy::New);
            }
            consumers.push(stream.create_consumer(config).unwrap());
        }
        if let Some(consumer) = consumers.last()
            && random.u32(0..3) == 0
        {
            for message in consumer.fetch(Fetch::new(3).no_wait()).unwrap() {
                if random.bool() {
                    message.ack().unwrap();
                }
            }
        }
        if random.u32(0..15) == 0 {
            // It may be gone already.
            let _: Result<(), _> = stream.delete(Seq::new(random.u64(1..=n + 1)));
        }
    }
}

/// Purges that damage stops.
fn purge_in_vain(random: &mut fastrand::Rng, stream: &Stream) {
    let mut purges = match random.u32(0..4) {
        0 => vec![Purge::all().filter("s.1")],
        1 => vec![Purge::all().up_to(Seq::new(20))],
        2 => vec![
            Purge::all().filter("s.2").up_to(Seq::new(25)),
            Purge::all().up_to(Seq::new(30)),
        ],
        _ => Vec::new(),
    };
    for purge in purges.drain(..) {
        let _: Result<u64, _> = stream.purge(purge);
    }
}

/// How many messages come for the first time until none is left.
fn fetch_all(consumer: &Consumer) -> u64 {
    let mut new = 0;
    loop {
        let batch = consumer.fetch(Fetch::new(100).no_wait()).unwrap();
        if batch.is_empty() {
            return new;
        }
        for message in batch {
            new += u64::from(message.deliveries() == 1);
            message.ack().unwrap();
        }
    }
}

#[test]
fn every_consumer_gets_as_many_messages_as_it_was_told_are_pending() {
    for seed in 0..30 {
        let random = &mut fastrand::Rng::with_seed(seed);
        let disk = MemoryDisk::new();
        let (store, stream) = create(&disk);
        scatter(random, &stream);
        let needle = format!("number {}.", random.u32(0..40)).into_bytes();
        let stored = bytes_of(&disk);
        if !stored.windows(needle.len()).any(|found| found == needle) {
            continue;
        }
        let (store, stream) = hurt(&store, &disk, &[&needle]);
        purge_in_vain(random, &stream);
        if random.bool() {
            store.drive().unwrap();
        }
        let said = store.exclude_damaged().unwrap();
        assert_eq!(said.refused, Vec::new(), "{seed}");
        store.drive().unwrap();
        settled(&store);
        for name in stream.consumers().unwrap() {
            let consumer = stream.consumer(&name).unwrap();
            let pending = consumer.info().unwrap().pending;
            assert_eq!(fetch_all(&consumer), pending, "{seed}: {name}");
            assert_eq!(consumer.info().unwrap().pending, 0, "{seed}: {name}");
        }
        settled(&store);
    }
}
