//! A: the ack floor, what is pending, and the counters.

use crate::helpers::*;
use riverbed::{ConsumerConfig, Purge, Seq, StreamConfig};

#[test]
fn a1_the_floor_waits_for_the_first_and_then_jumps() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 4);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let taken = take(&consumer, 3);
    taken[1].ack().unwrap();
    taken[2].ack().unwrap();
    assert_eq!(info(&consumer).ack_floor, 0);
    taken[0].ack().unwrap();
    assert_eq!(info(&consumer).ack_floor, 3);
    assert_eq!((info(&consumer).in_flight, info(&consumer).pending), (0, 1));
}

#[test]
fn a3_a_filtered_floor_is_a_sequence_of_the_stream_and_pending_counts_matches_only() {
    let world = World::new();
    let stream = world.stream("s");
    for subject in ["s.a", "s.x", "s.b", "s.x", "s.a", "s.x", "s.b"] {
        stream.publish(subject, "").unwrap();
    }
    let consumer = create(&stream, ConsumerConfig::new("c").filters(["s.a", "s.b"]));
    assert_eq!(info(&consumer).pending, 4);
    let taken = take(&consumer, 3);
    assert_eq!(seqs(&taken), [1, 3, 5]);
    taken[0].ack().unwrap();
    taken[1].ack().unwrap();
    // The next unfinished one is 5: everything before it is finished or not wanted.
    assert_eq!(info(&consumer).ack_floor, 4);
    assert_eq!(info(&consumer).pending, 1);
}

#[test]
fn a4_expiry_empties_the_stream_and_every_counter_of_its_consumer() {
    let world = World::new();
    let config = StreamConfig::new("s").max_age(secs(60));
    let stream = world.store.create_stream(config).unwrap();
    publish(&stream, "s", 100);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(3600)));
    assert_eq!(take(&consumer, 100).len(), 100);
    world.pass(secs(61));
    assert_eq!(stream.info().unwrap().messages, 0);
    let info = info(&consumer);
    assert_eq!(
        (info.delivered, info.ack_floor),
        (Seq::new(100), Seq::new(100))
    );
    assert_eq!(
        (info.pending, info.in_flight, info.due, info.redelivered),
        (0, 0, 0, 0)
    );
    assert_eq!(info.lost, 100);
}

#[test]
fn a6_a_stream_that_moved_far_ahead_is_fetched_from_its_first_message() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 10);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    for message in take(&consumer, 10) {
        message.ack().unwrap();
    }
    stream
        .publish_batch((0..30_000).map(|_| ("s.a", "x")))
        .unwrap();
    stream.purge(Purge::all().keep(1)).unwrap();
    let world = world.reopened();
    let consumer = world.consumer("s", "c");
    assert_eq!((info(&consumer).in_flight, info(&consumer).pending), (0, 1));
    assert_eq!(info(&consumer).lost, 29_999);
    assert_eq!(seqs(&take(&consumer, 5)), [30_010]);
}

#[test]
fn a7_an_ack_above_the_floor_is_not_subtracted_from_pending_again() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    take(&consumer, 2)[1].ack().unwrap();
    assert_eq!(info(&consumer).pending, 0);
    stream.publish("s.a", "").unwrap();
    assert_eq!(info(&consumer).pending, 1);
}

#[test]
fn a9_a_dead_message_is_neither_pending_nor_in_the_way_of_the_next() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").ack_wait(secs(1)).max_deliver(1),
    );
    take_one(&consumer);
    world.pass(secs(1));
    stream.publish("s.a", "").unwrap();
    let second = take_one(&consumer);
    assert_eq!((second.seq().get(), second.deliveries()), (2, 1));
    assert_eq!((info(&consumer).pending, info(&consumer).parked), (0, 1));
}

#[test]
fn a10_a_dead_message_is_not_redelivered_when_the_limit_is_raised() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    let config = ConsumerConfig::new("c").ack_wait(secs(1));
    let consumer = create(&stream, config.clone().max_deliver(1));
    take_one(&consumer);
    world.pass(secs(1));
    assert_eq!(info(&consumer).redelivered, 0);
    stream.update_consumer(config.max_deliver(2)).unwrap();
    world.pass(secs(60));
    nothing(&consumer);
    assert_eq!(info(&consumer).parked, 1);
}

#[test]
fn a12_an_unrelated_message_behind_the_only_match_is_not_pending() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a.1", "").unwrap();
    stream.publish("s.b.1", "").unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").filter("s.a.*"));
    take_one(&consumer).ack().unwrap();
    assert_eq!(info(&consumer).pending, 0);
}

#[test]
fn every_wanted_message_is_in_exactly_one_place() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 8);
    let consumer = create(&stream, ConsumerConfig::new("c").max_deliver(2));
    let taken = take(&consumer, 6);
    taken[0].ack().unwrap();
    taken[1].nak_now().unwrap();
    taken[2].nak_after(secs(60)).unwrap();
    taken[3].nak_now().unwrap();
    let again = take(&consumer, 2);
    assert_eq!(seqs(&again), [2, 4]);
    again[1].nak().unwrap();
    again[0].nak_after(secs(1)).unwrap();
    let info = info(&consumer);
    let places = [
        info.pending,
        info.in_flight,
        info.due,
        info.delayed,
        info.parked,
        info.acked,
    ];
    // 2 and 4 failed twice; 3 waits; 5 and 6 are out.
    assert_eq!(places, [2, 2, 0, 1, 2, 1]);
    assert_eq!(places.iter().sum::<u64>(), 8);
}

#[test]
fn pending_of_a_filtered_consumer_is_exact_when_a_subject_goes_and_comes_back() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c").filter("s.a"));
    for round in 0..3 {
        publish(&stream, "s.a", 5);
        publish(&stream, "s.b", 1);
        assert_eq!(info(&consumer).pending, 5, "round {round}");
        for message in take(&consumer, 2) {
            message.ack().unwrap();
        }
        assert_eq!(stream.purge(Purge::all().filter("s.a")).unwrap(), 5);
        assert_eq!(info(&consumer).pending, 0, "round {round}");
        assert_eq!(info(&consumer).lost, 3 * (round + 1));
    }
    let world = world.reopened();
    let (stream, consumer) = (world.store.stream("s").unwrap(), world.consumer("s", "c"));
    publish(&stream, "s.a", 4);
    stream
        .delete(Seq::new(stream.info().unwrap().last_seq.get()))
        .unwrap();
    assert_eq!(info(&consumer).pending, 3);
    assert_eq!(take(&consumer, 10).len(), 3);
}

#[test]
fn the_oldest_unfinished_message_tells_its_age() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(3600)));
    assert_eq!(info(&consumer).oldest_unfinished, None);
    stream.publish("s.a", "").unwrap();
    world.pass(secs(10));
    stream.publish("s.a", "").unwrap();
    assert_eq!(info(&consumer).oldest_unfinished, Some(secs(10)));
    take_one(&consumer).ack().unwrap();
    world.pass(secs(5));
    assert_eq!(info(&consumer).oldest_unfinished, Some(secs(5)));
    take_one(&consumer).ack().unwrap();
    assert_eq!(info(&consumer).oldest_unfinished, None);
}
