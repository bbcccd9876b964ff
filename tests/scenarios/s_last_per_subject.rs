//! Consumers that begin with the last message of each subject.

use crate::helpers::*;
use riverbed::{
    AckPolicy, ConsumerConfig, ConsumerError, DeliverPolicy, Event, Publish, Seq, Stream,
};

fn lasts(name: &str, filter: &str) -> ConsumerConfig {
    ConsumerConfig::new(name)
        .filter(filter)
        .deliver(DeliverPolicy::LastPerSubject)
}

/// So many messages on each of `s.1` to `s.4`, in turn.
fn rounds(stream: &Stream, rounds: u64) {
    for round in 0..rounds {
        for subject in 1..=4 {
            stream
                .publish(format!("s.{subject}"), round.to_string())
                .unwrap();
        }
    }
}

#[test]
fn f1_the_last_of_each_subject_comes_first_in_order_then_what_is_new() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.b.x", "1").unwrap();
    rounds(&stream, 3);
    let consumer = create(&stream, lasts("c", "s.*"));
    let facts = info(&consumer);
    assert_eq!((facts.due, facts.pending), (4, 0));
    assert_eq!(facts.ack_floor, Seq::new(9));
    assert_eq!(facts.delivered, Seq::new(13));
    stream.publish("s.2", "new").unwrap();
    stream.publish("s.b.x", "not wanted").unwrap();
    let taken = take(&consumer, 10);
    assert_eq!(seqs(&taken), [10, 11, 12, 13, 14]);
    assert_eq!(deliveries(&taken), [1; 5]);
    for message in &taken {
        message.ack().unwrap();
    }
    assert_eq!(info(&consumer).ack_floor, Seq::new(14));
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn f1_last_per_subject_without_filters_is_refused() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").deliver(DeliverPolicy::LastPerSubject);
    let Err(ConsumerError::Invalid(why)) = stream.create_consumer(config) else {
        panic!("it is taken");
    };
    assert_eq!(why.setting, "deliver");
    assert!(why.to_string().contains("filters"), "{why}");
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn f4_several_filters_give_one_last_message_for_each_subject() {
    let world = World::new();
    let stream = world.stream("s");
    rounds(&stream, 2);
    stream.publish("s.deep.er", "9").unwrap();
    let config = lasts("c", "s.2").filter("s.4").filter("s.deep.>");
    let consumer = create(&stream, config);
    assert_eq!(seqs(&take(&consumer, 10)), [6, 8, 9]);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a13_deleted_last_messages_are_looked_for_in_the_log() {
    let world = World::new();
    let stream = world.stream("s");
    rounds(&stream, 5);
    // All of one subject, and the last two of another.
    for seq in [1, 5, 9, 13, 17, 16, 20] {
        stream.delete(Seq::new(seq)).unwrap();
    }
    let consumer = create(&stream, lasts("c", "s.*"));
    assert_eq!(info(&consumer).due, 3);
    assert_eq!(seqs(&take(&consumer, 10)), [12, 18, 19]);
    // The same after a restart, when nothing of it is in memory.
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    stream.delete(Seq::new(12)).unwrap();
    let again = create(&stream, lasts("again", ">"));
    assert_eq!(seqs(&take(&again, 10)), [8, 18, 19]);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn last_messages_survive_a_restart_undelivered() {
    let world = World::new();
    let stream = world.stream("s");
    rounds(&stream, 3);
    let consumer = create(&stream, lasts("c", "s.*"));
    take_one(&consumer).ack().unwrap();
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    assert_eq!(info(&consumer).due, 3);
    let taken = take(&consumer, 10);
    assert_eq!(
        (seqs(&taken), deliveries(&taken)),
        (vec![10, 11, 12], vec![1; 3])
    );
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_last_message_that_is_removed_before_its_delivery_is_lost() {
    let world = World::new();
    let stream = world.stream("s");
    rounds(&stream, 2);
    let events = world.store.events(10);
    let consumer = create(&stream, lasts("c", "s.*"));
    stream.delete(Seq::new(7)).unwrap();
    stream.publish("s.3", "in its place").unwrap();
    assert!(matches!(
        events.try_recv().unwrap(),
        Event::UnfinishedRemoved { messages: 1, .. }
    ));
    assert_eq!(info(&consumer).lost, 1);
    assert_eq!(seqs(&take(&consumer, 10)), [5, 6, 8, 9]);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn last_messages_are_finished_when_counted_where_nothing_is_acked() {
    let world = World::new();
    let stream = world.stream("s");
    rounds(&stream, 2);
    let consumer = create(&stream, lasts("c", "s.*").ack_policy(AckPolicy::None));
    assert_eq!(seqs(&take(&consumer, 3)), [5, 6, 7]);
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    let facts = info(&consumer);
    assert_eq!((facts.due, facts.deliveries, facts.in_flight), (1, 3, 0));
    assert_eq!(seqs(&take(&consumer, 3)), [8]);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_consumer_of_last_messages_that_is_made_among_publishers_misses_and_doubles_nothing() {
    let world = World::threaded();
    let stream = world.stream("s");
    rounds(&stream, 50);
    let publisher = {
        let stream = stream.clone();
        std::thread::spawn(move || {
            for round in 0..200_u64 {
                let subject = format!("s.{}", 1 + round % 4);
                let ack = stream.publish(subject, "more").unwrap();
                if round % 3 == 0 {
                    stream.delete(ack.seq).unwrap();
                }
            }
        })
    };
    for number in 0..10 {
        let name = format!("c{number}");
        let consumer = create(&stream, lasts(&name, "s.*"));
        let taken = take(&consumer, 1_000);
        let mut sorted = seqs(&taken);
        sorted.sort_unstable();
        assert_eq!(sorted, seqs(&taken), "in order, none twice");
    }
    publisher.join().unwrap();
    stream
        .publish_message(Publish::new("s.1", "the end"))
        .unwrap();
    let consumer = create(&stream, lasts("end", "s.*"));
    let taken = take(&consumer, 10);
    for message in &taken {
        let last = stream.last_for_subject(message.subject()).unwrap();
        assert_eq!(last.map(|last| last.seq()), Some(message.seq()));
    }
    assert_eq!(taken.len(), 4);
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}
