//! R20: bringing dead letters back.

use crate::helpers::*;
use riverbed::{
    Consumer, ConsumerConfig, Discard, Publish, RedriveError, Seq, Stream, StreamConfig,
};

/// A stream whose message 1 (of `messages`) is a dead letter of the consumer `c`.
fn dead(world: &World, messages: u64) -> (Stream, Consumer, Stream) {
    let stream = world.stream("s");
    stream
        .publish_message(Publish::new("s.a", "1").header("Own", "x").id("id-1"))
        .unwrap();
    publish(&stream, "s.a", messages - 1);
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").max_deliver(2).dead_letter("dead"),
    );
    take_one(&consumer).term("x").unwrap();
    let dead = world.store.stream("dead").unwrap();
    (stream, consumer, dead)
}

#[test]
fn l4_a_letter_goes_back_to_its_stream_under_a_new_sequence_with_its_identity() {
    let world = World::new();
    let (stream, consumer, dead) = dead(&world, 1);
    let other = create(&stream, ConsumerConfig::new("other"));
    take_one(&other).ack().unwrap();
    // The id is within its window; redriving is no duplicate.
    assert_eq!(dead.redrive(1.into()).unwrap(), 2);
    assert_eq!(stored(&dead), Vec::<u64>::new());
    let world = world.killed();
    for name in ["c", "other"] {
        let back = take_one(&world.consumer("s", name));
        assert_eq!(
            (back.seq().get(), back.subject(), back.payload()),
            (2, "s.a", &b"1"[..])
        );
        assert_eq!(
            (back.deliveries(), back.failures(), back.id()),
            (1, 0, Some("id-1"))
        );
        assert_eq!(back.headers().get("Own"), Some("x"));
        assert_eq!(back.headers().get("Riverbed-Dead-Sequence"), Some("1"));
    }
    assert_eq!(info(&world.consumer("s", consumer.name())).dead_lettered, 1);
    // The id still answers with the message that it was first given.
    let stream = world.store.stream("s").unwrap();
    let again = stream
        .publish_message(Publish::new("s.a", "1").id("id-1"))
        .unwrap();
    assert!(again.duplicate);
}

#[test]
fn a_letter_that_its_stream_refuses_stays() {
    let world = World::new();
    let config = StreamConfig::new("s").max_messages(1).discard(Discard::New);
    let stream = world.store.create_stream(config).unwrap();
    stream.publish("s", "").unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    take_one(&consumer).term("x").unwrap();
    let dead = world.store.stream("dead").unwrap();
    assert!(matches!(
        dead.redrive(1.into()),
        Err(RedriveError::Refused { .. })
    ));
    assert_eq!((stored(&dead), stored(&stream)), (vec![1], vec![1]));
    stream.delete(1.into()).unwrap();
    assert_eq!(dead.redrive(1.into()).unwrap(), 2);
    // A stream that no longer captures the subject refuses too.
    take_one(&consumer).term("x").unwrap();
    world
        .store
        .update_stream(StreamConfig::new("s").subjects(["other"]))
        .unwrap();
    assert!(matches!(
        dead.redrive(2.into()),
        Err(RedriveError::Refused { .. })
    ));
    assert_eq!(stored(&dead), [2]);
}

#[test]
fn what_is_no_dead_letter_is_not_redriven() {
    let world = World::new();
    let (stream, _consumer, dead) = dead(&world, 1);
    dead.publish("dead.x", "by hand").unwrap();
    for redrive in [Stream::redrive, Stream::redrive_to_consumer] {
        let none = RedriveError::NoMessage {
            stream: "dead".into(),
            seq: Seq::new(3),
        };
        assert_eq!(redrive(&dead, 3.into()).unwrap_err(), none);
        assert!(matches!(
            redrive(&dead, 2.into()),
            Err(RedriveError::NotDeadLetter { .. })
        ));
        assert!(matches!(
            redrive(&stream, 1.into()),
            Err(RedriveError::NotDeadLetter { .. })
        ));
    }
    dead.redrive(1.into()).unwrap();
    assert!(matches!(
        dead.redrive(1.into()),
        Err(RedriveError::NoMessage { .. })
    ));
}

#[test]
fn l4b_a_letter_goes_back_to_its_consumer_alone() {
    let world = World::new();
    let (stream, consumer, dead) = dead(&world, 3);
    let other = create(&stream, ConsumerConfig::new("other"));
    for (own, count) in [(&consumer, 2), (&other, 3)] {
        let taken = take(own, 10);
        assert_eq!(taken.len(), count);
        own.ack_batch(&taken).unwrap();
    }
    assert_eq!(dead.redrive_to_consumer(1.into()).unwrap(), 1);
    assert_eq!(stored(&dead), Vec::<u64>::new());
    stream.publish("s.a", "").unwrap();
    let world = world.killed();
    let (consumer, other) = (world.consumer("s", "c"), world.consumer("s", "other"));
    assert_eq!(info(&consumer).ack_floor, 3, "the floor never moves back");
    let back = take(&consumer, 10);
    assert_eq!((seqs(&back), deliveries(&back)), (vec![1, 4], vec![1, 1]));
    assert_eq!(back[0].failures(), 0);
    assert_eq!(seqs(&take(&other, 10)), [4]);
    consumer.ack_batch(&back).unwrap();
    assert_eq!(info(&consumer).ack_floor, 4);
}

#[test]
fn a_letter_whose_original_or_consumer_is_gone_stays() {
    let world = World::new();
    let (stream, _consumer, dead) = dead(&world, 1);
    stream.delete(1.into()).unwrap();
    assert!(matches!(
        dead.redrive_to_consumer(1.into()),
        Err(RedriveError::Gone { .. })
    ));
    stream.delete_consumer("c").unwrap();
    assert!(matches!(
        dead.redrive_to_consumer(1.into()),
        Err(RedriveError::Gone { .. })
    ));
    assert_eq!(stored(&dead), [1]);
    // To the stream it goes all the same.
    assert_eq!(dead.redrive(1.into()).unwrap(), 2);
    let consumer = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    take_one(&consumer).term("again").unwrap();
    world.store.delete_stream("s").unwrap();
    assert!(matches!(
        dead.redrive(2.into()),
        Err(RedriveError::Gone { .. })
    ));
    assert!(matches!(
        dead.redrive_to_consumer(2.into()),
        Err(RedriveError::Gone { .. })
    ));
    assert_eq!(stored(&dead), [2]);
}

#[test]
fn another_stream_of_the_same_name_has_other_originals() {
    let world = World::new();
    let (_stream, _consumer, dead) = dead(&world, 1);
    world.store.delete_stream("s").unwrap();
    world.pass(secs(1));
    let stream = world.stream("s");
    stream.publish("s.a", "not the original").unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    take_one(&consumer).ack().unwrap();
    // What is stored as message 1 now is not what died.
    assert!(matches!(
        dead.redrive_to_consumer(1.into()),
        Err(RedriveError::Gone { .. })
    ));
    assert_eq!(stored(&dead), [1]);
    nothing(&consumer);
}

#[test]
fn g5_at_every_crash_point_a_redriven_message_is_in_exactly_one_stream() {
    for stop in 1.. {
        let world = World::new();
        let (_stream, _consumer, dead) = dead(&world, 1);
        world.disk.fail_from(world.disk.operations() + stop);
        let done = dead.redrive(1.into()).is_ok();
        let after = World::on(world.disk.kill_image(), world.clock.clone());
        let letters = stored(&after.store.stream("dead").unwrap()).len();
        let back = stored(&after.store.stream("s").unwrap()).len() - 1;
        assert_eq!(letters + back, 1, "after operation {stop}");
        assert!(!done || back == 1);
        if done {
            return;
        }
    }
}

#[test]
fn the_holder_of_a_letter_that_is_redriven_has_nothing_left_to_ack() {
    let world = World::new();
    let (_stream, _consumer, dead) = dead(&world, 1);
    let reader = create(&dead, ConsumerConfig::new("reader"));
    let held = take_one(&reader);
    dead.redrive(1.into()).unwrap();
    assert!(is_gone(&held.ack()));
    assert_eq!(info(&reader).lost, 1);
}
