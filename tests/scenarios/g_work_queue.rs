//! G: work queues, where a message is for one consumer and leaves when that one is done with it.

use crate::helpers::*;
use riverbed::{
    AckPolicy, ConsumerConfig, ConsumerError, DeliverPolicy, Discard, Event, OnExhausted, Publish,
    Retention, Riverbed, Stream, StreamConfig, StreamError,
};

fn queue(store: &Riverbed) -> Stream {
    let config = StreamConfig::new("q")
        .subjects(["q.>"])
        .retention(Retention::WorkQueue);
    store.create_stream(config).unwrap()
}

fn refused(stream: &Stream, config: ConsumerConfig) -> String {
    stream.create_consumer(config).unwrap_err().to_string()
}

fn checked(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn g1_the_consumers_of_a_work_queue_share_no_message() {
    let world = World::new();
    let wide_first = queue(&world.store);
    create(&wide_first, ConsumerConfig::new("wide").filter("q.>"));
    for narrow in [None, Some("q.a"), Some("q.*"), Some("q.*.b")] {
        let config = ConsumerConfig::new("narrow");
        let config = narrow.into_iter().fold(config, ConsumerConfig::filter);
        let why = wide_first.create_consumer(config).unwrap_err();
        let ConsumerError::WorkQueueOverlap { other, taken, .. } = why else {
            panic!("{why}");
        };
        assert_eq!((other.as_str(), taken.as_str()), ("wide", "q.>"));
    }
    wide_first.delete_consumer("wide").unwrap();
    create(&wide_first, ConsumerConfig::new("narrow").filter("q.a"));
    create(&wide_first, ConsumerConfig::new("beside").filter("q.b"));
    let why = refused(&wide_first, ConsumerConfig::new("wide").filter("q.*"));
    assert!(
        why.contains("`narrow`") || why.contains("`beside`"),
        "{why}"
    );
    assert!(refused(&wide_first, ConsumerConfig::new("all")).contains("don't overlap"));
    for late in [DeliverPolicy::New, DeliverPolicy::FromSequence(2.into())] {
        let why = refused(
            &wide_first,
            ConsumerConfig::new("late").filter("q.c").deliver(late),
        );
        assert!(
            why.contains("`deliver`") && why.contains("WorkQueue"),
            "{why}"
        );
    }
    let unacked = ConsumerConfig::new("unacked")
        .filter("q.c")
        .ack_policy(AckPolicy::None);
    let why = refused(&wide_first, unacked);
    assert!(
        why.contains("`ack_policy`") && why.contains("WorkQueue"),
        "{why}"
    );
    checked(&world);
}

#[test]
fn g3_a_message_leaves_a_work_queue_with_its_ack_and_not_before() {
    let world = World::new();
    let queue = queue(&world.store);
    let worker = create(&queue, ConsumerConfig::new("worker").ack_wait(secs(5)));
    publish(&queue, "q.a", 4);
    let taken = take(&worker, 3);
    assert_eq!(stored(&queue), [1, 2, 3, 4], "delivered is not done");
    taken[1].ack().unwrap();
    assert_eq!(stored(&queue), [1, 3, 4]);
    taken[0].nak_now().unwrap();
    world.pass(secs(6));
    assert_eq!(
        stored(&queue),
        [1, 3, 4],
        "neither a nak nor a lapse removes"
    );
    let again = take(&worker, 10);
    assert_eq!(seqs(&again), [1, 3, 4]);
    worker.ack_batch(&again).unwrap();
    assert_eq!(stored(&queue), Vec::<u64>::new());
    let facts = queue.info().unwrap();
    assert_eq!((facts.first_seq.get(), facts.last_seq.get()), (5, 4));
    assert_eq!((facts.bytes, facts.subjects, facts.deleted), (0, 0, 0));
    assert_eq!(queue.publish("q.a", "").unwrap().seq, 5);
    checked(&world);
}

#[test]
fn what_nobody_wants_waits_in_a_work_queue() {
    let world = World::new();
    let queue = queue(&world.store);
    publish(&queue, "q.a", 2);
    publish(&queue, "q.b", 2);
    let a = create(&queue, ConsumerConfig::new("a").filter("q.a"));
    a.ack_batch(&take(&a, 10)).unwrap();
    assert_eq!(stored(&queue), [3, 4]);
    queue.delete_consumer("a").unwrap();
    world.pass(secs(1));
    assert_eq!(
        stored(&queue),
        [3, 4],
        "deleting a consumer deletes nothing"
    );
    let b = create(&queue, ConsumerConfig::new("all"));
    assert_eq!(seqs(&take(&b, 10)), [3, 4]);
    checked(&world);
}

#[test]
fn what_a_consumer_acked_leaves_though_the_consumer_is_deleted_in_the_same_commit() {
    let world = World::new();
    let queue = queue(&world.store);
    let worker = create(&queue, ConsumerConfig::new("worker"));
    publish(&queue, "q.a", 2);
    let taken = take(&worker, 1);
    world.store.hold_group();
    taken[0].ack().unwrap();
    queue.delete_consumer("worker").unwrap();
    world.store.commit_held().unwrap();
    assert_eq!(stored(&queue), [2]);
    let again = create(&queue, ConsumerConfig::new("again"));
    assert_eq!(
        seqs(&take(&again, 9)),
        [2],
        "what was acked comes to nobody"
    );
    checked(&world);
}

#[test]
fn c12_a_parked_message_stays_in_a_work_queue_until_it_is_discarded() {
    let world = World::new();
    let queue = queue(&world.store);
    let config = ConsumerConfig::new("worker").max_deliver(1);
    let worker = create(&queue, config);
    publish(&queue, "q.a", 3);
    for message in take(&worker, 3) {
        message.nak().unwrap();
    }
    queue.publish("q.a", "").unwrap();
    take_one(&worker).ack().unwrap();
    assert_eq!(stored(&queue), [1, 2, 3]);
    let world = world.killed();
    let (queue, worker) = (
        world.store.stream("q").unwrap(),
        world.consumer("q", "worker"),
    );
    world.pass(secs(60));
    assert_eq!(stored(&queue), [1, 2, 3]);
    assert_eq!((info(&worker).parked, info(&worker).pending), (3, 0));
    worker.discard(2.into()).unwrap();
    assert_eq!(stored(&queue), [1, 3]);
    worker.release(1.into()).unwrap();
    take_one(&worker).ack().unwrap();
    assert_eq!(stored(&queue), [3]);
    checked(&world);
}

#[test]
fn l2_a_terminated_message_of_a_work_queue_is_in_the_dead_letter_stream_alone() {
    let world = World::new();
    let queue = queue(&world.store);
    let worker = create(&queue, ConsumerConfig::new("worker").dead_letter("dead"));
    queue.publish("q.a", "payload").unwrap();
    take_one(&worker).term("broken").unwrap();
    assert_eq!(stored(&queue), Vec::<u64>::new());
    let dead = world.store.stream("dead").unwrap();
    let letter = dead.get(1.into()).unwrap().unwrap();
    assert_eq!(letter.payload(), b"payload");
    assert_eq!(letter.headers().get("Riverbed-Dead-Detail"), Some("broken"));
    // The original is gone: it can only come back as a new message.
    assert!(dead.redrive_to_consumer(1.into()).is_err());
    assert_eq!(dead.redrive(1.into()).unwrap(), 2);
    assert_eq!(take_one(&worker).payload(), b"payload");
    checked(&world);
}

#[test]
fn a_dropped_message_leaves_a_work_queue() {
    let world = World::new();
    let queue = queue(&world.store);
    let config = ConsumerConfig::new("worker")
        .max_deliver(1)
        .on_exhausted(OnExhausted::Drop);
    let worker = create(&queue, config);
    publish(&queue, "q.a", 2);
    take_one(&worker).nak().unwrap();
    assert_eq!(stored(&queue), [2]);
    checked(&world);
}

#[test]
fn h13_a_limit_takes_messages_of_a_work_queue_too_and_says_so() {
    let world = World::new();
    let config = StreamConfig::new("q")
        .retention(Retention::WorkQueue)
        .max_messages(2);
    let queue = world.store.create_stream(config).unwrap();
    let worker = create(&queue, ConsumerConfig::new("worker"));
    let events = world.store.events(10);
    publish(&queue, "q", 2);
    let held = take_one(&worker);
    queue.publish("q", "3").unwrap();
    assert!(is_gone(&held.ack()));
    assert_eq!(info(&worker).lost, 1);
    assert!(matches!(
        events.recv().unwrap(),
        Event::UnfinishedRemoved { messages: 1, .. }
    ));
    checked(&world);
}

#[test]
fn acks_make_room_in_a_full_work_queue() {
    let world = World::new();
    let config = StreamConfig::new("q")
        .retention(Retention::WorkQueue)
        .max_messages(2)
        .discard(Discard::New);
    let queue = world.store.create_stream(config).unwrap();
    let worker = create(&queue, ConsumerConfig::new("worker"));
    publish(&queue, "q", 2);
    queue.publish("q", "").unwrap_err();
    take_one(&worker).ack().unwrap();
    queue.publish("q", "").unwrap();
    let (first, other) = (
        take(&worker, 2),
        Publish::new("q", "").wait_for_room(secs(60)),
    );
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| queue.publish_message(other));
        first[0].ack().unwrap();
        assert_eq!(waits.join().unwrap().unwrap().seq, 4);
    });
    checked(&world);
}

#[test]
fn a_work_queue_is_the_same_after_a_kill_at_any_moment() {
    let mut world = World::new();
    create(&queue(&world.store), ConsumerConfig::new("worker"));
    for round in 0..30 {
        let queue = world.store.stream("q").unwrap();
        publish(&queue, "q.a", 3);
        let worker = world.consumer("q", "worker");
        let taken = take(&worker, 3);
        // Out of order, so that there are holes.
        taken.last().unwrap().ack().unwrap();
        let before = stored(&queue);
        world = if round % 2 == 0 {
            world.killed()
        } else {
            world.reopened()
        };
        assert_eq!(stored(&world.store.stream("q").unwrap()), before);
        checked(&world);
    }
    let worker = world.consumer("q", "worker");
    while let Ok(batch) = worker.fetch(riverbed::Fetch::new(100).no_wait()) {
        if batch.is_empty() {
            break;
        }
        worker.ack_batch(&batch).unwrap();
    }
    assert_eq!(world.store.stream("q").unwrap().info().unwrap().messages, 0);
    checked(&world);
}

#[test]
fn a_stream_becomes_a_work_queue_only_when_it_is_created() {
    let world = World::new();
    queue(&world.store);
    let plain = StreamConfig::new("q").subjects(["q.>"]);
    let why = world.store.update_stream(plain).unwrap_err();
    assert!(
        matches!(&why, StreamError::Invalid(why) if why.setting == "retention"),
        "{why}"
    );
    let other = StreamConfig::new("other");
    world.store.create_stream(other.clone()).unwrap();
    let why = world
        .store
        .update_stream(other.retention(Retention::WorkQueue));
    assert!(
        why.unwrap_err()
            .to_string()
            .contains("create another stream")
    );
}
