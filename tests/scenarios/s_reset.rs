//! A consumer that is set to another place.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, ConsumerError, DeliverPolicy, Event, OnExhausted, Retention, Riverbed, Seq,
    Stream, StreamConfig, Unwanted,
};

fn from(seq: u64) -> DeliverPolicy {
    DeliverPolicy::FromSequence(Seq::new(seq))
}

fn is_well(store: &Riverbed) {
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

/// Ten messages, five on each of two subjects.
fn ten(stream: &Stream) {
    for number in 0..10 {
        let subject = ["s.a", "s.b"][number % 2];
        stream.publish(subject, number.to_string()).unwrap();
    }
}

#[test]
fn a_reset_back_delivers_again_what_was_finished() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c").filter("s.a"));
    let events = world.store.events(10);
    ten(&stream);
    for message in take(&consumer, 10) {
        message.ack().unwrap();
    }
    let reset = consumer.reset(from(4)).unwrap();
    assert_eq!((reset.pending, reset.due, reset.skipped), (3, 0, 0));
    let facts = info(&consumer);
    assert_eq!((facts.pending, facts.acked, facts.deliveries), (3, 5, 5));
    assert_eq!(
        (facts.ack_floor, facts.delivered),
        (Seq::new(3), Seq::new(3))
    );
    let told = events.try_iter().next().unwrap();
    let Event::ConsumerReset { next, skipped, .. } = told else {
        panic!("{told:?}");
    };
    assert_eq!((next, skipped), (Seq::new(4), 0));
    let again = take(&consumer, 10);
    assert_eq!(
        (seqs(&again), deliveries(&again)),
        (vec![5, 7, 9], vec![1; 3])
    );
    is_well(&world.store);
}

#[test]
fn a_reset_ends_the_deliveries_that_are_out_and_their_tokens() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    ten(&stream);
    let old = take(&consumer, 3);
    consumer.reset(DeliverPolicy::All).unwrap();
    assert!(is_gone(&old[0].ack()), "nobody holds it");
    assert_eq!(info(&consumer).in_flight, 0);
    let again = take(&consumer, 1);
    assert_eq!(deliveries(&again), [1], "its attempts are counted anew");
    assert!(is_stale(&old[0].ack()), "another delivery is current");
    assert!(is_stale(&old[0].nak()));
    assert!(is_gone(&old[1].in_progress()));
    again[0].ack().unwrap();
    assert!(is_gone(&old[0].ack()));
    world.pass(secs(60));
    assert_eq!(info(&consumer).failures, 0, "their leases are over too");
    assert_eq!(seqs(&take(&consumer, 20)), (2..=10).collect::<Vec<_>>());
    is_well(&world.store);
}

#[test]
fn a_reset_ahead_counts_what_it_passes_over_whatever_became_of_it() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").max_deliver(1);
    let consumer = create(&stream, config.on_exhausted(OnExhausted::Park));
    ten(&stream);
    let out = take(&consumer, 4);
    out[0].ack().unwrap();
    out[1].nak().unwrap();
    assert_eq!(info(&consumer).parked, 1);
    // Message 2 is parked, 3 and 4 are out, 5 to 7 were never delivered.
    let reset = consumer.reset(from(8)).unwrap();
    assert_eq!((reset.skipped, reset.pending), (6, 3));
    let facts = info(&consumer);
    assert_eq!((facts.skipped, facts.parked, facts.in_flight), (6, 0, 0));
    assert_eq!(facts.ack_floor, Seq::new(7));
    let back = consumer.reset(from(9)).unwrap();
    assert_eq!((back.skipped, back.pending), (1, 2));
    assert_eq!(seqs(&take(&consumer, 20)), [9, 10]);
    is_well(&world.store);
}

#[test]
fn a_reset_takes_every_place_that_a_consumer_may_begin_at() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c").filter("s.*"));
    ten(&stream);
    let time = world.clock.clock().now().plus(secs(5));
    world.pass(secs(5));
    ten(&stream);
    take(&consumer, 7);
    let to = |to| {
        let reset = consumer.reset(to).unwrap();
        is_well(&world.store);
        (reset.next.get(), reset.pending, reset.due, reset.skipped)
    };
    assert_eq!(to(DeliverPolicy::FromTime(time)), (11, 10, 0, 10));
    assert_eq!(to(DeliverPolicy::Last), (20, 1, 0, 9));
    assert_eq!(to(DeliverPolicy::All), (1, 20, 0, 0));
    assert_eq!(to(DeliverPolicy::LastPerSubject), (21, 0, 2, 18));
    assert_eq!(seqs(&take(&consumer, 9)), [19, 20]);
    assert_eq!(to(DeliverPolicy::New), (21, 0, 0, 2));
    assert_eq!(to(from(23)), (23, 0, 0, 0));
    assert_eq!(to(from(22)), (22, 0, 0, 0), "also one still to come");
    ten(&stream);
    assert_eq!(info(&consumer).pending, 9);
    assert_eq!(seqs(&take(&consumer, 1)), [22]);
    is_well(&world.store);
}

#[test]
fn a_reset_to_no_place_is_refused_and_changes_nothing() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    ten(&stream);
    let out = take(&consumer, 2);
    for to in [from(0), DeliverPolicy::LastPerSubject] {
        let refused = consumer.reset(to);
        assert!(
            matches!(refused, Err(ConsumerError::Invalid(_))),
            "{refused:?}"
        );
    }
    assert_eq!(info(&consumer).in_flight, 2);
    out[1].ack().unwrap();
    stream.delete_consumer("c").unwrap();
    let refused = consumer.reset(DeliverPolicy::All);
    assert!(matches!(refused, Err(ConsumerError::NotFound { .. })));
    is_well(&world.store);
}

#[test]
fn a_work_queue_refuses_a_reset_that_would_leave_messages_behind() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects(["s.>"]);
    let stream = world
        .store
        .create_stream(config.retention(Retention::WorkQueue))
        .unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c"));
    ten(&stream);
    for message in take(&consumer, 3).into_iter().take(2) {
        message.ack().unwrap();
    }
    let refused = consumer.reset(from(5));
    let two = ConsumerError::WouldSkip {
        stream: "s".into(),
        messages: 2,
    };
    assert_eq!(refused, Err(two));
    assert_eq!(info(&consumer).in_flight, 1, "nothing changed");
    // What was acked is gone: it begins at the first that is stored.
    let reset = consumer.reset(from(1)).unwrap();
    assert_eq!((reset.next.get(), reset.pending), (3, 8));
    assert_eq!(seqs(&take(&consumer, 1)), [3]);
    is_well(&world.store);
}

#[test]
fn what_a_reset_passes_over_leaves_a_stream_that_keeps_what_is_wanted() {
    for unwanted in [Unwanted::Drop, Unwanted::Keep] {
        let world = World::new();
        let stream = world.stream_of_interest("s", unwanted);
        let one = create(&stream, ConsumerConfig::new("one"));
        let two = create(&stream, ConsumerConfig::new("two"));
        ten(&stream);
        for message in take(&one, 4) {
            message.ack().unwrap();
        }
        let reset = two.reset(from(7)).unwrap();
        assert_eq!(reset.skipped, 6);
        world.store.drive().unwrap();
        assert_eq!(
            stored(&stream),
            (5..=10).collect::<Vec<_>>(),
            "{unwanted:?}"
        );
        // What is gone does not come back.
        assert_eq!(two.reset(DeliverPolicy::All).unwrap().pending, 6);
        is_well(&world.store);
    }
}

#[test]
fn what_comes_before_the_place_a_reset_set_ahead_leaves_as_soon_as_it_is_published() {
    for unwanted in [Unwanted::Drop, Unwanted::Keep] {
        let world = World::new();
        let stream = world.stream_of_interest("s", unwanted);
        let consumer = create(&stream, ConsumerConfig::new("c"));
        consumer.reset(from(4)).unwrap();
        ten(&stream);
        // The consumer is done with what it was set past, as if that had been there before.
        let world = world.killed();
        let stream = world.store.stream("s").unwrap();
        assert_eq!(
            stored(&stream),
            (4..=10).collect::<Vec<_>>(),
            "{unwanted:?}"
        );
        is_well(&world.store);
    }
}

#[test]
fn a_reset_survives_a_crash_with_all_that_belongs_to_it() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").filter("s.*").dead_letter("dead");
    let consumer = create(&stream, config);
    ten(&stream);
    let out = take(&consumer, 6);
    out[0].term("broken").unwrap();
    out[1].nak_after(secs(30)).unwrap();
    consumer.reset(from(4)).unwrap();
    let before = info(&consumer);
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    let mut after = info(&consumer);
    after.oldest_unfinished = before.oldest_unfinished;
    assert_eq!(after, before);
    assert_eq!(
        (
            after.pending,
            after.skipped,
            after.dead_lettered,
            after.crashes
        ),
        (7, 2, 1, 0)
    );
    let dead = world.store.stream("dead").unwrap();
    assert_eq!(dead.info().unwrap().messages, 1, "dead letters stay");
    // The same configuration finds it where it is.
    let stream = world.store.stream("s").unwrap();
    let same = create(&stream, after.config.clone());
    assert_eq!(seqs(&take(&same, 20)), (4..=10).collect::<Vec<_>>());
    is_well(&world.store);
}

#[test]
fn a_fetch_that_waits_is_given_what_a_reset_brings_back() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    ten(&stream);
    for message in take(&consumer, 10) {
        message.ack().unwrap();
    }
    let other = consumer.clone();
    let waits = std::thread::spawn(move || {
        let fetch = riverbed::Fetch::new(10).max_wait(secs(60));
        seqs(&other.fetch(fetch).unwrap())
    });
    while info(&consumer).waiting == 0 {
        std::thread::yield_now();
    }
    consumer.reset(from(9)).unwrap();
    assert_eq!(waits.join().unwrap(), [9, 10]);
    is_well(&world.store);
}

#[test]
fn a_work_queue_refuses_a_reset_past_what_is_still_to_come() {
    let world = World::new();
    let config = StreamConfig::new("s")
        .subjects(["s.>"])
        .retention(Retention::WorkQueue);
    let stream = world.store.create_stream(config).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c"));
    publish(&stream, "s.a", 1);
    take_one(&consumer).ack().unwrap();
    let ahead = DeliverPolicy::FromSequence(Seq::new(1_000));
    let refused = consumer.reset(ahead).unwrap_err();
    let (stream_name, messages) = ("s".into(), 998);
    assert_eq!(
        refused,
        ConsumerError::WouldSkip {
            stream: stream_name,
            messages
        }
    );
    consumer
        .reset(DeliverPolicy::FromSequence(Seq::new(2)))
        .unwrap();
    publish(&stream, "s.a", 1);
    assert_eq!(take_one(&consumer).seq(), 2);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}
