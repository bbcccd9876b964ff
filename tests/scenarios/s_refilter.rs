//! Consumers that are given other filters.

use crate::helpers::*;
use riverbed::{
    AckPolicy, Consumer, ConsumerConfig, ConsumerError, ConsumerFate, DeliverPolicy, Fetch,
    Removal, Retention, Riverbed, Seq, Stream, StreamConfig, Unwanted,
};

fn is_well(store: &Riverbed) {
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

fn refilter(stream: &Stream, config: &ConsumerConfig, filters: &[&str]) -> Consumer {
    let config = config.clone().filters(filters.iter().copied());
    stream.update_consumer(config).unwrap()
}

fn fate(stream: &Stream, seq: u64, consumer: &str) -> ConsumerFate {
    let mut told = stream.explain(Seq::new(seq)).unwrap();
    told.consumers.remove(consumer).unwrap()
}

#[test]
fn f13_other_filters_hold_from_the_place_of_the_consumer_on() {
    for world in [World::new(), World::threaded()] {
        let stream = world.stream("s");
        let config = ConsumerConfig::new("c").filter("s.foo");
        let consumer = create(&stream, config.clone());
        publish(&stream, "s.foo", 10);
        publish(&stream, "s.bar", 20);
        assert_eq!(seqs(&take(&consumer, 5)), [1, 2, 3, 4, 5]);
        let consumer = refilter(&stream, &config, &["s.bar"]);
        assert_eq!(info(&consumer).pending, 20);
        let message = take_one(&consumer);
        assert_eq!((message.seq(), message.deliveries()), (Seq::new(11), 1));
        assert_eq!(info(&consumer).pending, 19);
        is_well(&world.store);
    }
}

#[test]
fn f14_without_filters_everything_from_the_place_on_is_delivered() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").filters(["s.a", "s.b"]);
    let consumer = create(&stream, config.clone());
    for subject in ["s.a", "s.c", "s.b", "s.c", "s.a", "s.d"] {
        publish(&stream, subject, 1);
    }
    assert_eq!(seqs(&take(&consumer, 2)), [1, 3]);
    let consumer = refilter(&stream, &config, &[]);
    assert_eq!(info(&consumer).pending, 3);
    // What was passed over does not come again.
    assert_eq!(seqs(&take(&consumer, 10)), [4, 5, 6]);
    is_well(&world.store);
}

#[test]
fn what_a_consumer_holds_stays_with_it_whatever_its_filters_say_now() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").filter("s.a").ack_wait(secs(30));
    let consumer = create(&stream, config.clone());
    publish(&stream, "s.a", 3);
    publish(&stream, "s.b", 2);
    let mut held = take(&consumer, 2);
    let consumer = refilter(&stream, &config, &["s.b"]);
    held.remove(0).ack().unwrap();
    drop(held.remove(0).nak());
    assert_eq!(seqs(&take(&consumer, 10)), [2, 4, 5]);
    // Nobody is given what was ahead and is not wanted any more; another change brings none of it back.
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    let consumer = refilter(&stream, &config, &["s.a", "s.b"]);
    assert_eq!((info(&consumer).pending, info(&consumer).acked), (0, 1));
    assert_eq!(seqs(&take(&consumer, 10)), [2, 4, 5]);
    world.empty("s");
    assert_eq!(info(&consumer).lost, 3);
    is_well(&world.store);
}

#[test]
fn what_is_ahead_is_counted_in_the_log_and_in_memory() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").filter("s.0");
    let consumer = create(&stream, config.clone());
    let batch = |from: usize, to: usize| {
        let messages = (from..to).map(|n| (format!("s.{}", n % 7), vec![0; 100]));
        stream.publish_batch(messages).unwrap();
    };
    batch(0, 7_000);
    assert_eq!(take(&consumer, 500).len(), 500);
    let deleted = Seq::new(6_000);
    stream.delete(deleted).unwrap();
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    for n in 0..70 {
        publish(&stream, &format!("s.{}", n % 7), 1);
    }
    // The next message is 3,495, on s.1; number 6,000 was on s.0.
    let wanted = |filters: &[&str]| {
        let wanted = (3_495..=7_070).filter(|seq| {
            let subject = format!("s.{}", (seq - 1) % 7);
            *seq != deleted.get() && filters.contains(&subject.as_str())
        });
        wanted.collect::<Vec<u64>>()
    };
    for filters in [
        &["s.1"][..],
        &["s.0", "s.1", "s.6"],
        &["s.3", "s.5"],
        &["s.0"],
    ] {
        let consumer = refilter(&stream, &config, filters);
        assert_eq!(info(&consumer).pending, wanted(filters).len() as u64);
        is_well(&world.store);
    }
    let filters = ["s.2", "s.0"];
    let consumer = refilter(&stream, &config, &filters);
    let released = take(&consumer, 500);
    assert!(released.iter().all(|message| message.deliveries() == 2));
    let config = config.clone().max_ack_pending(10_000).filters(filters);
    let consumer = stream.update_consumer(config).unwrap();
    assert_eq!(seqs(&take(&consumer, 10_000)), wanted(&filters));
    is_well(&world.store);
}

#[test]
fn a_fetch_that_waits_is_given_what_other_filters_match() {
    let world = World::threaded();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").filter("s.a");
    let consumer = create(&stream, config.clone());
    publish(&stream, "s.b", 1);
    assert_eq!(take(&consumer, 1).len(), 0);
    std::thread::scope(|scope| {
        let waits = || consumer.fetch(Fetch::new(1).max_wait(secs(3_600)));
        let fetched = scope.spawn(waits);
        while info(&consumer).waiting == 0 {
            std::thread::yield_now();
        }
        // It has passed the first one over.
        refilter(&stream, &config, &["s.b"]);
        publish(&stream, "s.b", 1);
        assert_eq!(seqs(&fetched.join().unwrap().unwrap()), [2]);
    });
    is_well(&world.store);
}

#[test]
fn other_filters_keep_the_rules_of_a_work_queue() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects(["s.>"]);
    let config = config.retention(Retention::WorkQueue);
    let stream = world.store.create_stream(config).unwrap();
    let one = ConsumerConfig::new("one").filter("s.a");
    create(&stream, one.clone());
    let two = create(&stream, ConsumerConfig::new("two").filter("s.b"));
    publish(&stream, "s.a", 2);
    publish(&stream, "s.c", 1);
    let told = stream.update_consumer(one.clone().filters(["s.a", "s.*"]));
    assert!(
        matches!(told, Err(ConsumerError::Invalid(_))),
        "one within the other: {told:?}"
    );
    let told = stream.update_consumer(one.clone().filters(["s.*"]));
    assert!(
        matches!(&told, Err(ConsumerError::WorkQueueOverlap { other, .. }) if other == "two"),
        "{told:?}"
    );
    let consumer = stream.consumer("one").unwrap();
    assert_eq!(
        info(&consumer).config,
        one,
        "a refused update changes nothing"
    );
    let held = take_one(&consumer);
    let refused = stream.update_consumer(one.clone().filters(["s.c"]));
    let (name, messages) = ("one".to_owned(), 1);
    assert_eq!(
        refused.unwrap_err(),
        ConsumerError::WouldShare { name, messages },
        "another consumer could be given it"
    );
    refilter(&stream, &one, &["s.a", "s.c"]);
    held.ack().unwrap();
    publish(&stream, "s.a", 1);
    let consumer = refilter(&stream, &one, &["s.c"]);
    assert_eq!(seqs(&take(&consumer, 10)), [3]);
    // Nobody wants the first two now; they wait for who does.
    assert_eq!(stored(&stream), [2, 3, 4]);
    let told = stream.update_consumer(ConsumerConfig::new("two").filters(["s.a", "s.b"]));
    assert_eq!(seqs(&take(&told.unwrap(), 10)), [2, 4]);
    assert_eq!(info(&two).in_flight, 2);
    is_well(&world.store);
}

#[test]
fn what_nobody_wants_any_more_leaves_and_what_was_only_passed_stays() {
    for unwanted in [Unwanted::Drop, Unwanted::Keep] {
        let world = World::new();
        let stream = world.stream_of_interest("s", unwanted);
        let config = ConsumerConfig::new("c").filter("s.a");
        let consumer = create(&stream, config.clone());
        for _ in 0..3 {
            publish(&stream, "s.a", 1);
            publish(&stream, "s.b", 1);
        }
        take_one(&consumer).ack().unwrap();
        assert_eq!(seqs(&take(&consumer, 1)), [3]);
        let other = config.clone().filters(["s.b"]);
        let refused = stream.update_consumer(other.clone()).unwrap_err();
        // 3 is out, 5 is ahead.
        let (name, setting, messages) = ("c".to_owned(), "filters", 2);
        assert_eq!(
            refused,
            ConsumerError::WouldDrop {
                name,
                setting,
                messages
            }
        );
        stream
            .update_consumer(config.clone().filters(["s.a", "s.c"]))
            .unwrap();
        stream.update_consumer_dropping(other).unwrap();
        world.store.drive().unwrap();
        let expected: &[u64] = match unwanted {
            // What nobody wanted when it was published was never stored; 3 is still out.
            Unwanted::Drop => &[3],
            // 2 was passed before it was wanted; 5 was ahead of the consumer and wanted by nobody else.
            _ => &[2, 3, 4, 5, 6],
        };
        assert_eq!(stored(&stream), expected, "{unwanted:?}");
        let world = world.killed();
        let stream = world.store.stream("s").unwrap();
        assert_eq!(stored(&stream), expected, "{unwanted:?}");
        is_well(&world.store);
    }
}

#[test]
fn what_the_filters_of_before_looked_at_is_not_called_acked_or_unmatched() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").filter("s.a");
    let consumer = create(&stream, config.clone());
    for subject in ["s.a", "s.b", "s.a", "s.b", "s.b"] {
        publish(&stream, subject, 1);
    }
    take_one(&consumer).ack().unwrap();
    stream.delete(Seq::new(3)).unwrap();
    stream.delete(Seq::new(5)).unwrap();
    assert_eq!(fate(&stream, 5, "c"), ConsumerFate::NotMatched);
    refilter(&stream, &config, &[]);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(fate(&stream, 1, "c"), ConsumerFate::Passed);
    assert_eq!(
        fate(&stream, 2, "c"),
        ConsumerFate::Waiting { deliveries: 0 },
        "the consumer had not come to it"
    );
    let lost = fate(&stream, 3, "c");
    assert!(
        matches!(
            lost,
            ConsumerFate::Lost {
                by: Removal::Delete,
                ..
            }
        ),
        "{lost:?}"
    );
    assert_eq!(fate(&stream, 5, "c"), ConsumerFate::Unknown);
    let consumer = world.consumer("s", "c");
    for message in take(&consumer, 10) {
        message.ack().unwrap();
    }
    assert_eq!(fate(&stream, 4, "c"), ConsumerFate::Acked);
    // What is published from then on is told as ever.
    publish(&stream, "s.b", 1);
    take_one(&consumer).ack().unwrap();
    world.empty("s");
    assert_eq!(fate(&stream, 4, "c"), ConsumerFate::Unknown);
    assert_eq!(fate(&stream, 6, "c"), ConsumerFate::Acked);
    is_well(&world.store);
}

#[test]
fn settings_that_decide_where_a_consumer_began_stay_fixed() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c")
        .filter("s.a")
        .deliver(DeliverPolicy::LastPerSubject);
    create(&stream, config.clone());
    let none: [&str; 0] = [];
    let told = stream.update_consumer(config.clone().filters(none));
    assert!(
        matches!(told, Err(ConsumerError::Invalid(_))),
        "the last of each subject wants a filter: {told:?}"
    );
    let told = stream.update_consumer(config.ack_policy(AckPolicy::All).filters(["s.b"]));
    let setting = "ack_policy";
    assert_eq!(told.unwrap_err(), ConsumerError::Fixed { setting });
    is_well(&world.store);
}
