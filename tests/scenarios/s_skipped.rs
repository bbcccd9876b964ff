//! What a consumer is never given: skipped by its start, or lost.

use crate::helpers::*;
use riverbed::{Consumer, ConsumerConfig, DeliverPolicy, Purge, Seq, Timestamp};

fn skipped(consumer: &Consumer) -> u64 {
    info(consumer).skipped
}

#[test]
fn a_new_consumer_says_how_many_messages_its_start_skips() {
    let world = World::new();
    let stream = world.stream("s");
    for number in 0..10 {
        let subject = ["s.a", "s.b"][number % 2];
        stream.publish(subject, number.to_string()).unwrap();
    }
    stream.delete(Seq::new(1)).unwrap();
    let starting = |name: &str, deliver, filter: Option<&str>| {
        let mut config = ConsumerConfig::new(name).deliver(deliver);
        config.filters.extend(filter.map(String::from));
        skipped(&create(&stream, config))
    };
    assert_eq!(starting("all", DeliverPolicy::All, None), 0);
    assert_eq!(starting("new", DeliverPolicy::New, None), 9);
    assert_eq!(starting("new_a", DeliverPolicy::New, Some("s.a")), 4);
    assert_eq!(starting("last", DeliverPolicy::Last, None), 8);
    assert_eq!(starting("last_a", DeliverPolicy::Last, Some("s.a")), 3);
    let from = DeliverPolicy::FromSequence(Seq::new(4));
    assert_eq!(starting("from", from, None), 2);
    let later = DeliverPolicy::FromSequence(Seq::new(40));
    assert_eq!(starting("later", later, None), 9);
    let start = DeliverPolicy::FromTime(Timestamp::default());
    assert_eq!(starting("since", start, None), 0);
    let lasts = DeliverPolicy::LastPerSubject;
    assert_eq!(starting("lasts", lasts, Some("s.*")), 7);
    let world = world.killed();
    assert_eq!(skipped(&world.consumer("s", "lasts")), 7, "it stays");
    assert_eq!(skipped(&world.consumer("s", "new")), 9);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn lost_messages_are_told_with_their_range_also_after_a_restart() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    publish(&stream, "s.x", 10);
    assert_eq!(info(&consumer).lost_range, None);
    take_one(&consumer).ack().unwrap();
    take_one(&consumer);
    stream.delete(Seq::new(1)).unwrap();
    assert_eq!(info(&consumer).lost_range, None, "it was done with it");
    stream.delete(Seq::new(5)).unwrap();
    let range = |first, last| Some((Seq::new(first), Seq::new(last)));
    assert_eq!(info(&consumer).lost_range, range(5, 5));
    stream.purge(Purge::all().up_to(Seq::new(4))).unwrap();
    let facts = info(&consumer);
    assert_eq!((facts.lost, facts.lost_range), (3, range(2, 5)));
    let world = world.killed();
    let facts = info(&world.consumer("s", "c"));
    assert_eq!((facts.lost, facts.lost_range), (3, range(2, 5)));
    world.empty("s");
    let facts = info(&world.consumer("s", "c"));
    assert_eq!((facts.lost, facts.lost_range), (9, range(2, 10)));
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}
