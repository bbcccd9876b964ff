//! F: places that are kept over removals and restarts, and reading by subject.

use crate::helpers::*;
use riverbed::{
    AckAndFetchError, ConsumerConfig, DeliverPolicy, Discard, Fetch, FetchError, Publish, Purge,
    RedriveError, Refusal, Seq, StreamConfig,
};

#[test]
fn the_last_of_a_subject_is_the_last_that_is_still_stored() {
    let world = World::new();
    let stream = world.stream("s");
    for subject in ["s.a", "s.b", "s.a", "s.a", "s.b"] {
        stream.publish(subject, "").unwrap();
    }
    let last = |subject: &str| {
        stream
            .last_for_subject(subject)
            .unwrap()
            .map(|message| message.seq().get())
    };
    assert_eq!(
        [last("s.a"), last("s.b"), last("s.>")],
        [Some(4), Some(5), Some(5)]
    );
    stream.delete(4.into()).unwrap();
    stream.delete(5.into()).unwrap();
    assert_eq!(
        [last("s.a"), last("s.b"), last("s.>")],
        [Some(3), Some(2), Some(3)]
    );
    stream.purge(Purge::all().filter("s.a")).unwrap();
    assert_eq!(
        [last("s.a"), last("s.b"), last("s.>")],
        [None, Some(2), Some(2)]
    );
}

#[test]
fn a_start_still_to_come_survives_a_kill_and_a_purge_exactly() {
    let world = World::new();
    let stream = world.stream("s");
    let from = DeliverPolicy::FromSequence(Seq::new(6));
    create(
        &stream,
        ConsumerConfig::new("c").deliver(from).filter("s.a"),
    );
    create(&stream, ConsumerConfig::new("d").deliver(from));
    publish(&stream, "s.a", 2);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stream.purge(Purge::all()).unwrap(), 2);
    publish(&stream, "s.a", 2);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    stream.delete(4.into()).unwrap();
    stream.publish_batch((0..4).map(|_| ("s.a", ""))).unwrap();
    for name in ["c", "d"] {
        let consumer = world.consumer("s", name);
        let known = info(&consumer);
        assert_eq!((known.pending, known.lost), (3, 0), "{name}");
        assert_eq!(seqs(&take(&consumer, 10)), [6, 7, 8]);
    }
}

#[test]
fn a_sparse_filter_finds_its_messages_and_does_not_look_twice() {
    let world = World::new();
    let stream = world.stream("s");
    for _ in 0..3 {
        stream
            .publish_batch((0..5_000).map(|_| ("s.noise", "x")))
            .unwrap();
        stream.publish("s.signal", "").unwrap();
    }
    let consumer = create(&stream, ConsumerConfig::new("c").filter("s.signal"));
    assert_eq!(seqs(&take(&consumer, 2)), [5_001, 10_002]);
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    assert_eq!(seqs(&take(&consumer, 10)), [5_001, 10_002, 15_003]);
    nothing(&consumer);
}

#[test]
fn a_shorter_age_takes_effect_with_the_update() {
    let world = World::new();
    let config = StreamConfig::new("s");
    let stream = world.store.create_stream(config.clone()).unwrap();
    publish(&stream, "s", 3);
    world.pass(secs(60));
    publish(&stream, "s", 1);
    world
        .store
        .update_stream_removing(config.max_age(secs(30)))
        .unwrap();
    world.pass(millis(100));
    assert_eq!(stored(&stream), [4]);
}

#[test]
fn ack_and_fetch_keeps_its_acks_and_tells_what_it_refused_when_the_next_message_is_too_big() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    stream.publish("s.a", vec![0; 100]).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let first = take(&consumer, 2);
    first[1].ack().unwrap();
    let answer = consumer.ack_and_fetch(&first, Fetch::new(1).no_wait().max_bytes(10));
    let Err(AckAndFetchError::Fetch { why, refused }) = answer else {
        panic!("{answer:?}")
    };
    assert!(matches!(why, FetchError::TooBig { .. }), "{why:?}");
    let seq = first[1].seq();
    assert_eq!(refused, [Refusal::Gone { seq }]);
    assert_eq!((info(&consumer).acked, info(&consumer).in_flight), (2, 0));
    // It is an answer: a power cut does not take it back (R1, R15).
    drop(first);
    let world = World::on(world.disk.crash_image(7), world.clock);
    assert_eq!(info(&world.consumer("s", "c")).acked, 2);
}

#[test]
fn ack_and_fetch_acks_nothing_when_the_fetch_makes_no_sense() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let first = take(&consumer, 1);
    let answer = consumer.ack_and_fetch(&first, Fetch::new(0).no_wait());
    assert!(
        matches!(
            answer,
            Err(AckAndFetchError::Bounds(FetchError::TooMany { .. }))
        ),
        "{answer:?}"
    );
    assert_eq!((info(&consumer).acked, info(&consumer).in_flight), (0, 1));
}

#[test]
fn an_envelope_made_by_hand_brings_no_malformed_subject_into_a_stream() {
    let world = World::new();
    let stream = world.stream("s");
    for subject in ["s.*", "s.>", "s..a", "s.a b", ""] {
        let forged = Publish::new("s.a", "")
            .header("Riverbed-Dead-Stream", "s")
            .header("Riverbed-Dead-Sequence", "1")
            .header("Riverbed-Dead-Subject", subject)
            .header("Riverbed-Dead-Time", "1")
            .header("Riverbed-Dead-Consumer", "c")
            .header("Riverbed-Dead-Deliveries", "1")
            .header("Riverbed-Dead-Failures", "1")
            .header("Riverbed-Dead-Crashes", "0")
            .header("Riverbed-Dead-Reason", "max_deliver");
        let seq = stream.publish_message(forged).unwrap().seq;
        let redriven = stream.redrive(seq);
        assert!(
            matches!(
                redriven,
                Err(RedriveError::Refused { .. } | RedriveError::NotDeadLetter { .. })
            ),
            "{subject:?}: {redriven:?}"
        );
        assert!(stream.get(seq).unwrap().is_some());
    }
}

#[test]
fn a_waiting_fetch_gets_no_message_that_its_own_commit_removed() {
    let world = World::threaded();
    let stream = world
        .store
        .create_stream(StreamConfig::new("s").max_messages(1))
        .unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let own = consumer.clone();
    let waiter = std::thread::spawn(move || own.fetch(Fetch::new(10).max_wait(secs(500))).unwrap());
    while info(&consumer).waiting == 0 {
        std::thread::yield_now();
    }
    stream
        .publish_batch([("s", "1"), ("s", "2"), ("s", "3")])
        .unwrap();
    let batch = waiter.join().unwrap();
    assert_eq!(seqs(&batch), [3]);
    assert_eq!(batch.ack().unwrap().acked, 1);
    assert_eq!((info(&consumer).lost, info(&consumer).acked), (2, 1));
}

#[test]
fn a_wait_for_room_of_no_time_is_a_refusal() {
    let world = World::new();
    let config = StreamConfig::new("s").max_messages(1).discard(Discard::New);
    let stream = world.store.create_stream(config).unwrap();
    stream.publish("s", "").unwrap();
    let message = Publish::new("s", "").wait_for_room(secs(0));
    assert!(stream.publish_message(message).is_err());
}

#[test]
fn a_later_dead_letter_stream_takes_what_dies_from_then_on() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let config = ConsumerConfig::new("c").max_deliver(1);
    let consumer = create(&stream, config.clone());
    take_one(&consumer).nak().unwrap();
    stream.update_consumer(config.dead_letter("dead")).unwrap();
    take_one(&consumer).nak().unwrap();
    let known = info(&consumer);
    assert_eq!((known.parked, known.dead_lettered), (1, 1));
    assert_eq!(stored(&world.store.stream("dead").unwrap()), [1]);
}

#[test]
fn from_a_time_still_to_come_is_from_now_on() {
    let world = World::new();
    let stream = world.stream("s");
    let start = world.clock.clock().now().plus(secs(60));
    let config = ConsumerConfig::new("c").deliver(DeliverPolicy::FromTime(start));
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, config);
    publish(&stream, "s.a", 1);
    world.pass(secs(60));
    publish(&stream, "s.a", 1);
    // Places are fixed when the consumer is created (R4), as JetStream does it.
    assert_eq!(seqs(&take(&consumer, 10)), [2, 3]);
}
