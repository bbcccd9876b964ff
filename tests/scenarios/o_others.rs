//! Scenarios of several letters that stand in no other file.

use crate::helpers::*;
use riverbed::{
    AckPolicy, Consumer, ConsumerConfig, DeliverPolicy, Message, Publish, Retention, Seq,
    StreamConfig,
};
use std::collections::BTreeMap;

fn is_clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

fn lasts(filter: &str) -> ConsumerConfig {
    let config = ConsumerConfig::new("c").filter(filter);
    config.deliver(DeliverPolicy::LastPerSubject)
}

#[test]
fn f2_the_last_of_each_subject_comes_once_though_others_follow_and_subjects_are_trimmed() {
    let world = World::new();
    let config = StreamConfig::new("s")
        .subjects(["s.>"])
        .max_messages_per_subject(5);
    let stream = world.store.create_stream(config).unwrap();
    for _ in 0..8 {
        for subject in ["s.x.a", "s.x.b", "s.x.c"] {
            stream.publish(subject, "").unwrap();
        }
    }
    publish(&stream, "s.other", 4);
    let consumer = create(&stream, lasts("s.x.*"));
    let first = take(&consumer, 10);
    assert_eq!(seqs(&first), [22, 23, 24]);
    publish(&stream, "s.x.b", 1);
    publish(&stream, "s.other", 1);
    publish(&stream, "s.x.d", 1);
    // 25 to 28 and 30 are not its own.
    let then = take(&consumer, 10);
    assert_eq!(seqs(&then), [29, 31]);
    assert_eq!(deliveries(&then), [1, 1]);
    is_clean(&world);
}

#[test]
fn f5_a_wildcard_counts_subjects_of_its_depth_and_a_mark_of_deletion_is_the_newest_value() {
    let world = World::new();
    let stream = world.stream("s");
    for subject in ["s.a", "s.b", "s.a.deeper", "s.c", "s"] {
        let captured = stream.publish(subject, "value");
        assert_eq!(captured.is_ok(), subject != "s");
    }
    let deleted = Publish::new("s.b", "").header("Operation", "DEL");
    stream.publish_message(deleted).unwrap();
    stream.delete(Seq::new(4)).unwrap();
    let consumer = create(&stream, lasts("s.*"));
    let taken = take(&consumer, 10);
    assert_eq!(seqs(&taken), [1, 5]);
    assert_eq!(taken[1].headers().get("Operation"), Some("DEL"));
    assert_eq!(taken[1].payload(), b"");
    is_clean(&world);
}

/// Fetches and acks until it has had the last of so many messages.
fn ack_all_of(consumer: &Consumer, messages: u64) -> Vec<u64> {
    let mut acked = Vec::new();
    for message in consumer.messages() {
        let message = message.unwrap();
        message.ack().unwrap();
        acked.push(message.seq().get());
        if message.seq() == messages {
            return acked;
        }
    }
    panic!("the store was closed")
}

#[test]
fn g13_a_stream_that_turns_to_interest_while_others_publish_and_ack_loses_and_keeps_nothing() {
    const MESSAGES: u64 = 200;
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let publisher = {
        let stream = stream.clone();
        std::thread::spawn(move || publish(&stream, "s.a", MESSAGES))
    };
    let worker = std::thread::spawn(move || ack_all_of(&consumer, MESSAGES));
    let config = stream.info().unwrap().config.retention(Retention::Interest);
    // What was acked by then leaves.
    world.store.update_stream_removing(config).unwrap();
    publisher.join().unwrap();
    let acked = worker.join().unwrap();
    assert_eq!(acked, (1..=MESSAGES).collect::<Vec<_>>());
    drop(stream);
    let world = world.reopened();
    // What was acked before the update is looked at in steps.
    world.pass(secs(1));
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stored(&stream), Vec::<u64>::new());
    assert_eq!(stream.info().unwrap().last_seq, Seq::new(MESSAGES));
    is_clean(&world);
}

#[test]
fn g15_an_ack_of_all_in_a_stream_that_starts_in_the_billions_looks_at_what_is_out_alone() {
    for retention in [Retention::Limits, Retention::Interest] {
        let world = World::new();
        let config = StreamConfig::new("s")
            .subjects(["s.>"])
            .first_sequence(Seq::new(5_000_000_000))
            .retention(retention);
        let stream = world.store.create_stream(config).unwrap();
        let consumer = create(&stream, ConsumerConfig::new("c").ack_policy(AckPolicy::All));
        publish(&stream, "s.a", 3);
        // One step for each sequence below would take hours.
        take(&consumer, 3)[2].ack().unwrap();
        assert_eq!(info(&consumer).ack_floor, Seq::new(5_000_000_002));
        assert_eq!(info(&consumer).in_flight, 0);
        let left = if retention == Retention::Limits { 3 } else { 0 };
        assert_eq!(stored(&stream).len(), left);
        is_clean(&world);
    }
}

#[test]
fn k5_who_gives_its_messages_back_gives_back_no_one_elses() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 4);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let other = world.consumer("s", "c");
    let (mine, theirs) = (take(&consumer, 2), take(&other, 2));
    for message in &mine {
        message.nak().unwrap();
    }
    drop((mine, consumer));
    let again = take(&other, 10);
    assert_eq!(seqs(&again), [1, 2]);
    for message in theirs.iter().chain(&again) {
        message.ack().unwrap();
    }
    assert_eq!(info(&other).acked, 4);
    is_clean(&world);
}

/// A stream whose consumer has failed at a message for the last time but one, and holds it.
fn at_its_end(retention: Retention) -> (World, Message) {
    let world = World::new();
    let config = StreamConfig::new("s")
        .subjects(["s.>"])
        .retention(retention);
    let stream = world.store.create_stream(config).unwrap();
    let config = ConsumerConfig::new("c").max_deliver(2).dead_letter("dead");
    let consumer = create(&stream, config);
    publish(&stream, "s.a", 1);
    take_one(&consumer).nak_now().unwrap();
    let message = take_one(&consumer);
    (world, message)
}

/// How many letters there are, and whether the consumer has the message still.
fn places(world: &World) -> (usize, bool) {
    let letters = world.store.stream("dead").unwrap().dead_letters().count();
    let facts = info(&world.consumer("s", "c"));
    (letters, facts.due + facts.in_flight > 0)
}

#[test]
fn l1_wherever_the_power_fails_an_exhausted_message_is_in_exactly_one_place() {
    for retention in [Retention::Limits, Retention::WorkQueue] {
        let mut seen = [false, false];
        for cut in 0.. {
            let (world, message) = at_its_end(retention);
            world.disk.fail_from(world.disk.operations() + cut);
            let told = message.nak_now();
            let image = world.disk.crash_image(cut);
            let done = told.is_ok();
            let world = World::on(image, world.clock);
            let place = places(&world);
            // What failed once more because the process died is a letter, too, as soon as it is looked at.
            world.store.drive().unwrap();
            assert!(
                place == (1, false) || !done && place == (0, true),
                "{place:?}"
            );
            assert_eq!(places(&world).0 + usize::from(places(&world).1), 1);
            let stream = world.store.stream("s").unwrap();
            let original = usize::from(retention == Retention::Limits || places(&world).1);
            assert_eq!(stored(&stream).len(), original, "cut {cut}");
            is_clean(&world);
            seen[usize::from(done)] = true;
            if done {
                break;
            }
        }
        assert_eq!(seen, [true, true]);
    }
}

#[test]
fn l17_thousands_in_flight_may_be_acked_in_any_order() {
    const MESSAGES: u64 = 5_000;
    let world = World::new();
    let stream = world.stream("s");
    let batch = (0..MESSAGES).map(|_| Publish::new("s.a", ""));
    stream.publish_batch(batch.collect::<Vec<_>>()).unwrap();
    let config = ConsumerConfig::new("c").max_ack_pending(5_000);
    let consumer = create(&stream, config);
    let taken = take(&consumer, 5_000).into_iter();
    let mut out: BTreeMap<u64, Message> = taken.map(|one| (one.seq().get(), one)).collect();
    // 7,919 shares no factor with their number, so each of them is met once.
    let mut order = (0..MESSAGES).map(|step| step * 7_919 % MESSAGES + 1);
    for _ in 0..8 {
        let some: Vec<Message> = order
            .by_ref()
            .take(500)
            .filter_map(|seq| out.remove(&seq))
            .collect();
        assert_eq!(consumer.ack_batch(&some).unwrap().acked, 500);
        let facts = info(&consumer);
        assert_eq!(facts.ack_floor.get(), out.keys().next().unwrap() - 1);
        assert_eq!(facts.in_flight, out.len() as u64);
    }
    is_clean(&world);
    drop(consumer);
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    assert_eq!(info(&consumer).due, 1_000);
    let left: Vec<u64> = out.keys().copied().collect();
    assert_eq!(seqs(&take(&consumer, 5_000)), left);
    is_clean(&world);
}
