//! G: streams that keep what some consumer still wants.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, DeliverPolicy, Publish, RedriveError, Retention, Riverbed, Stream,
    StreamConfig, StreamError, Unwanted,
};

fn config() -> StreamConfig {
    StreamConfig::new("i")
        .subjects(["i.>"])
        .retention(Retention::Interest)
}

fn interest(store: &Riverbed) -> Stream {
    store.create_stream(config()).unwrap()
}

fn checked(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn g4_without_a_consumer_a_message_takes_a_sequence_and_is_not_kept() {
    let world = World::new();
    let stream = interest(&world.store);
    let first = stream
        .publish_message(Publish::new("i.a", "1").id("x"))
        .unwrap();
    assert_eq!(first.seq, 1);
    let facts = stream.info().unwrap();
    assert_eq!(
        (facts.messages, facts.bytes, facts.last_seq.get()),
        (0, 0, 1)
    );
    let time = facts.last_time;
    world.clock.advance(secs(1));
    stream.publish_batch([("i.a", "2"), ("i.b", "3")]).unwrap();
    assert!(stream.info().unwrap().last_time > time);
    assert_eq!(stored(&stream), Vec::<u64>::new());
    let again = stream
        .publish_message(Publish::new("i.a", "1").id("x"))
        .unwrap();
    assert_eq!(
        (again.seq.get(), again.duplicate),
        (1, true),
        "its id is remembered"
    );
    let world = world.killed();
    assert_eq!(
        world
            .store
            .stream("i")
            .unwrap()
            .publish("i.a", "")
            .unwrap()
            .seq,
        4
    );
    checked(&world);
}

#[test]
fn g7_each_message_goes_when_the_consumers_that_want_it_are_done() {
    let world = World::new();
    let stream = interest(&world.store);
    let a = create(&stream, ConsumerConfig::new("a").filter("i.a"));
    let b = create(&stream, ConsumerConfig::new("b").filter("i.b"));
    let all = create(&stream, ConsumerConfig::new("all").filter("i.*"));
    stream
        .publish_batch([("i.a", ""), ("i.b", ""), ("i.a.deep", ""), ("i.b", "")])
        .unwrap();
    assert_eq!(stored(&stream), [1, 2, 4], "nobody wants the third");
    a.ack_batch(&take(&a, 9)).unwrap();
    b.ack_batch(&take(&b, 9)).unwrap();
    assert_eq!(stored(&stream), [1, 2, 4]);
    let taken = take(&all, 9);
    taken[1].ack().unwrap();
    assert_eq!(stored(&stream), [1, 4]);
    let world = world.reopened();
    let (stream, all) = (world.store.stream("i").unwrap(), world.consumer("i", "all"));
    assert_eq!(stored(&stream), [1, 4]);
    all.ack_batch(&take(&all, 9)).unwrap();
    assert_eq!(stored(&stream), Vec::<u64>::new());
    checked(&world);
}

#[test]
fn g10_deleting_a_consumer_leaves_exactly_what_the_others_need() {
    let world = World::new();
    let stream = interest(&world.store);
    let slow = create(&stream, ConsumerConfig::new("slow"));
    let quick = create(
        &stream,
        ConsumerConfig::new("quick").max_ack_pending(100_000),
    );
    for _ in 0..20 {
        stream
            .publish_batch((0..1_000).map(|n| (format!("i.{}", n % 7), "x")))
            .unwrap();
    }
    let done: Vec<_> = take(&quick, 20_000)
        .into_iter()
        .filter(|m| m.seq().get() % 3 != 0)
        .collect();
    quick.ack_batch(&done).unwrap();
    assert_eq!(
        stream.info().unwrap().messages,
        20_000,
        "the slow one needs them"
    );
    assert_eq!(take(&slow, 5).len(), 5);
    stream.delete_consumer("slow").unwrap();
    world.store.drive().unwrap();
    let left = stored(&stream);
    assert_eq!(
        left,
        (1..=20_000)
            .filter(|seq| seq % 3 == 0)
            .collect::<Vec<u64>>()
    );
    checked(&world);
    let world = world.reopened();
    let stream = world.store.stream("i").unwrap();
    assert_eq!(stored(&stream), left);
    stream.delete_consumer("quick").unwrap();
    assert_eq!(
        stream.info().unwrap().messages,
        0,
        "the last one leaves nothing"
    );
    checked(&world);
}

#[test]
fn a_consumer_that_is_deleted_before_a_kill_takes_its_messages_with_it_afterwards() {
    let world = World::new();
    let stream = interest(&world.store);
    create(&stream, ConsumerConfig::new("a").filter("i.a"));
    create(&stream, ConsumerConfig::new("b").filter("i.b"));
    publish(&stream, "i.a", 3);
    publish(&stream, "i.b", 3);
    stream.delete_consumer("a").unwrap();
    let world = world.killed();
    world.store.drive().unwrap();
    assert_eq!(stored(&world.store.stream("i").unwrap()), [4, 5, 6]);
    checked(&world);
}

#[test]
fn what_nobody_wants_can_be_kept() {
    let world = World::new();
    let keeps = config().unwanted(Unwanted::Keep);
    let stream = world.store.create_stream(keeps.clone()).unwrap();
    publish(&stream, "i.a", 2);
    publish(&stream, "i.b", 2);
    assert_eq!(stored(&stream), [1, 2, 3, 4]);
    let b = create(&stream, ConsumerConfig::new("b").filter("i.b"));
    let slow = create(&stream, ConsumerConfig::new("slow").filter("i.b"));
    publish(&stream, "i.a", 1);
    assert_eq!(stored(&stream), [1, 2, 3, 4, 5]);
    b.ack_batch(&take(&b, 9)).unwrap();
    take(&slow, 1)[0].ack().unwrap();
    assert_eq!(stored(&stream), [1, 2, 4, 5], "done with by both");
    stream.delete_consumer("slow").unwrap();
    world.store.drive().unwrap();
    assert_eq!(
        stored(&stream),
        [1, 2, 5],
        "done with by the one that is left"
    );
    stream.delete_consumer("b").unwrap();
    let world = world.killed();
    world.store.drive().unwrap();
    let stream = world.store.stream("i").unwrap();
    assert_eq!(stored(&stream), [1, 2, 5]);
    checked(&world);
    world
        .store
        .update_stream_removing(keeps.unwanted(Unwanted::Drop))
        .unwrap();
    assert_eq!(stored(&stream), Vec::<u64>::new());
    checked(&world);
}

#[test]
fn unwanted_messages_are_a_matter_of_interest_alone() {
    let world = World::new();
    let refused = StreamConfig::new("other").unwanted(Unwanted::Keep);
    let why = world.store.create_stream(refused).unwrap_err().to_string();
    assert!(
        why.contains("`unwanted`") && why.contains("`retention`"),
        "{why}"
    );
}

#[test]
fn a_new_consumer_of_interest_sees_what_is_still_stored() {
    let world = World::new();
    let stream = interest(&world.store);
    let first = create(&stream, ConsumerConfig::new("first"));
    publish(&stream, "i.a", 4);
    first.ack_batch(&take(&first, 2)).unwrap();
    let second = create(&stream, ConsumerConfig::new("second"));
    let late = create(
        &stream,
        ConsumerConfig::new("late").deliver(DeliverPolicy::New),
    );
    assert_eq!((info(&second).pending, info(&late).pending), (2, 0));
    first.ack_batch(&take(&first, 9)).unwrap();
    assert_eq!(stored(&stream), [3, 4]);
    second.ack_batch(&take(&second, 9)).unwrap();
    assert_eq!(
        stored(&stream),
        Vec::<u64>::new(),
        "the late one never wanted them"
    );
    checked(&world);
}

#[test]
fn g12_a_stream_that_turns_to_interest_drops_what_all_are_done_with() {
    let world = World::new();
    let plain = StreamConfig::new("i").subjects(["i.>"]);
    let stream = world.store.create_stream(plain.clone()).unwrap();
    publish(&stream, "i.a", 20);
    for floor in 10..20 {
        let consumer = create(&stream, ConsumerConfig::new(format!("c{floor}")));
        consumer.ack_batch(&take(&consumer, floor)).unwrap();
    }
    world.store.update_stream_removing(config()).unwrap();
    world.store.drive().unwrap();
    let facts = stream.info().unwrap();
    assert_eq!((facts.first_seq.get(), facts.messages), (11, 10));
    world.store.update_stream(plain).unwrap();
    for floor in 10..20 {
        let consumer = world.consumer("i", &format!("c{floor}"));
        consumer.ack_batch(&take(&consumer, 20)).unwrap();
    }
    assert_eq!(
        stream.info().unwrap().messages,
        10,
        "limits keep what is acked"
    );
    checked(&world);
}

#[test]
fn g16_a_consumer_that_was_away_gets_everything_once_and_the_stream_drains() {
    let world = World::new();
    let stream = interest(&world.store);
    let (here, away) = (
        create(&stream, ConsumerConfig::new("here")),
        create(&stream, ConsumerConfig::new("away")),
    );
    for _ in 0..10 {
        publish(&stream, "i.a", 10);
        here.ack_batch(&take(&here, 100)).unwrap();
    }
    assert_eq!(stream.info().unwrap().messages, 100);
    let missed = take(&away, 1_000);
    assert_eq!(seqs(&missed), (1..=100).collect::<Vec<u64>>());
    away.ack_batch(&missed).unwrap();
    assert_eq!(stream.info().unwrap().messages, 0);
    checked(&world);
}

#[test]
fn a_dead_letter_never_comes_back_to_nobody() {
    let world = World::new();
    let stream = interest(&world.store);
    let worker = create(&stream, ConsumerConfig::new("w").dead_letter("dead"));
    publish(&stream, "i.a", 1);
    take_one(&worker).term("no").unwrap();
    stream.delete_consumer("w").unwrap();
    let dead = world.store.stream("dead").unwrap();
    let why = dead.redrive(1.into()).unwrap_err();
    assert!(matches!(why, RedriveError::Refused { .. }), "{why}");
    assert_eq!(stored(&dead), [1]);
    // And a stream that forgets takes no dead letters at all.
    let source = world.stream("s");
    let config = ConsumerConfig::new("c").dead_letter("i");
    assert!(
        source
            .create_consumer(config)
            .unwrap_err()
            .to_string()
            .contains("Interest")
    );
    create(&source, ConsumerConfig::new("c").dead_letter("dead"));
    let forgets = StreamConfig::new("dead")
        .subjects(["dead.>"])
        .retention(Retention::Interest);
    let why = world.store.update_stream(forgets).unwrap_err();
    assert!(matches!(why, StreamError::InUse { .. }), "{why}");
    checked(&world);
}
