//! A full disk: said by name, nothing acknowledged is lost, and room mends it (G12, R2).

use crate::disk::FaultyDisk;
use crate::world::{
    JOURNAL, SMALL_JOURNAL, World, assert_recovered, assert_stopped, open, payload, unavailable,
    world,
};
use riverbed::disk::{Disk, MemoryDisk};
use riverbed::{
    ConsumerConfig, Error, Fetch, ManualClock, OpenError, Purge, Riverbed, Seq, StreamConfig,
    Unavailable,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

type Call = fn(&World) -> Result<(), Error>;

/// Calls that write, each by its name.
const CALLS: [(&str, Call); 15] = [
    ("publish", |world| {
        Ok(world.stream.publish("s", payload(7)).map(drop)?)
    }),
    ("batch", |world| {
        let batch = (7..=20).map(|number| ("s", payload(number)));
        Ok(world.stream.publish_batch(batch).map(drop)?)
    }),
    ("pipelined publish", |world| {
        world.stream.publish_async(("s", payload(7)))?;
        Ok(world.stream.flush()?)
    }),
    ("fetch", |world| {
        Ok(world.consumer.fetch(Fetch::new(2).no_wait()).map(drop)?)
    }),
    ("ack", |world| Ok(world.held[0].ack()?)),
    ("batch of acks", |world| {
        Ok(world.consumer.ack_batch(&world.held).map(drop)?)
    }),
    ("ack and fetch", |world| {
        let ask = Fetch::new(2).no_wait();
        Ok(world.consumer.ack_and_fetch(&world.held, ask).map(drop)?)
    }),
    ("nak", |world| Ok(world.held[0].nak()?)),
    ("term", |world| Ok(world.held[0].term("no use")?)),
    ("sweep", |world| {
        world.clock.advance(Duration::from_secs(31));
        Ok(world.store.drive()?)
    }),
    ("purge", |world| {
        let purge = Purge::all().up_to(Seq::new(4));
        Ok(world.stream.purge(purge).map(drop)?)
    }),
    ("redrive", |world| {
        let dead = world.store.stream("dead")?;
        Ok(dead.redrive_to_consumer(Seq::new(1)).map(drop)?)
    }),
    ("create stream", |world| {
        let config = StreamConfig::new("other");
        Ok(world.store.create_stream(config).map(drop)?)
    }),
    ("create consumer", |world| {
        let config = ConsumerConfig::new("other");
        Ok(world.stream.create_consumer(config).map(drop)?)
    }),
    ("update consumer", |world| {
        let config = ConsumerConfig::new("c").max_deliver(2).dead_letter("dead");
        let config = config.ack_wait(Duration::from_secs(9));
        Ok(world.stream.update_consumer(config).map(drop)?)
    }),
];

fn assert_says_full(name: &str, why: &Unavailable) {
    assert!(
        matches!(why, Unavailable::DiskFull { .. }),
        "{name}: {why:?}"
    );
    let text = why.to_string();
    assert!(text.contains("the disk is full"), "{text}");
    assert!(text.contains("make room"), "{text}");
    assert!(text.contains("open it again"), "{text}");
}

#[test]
fn g12_any_call_says_that_the_disk_is_full_and_room_mends_it() {
    any_call_says_that_the_disk_is_full();
}

#[test]
fn g12_so_does_any_call_of_a_store_with_a_journal() {
    JOURNAL.set(Some(SMALL_JOURNAL));
    any_call_says_that_the_disk_is_full();
}

fn any_call_says_that_the_disk_is_full() {
    for (name, call) in CALLS {
        let mut met = 0;
        for skip in 0.. {
            let world = world();
            world.disk.fill_up(skip);
            let outcome = call(&world);
            if outcome.is_ok() && world.disk.mend() == 0 {
                // So many writes were all that it needs.
                break;
            }
            met += 1;
            assert_says_full(name, &unavailable(outcome.unwrap_err()));
            assert_stopped(&world);
            let World {
                disk, clock, store, ..
            } = world;
            drop(store);
            // As long as there is no room the store does not open, and says why.
            disk.fill_up(0);
            let refused = open(&disk, &clock).unwrap_err();
            assert!(matches!(refused, OpenError::DiskFull { .. }), "{refused:?}");
            assert!(refused.to_string().contains("make room"), "{refused}");
            disk.mend();
            assert_recovered(&disk, &clock);
        }
        assert!(met > 0, "{name} writes nothing");
    }
}

#[test]
fn g12_a_disk_that_fills_up_while_the_store_closes_loses_nothing() {
    closing_loses_nothing();
    JOURNAL.set(Some(SMALL_JOURNAL));
    closing_loses_nothing();
}

fn closing_loses_nothing() {
    for skip in 0.. {
        let world = world();
        world.disk.fill_up(skip);
        let closed = world.store.close();
        if world.disk.mend() == 0 {
            closed.unwrap();
            assert!(skip > 0, "closing writes nothing");
            break;
        }
        let why = closed.unwrap_err().to_string();
        assert!(why.contains("the disk is full"), "{why}");
        assert!(why.contains("what returned Ok before is stored"), "{why}");
        // The handles still live, and yet the path is free.
        assert_recovered(&world.disk, &world.clock);
    }
}

#[test]
fn g12_a_disk_that_fills_up_while_a_store_opens_loses_nothing() {
    opening_loses_nothing();
    JOURNAL.set(Some(SMALL_JOURNAL));
    opening_loses_nothing();
}

fn opening_loses_nothing() {
    let mut met = 0;
    for killed in [false, true] {
        for skip in 0.. {
            let world = world();
            let disk = if killed {
                world.disk.crash_image(1)
            } else {
                world.store.close().unwrap();
                world.disk.clone()
            };
            disk.fill_up(skip);
            let opened = open(&disk, &world.clock);
            if opened.is_ok() {
                break;
            }
            let why = opened.unwrap_err();
            assert!(matches!(why, OpenError::DiskFull { .. }), "{why:?}");
            assert!(why.to_string().contains("make room"), "{why}");
            disk.mend();
            assert_recovered(&disk, &world.clock);
            met += 1;
        }
    }
    assert!(met > 0, "opening writes nothing");
}

#[test]
fn r24_a_disk_that_fills_up_while_a_store_is_created_leaves_the_path_free() {
    let clock = ManualClock::new();
    for skip in 0.. {
        let disk = FaultyDisk::default();
        disk.fill_up(skip);
        match open(&disk, &clock) {
            Ok(_) => {
                assert!(skip > 5, "creating writes more than {skip} times");
                break;
            }
            Err(why) => assert!(matches!(why, OpenError::DiskFull { .. }), "{why:?}"),
        }
        disk.mend();
        let store = open(&disk, &clock).unwrap();
        store.create_stream(StreamConfig::new("s")).unwrap();
        assert_eq!(store.publish("s", "").unwrap().seq, 1);
        store.close().unwrap();
        assert!(!disk.exists(Path::new("/.store.creating")).unwrap());
    }
}

#[test]
fn g1_publishing_until_the_disk_is_full_keeps_all_that_was_acknowledged() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let open = || {
        let builder = Riverbed::builder().clock(clock.clock()).without_threads();
        let builder = builder.journal_segment(SMALL_JOURNAL);
        builder.disk(Arc::new(disk.clone())).open("/store").unwrap()
    };
    let mut store = open();
    store.create_stream(StreamConfig::new("s")).unwrap();
    let mut stored = 0;
    for capacity in [6, 7, 9] {
        disk.set_capacity(Some(capacity << 20));
        let why = loop {
            match store.publish("s", payload(stored + 1)) {
                Ok(ack) => stored = ack.seq.get(),
                Err(why) => break unavailable(why.into()),
            }
            if let Err(why) = store.drive() {
                break why;
            }
        };
        assert_says_full("publish", &why);
        drop(store);
        disk.set_capacity(None);
        store = open();
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
        let stream = store.stream("s").unwrap();
        let mut last = 0;
        for message in stream.range(..) {
            let message = message.unwrap();
            last += 1;
            assert_eq!(message.seq(), last);
            assert!(message.payload() == payload(last), "the bytes of {last}");
        }
        // The one without an answer may be there.
        assert!(last == stored || last == stored + 1);
        stored = last;
    }
    assert!(stored > 100, "{stored} messages fit");
}
