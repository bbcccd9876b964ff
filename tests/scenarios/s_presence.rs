//! Headers only, pauses, and consumers that are deleted when nobody is at work with them.

use crate::helpers::*;
use riverbed::{
    AckError, ConsumerConfig, ConsumerError, EmptyReason, Event, Fetch, FetchError, Publish,
    Retention, Seq, StreamConfig, Timestamp,
};
use std::time::Duration;

fn after(world: &World, time: Duration) -> Timestamp {
    world.clock.clock().now().plus(time)
}

fn brief(name: &str) -> ConsumerConfig {
    ConsumerConfig::new(name).inactive_threshold(secs(60))
}

#[test]
fn e17_a_consumer_of_headers_gets_no_payload_but_its_length() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").headers_only().dead_letter("dead");
    let consumer = create(&stream, config);
    let message = riverbed::Publish::new("s.x", "a payload").header("Kind", "long");
    stream.publish_message(message).unwrap();
    let message = take_one(&consumer);
    assert_eq!((message.payload(), message.payload_len()), (&b""[..], 9));
    assert_eq!(message.headers().get("Kind"), Some("long"));
    assert_eq!(
        stream.get(Seq::new(1)).unwrap().unwrap().payload(),
        b"a payload"
    );
    message.term("not for me").unwrap();
    let dead = world.store.stream("dead").unwrap();
    let letter = dead.get(Seq::new(1)).unwrap().unwrap();
    assert_eq!(letter.payload(), b"a payload", "the copy is whole");
    // It may change, and holds after a restart.
    stream.publish("s.x", "two").unwrap();
    stream
        .update_consumer(ConsumerConfig::new("c").dead_letter("dead"))
        .unwrap();
    assert_eq!(take_one(&consumer).payload(), b"two");
    let config = ConsumerConfig::new("c").dead_letter("dead").headers_only();
    stream.update_consumer(config).unwrap();
    let world = world.killed();
    let message = take_one(&world.consumer("s", "c"));
    assert_eq!((message.payload(), message.payload_len()), (&b""[..], 3));
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn e16_a_paused_consumer_delivers_nothing_and_goes_on_by_itself() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    publish(&stream, "s.x", 3);
    let held = take_one(&consumer);
    let until = after(&world, secs(20));
    consumer.pause(until).unwrap();
    assert_eq!(nothing(&consumer), EmptyReason::Paused { until });
    assert_eq!(info(&consumer).config.pause_until, Some(until));
    held.ack().unwrap();
    assert_eq!((info(&consumer).acked, info(&consumer).pending), (1, 2));
    world.pass(secs(19));
    assert_eq!(nothing(&consumer), EmptyReason::Paused { until });
    world.pass(secs(1));
    assert_eq!(seqs(&take(&consumer, 10)), [2, 3]);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn leases_run_while_a_consumer_is_paused_and_resuming_ends_the_pause() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    publish(&stream, "s.x", 2);
    let held = take_one(&consumer);
    consumer.pause(after(&world, secs(1_000))).unwrap();
    world.pass(secs(31));
    assert_eq!(info(&consumer).due, 1);
    assert!(is_stale(&held.ack()));
    consumer.resume().unwrap();
    consumer.resume().unwrap();
    assert_eq!(seqs(&take(&consumer, 10)), [1, 2]);
    assert_eq!(info(&consumer).config.pause_until, None);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_pause_survives_a_restart_and_is_no_matter_of_updates() {
    let world = World::new();
    let stream = world.stream("s");
    let until = after(&world, secs(100));
    let config = ConsumerConfig::new("c").pause_until(until);
    let consumer = create(&stream, config.clone());
    publish(&stream, "s.x", 1);
    assert_eq!(nothing(&consumer), EmptyReason::Paused { until });
    stream
        .update_consumer(ConsumerConfig::new("c").ack_wait(secs(5)))
        .unwrap();
    assert_eq!(nothing(&consumer), EmptyReason::Paused { until });
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    let consumer = world.consumer("s", "c");
    assert_eq!(nothing(&consumer), EmptyReason::Paused { until });
    consumer.resume().unwrap();
    // The same consumer, whatever its pause is now.
    create(&stream, config.ack_wait(secs(5)));
    assert_eq!(seqs(&take(&consumer, 10)), [1]);
    stream.delete_consumer("c").unwrap();
    let gone = consumer.pause(until).unwrap_err();
    assert!(matches!(gone, ConsumerError::NotFound { .. }), "{gone}");
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_waiting_fetch_wakes_when_the_pause_ends() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    publish(&stream, "s.x", 1);
    consumer.pause(after(&world, secs(20))).unwrap();
    let waits = {
        let consumer = consumer.clone();
        std::thread::spawn(move || {
            consumer
                .fetch(Fetch::new(1).max_wait(secs(10_000)))
                .unwrap()
        })
    };
    while info(&consumer).waiting == 0 {
        std::thread::yield_now();
    }
    world.clock.advance(secs(20));
    assert_eq!(seqs(&waits.join().unwrap()), [1]);
}

#[test]
fn a_consumer_that_nobody_is_at_work_with_is_deleted_and_that_is_told() {
    let world = World::new();
    let stream = world.stream("s");
    let events = world.store.events(10);
    let consumer = create(&stream, brief("c"));
    publish(&stream, "s.x", 2);
    world.pass(secs(59));
    let held = take_one(&consumer);
    // Held for its 30 seconds, then due: from then on nobody is at work with it.
    world.pass(secs(20));
    world.pass(secs(10));
    world.pass(secs(59));
    assert_eq!(info(&consumer).due, 1);
    world.pass(secs(1));
    let gone = consumer.fetch(Fetch::new(1).no_wait()).unwrap_err();
    assert!(matches!(gone, FetchError::ConsumerGone { .. }), "{gone}");
    assert!(matches!(held.ack(), Err(AckError::ConsumerGone { .. })));
    let expired = Event::ConsumerExpired {
        stream: "s".into(),
        consumer: "c".into(),
        inactive: secs(60),
    };
    assert_eq!(events.try_recv().unwrap(), expired);
    assert_eq!(stored(&stream), [1, 2], "the messages stay");
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn fetching_settling_and_holding_keep_a_consumer() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, brief("c").ack_wait(secs(1_000)));
    publish(&stream, "s.x", 1);
    let held = take_one(&consumer);
    world.pass(secs(500));
    held.ack().unwrap();
    world.pass(secs(59));
    assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
    world.pass(secs(59));
    assert_eq!(info(&consumer).acked, 1);
    world.pass(secs(1));
    assert!(stream.consumer("c").is_err());
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn inactivity_counts_anew_when_the_store_is_opened() {
    let world = World::new();
    let stream = world.stream("s");
    create(&stream, brief("c"));
    world.pass(secs(59));
    world.clock.advance(secs(100));
    let world = world.killed();
    world.pass(secs(59));
    assert!(world.store.stream("s").unwrap().consumer("c").is_ok());
    world.pass(secs(1));
    assert!(world.store.stream("s").unwrap().consumer("c").is_err());
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn the_sweeper_finds_an_inactive_consumer_by_itself_and_lets_waiting_ones_be() {
    let world = World::threaded();
    let stream = world.stream("s");
    let events = world.store.events(10);
    create(&stream, brief("c"));
    let waiting = create(&stream, brief("waiting"));
    let waits = {
        let waiting = waiting.clone();
        std::thread::spawn(move || waiting.fetch(Fetch::new(1).max_wait(secs(10_000))).unwrap())
    };
    while info(&waiting).waiting == 0 {
        std::thread::yield_now();
    }
    world.clock.advance(secs(60));
    let Event::ConsumerExpired { consumer, .. } = events.recv().unwrap() else {
        panic!("another event");
    };
    assert_eq!(consumer, "c");
    stream.publish("s.x", "at last").unwrap();
    assert_eq!(waits.join().unwrap().len(), 1);
}

#[test]
fn an_inactivity_that_makes_no_sense_is_refused() {
    let world = World::new();
    let stream = world.stream("s");
    for after in [Duration::ZERO, secs(400 * 86_400)] {
        let config = ConsumerConfig::new("c").inactive_threshold(after);
        let Err(ConsumerError::Invalid(why)) = stream.create_consumer(config) else {
            panic!("{after:?} is taken");
        };
        assert_eq!(why.setting, "inactive_threshold");
    }
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_message_that_a_limit_takes_from_its_worker_does_not_make_the_consumer_inactive() {
    let world = World::new();
    let config = StreamConfig::new("i")
        .retention(Retention::Interest)
        .allow_message_ttl();
    let stream = world.store.create_stream(config).unwrap();
    let config = ConsumerConfig::new("c")
        .ack_wait(secs(3_600))
        .inactive_threshold(secs(60));
    let consumer = create(&stream, config);
    let short = Publish::new("i", "short").ttl(secs(240));
    stream.publish_message(short).unwrap();
    let held = take_one(&consumer);
    publish(&stream, "i", 2);
    world.pass(secs(240));
    assert!(is_gone(&held.ack()));
    assert_eq!(
        seqs(&take(&consumer, 9)),
        [2, 3],
        "it was at work until then"
    );
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}
