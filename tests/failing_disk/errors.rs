//! A disk that fails: typed answers for all who wait, then silence until the store is opened again.

use crate::disk::Op;
use crate::world::{
    JOURNAL, SMALL_JOURNAL, World, assert_recovered, assert_stopped, open, payload, unavailable,
    world,
};
use riverbed::{
    ConsumerConfig, Event, Fetch, FetchError, OpenError, PublishError, PublishErrorKind, Riverbed,
    StreamConfig, Unavailable,
};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn of_publish(why: PublishError) -> Unavailable {
    unavailable(why.into())
}

#[test]
fn r2_a_failed_write_or_sync_is_told_to_all_who_wait() {
    all_who_wait_are_told();
    JOURNAL.set(Some(SMALL_JOURNAL));
    all_who_wait_are_told();
}

fn all_who_wait_are_told() {
    for op in [Op::Write, Op::Sync] {
        let world = world();
        let World {
            disk,
            clock,
            store,
            stream,
            consumer,
            ..
        } = &world;
        let events = store.events(100);
        disk.hold_and_fail(op);
        thread::scope(|scope| {
            let first = scope.spawn(|| stream.publish("s", payload(7)).unwrap_err());
            disk.wait_for_the_held();
            // These are staged while the group before them is on its way to the disk.
            let waiting: Vec<_> = (8..12)
                .map(|number| stream.publish_async(("s", payload(number))).unwrap())
                .map(|handle| scope.spawn(move || handle.wait().unwrap_err()))
                .collect();
            let ack = scope.spawn(|| world.held[0].ack().unwrap_err());
            let fetch = scope.spawn(|| consumer.fetch(Fetch::new(9)).unwrap_err());
            let info = scope.spawn(|| stream.info().unwrap_err());
            disk.let_go();
            let why = of_publish(first.join().unwrap());
            assert!(matches!(why, Unavailable::OutcomeUnknown { .. }), "{why:?}");
            let mut others = vec![unavailable(ack.join().unwrap().into())];
            others.push(unavailable(fetch.join().unwrap().into()));
            others.push(unavailable(info.join().unwrap().into()));
            for why in others {
                let told = matches!(
                    why,
                    Unavailable::OutcomeUnknown { .. } | Unavailable::Poisoned { .. }
                );
                assert!(told, "{why:?}");
            }
            for handle in waiting {
                let why = of_publish(handle.join().unwrap());
                assert!(matches!(why, Unavailable::OutcomeUnknown { .. }), "{why:?}");
            }
        });
        assert_stopped(&world);
        let poisoned = |event: &Event| matches!(event, Event::Poisoned { .. });
        assert_eq!(events.iter().filter(poisoned).count(), 1);
        assert_recovered(disk, clock);
    }
}

#[test]
fn r8_a_failed_sync_whose_writes_are_gone_takes_nothing_that_was_acknowledged() {
    for seed in 0..16 {
        JOURNAL.set((seed % 2 == 1).then_some(SMALL_JOURNAL));
        let world = world();
        world.disk.fail_one(Op::Sync, 0);
        let why = of_publish(world.stream.publish("s", payload(7)).unwrap_err());
        assert!(matches!(why, Unavailable::OutcomeUnknown { .. }), "{why:?}");
        assert_stopped(&world);
        assert_recovered(&world.disk.crash_image(seed), &world.clock);
    }
}

#[test]
fn g12_a_read_error_stops_the_store_and_opening_it_again_recovers() {
    let mut met = 0;
    for skip in 0..40 {
        let mut world = world();
        world.store.close().unwrap();
        // Without a cache, every page is read when it is needed.
        let builder = Riverbed::builder()
            .clock(world.clock.clock())
            .without_threads();
        let builder = builder.disk(Arc::new(world.disk.clone()));
        world.store = builder.cache_bytes(0).open("/store").unwrap();
        world.stream = world.store.stream("s").unwrap();
        world.consumer = world.stream.consumer("c").unwrap();
        let unread: Result<_, FetchError> = {
            world.disk.fail_one(Op::Read, skip);
            world.consumer.fetch(Fetch::new(100).no_wait())
        };
        let failed = world.disk.mend() > 0;
        match unread {
            Ok(batch) => {
                assert!(!failed, "an error that nobody heard of");
                assert_eq!(batch.len(), 5);
                break;
            }
            Err(why) => {
                met += 1;
                let why = unavailable(why.into());
                let told = matches!(
                    why,
                    Unavailable::Io { .. } | Unavailable::OutcomeUnknown { .. }
                );
                assert!(told, "{why:?}");
                assert!(why.to_string().contains("the test disk failed"), "{why}");
                assert!(world.stream.publish("s", "").is_err());
                assert!(world.store.close().is_err());
                assert_recovered(&world.disk, &world.clock);
            }
        }
    }
    assert!(met > 0, "a fetch reads nothing");
}

#[test]
fn g12_an_error_of_the_sweeper_stops_the_store() {
    for (op, journal) in [
        (Op::Write, None),
        (Op::Sync, None),
        (Op::Write, Some(SMALL_JOURNAL)),
        (Op::Sync, Some(SMALL_JOURNAL)),
    ] {
        JOURNAL.set(journal);
        let world = world();
        world.clock.advance(Duration::from_secs(31));
        world.disk.fail_one(op, 0);
        let why = world.store.drive().unwrap_err();
        assert!(matches!(why, Unavailable::OutcomeUnknown { .. }), "{why:?}");
        assert_stopped(&world);
        assert_recovered(&world.disk, &world.clock);
    }
}

#[test]
fn g12_an_error_on_the_sweepers_own_thread_stops_the_store_and_is_announced() {
    let before = world();
    before.store.close().unwrap();
    let builder = Riverbed::builder().clock(before.clock.clock());
    let builder = builder.disk(Arc::new(before.disk.clone()));
    let store = builder.open("/store").unwrap();
    let consumer = store.stream("s").unwrap().consumer("c").unwrap();
    assert_eq!(consumer.fetch(Fetch::new(9)).unwrap().len(), 5);
    let events = store.events(100);
    before.disk.fail_one(Op::Sync, 0);
    before.clock.advance(Duration::from_secs(31));
    // The receiver ends with the store.
    let poisoned = |event: &Event| matches!(event, Event::Poisoned { .. });
    assert_eq!(events.iter().filter(poisoned).count(), 1);
    let why = consumer.fetch(Fetch::new(1)).unwrap_err();
    let why = unavailable(why.into());
    assert!(matches!(why, Unavailable::Poisoned { .. }), "{why:?}");
    drop((store, consumer));
    assert_recovered(&before.disk, &before.clock);
}

#[test]
fn g12_any_error_while_a_store_opens_or_is_created_is_no_damage_and_the_next_opening_works() {
    for (op, created) in [
        (Op::Read, false),
        (Op::Write, false),
        (Op::Sync, false),
        (Op::Read, true),
        (Op::Write, true),
        (Op::Sync, true),
    ] {
        for skip in 0.. {
            let world = world();
            let disk = if created {
                crate::disk::FaultyDisk::default()
            } else {
                world.disk.crash_image(1)
            };
            disk.fail_one(op, skip);
            let opened = open(&disk, &world.clock);
            let failed = disk.mend() > 0;
            if !failed {
                opened.unwrap();
                assert!(skip > 0, "{op:?}: nothing failed");
                break;
            }
            let why = opened.expect_err("an error that nobody heard of");
            assert!(
                matches!(why, OpenError::Io { .. }),
                "{op:?} {skip}: {why:?}"
            );
            if created {
                let store = open(&disk, &world.clock).unwrap();
                let stream = store.create_stream(StreamConfig::new("s")).unwrap();
                stream.create_consumer(ConsumerConfig::new("c")).unwrap();
                assert_eq!(stream.publish("s", "").unwrap().seq, 1);
            } else {
                assert_recovered(&disk, &world.clock);
            }
        }
    }
}

#[test]
fn r2_a_publish_after_the_failure_was_not_stored_and_says_so() {
    let world = world();
    world.disk.fail_one(Op::Sync, 0);
    world.stream.publish("s", payload(7)).unwrap_err();
    let late = world.stream.publish("s", payload(8)).unwrap_err();
    assert!(
        late.to_string().contains("nothing of this call was stored"),
        "{late}"
    );
    let PublishErrorKind::Unavailable(Unavailable::Poisoned { cause }) = late.kind else {
        panic!("{late:?}");
    };
    assert!(cause.contains("the test disk failed"), "{cause}");
    drop(world.store.close());
    let store = open(&world.disk, &world.clock).unwrap();
    assert!(store.stream("s").unwrap().info().unwrap().last_seq <= 7.into());
}
