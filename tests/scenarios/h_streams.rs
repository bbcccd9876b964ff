//! H: the limits of streams, and how they are read.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, Discard, Event, Publish, PublishErrorKind, Removal, Riverbed, Seq, StreamConfig,
};

fn made(store: &Riverbed, config: StreamConfig) -> riverbed::Stream {
    store.create_stream(config).unwrap()
}

#[test]
fn h11_a_stream_that_discards_new_messages_refuses_at_its_limits() {
    let world = World::new();
    let few = StreamConfig::new("few")
        .max_messages(2)
        .discard(Discard::New);
    let few = made(&world.store, few);
    publish(&few, "few", 2);
    let refused = few.publish("few", "kept").unwrap_err();
    assert!(matches!(refused.kind, PublishErrorKind::Full { .. }));
    assert_eq!(refused.messages, [Publish::new("few", "kept")]);
    few.delete(1.into()).unwrap();
    assert_eq!(few.publish("few", "").unwrap().seq, 3);

    let small = StreamConfig::new("small")
        .max_bytes(30)
        .discard(Discard::New);
    let small = made(&world.store, small);
    small.publish("small", [0; 10]).unwrap();
    small.publish("small", [0; 10]).unwrap();
    let refused = publish_kind(small.publish("small", [0; 0]));
    assert!(
        matches!(refused, PublishErrorKind::Full { .. }),
        "{refused:?}"
    );
    assert_eq!(small.info().unwrap().bytes, 30);
}

#[test]
fn a_stream_that_discards_old_messages_keeps_the_newest() {
    let world = World::new();
    let few = made(&world.store, StreamConfig::new("few").max_messages(3));
    publish(&few, "few", 10);
    assert_eq!(stored(&few), [8, 9, 10]);
    few.publish_batch((0..5).map(|_| ("few", ""))).unwrap();
    assert_eq!(stored(&few), [13, 14, 15]);
    let small = made(&world.store, StreamConfig::new("small").max_bytes(40));
    for _ in 0..5 {
        small.publish("small", [0; 5]).unwrap();
    }
    assert_eq!(stored(&small), [2, 3, 4, 5]);
    small.publish("small", [0; 35]).unwrap();
    assert_eq!(stored(&small), [6]);
    let refused = publish_kind(small.publish("small", [0; 36]));
    assert!(matches!(
        refused,
        PublishErrorKind::TooLarge {
            bytes: 41,
            limit: 40,
            ..
        }
    ));
}

#[test]
fn a_message_over_the_streams_size_is_refused_with_its_headers_counted() {
    let world = World::new();
    let stream = made(&world.store, StreamConfig::new("s").max_message_size(10));
    stream
        .publish_message(Publish::new("s", "12345").header("abc", "de"))
        .unwrap();
    let message = Publish::new("s", "123456").header("abc", "de");
    let refused = stream.publish_message(message.clone()).unwrap_err();
    let limit = PublishErrorKind::TooLarge {
        bytes: 11,
        limit: 10,
        stream: "s".into(),
    };
    assert_eq!((refused.kind, refused.messages), (limit, vec![message]));
}

#[test]
fn lowered_limits_remove_what_they_no_longer_allow() {
    let world = World::new();
    let config = StreamConfig::new("s");
    let stream = made(&world.store, config.clone());
    let consumer = create(&stream, ConsumerConfig::new("c"));
    publish(&stream, "s", 10);
    let events = world.store.events(10);
    world
        .store
        .update_stream_removing(config.clone().max_messages(4))
        .unwrap();
    assert_eq!(stored(&stream), [7, 8, 9, 10]);
    assert_eq!((info(&consumer).lost, info(&consumer).pending), (6, 4));
    assert!(matches!(
        events.try_recv().unwrap(),
        Event::UnfinishedRemoved {
            messages: 6,
            by: Removal::MaxMessages,
            ..
        }
    ));
    world
        .store
        .update_stream_removing(config.max_bytes(5))
        .unwrap();
    assert_eq!(stored(&stream), [9, 10]);
}

#[test]
fn messages_leave_at_their_age_and_are_counted_as_lost() {
    let world = World::new();
    let stream = made(&world.store, StreamConfig::new("s").max_age(secs(60)));
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let events = world.store.events(10);
    publish(&stream, "s", 2);
    take_one(&consumer).ack().unwrap();
    world.pass(secs(30));
    stream.publish("s", "").unwrap();
    world.pass(secs(29));
    assert_eq!(stored(&stream), [1, 2, 3]);
    world.pass(secs(1));
    assert_eq!(stored(&stream), [3]);
    // The first one was finished: only the second is lost.
    assert_eq!((info(&consumer).lost, info(&consumer).pending), (1, 1));
    let Event::UnfinishedRemoved {
        stream: name,
        consumer,
        messages,
        first,
        last,
        by,
    } = events.try_recv().unwrap()
    else {
        panic!("removed")
    };
    assert_eq!((name.as_str(), consumer.as_str(), messages), ("s", "c", 1));
    assert_eq!(
        (first, last, by),
        (Seq::new(2), Seq::new(2), Removal::MaxAge)
    );
    assert!(events.is_empty());
    world.pass(secs(30));
    assert_eq!(stored(&stream), Vec::<u64>::new());
}

#[test]
fn h17_what_expires_while_the_store_is_closed_is_gone_and_the_sequences_go_on() {
    let world = World::new();
    let stream = made(&world.store, StreamConfig::new("s").max_age(secs(60)));
    let consumer = create(&stream, ConsumerConfig::new("c"));
    publish(&stream, "s", 5);
    take(&consumer, 2);
    world.store.close().unwrap();
    world.clock.advance(secs(3600));
    let world = World::on(world.disk, world.clock);
    world.store.drive().unwrap();
    let (stream, consumer) = (world.store.stream("s").unwrap(), world.consumer("s", "c"));
    let known = stream.info().unwrap();
    assert_eq!(
        (known.messages, known.first_seq.get(), known.last_seq.get()),
        (0, 6, 5)
    );
    assert_eq!(
        (
            info(&consumer).lost,
            info(&consumer).pending,
            info(&consumer).due
        ),
        (5, 0, 0)
    );
    nothing(&consumer);
    assert_eq!(stream.publish("s", "").unwrap().seq, 6);
    assert_eq!(seqs(&take(&consumer, 5)), [6]);
}

#[test]
fn room_that_age_makes_serves_a_stream_that_discards_new_messages() {
    let world = World::new();
    let config = StreamConfig::new("s")
        .max_messages(2)
        .max_age(secs(60))
        .discard(Discard::New);
    let stream = made(&world.store, config);
    publish(&stream, "s", 2);
    assert!(stream.publish("s", "").is_err());
    world.pass(secs(60));
    assert_eq!(stream.publish("s", "").unwrap().seq, 3);
}

#[test]
fn l15_reading_changes_nothing() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    publish(&stream, "s.b", 2);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let before = (stream.info().unwrap(), info(&consumer));
    assert_eq!(stream.get(2.into()).unwrap().unwrap().payload(), b"2");
    assert!(stream.get(6.into()).unwrap().is_none());
    assert!(stream.get(0.into()).unwrap().is_none());
    assert_eq!(stream.last_for_subject("s.a").unwrap().unwrap().seq(), 3);
    assert_eq!(stream.last_for_subject("s.*").unwrap().unwrap().seq(), 5);
    assert!(stream.last_for_subject("s.c").unwrap().is_none());
    let between = |from: u64, to: u64| {
        let range = stream.range(Seq::new(from)..Seq::new(to));
        range
            .map(|message| message.unwrap().seq().get())
            .collect::<Vec<u64>>()
    };
    assert_eq!(between(2, 4), [2, 3]);
    assert_eq!(between(4, 100), [4, 5]);
    assert_eq!(between(0, 2), [1]);
    assert_eq!(between(3, 3), Vec::<u64>::new());
    assert_eq!((stream.info().unwrap(), info(&consumer)), before);
}

#[test]
fn what_is_published_comes_back_whole() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let sent = world.clock.clock().now();
    let message = Publish::new("s.a.b", [0, 255, 10])
        .header("A", "1")
        .header("A", "2")
        .id("x");
    stream.publish_message(message).unwrap();
    let world = world.reopened();
    let consumer = world.consumer(consumer.stream_name(), consumer.name());
    let message = take_one(&consumer);
    assert_eq!(
        (message.subject(), message.payload()),
        ("s.a.b", &[0, 255, 10][..])
    );
    assert_eq!(
        message.headers().get_all("A").collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert_eq!((message.id(), message.timestamp()), (Some("x"), sent));
    assert_eq!(
        (message.deliveries(), message.failures(), message.crashes()),
        (1, 0, 0)
    );
}
