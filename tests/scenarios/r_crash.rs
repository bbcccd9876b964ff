//! R17 and R18: what a process that dies leaves, and who pays for it.

use crate::helpers::*;
use riverbed::{Consumer, ConsumerConfig, EmptyReason, Seq};

/// Handles messages in batches until a poison message kills the process, as often as it takes.
fn run_until_done(mut world: World, batch: usize, poison: u64, ack_at_once: bool) -> World {
    for _ in 0..200 {
        world.store.drive().unwrap();
        let consumer = world.consumer("s", "c");
        let taken = take(&consumer, batch);
        if taken.is_empty() {
            return world;
        }
        let mut done = Vec::new();
        let died = taken.into_iter().any(|message| {
            if message.seq() == poison {
                return true;
            }
            if ack_at_once {
                message.ack().unwrap();
            } else {
                done.push(message);
            }
            false
        });
        if died {
            world = world.killed();
        } else {
            consumer.ack_batch(&done).unwrap();
        }
    }
    panic!("the poison message never dies");
}

fn poisoned(messages: u64) -> World {
    let world = World::new();
    let stream = world.stream("s");
    stream
        .publish_batch((0..messages).map(|_| ("s.a", "x")))
        .unwrap();
    create(
        &stream,
        ConsumerConfig::new("c").max_deliver(3).dead_letter("dead"),
    );
    world
}

#[test]
fn r18_of_a_hundred_only_the_one_that_kills_the_process_is_dead_lettered() {
    for ack_at_once in [true, false] {
        let world = run_until_done(poisoned(100), 100, 37, ack_at_once);
        let known = info(&world.consumer("s", "c"));
        assert_eq!(
            (known.acked, known.dead_lettered, known.pending),
            (99, 1, 0)
        );
        let dead = world.store.stream("dead").unwrap();
        let letters: Vec<_> = dead.dead_letters().map(Result::unwrap).collect();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].seq, 37);
        assert_eq!((letters[0].failures, letters[0].crashes), (3, 2));
    }
}

#[test]
fn r18_a_message_handled_alone_pays_for_each_death() {
    let world = run_until_done(poisoned(3), 1, 2, true);
    let known = info(&world.consumer("s", "c"));
    assert_eq!(
        (
            known.acked,
            known.dead_lettered,
            known.crashes,
            known.failures
        ),
        (2, 1, 3, 3)
    );
}

#[test]
fn r18_a_kill_beside_others_is_a_crash_and_not_a_failure() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    take(&create(&stream, ConsumerConfig::new("c").max_deliver(1)), 3);
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    let known = info(&consumer);
    assert_eq!(
        (known.crashes, known.failures, known.suspects, known.parked),
        (3, 0, 0, 0)
    );
    for message in take(&consumer, 3) {
        assert_eq!(
            (message.deliveries(), message.failures(), message.crashes()),
            (2, 0, 1)
        );
    }
}

#[test]
fn r17_a_clean_restart_costs_nothing_to_a_message_beside_others_or_alone() {
    for messages in [1, 3] {
        let world = World::new();
        let stream = world.stream("s");
        publish(&stream, "s.a", messages);
        take(&create(&stream, ConsumerConfig::new("c").max_deliver(1)), 3);
        let world = world.reopened();
        let consumer = world.consumer("s", "c");
        assert_eq!((info(&consumer).crashes, info(&consumer).failures), (0, 0));
        let again = take(&consumer, 3);
        assert_eq!(again.len() as u64, messages);
        assert!(again.iter().all(|message| message.deliveries() == 2));
    }
}

/// A consumer with messages 1 to 3 caught in two crashes, and 4 that never was delivered.
fn with_suspects() -> (World, Consumer) {
    let mut world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    create(
        &stream,
        ConsumerConfig::new("c").max_deliver(2).ack_wait(secs(10)),
    );
    for _ in 0..2 {
        assert_eq!(take(&world.consumer("s", "c"), 3).len(), 3);
        world = world.killed();
    }
    world.store.publish("s.a", "").unwrap();
    let consumer = world.consumer("s", "c");
    assert_eq!(info(&consumer).suspects, 3);
    (world, consumer)
}

#[test]
fn r18_a_suspect_is_handled_alone_until_it_is_settled() {
    let (_world, consumer) = with_suspects();
    for seq in 1..=3 {
        let alone = take(&consumer, 10);
        assert_eq!(seqs(&alone), [seq]);
        assert_eq!(
            nothing(&consumer),
            EmptyReason::HandledAlone { seq: Seq::new(seq) }
        );
        alone[0].ack().unwrap();
    }
    assert_eq!(seqs(&take(&consumer, 10)), [4]);
    assert_eq!(info(&consumer).suspects, 0);
}

#[test]
fn r18_a_suspect_that_fails_is_delivered_alone_again() {
    let (world, consumer) = with_suspects();
    take_one(&consumer).nak().unwrap();
    for seq in [2, 3] {
        let alone = take(&consumer, 10);
        assert_eq!(seqs(&alone), [seq]);
        alone[0].ack().unwrap();
    }
    let alone = take(&consumer, 10);
    assert_eq!((seqs(&alone), alone[0].failures()), (vec![1], 1));
    world.pass(secs(10));
    // Its second failure is its last.
    assert_eq!((info(&consumer).parked, info(&consumer).suspects), (1, 1));
    assert_eq!(seqs(&take(&consumer, 10)), [4]);
}

#[test]
fn r18_a_suspect_waits_for_what_is_in_flight_already() {
    let (world, consumer) = with_suspects();
    let one = take_one(&consumer);
    one.nak_after(secs(60)).unwrap();
    for _ in 0..2 {
        take_one(&consumer).ack().unwrap();
    }
    let plain = take(&consumer, 10);
    assert_eq!(seqs(&plain), [4]);
    world.pass(secs(5));
    plain[0].in_progress().unwrap();
    world.clock.advance(secs(55));
    plain[0].in_progress().unwrap();
    world.store.drive().unwrap();
    // It is due, but 4 is out.
    assert!(take(&consumer, 10).is_empty());
    plain[0].ack().unwrap();
    assert_eq!(seqs(&take(&consumer, 10)), [1]);
}

#[test]
fn r18_the_last_death_alone_is_given_up_when_the_store_opens() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let config = ConsumerConfig::new("c").max_deliver(1).dead_letter("dead");
    take_one(&create(&stream, config));
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    // Before the sweeper moved it, it is out of delivery already.
    nothing(&consumer);
    world.store.drive().unwrap();
    let dead = world.store.stream("dead").unwrap();
    let letter = dead.dead_letters().next().unwrap().unwrap();
    assert_eq!((letter.deliveries, letter.failures), (1, 1));
    let known = info(&consumer);
    assert_eq!(
        (known.dead_lettered, known.refused, known.failures),
        (1, 0, 1)
    );
}

#[test]
fn g4_a_delivery_is_counted_before_anybody_sees_the_message() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    take(&create(&stream, ConsumerConfig::new("c")), 2);
    let world = world.killed();
    assert_eq!(deliveries(&take(&world.consumer("s", "c"), 2)), [2, 2]);
}

#[test]
fn r17_one_consumer_that_dies_alone_does_not_make_others_pay() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    take(&create(&stream, ConsumerConfig::new("alone")), 1);
    take(&create(&stream, ConsumerConfig::new("beside")), 2);
    create(&stream, ConsumerConfig::new("idle"));
    let world = world.killed();
    let failures = |name| info(&world.consumer("s", name)).failures;
    assert_eq!(
        [failures("alone"), failures("beside"), failures("idle")],
        [1, 0, 0]
    );
}
