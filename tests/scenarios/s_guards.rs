//! S: what a stream is guarded against: where it begins, its consumers, and what it denies for good.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, ConsumerError, DeliverPolicy, Deny, Discard, Event, Publish, PublishErrorKind,
    Purge, PurgeError, RedriveError, Seq, StreamConfig, StreamError,
};

fn is_clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

fn guarded(what: Deny) -> StreamConfig {
    StreamConfig::new("s").deny(what)
}

#[test]
fn h17_a_stream_begins_where_it_is_told_also_after_a_restart() {
    let world = World::new();
    let config = StreamConfig::new("s").first_sequence(10_000);
    let stream = world.store.create_stream(config.clone()).unwrap();
    let empty = stream.info().unwrap();
    assert_eq!(
        (empty.first_seq.get(), empty.last_seq.get()),
        (10_000, 9_999)
    );
    assert_eq!(empty.last_time, None);
    let all = create(&stream, ConsumerConfig::new("all"));
    assert_eq!(info(&all).pending, 0);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stream.info().unwrap(), empty_but_for_consumers(&empty, 1));
    let first = Publish::new("s", "1").expect_last(Seq::new(9_999));
    assert_eq!(stream.publish_message(first).unwrap().seq, 10_000);
    stream.publish("s", "2").unwrap();
    stream.delete(Seq::new(10_000)).unwrap();
    let from = DeliverPolicy::FromSequence(Seq::new(3));
    let from = create(&stream, ConsumerConfig::new("from").deliver(from));
    for consumer in [world.consumer("s", "all"), from] {
        assert_eq!(seqs(&take(&consumer, 5)), [10_001]);
    }
    stream.purge(Purge::all()).unwrap();
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stream.publish("s", "3").unwrap().seq, 10_002);
    is_clean(&world);
}

fn empty_but_for_consumers(info: &riverbed::StreamInfo, consumers: u64) -> riverbed::StreamInfo {
    let mut info = info.clone();
    info.consumers = consumers;
    info
}

#[test]
fn a_first_sequence_has_bounds_and_is_fixed() {
    let world = World::new();
    for seq in [0, 1 << 63, u64::MAX] {
        let config = StreamConfig::new("s").first_sequence(seq);
        match world.store.create_stream(config) {
            Err(StreamError::Invalid(why)) => assert_eq!(why.setting, "first_sequence"),
            other => panic!("{other:?}"),
        }
    }
    let highest = (1 << 63) - 1;
    let config = StreamConfig::new("s").first_sequence(highest);
    let stream = world.store.create_stream(config.clone()).unwrap();
    publish(&stream, "s", 3);
    assert_eq!(stored(&stream), [highest, highest + 1, highest + 2]);
    let fixed = StreamError::Fixed {
        name: "s".into(),
        setting: "first_sequence",
    };
    for other in [1, highest - 1] {
        let config = config.clone().first_sequence(other);
        assert_eq!(world.store.update_stream(config).unwrap_err(), fixed);
    }
    let other = world.store.create_stream(StreamConfig::new("s"));
    let setting = "first_sequence";
    let name = "s".into();
    assert_eq!(other.unwrap_err(), StreamError::Exists { name, setting });
    world
        .store
        .update_stream_removing(config.max_messages(2))
        .unwrap();
    assert_eq!(stored(&stream), [highest + 1, highest + 2]);
    let world = world.killed();
    assert_eq!(stored(&world.store.stream("s").unwrap()).len(), 2);
    is_clean(&world);
}

#[test]
fn a_stream_has_at_most_so_many_consumers() {
    let world = World::new();
    let config = StreamConfig::new("s").max_consumers(2);
    let stream = world.store.create_stream(config.clone()).unwrap();
    create(&stream, ConsumerConfig::new("one"));
    create(&stream, ConsumerConfig::new("two"));
    let full = ConsumerError::TooMany {
        stream: "s".into(),
        limit: 2,
    };
    let three = || ConsumerConfig::new("three");
    assert_eq!(stream.create_consumer(three()).unwrap_err(), full);
    // One that is there is found, and may be changed.
    create(&stream, ConsumerConfig::new("two"));
    let changed = ConsumerConfig::new("two").ack_wait(secs(9));
    stream.update_consumer(changed).unwrap();
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stream.create_consumer(three()).unwrap_err(), full);
    world
        .store
        .update_stream(config.clone().max_consumers(1))
        .unwrap();
    assert_eq!(stream.consumers().unwrap(), ["one", "two"]);
    stream.delete_consumer("one").unwrap();
    assert!(stream.create_consumer(three()).is_err());
    world.store.update_stream(StreamConfig::new("s")).unwrap();
    create(&stream, three());
    let none = StreamConfig::new("none").max_consumers(0);
    let refused = world.store.create_stream(none).unwrap_err();
    assert!(matches!(refused, StreamError::Invalid(why) if why.setting == "max_consumers"));
    is_clean(&world);
}

#[test]
fn what_a_stream_denies_it_denies_for_good() {
    let world = World::new();
    let config = guarded(Deny::Delete).deny(Deny::Purge).max_messages(3);
    let stream = world.store.create_stream(config.clone()).unwrap();
    publish(&stream, "s", 4);
    let denied = |denied| PurgeError::Denied {
        stream: "s".into(),
        denied,
    };
    let delete = || stream.delete(Seq::new(3)).unwrap_err();
    assert_eq!(delete(), denied(Deny::Delete));
    for purge in [Purge::all(), Purge::all().filter("s"), Purge::all().keep(1)] {
        assert_eq!(stream.purge(purge).unwrap_err(), denied(Deny::Purge));
    }
    for less in [
        guarded(Deny::Delete),
        guarded(Deny::Purge),
        StreamConfig::new("s"),
    ] {
        let setting = "deny";
        let name = "s".into();
        let refused = world.store.update_stream(less).unwrap_err();
        assert_eq!(refused, StreamError::Irrevocable { name, setting });
    }
    // Its limits still remove.
    assert_eq!(stored(&stream), [2, 3, 4]);
    world
        .store
        .update_stream_removing(config.max_messages(2))
        .unwrap();
    assert_eq!(stored(&stream), [3, 4]);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(
        stream.delete(Seq::new(3)).unwrap_err(),
        denied(Deny::Delete)
    );
    is_clean(&world);
    world.store.delete_stream("s").unwrap();
}

#[test]
fn a_stream_may_deny_one_thing_and_not_the_other() {
    let world = World::new();
    let stream = world.store.create_stream(guarded(Deny::Purge)).unwrap();
    publish(&stream, "s", 3);
    stream.delete(Seq::new(2)).unwrap();
    assert!(stream.purge(Purge::all()).is_err());
    let both = guarded(Deny::Purge).deny(Deny::Delete);
    world.store.update_stream(both).unwrap();
    assert!(stream.delete(Seq::new(1)).is_err());
    let config = StreamConfig::new("t").deny(Deny::Delete);
    let other = world.store.create_stream(config).unwrap();
    publish(&other, "t", 2);
    assert!(other.delete(Seq::new(1)).is_err());
    assert_eq!(other.purge(Purge::all()).unwrap(), 2);
    is_clean(&world);
}

#[test]
fn h16_a_sealed_stream_takes_and_loses_nothing_and_can_not_be_unsealed() {
    let world = World::new();
    let config = || StreamConfig::new("s").max_age(secs(60)).max_messages(5);
    let refused = world.store.create_stream(config().sealed()).unwrap_err();
    assert!(matches!(refused, StreamError::Invalid(why) if why.setting == "sealed"));
    let stream = world.store.create_stream(config()).unwrap();
    publish(&stream, "s", 4);
    let once = || Publish::new("s", "5").id("once");
    stream.publish_message(once()).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c"));
    // A limit that comes with the seal removes nothing either.
    let sealed = || config().max_messages(2).sealed();
    world.store.update_stream(sealed()).unwrap();
    let refusals = |stream: &riverbed::Stream| {
        let name = || "s".to_owned();
        let kind = publish_kind(stream.publish("s", "6"));
        assert_eq!(kind, PublishErrorKind::Sealed { stream: name() });
        let kept = PurgeError::Sealed { stream: name() };
        assert_eq!(stream.delete(Seq::new(1)).unwrap_err(), kept);
        assert_eq!(stream.purge(Purge::all()).unwrap_err(), kept);
    };
    refusals(&stream);
    // A retry of what is stored is a duplicate as ever.
    assert!(stream.publish_message(once()).unwrap().duplicate);
    world.pass(secs(3_600));
    assert_eq!(stored(&stream).len(), 5);
    let unsealed = world.store.update_stream(config()).unwrap_err();
    let (name, setting) = ("s".into(), "sealed");
    assert_eq!(unsealed, StreamError::Irrevocable { name, setting });
    for message in take(&consumer, 2) {
        message.ack().unwrap();
    }
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    refusals(&stream);
    world.pass(secs(3_600));
    assert_eq!(stored(&stream), [1, 2, 3, 4, 5]);
    world
        .store
        .update_stream(sealed().max_consumers(7))
        .unwrap();
    assert_eq!(seqs(&take(&world.consumer("s", "c"), 9)), [3, 4, 5]);
    assert!(world.store.update_stream(config()).is_err());
    is_clean(&world);
    world.store.delete_stream("s").unwrap();
}

#[test]
fn a_purge_that_was_under_way_ends_in_a_stream_that_is_sealed_meanwhile() {
    let world = World::new();
    let stream = world.stream("s");
    for subject in ["s.a", "s.b", "s.a"] {
        stream.publish(subject, "").unwrap();
    }
    world.store.hold_group();
    stream.purge(Purge::all().up_to(Seq::new(3))).unwrap();
    let sealed = StreamConfig::new("s").subjects(["s.>"]).sealed();
    world.store.update_stream(sealed).unwrap();
    world.store.commit_held().unwrap();
    assert_eq!(stored(&stream), [3]);
    world.store.drive().unwrap();
    is_clean(&world);
    let world = world.killed();
    assert_eq!(stored(&world.store.stream("s").unwrap()), [3]);
    is_clean(&world);
}

#[test]
fn dead_letters_to_a_sealed_stream_stay_and_say_why() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").max_deliver(1).dead_letter("dead");
    let consumer = create(&stream, config);
    publish(&stream, "s.a", 2);
    let taken = take(&consumer, 2);
    taken[0].nak().unwrap();
    let dead = world.store.stream("dead").unwrap();
    let sealed = dead.info().unwrap().config.sealed();
    world.store.update_stream(sealed).unwrap();
    let events = world.store.events(10);
    taken[1].nak().unwrap();
    let told = events.try_iter().find_map(|event| match event {
        Event::DeadLetterRefused { why, .. } => Some(why),
        _ => None,
    });
    assert!(told.unwrap().contains("sealed"));
    // What is in it stays in it, and nobody new may name it.
    let kept = dead.redrive(Seq::new(1)).unwrap_err();
    assert!(matches!(kept, RedriveError::Kept { .. }), "{kept:?}");
    let other = ConsumerConfig::new("other")
        .max_deliver(1)
        .dead_letter("dead");
    let refused = stream.create_consumer(other).unwrap_err();
    assert!(matches!(refused, ConsumerError::DeadLetter { why, .. } if why.contains("sealed")));
    let world = world.reopened();
    world.store.drive().unwrap();
    let consumer = world.consumer("s", "c");
    assert_eq!(
        (info(&consumer).refused, info(&consumer).dead_lettered),
        (1, 1)
    );
    // Another dead-letter stream takes it.
    let stream = world.store.stream("s").unwrap();
    let moved = ConsumerConfig::new("c").max_deliver(1).dead_letter("dead2");
    stream.update_consumer(moved).unwrap();
    world.store.drive().unwrap();
    assert_eq!(
        (info(&consumer).refused, info(&consumer).dead_lettered),
        (0, 2)
    );
    is_clean(&world);
}

#[test]
fn a_dead_letter_does_not_leave_a_stream_that_denies_deletes() {
    let world = World::new();
    let stream = world.stream("s");
    let dead = StreamConfig::new("dead")
        .subjects(["dead.>"])
        .discard(Discard::New)
        .deny(Deny::Delete);
    let dead = world.store.create_stream(dead).unwrap();
    let config = ConsumerConfig::new("c").max_deliver(1).dead_letter("dead");
    let consumer = create(&stream, config);
    publish(&stream, "s.a", 1);
    take_one(&consumer).nak().unwrap();
    for refused in [
        dead.redrive(Seq::new(1)),
        dead.redrive_to_consumer(Seq::new(1)),
    ] {
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("denies deletes"), "{why}");
    }
    assert_eq!((stored(&dead), stored(&stream)), (vec![1], vec![1]));
    is_clean(&world);
}
