//! S: messages that are published for later.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, Discard, Event, Headers, Limits, Publish, PublishErrorKind, Purge, Riverbed,
    ScheduleError, ScheduledMessage, Seq, StreamConfig,
};
use std::sync::Arc;

fn payloads(stream: &riverbed::Stream) -> Vec<String> {
    let text =
        |message: riverbed::StoredMessage| String::from_utf8(message.payload().to_vec()).unwrap();
    stream
        .range(..)
        .map(|message| text(message.unwrap()))
        .collect()
}

fn numbers(stream: &riverbed::Stream) -> Vec<u64> {
    let waiting = stream.scheduled(0, 100).unwrap();
    waiting.iter().map(|message| message.number).collect()
}

fn later(payload: &str, seconds: u64) -> Publish {
    Publish::new("s.a", payload).after(secs(seconds))
}

fn is_sound(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn l13_a_delayed_message_is_invisible_until_it_is_due_and_then_like_any_other() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let message = later("x", 60).header("H", "v").id("id");
    let ack = stream.publish_message(message).unwrap();
    assert_eq!(
        (ack.seq, ack.scheduled, ack.duplicate),
        (Seq::new(0), Some(1), false)
    );
    nothing(&consumer);
    let seen = stream.info().unwrap();
    assert_eq!(
        (
            seen.messages,
            seen.bytes,
            seen.last_seq.get(),
            seen.subjects
        ),
        (0, 0, 0, 0)
    );
    assert_eq!(
        (seen.scheduled, seen.scheduled_bytes, seen.scheduled_due),
        (1, 8, 0)
    );
    assert_eq!(info(&consumer).pending, 0);
    let ScheduledMessage {
        number,
        due,
        subject,
        headers,
        payload,
        id,
        ..
    } = stream.scheduled(0, 10).unwrap().remove(0);
    let until = world.clock.clock().now().plus(secs(60));
    assert_eq!((number, due, subject.as_str()), (1, until, "s.a"));
    assert_eq!((payload, id.as_deref()), (b"x".to_vec(), Some("id")));
    assert_eq!(headers, [("H", "v")].into_iter().collect::<Headers>());
    is_sound(&world);
    stream.publish("s.a", "before").unwrap();
    world.pass(secs(59));
    assert_eq!(payloads(&stream), ["before"]);
    world.pass(secs(1));
    assert_eq!(payloads(&stream), ["before", "x"]);
    let sent = stream.get(Seq::new(2)).unwrap().unwrap();
    assert_eq!(
        (sent.id(), sent.headers().get("H")),
        (Some("id"), Some("v"))
    );
    assert_eq!(
        sent.timestamp(),
        until,
        "its age counts from when it was due"
    );
    assert_eq!(seqs(&take(&consumer, 9)), [1, 2]);
    let seen = stream.info().unwrap();
    assert_eq!(
        (seen.messages, seen.scheduled, seen.scheduled_bytes),
        (2, 0, 0)
    );
    assert_eq!(numbers(&stream), Vec::<u64>::new());
    is_sound(&world);
}

#[test]
fn what_is_due_together_comes_by_its_time_and_then_in_the_order_of_acceptance() {
    let world = World::new();
    let stream = world.stream("s");
    for (payload, seconds) in [("c", 30), ("a", 10), ("b", 20), ("c2", 30), ("later", 40)] {
        stream.publish_message(later(payload, seconds)).unwrap();
    }
    world.pass(secs(35));
    assert_eq!(payloads(&stream), ["a", "b", "c", "c2"]);
    assert_eq!(numbers(&stream), [5]);
    is_sound(&world);
}

#[test]
fn a_time_that_has_passed_means_now() {
    let world = World::new();
    let stream = world.stream("s");
    let now = world.clock.clock().now();
    world.clock.advance(secs(5));
    let past = stream
        .publish_message(Publish::new("s.a", "1").at(now))
        .unwrap();
    assert_eq!((past.seq.get(), past.scheduled), (1, None));
    let none = stream.publish_message(later("2", 0)).unwrap();
    assert_eq!((none.seq.get(), none.scheduled), (2, None));
    is_sound(&world);
}

#[test]
fn a_delayed_message_survives_a_restart_and_is_sent_once() {
    for restart in [World::reopened as fn(World) -> World, World::killed] {
        let world = World::new();
        let stream = world.stream("s");
        for (payload, seconds) in [("a", 10), ("b", 20), ("c", 30)] {
            stream.publish_message(later(payload, seconds)).unwrap();
        }
        world.pass(secs(10));
        let world = restart(world);
        let stream = world.store.stream("s").unwrap();
        assert_eq!(
            (payloads(&stream), numbers(&stream)),
            (vec!["a".into()], vec![2, 3])
        );
        is_sound(&world);
        // What became due meanwhile is there when the store is open.
        world.clock.advance(secs(15));
        let world = restart(world);
        let stream = world.store.stream("s").unwrap();
        assert_eq!(payloads(&stream), ["a", "b"]);
        let next = stream.publish_message(later("d", 9)).unwrap();
        assert_eq!(next.scheduled, Some(4), "numbers are never used again");
        world.pass(secs(9));
        assert_eq!(payloads(&stream), ["a", "b", "c", "d"]);
        is_sound(&world);
    }
}

#[test]
fn the_threads_of_a_store_send_what_is_due() {
    let world = World::threaded();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    stream.publish_message(later("x", 3_600)).unwrap();
    let clock = world.clock.clone();
    let waiter = std::thread::spawn(move || {
        let fetch = riverbed::Fetch::new(1).max_wait(secs(86_400));
        consumer
            .fetch(fetch)
            .map(|batch| batch[0].payload().to_vec())
    });
    while !waiter.is_finished() {
        clock.advance(secs(60));
        std::thread::yield_now();
    }
    assert_eq!(waiter.join().unwrap().unwrap(), b"x");
    is_sound(&world);
}

#[test]
fn a_cancelled_message_is_never_sent() {
    let world = World::new();
    let stream = world.stream("s");
    for payload in ["a", "b"] {
        stream.publish_message(later(payload, 10)).unwrap();
    }
    stream.cancel_scheduled(1).unwrap();
    for number in [0, 1, 3] {
        let why = stream.cancel_scheduled(number).unwrap_err();
        let stream = "s".to_owned();
        assert_eq!(why, ScheduleError::NotScheduled { stream, number });
    }
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    world.pass(secs(10));
    assert_eq!(payloads(&stream), ["b"]);
    assert!(stream.cancel_scheduled(2).is_err(), "it was sent");
    is_sound(&world);
}

#[test]
fn an_id_is_remembered_from_acceptance_on() {
    let world = World::new();
    let stream = world.stream("s");
    let ack = |message: Publish| {
        let ack = stream.publish_message(message).unwrap();
        (ack.seq.get(), ack.scheduled, ack.duplicate)
    };
    assert_eq!(ack(later("a", 60).id("x")), (0, Some(1), false));
    assert_eq!(ack(later("a", 90).id("x")), (0, Some(1), true));
    assert_eq!(ack(Publish::new("s.a", "a").id("x")), (0, Some(1), true));
    world.pass(secs(60));
    assert_eq!(ack(Publish::new("s.a", "a").id("x")), (0, Some(1), true));
    assert_eq!(payloads(&stream), ["a"]);
    // In a batch some may wait and others not, and all are accepted together.
    let batch = [
        later("b", 5).id("y"),
        Publish::new("s.a", "c"),
        later("d", 5).id("y"),
    ];
    let acks = stream.publish_batch(batch).unwrap();
    let acks: Vec<_> = acks
        .iter()
        .map(|ack| (ack.seq.get(), ack.scheduled, ack.duplicate))
        .collect();
    assert_eq!(
        acks,
        [(0, Some(2), false), (2, None, false), (0, Some(2), true)]
    );
    // The window counts from acceptance, also over a restart.
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    let again = stream
        .publish_message(Publish::new("s.a", "b").id("y"))
        .unwrap();
    assert_eq!((again.scheduled, again.duplicate), (Some(2), true));
    world.pass(secs(121));
    let new = stream
        .publish_message(Publish::new("s.a", "b").id("y"))
        .unwrap();
    assert!(!new.duplicate);
    is_sound(&world);
}

#[test]
fn a_delayed_message_is_refused_by_the_rules_of_its_stream() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects(["s.>"]).max_messages(1);
    let config = config
        .discard(Discard::New)
        .max_message_size(10)
        .without_dedup();
    let stream = world.store.create_stream(config).unwrap();
    let kind = |message: Publish| publish_kind(stream.publish_message(message));
    let other = kind(Publish::new("t", "").after(secs(1)));
    assert!(matches!(other, PublishErrorKind::NotCaptured { .. }));
    assert!(matches!(
        kind(later("12345678901", 1)),
        PublishErrorKind::TooLarge { .. }
    ));
    assert!(matches!(
        kind(later("", 1).id("x")),
        PublishErrorKind::NoDedup { .. }
    ));
    let expects = later("", 1).expect_last(Seq::new(3));
    assert!(matches!(
        kind(expects),
        PublishErrorKind::WrongLastSequence { .. }
    ));
    stream.publish("s.a", "").unwrap();
    assert!(matches!(kind(later("", 1)), PublishErrorKind::Full { .. }));
    assert_eq!(numbers(&stream), Vec::<u64>::new());
    is_sound(&world);
}

#[test]
fn a_stream_that_is_full_when_a_message_is_due_takes_it_when_it_has_room() {
    let world = World::new();
    let events = world.store.events(100);
    let config = StreamConfig::new("s").subjects(["s.>"]).max_messages(1);
    let stream = world
        .store
        .create_stream(config.discard(Discard::New))
        .unwrap();
    stream.publish_message(later("a", 10)).unwrap();
    stream.publish_message(later("b", 11)).unwrap();
    stream.publish("s.a", "first").unwrap();
    for _ in 0..3 {
        world.pass(secs(20));
    }
    assert_eq!(payloads(&stream), ["first"]);
    let seen = stream.info().unwrap();
    assert_eq!((seen.scheduled, seen.scheduled_due), (2, 2));
    let told: Vec<_> = events.try_iter().collect();
    assert!(
        matches!(&told[..], [Event::ScheduledRefused { stream, number: 1, why }]
            if stream == "s" && why.contains("full")),
        "{told:?}"
    );
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(numbers(&stream), [1, 2]);
    stream.purge(Purge::all()).unwrap();
    world.store.drive().unwrap();
    assert_eq!(
        (payloads(&stream), numbers(&stream)),
        (vec!["a".into()], vec![2])
    );
    // One that is cancelled makes way for the next.
    stream.publish_message(later("c", 1)).unwrap_err();
    let mut wider = stream.info().unwrap().config;
    wider.max_messages = None;
    world.store.update_stream(wider).unwrap();
    world.store.drive().unwrap();
    assert_eq!(payloads(&stream), ["a", "b"]);
    is_sound(&world);
}

#[test]
fn a_message_whose_subject_left_its_stream_holds_up_no_others() {
    let world = World::new();
    let events = world.store.events(100);
    let config = |subjects: &[&str]| StreamConfig::new("s").subjects(subjects.iter().copied());
    let stream = world.store.create_stream(config(&["s.>"])).unwrap();
    stream.publish_message(later("a", 10)).unwrap();
    stream
        .publish_message(Publish::new("s.b", "b").after(secs(10)))
        .unwrap();
    world.store.update_stream(config(&["s.b"])).unwrap();
    world.pass(secs(10));
    assert_eq!(
        (payloads(&stream), numbers(&stream)),
        (vec!["b".into()], vec![1])
    );
    assert!(matches!(
        events.try_iter().collect::<Vec<_>>()[..],
        [Event::ScheduledRefused { number: 1, .. }]
    ));
    world.store.update_stream(config(&["s.>"])).unwrap();
    world.store.drive().unwrap();
    assert_eq!(payloads(&stream), ["b", "a"]);
    is_sound(&world);
}

#[test]
fn as_many_wait_as_are_allowed_and_one_more_is_refused_or_waits_for_room() {
    let world = World::new();
    let mut limits = Limits::default();
    limits.scheduled_per_stream = 2;
    let builder = Riverbed::builder()
        .clock(world.clock.clock())
        .limits(limits);
    let builder = builder
        .disk(Arc::new(riverbed::disk::MemoryDisk::new()))
        .without_threads();
    let store = builder.open("/other").unwrap();
    let config = StreamConfig::new("s").subjects(["s.>"]).max_bytes(8);
    let stream = store.create_stream(config).unwrap();
    stream.publish_message(later("a", 10)).unwrap();
    let bytes = publish_kind(stream.publish_message(later("abcd", 10)));
    assert!(bytes.to_string().contains("4 of 8 bytes"), "{bytes}");
    stream.publish_message(later("b", 10)).unwrap();
    let messages = publish_kind(stream.publish_message(later("", 10)));
    assert!(
        messages.to_string().contains("2 of 2 messages"),
        "{messages}"
    );
    stream.publish("s.a", "12345").unwrap();
    stream.cancel_scheduled(1).unwrap();
    stream.publish_message(later("c", 10)).unwrap();
    assert_eq!(numbers(&stream), [2, 3]);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_purge_leaves_what_waits_and_a_deleted_stream_takes_it_along() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "now").unwrap();
    for _ in 0..100 {
        stream.publish_message(later("later", 10)).unwrap();
    }
    assert_eq!(stream.purge(Purge::all()).unwrap(), 1);
    assert_eq!(numbers(&stream).len(), 100);
    assert_eq!(stream.scheduled(99, 5).unwrap().len(), 2);
    world.store.delete_stream("s").unwrap();
    assert!(stream.scheduled(0, 1).is_err() && stream.cancel_scheduled(1).is_err());
    let world = world.killed();
    world.pass(secs(20));
    let stream = world.stream("s");
    assert_eq!((payloads(&stream).len(), numbers(&stream).len()), (0, 0));
    is_sound(&world);
}

#[test]
fn a_pipelined_message_may_wait_too() {
    let world = World::new();
    let stream = world.stream("s");
    let handle = stream.publish_async(later("a", 10)).unwrap();
    assert_eq!(handle.wait().unwrap().scheduled, Some(1));
    world.pass(secs(10));
    assert_eq!(payloads(&stream), ["a"]);
}
