//! Ack policies: explicit, all, none.

use crate::helpers::*;
use riverbed::{AckPolicy, ConsumerConfig, ConsumerError, EmptyReason, OnExhausted, Seq};

fn all(name: &str) -> ConsumerConfig {
    ConsumerConfig::new(name).ack_policy(AckPolicy::All)
}

fn none(name: &str) -> ConsumerConfig {
    ConsumerConfig::new(name).ack_policy(AckPolicy::None)
}

#[test]
fn an_ack_of_all_finishes_what_is_in_flight_due_and_delayed_below_it() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, all("c"));
    publish(&stream, "s.x", 7);
    let taken = take(&consumer, 6);
    taken[0].nak_now().unwrap();
    taken[1].nak_after(secs(60)).unwrap();
    taken[4].ack().unwrap();
    let facts = info(&consumer);
    assert_eq!((facts.acked, facts.in_flight), (5, 1));
    assert_eq!((facts.due, facts.delayed, facts.pending), (0, 0, 1));
    assert_eq!(facts.ack_floor, Seq::new(5));
    assert!(is_gone(&taken[2].ack()), "it went with the fifth");
    world.pass(secs(100));
    assert_eq!(seqs(&take(&consumer, 10)), [6, 7]);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn an_ack_of_all_leaves_parked_and_refused_messages_alone() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, all("c").max_deliver(1));
    publish(&stream, "s.x", 3);
    let taken = take(&consumer, 3);
    taken[0].nak().unwrap();
    taken[2].ack().unwrap();
    let facts = info(&consumer);
    assert_eq!((facts.parked, facts.acked, facts.in_flight), (1, 2, 0));
    assert_eq!(consumer.parked(Seq::new(0), 10).unwrap().len(), 1);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_stale_delivery_acks_nothing_below_it_either() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, all("c"));
    publish(&stream, "s.x", 3);
    let old = take(&consumer, 3);
    world.pass(secs(31));
    let new = take(&consumer, 3);
    assert!(is_stale(&old[2].ack()));
    assert_eq!(info(&consumer).in_flight, 3);
    // In a batch the others' acks count for themselves, in whatever order they are given.
    let mixed = [new[2].clone(), old[1].clone(), new[0].clone()];
    let acked = consumer.ack_batch(&mixed).unwrap();
    assert_eq!((acked.acked, acked.refused.len()), (2, 1));
    assert_eq!(info(&consumer).acked, 3);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn b2_every_round_of_redelivery_under_ack_all_is_in_order() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, all("c"));
    publish(&stream, "s.x", 100);
    let expected: Vec<u64> = (1..=100).collect();
    let mut taken = take(&consumer, 100);
    for _ in 0..5 {
        assert_eq!(seqs(&taken), expected);
        world.pass(secs(31));
        taken = take(&consumer, 100);
    }
    taken[99].ack().unwrap();
    assert_eq!(info(&consumer).acked, 100);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn an_ack_of_all_survives_a_kill() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, all("c"));
    publish(&stream, "s.x", 4);
    take(&consumer, 4)[2].ack().unwrap();
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    let facts = info(&consumer);
    assert_eq!((facts.acked, facts.due), (3, 1));
    assert_eq!(facts.config.ack_policy, AckPolicy::All);
    assert_eq!(seqs(&take(&consumer, 10)), [4]);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn without_acks_a_delivery_is_finished_when_it_is_counted() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, none("c"));
    publish(&stream, "s.x", 3);
    let taken = take(&consumer, 2);
    let facts = info(&consumer);
    assert_eq!(
        (facts.deliveries, facts.in_flight, facts.pending),
        (2, 0, 1)
    );
    assert_eq!((facts.ack_floor, facts.acked), (Seq::new(2), 0));
    assert!(taken[1].serial() > taken[0].serial());
    // An ack says what is true already; every other verdict comes too late.
    taken[0].ack().unwrap();
    taken[0].ack().unwrap();
    assert_eq!(consumer.ack_batch(&taken).unwrap().acked, 2);
    assert!(is_gone(&taken[0].nak()));
    assert!(is_gone(&taken[0].term("no")));
    assert!(is_gone(&taken[0].in_progress()));
    assert_eq!(info(&consumer).acked, 0);
    world.pass(secs(100));
    assert_eq!(seqs(&take(&consumer, 10)), [3]);
    assert_eq!(nothing(&consumer), EmptyReason::NoMessages);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn without_acks_nothing_comes_twice_after_a_kill() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, none("c"));
    publish(&stream, "s.x", 5);
    assert_eq!(take(&consumer, 3).len(), 3);
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    assert_eq!(info(&consumer).crashes, 0);
    assert_eq!(seqs(&take(&consumer, 10)), [4, 5]);
    world.empty("s");
    assert_eq!(info(&consumer).lost, 0, "it was done with all of them");
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_waiting_fetch_without_acks_is_served_by_the_commit_that_publishes() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, none("c"));
    let waits = std::thread::spawn(move || consumer.fetch(riverbed::Fetch::new(1)).unwrap());
    stream.publish("s.x", "here").unwrap();
    assert_eq!(waits.join().unwrap()[0].payload(), b"here");
}

#[test]
fn settings_that_need_acks_are_refused_without_them() {
    let world = World::new();
    let stream = world.stream("s");
    let refused = [
        ("max_deliver", none("c").max_deliver(3)),
        ("backoff", none("c").backoff([secs(1)])),
        ("max_deliver", none("c").dead_letter("dead").max_deliver(2)),
        ("dead_letter", none("c").dead_letter("dead")),
        ("on_exhausted", none("c").on_exhausted(OnExhausted::Drop)),
        ("ack_wait", none("c").ack_wait(secs(5))),
        ("max_ack_pending", none("c").max_ack_pending(10)),
        ("max_ack_pending_bytes", none("c").max_ack_pending_bytes(10)),
        ("lazy_acks", none("c").lazy_acks()),
    ];
    for (setting, config) in refused {
        let Err(ConsumerError::Invalid(why)) = stream.create_consumer(config) else {
            panic!("`{setting}` is taken");
        };
        assert_eq!(why.setting, setting);
        let why = why.to_string();
        assert!(why.contains("ack_policy") && why.contains(setting), "{why}");
    }
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn the_ack_policy_is_fixed_at_creation() {
    let world = World::new();
    let stream = world.stream("s");
    create(&stream, ConsumerConfig::new("c"));
    for other in [all("c"), none("c")] {
        let told = stream.update_consumer(other.clone());
        let fixed = ConsumerError::Fixed {
            setting: "ack_policy",
        };
        assert_eq!(told.unwrap_err(), fixed);
        let told = stream.create_consumer(other).unwrap_err();
        assert!(told.to_string().contains("ack_policy"), "{told}");
    }
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn what_an_ack_of_all_or_a_count_finishes_leaves_a_stream_of_interest() {
    let world = World::new();
    let config = riverbed::StreamConfig::new("s")
        .subjects(["s.>"])
        .retention(riverbed::Retention::Interest);
    let stream = world.store.create_stream(config).unwrap();
    let (one, other) = (create(&stream, all("one")), create(&stream, none("other")));
    publish(&stream, "s.x", 4);
    take(&one, 3)[1].ack().unwrap();
    assert_eq!(stored(&stream), [1, 2, 3, 4]);
    assert_eq!(take(&other, 3).len(), 3);
    assert_eq!(stored(&stream), [3, 4], "both are done with the first two");
    stream.delete_consumer("one").unwrap();
    world.pass(secs(1));
    assert_eq!(stored(&stream), [4]);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn an_ack_of_all_does_not_finish_what_was_brought_back_and_not_delivered_since() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c")
        .ack_policy(AckPolicy::All)
        .dead_letter("dead");
    let consumer = create(&stream, config);
    publish(&stream, "s.x", 3);
    let taken = take(&consumer, 3);
    taken[0].term("no").unwrap();
    let dead = world.store.stream("dead").unwrap();
    dead.redrive_to_consumer(1.into()).unwrap();
    taken[2].ack().unwrap();
    assert_eq!(seqs(&take(&consumer, 9)), [1], "nobody has done it");
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}
