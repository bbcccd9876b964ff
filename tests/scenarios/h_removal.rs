//! H: purges and deletes, and what they do to consumers.

use crate::helpers::*;
use riverbed::{ConsumerConfig, Event, Purge, PurgeError, Removal, Seq, Stream};

fn with(world: &World, messages: u64) -> Stream {
    let stream = world.stream("s");
    publish(&stream, "s.a", messages);
    stream
}

#[test]
fn h1_a_purge_that_keeps_some_takes_the_others_from_what_is_in_flight() {
    let world = World::new();
    let stream = with(&world, 100);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(1)));
    take(&consumer, 100);
    assert_eq!(stream.purge(Purge::all().keep(50)).unwrap(), 50);
    let known = info(&consumer);
    assert_eq!(
        (known.ack_floor.get(), known.in_flight, known.pending),
        (50, 50, 0)
    );
    publish(&stream, "s.a", 100);
    assert_eq!(info(&consumer).pending, 100);
    world.pass(secs(1));
    let again = take(&consumer, 200);
    assert_eq!(seqs(&again), (51..=200).collect::<Vec<u64>>());
    assert_eq!(
        again
            .iter()
            .filter(|message| message.deliveries() == 2)
            .count(),
        50
    );
}

#[test]
fn h2_a_purge_after_redeliveries_leaves_nothing_behind() {
    let world = World::new();
    let stream = with(&world, 100);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(1)));
    for _ in 0..2 {
        take(&consumer, 100);
        world.pass(secs(1));
    }
    assert_eq!(stream.purge(Purge::all()).unwrap(), 100);
    let known = info(&consumer);
    assert_eq!(
        (
            known.deliveries,
            known.delivered.get(),
            known.ack_floor.get()
        ),
        (200, 100, 100)
    );
    assert_eq!(
        (known.due, known.in_flight, known.pending, known.redelivered),
        (0, 0, 0, 0)
    );
    assert_eq!(known.lost, 100);
}

#[test]
fn h4_a_purge_by_subject_frees_what_was_in_flight_of_it() {
    let world = World::new();
    let stream = world.stream("s");
    for _ in 0..5 {
        stream
            .publish_batch([("s.foo", ""), ("s.bar", "")])
            .unwrap();
    }
    let consumer = create(&stream, ConsumerConfig::new("c").max_ack_pending(10));
    let taken = take(&consumer, 10);
    assert_eq!(stream.purge(Purge::all().filter("s.foo")).unwrap(), 5);
    assert_eq!(info(&consumer).in_flight, 5);
    assert!(is_gone(&taken[0].ack()));
    publish(&stream, "s.foo", 5);
    assert_eq!(take(&consumer, 10).len(), 5);
    assert_eq!(info(&consumer).in_flight, 10);
}

#[test]
fn h5_a_purged_message_never_returns_and_a_later_one_does() {
    let world = World::new();
    let stream = with(&world, 1);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(1)));
    take_one(&consumer);
    stream.purge(Purge::all()).unwrap();
    stream.publish("s.a", "").unwrap();
    take_one(&consumer);
    world.pass(secs(1));
    assert_eq!(seqs(&take(&consumer, 10)), [2]);
}

#[test]
fn h7_a_purge_up_to_a_sequence_leaves_that_one_also_inside_a_gap() {
    let world = World::new();
    let stream = with(&world, 10);
    for seq in 4..=6 {
        stream.delete(Seq::new(seq)).unwrap();
    }
    assert_eq!(stream.purge(Purge::all().up_to(5.into())).unwrap(), 3);
    assert_eq!(stored(&stream), [7, 8, 9, 10]);
    assert_eq!(stream.purge(Purge::all().up_to(9.into())).unwrap(), 2);
    assert_eq!(stored(&stream), [9, 10]);
    assert_eq!(stream.purge(Purge::all().up_to(9.into())).unwrap(), 0);
    assert_eq!(stream.purge(Purge::all().up_to(100.into())).unwrap(), 2);
    assert_eq!(stream.info().unwrap().last_seq, 10);
}

#[test]
fn h8_keep_counts_messages_that_exist() {
    let world = World::new();
    let stream = with(&world, 20);
    for seq in (2..=20).step_by(2) {
        stream.delete(Seq::new(seq)).unwrap();
    }
    assert_eq!(stream.purge(Purge::all().keep(5)).unwrap(), 5);
    assert_eq!(stored(&stream), [11, 13, 15, 17, 19]);
    let known = stream.info().unwrap();
    assert_eq!(
        (known.first_seq.get(), known.last_seq.get(), known.messages),
        (11, 20, 5)
    );
    assert_eq!(stream.purge(Purge::all().keep(5)).unwrap(), 0);
    assert_eq!(stream.purge(Purge::all().keep(0)).unwrap(), 5);
    assert_eq!(stored(&stream), Vec::<u64>::new());
}

#[test]
fn keep_with_a_filter_counts_messages_that_match() {
    let world = World::new();
    let stream = world.stream("s");
    for _ in 0..5 {
        stream.publish_batch([("s.a", ""), ("s.b", "")]).unwrap();
    }
    assert_eq!(stream.purge(Purge::all().filter("s.a").keep(2)).unwrap(), 3);
    assert_eq!(stored(&stream), [2, 4, 6, 7, 8, 9, 10]);
    assert_eq!(
        stream
            .purge(Purge::all().filter("s.b").up_to(7.into()))
            .unwrap(),
        3
    );
    assert_eq!(stored(&stream), [7, 8, 9, 10]);
    assert_eq!(stream.purge(Purge::all().filter("s.*").keep(1)).unwrap(), 3);
    assert_eq!(stored(&stream), [10]);
}

#[test]
fn a_purge_takes_one_bound_and_a_filter_that_parses() {
    let world = World::new();
    let stream = with(&world, 1);
    let both = stream.purge(Purge::all().keep(1).up_to(1.into()));
    assert_eq!(both, Err(PurgeError::TwoBounds));
    let malformed = stream.purge(Purge::all().filter("s..a"));
    assert!(matches!(malformed, Err(PurgeError::Subject(_))));
    assert_eq!(stored(&stream), [1]);
}

#[test]
fn h10_deletes_move_the_first_sequence_and_never_the_last_back() {
    let world = World::new();
    let stream = with(&world, 10);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    for seq in [5, 1, 10, 2] {
        stream.delete(Seq::new(seq)).unwrap();
    }
    assert_eq!(
        stream.delete(5.into()),
        Err(PurgeError::NoMessage {
            stream: "s".into(),
            seq: Seq::new(5)
        })
    );
    assert!(matches!(
        stream.delete(11.into()),
        Err(PurgeError::NoMessage { .. })
    ));
    let before = stream.info().unwrap();
    assert_eq!(
        (
            before.first_seq.get(),
            before.last_seq.get(),
            before.messages
        ),
        (3, 10, 6)
    );
    assert_eq!(info(&consumer).pending, 6);
    let world = world.reopened();
    let (stream, consumer) = (world.store.stream("s").unwrap(), world.consumer("s", "c"));
    assert_eq!(stream.info().unwrap(), before);
    assert_eq!(seqs(&take(&consumer, 20)), [3, 4, 6, 7, 8, 9]);
    assert_eq!(stream.publish("s.a", "").unwrap().seq, 11);
}

#[test]
fn h13_an_evicted_message_is_gone_for_its_holder_counted_and_announced() {
    let world = World::new();
    let config = riverbed::StreamConfig::new("s").max_messages(3);
    let stream = world.store.create_stream(config).unwrap();
    publish(&stream, "s", 3);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(1)));
    let holder = take_one(&consumer);
    let events = world.store.events(10);
    publish(&stream, "s", 2);
    assert!(is_gone(&holder.ack()));
    world.pass(secs(1));
    assert_eq!(seqs(&take(&consumer, 10)), [3, 4, 5]);
    assert_eq!(info(&consumer).lost, 2);
    let lost: Vec<_> = events.try_iter().collect();
    let total: u64 = lost
        .iter()
        .map(|event| match event {
            Event::UnfinishedRemoved {
                messages,
                by: Removal::MaxMessages,
                ..
            } => *messages,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(total, 2);
}

#[test]
fn h20_a_lease_that_ends_after_its_message_went_brings_nothing_back() {
    let world = World::new();
    let stream = with(&world, 5);
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").ack_wait(secs(1)).max_deliver(1),
    );
    let taken = take(&consumer, 3);
    stream.purge(Purge::all().up_to(3.into())).unwrap();
    world.pass(secs(1));
    assert!(is_gone(&taken[0].ack()));
    assert!(is_gone(&taken[1].nak()));
    let known = info(&consumer);
    assert_eq!((known.parked, known.lost, known.pending), (1, 2, 2));
    assert_eq!(seqs(&take(&consumer, 10)), [4, 5]);
}

#[test]
fn l18_sequences_are_never_used_again() {
    let world = World::new();
    let stream = with(&world, 5);
    stream.purge(Purge::all()).unwrap();
    let known = stream.info().unwrap();
    assert_eq!(
        (known.first_seq.get(), known.last_seq.get(), known.messages),
        (6, 5, 0)
    );
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stream.publish("s.a", "").unwrap().seq, 6);
    stream.delete(6.into()).unwrap();
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stream.publish("s.a", "").unwrap().seq, 7);
}

#[test]
fn a_purge_tells_each_consumer_what_it_had_not_finished() {
    let world = World::new();
    let stream = with(&world, 10);
    let one = create(&stream, ConsumerConfig::new("one"));
    create(&stream, ConsumerConfig::new("two"));
    for message in take(&one, 4).into_iter().take(3) {
        message.ack().unwrap();
    }
    let events = world.store.events(10);
    stream.purge(Purge::all()).unwrap();
    let mut lost = std::collections::BTreeMap::<String, (u64, u64, u64)>::new();
    for event in events.try_iter() {
        let Event::UnfinishedRemoved {
            consumer,
            messages,
            first,
            last,
            by,
            ..
        } = event
        else {
            panic!("{event:?}")
        };
        assert_eq!(by, Removal::Purge);
        let known = lost.entry(consumer).or_insert((0, u64::MAX, 0));
        *known = (
            known.0 + messages,
            known.1.min(first.get()),
            known.2.max(last.get()),
        );
    }
    assert_eq!(lost["one"], (7, 4, 10));
    assert_eq!(lost["two"], (10, 1, 10));
    assert_eq!((info(&one).lost, info(&one).acked), (7, 3));
}
