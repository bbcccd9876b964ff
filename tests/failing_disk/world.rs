//! A store with something in every place, and what must be true of it after a failure.

use crate::disk::FaultyDisk;
use riverbed::{
    AckAndFetchError, AckError, CloseError, Consumer, ConsumerConfig, ConsumerError, Error, Fetch,
    FetchError, ManualClock, Message, OpenError, PublishErrorKind, PurgeError, ReadError,
    RedriveError, Riverbed, Stream, StreamConfig, StreamError, Unavailable,
};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct World {
    pub(crate) disk: FaultyDisk,
    pub(crate) clock: ManualClock,
    pub(crate) store: Riverbed,
    pub(crate) stream: Stream,
    pub(crate) consumer: Consumer,
    pub(crate) held: Vec<Message>,
}

thread_local! {
    /// Bytes of a segment of the journal, if this test's stores have one.
    pub(crate) static JOURNAL: Cell<Option<u64>> = const { Cell::new(None) };
}

/// What a journal has room for that takes part in everything: a few commits in a lap.
pub(crate) const SMALL_JOURNAL: u64 = 256 << 10;

pub(crate) fn open(disk: &FaultyDisk, clock: &ManualClock) -> Result<Riverbed, OpenError> {
    let builder = Riverbed::builder().clock(clock.clock()).without_threads();
    let builder = match JOURNAL.get() {
        Some(segment) => builder.journal_segment(segment),
        None => builder.without_journal(),
    };
    let builder = builder.disk(Arc::new(disk.clone()));
    builder.cache_bytes(1 << 20).open("/store")
}

/// Large enough to need pages of its own.
pub(crate) fn payload(number: u64) -> Vec<u8> {
    format!("{number} ").repeat(2_000).into_bytes()
}

/// Six messages: 1 is a dead letter, 2 to 4 are in flight, 5 and 6 are still to come.
pub(crate) fn world() -> World {
    let (disk, clock) = (FaultyDisk::default(), ManualClock::new());
    let store = open(&disk, &clock).unwrap();
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    for number in 1..=6 {
        stream.publish("s", payload(number)).unwrap();
    }
    let config = ConsumerConfig::new("c").max_deliver(1).dead_letter("dead");
    let consumer = stream.create_consumer(config).unwrap();
    // Makes the journal, if there is to be one; the fetch is the commit that begins it, and what follows is in it.
    store.drive().unwrap();
    let mut held: Vec<Message> = consumer
        .fetch(Fetch::new(4).no_wait())
        .unwrap()
        .into_iter()
        .collect();
    held.remove(0).nak().unwrap();
    World {
        disk,
        clock,
        store,
        stream,
        consumer,
        held,
    }
}

/// Why the store itself refused, whatever was asked of it.
pub(crate) fn unavailable(why: Error) -> Unavailable {
    match why {
        Error::Publish(why) => match why.kind {
            PublishErrorKind::Unavailable(why) => why,
            other => panic!("{other:?}"),
        },
        Error::Stream(StreamError::Unavailable(why))
        | Error::Consumer(ConsumerError::Unavailable(why))
        | Error::Read(ReadError::Unavailable(why))
        | Error::Purge(PurgeError::Unavailable(why))
        | Error::Fetch(FetchError::Unavailable(why))
        | Error::Ack(AckError::Unavailable(why))
        | Error::AckAndFetch(
            AckAndFetchError::Ack(AckError::Unavailable(why))
            | AckAndFetchError::Fetch {
                why: FetchError::Unavailable(why),
                ..
            },
        )
        | Error::Redrive(RedriveError::Unavailable(why))
        | Error::Close(CloseError::Unavailable(why))
        | Error::Unavailable(why) => why,
        other => panic!("{other:?}"),
    }
}

/// After a failure nothing works, and nothing is written any more (G12, R8).
pub(crate) fn assert_stopped(world: &World) {
    let changes = world.disk.changes();
    let poisoned = |why: Error| {
        let why = unavailable(why);
        assert!(matches!(why, Unavailable::Poisoned { .. }), "{why:?}");
        let text = why.to_string();
        assert!(text.contains("drop it and open it again"), "{text}");
    };
    poisoned(world.stream.publish("s", "late").unwrap_err().into());
    poisoned(
        world
            .consumer
            .fetch(Fetch::new(1).no_wait())
            .unwrap_err()
            .into(),
    );
    poisoned(world.held[0].ack().unwrap_err().into());
    poisoned(world.store.info().unwrap_err().into());
    poisoned(world.store.drive().unwrap_err().into());
    world.store.close().unwrap_err();
    assert_eq!(world.disk.changes(), changes, "nothing is tried again");
}

/// What must be there whatever the failed call did, and that the store works.
pub(crate) fn assert_recovered(disk: &FaultyDisk, clock: &ManualClock) {
    let store = open(disk, clock).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let stream = store.stream("s").unwrap();
    let stored: BTreeMap<u64, Vec<u8>> = stream
        .range(..)
        .map(Result::unwrap)
        .map(|message| (message.seq().get(), message.payload().to_vec()))
        .collect();
    let first = *stored.keys().next().unwrap_or(&1);
    for (seq, bytes) in &stored {
        assert!(*bytes == payload(*seq), "the bytes of {seq}");
    }
    // Only a purge that was asked for takes some away, from the head.
    assert!(stored.len() as u64 + first > 6, "{:?}", stored.keys());
    let last = stream.info().unwrap().last_seq.get();
    let seq = stream.publish("s", payload(last + 1)).unwrap().seq;
    assert_eq!(seq, last + 1);
    let consumer = stream.consumer("c").unwrap();
    loop {
        let batch = consumer.fetch(Fetch::new(100).no_wait()).unwrap();
        if batch.is_empty() {
            break;
        }
        assert_eq!(batch.ack().unwrap().refused, []);
    }
    clock.advance(Duration::from_secs(3600));
    store.drive().unwrap();
    let info = consumer.info().unwrap();
    assert_eq!((info.pending, info.in_flight, info.due), (0, 0, 0));
    let over = info.acked + info.dead_lettered + info.lost + info.dropped;
    // A dead letter that was redriven is a message of its own.
    assert!(over == last + 1 || over == last + 2, "{info:?} of {last}");
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    store.close().unwrap();
}
