//! S: what a publisher may expect of a subject, of a filter and of the last id.

use crate::helpers::*;
use riverbed::{
    Publish, PublishAck, PublishError, PublishErrorKind, Purge, Seq, Stream, StreamConfig,
};

fn is_clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

fn after(filter: &str, seq: u64) -> Publish {
    Publish::new("s.new", "x").expect_last_for_subject(filter, Seq::new(seq))
}

fn wrong(filter: &str, expected: u64, actual: u64) -> PublishErrorKind {
    PublishErrorKind::WrongLastForSubject {
        stream: "s".into(),
        subject: filter.into(),
        expected: Seq::new(expected),
        actual: Seq::new(actual),
    }
}

/// What the last of a filter is, as a refused publish says.
fn last(stream: &Stream, filter: &str) -> u64 {
    match publish_kind(stream.publish_message(after(filter, u64::MAX))) {
        PublishErrorKind::WrongLastForSubject { actual, .. } => actual.get(),
        other => panic!("{other:?}"),
    }
}

fn after_id(stream: &Stream, id: &str) -> Result<PublishAck, PublishError> {
    stream.publish_message(Publish::new("s.id", "x").expect_last_id(id))
}

fn last_id(stream: &Stream) -> Option<String> {
    match publish_kind(after_id(stream, "nobody's")) {
        PublishErrorKind::WrongLastId { actual, .. } => actual,
        other => panic!("{other:?}"),
    }
}

#[test]
fn i11_a_publish_may_expect_the_last_of_a_subject_or_a_filter() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish_message(after("s.a", 0)).unwrap();
    for subject in ["s.a", "s.b", "s.a.b"] {
        stream.publish(subject, "").unwrap();
    }
    for (filter, seq) in [("s.a", 2), ("s.b", 3), ("s.*", 3), ("s.>", 4), ("s.c", 0)] {
        assert_eq!(last(&stream, filter), seq, "{filter}");
        let early = publish_kind(stream.publish_message(after(filter, 1)));
        assert_eq!(early, wrong(filter, 1, seq));
    }
    assert_eq!(stream.info().unwrap().last_seq, 4, "no sequence is burned");
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stream.publish_message(after("s.*", 3)).unwrap().seq, 5);
    assert_eq!(stream.publish_message(after("s.a.*", 4)).unwrap().seq, 6);
    is_clean(&world);
}

#[test]
fn an_expectation_of_what_the_stream_can_not_have_is_refused() {
    let world = World::new();
    let stream = world.stream("s");
    let elsewhere = publish_kind(stream.publish_message(after("t.*", 0)));
    let (stream_name, subject) = ("s".into(), "t.*".into());
    let not_captured = PublishErrorKind::NotCaptured {
        stream: stream_name,
        subject,
    };
    assert_eq!(elsewhere, not_captured);
    for malformed in ["", "s..a", "s.>.a"] {
        let refused = publish_kind(stream.publish_message(after(malformed, 0)));
        assert!(
            matches!(refused, PublishErrorKind::Subject(_)),
            "{malformed}"
        );
    }
    for id in [String::new(), "x".repeat(1_025)] {
        let refused = publish_kind(after_id(&stream, &id));
        assert!(matches!(refused, PublishErrorKind::IdLength { .. }));
    }
    assert_eq!(stored(&stream), Vec::<u64>::new());
}

#[test]
fn a_removed_message_is_nobodys_last_wherever_the_one_before_it_is() {
    let world = World::new();
    let stream = world.stream("s");
    for subject in ["s.a", "s.b", "s.a", "s.a", "s.b", "s.c"] {
        stream.publish(subject, "").unwrap();
    }
    for (gone, filter, left) in [(4, "s.a", 3), (6, "s.c", 0), (5, "s.*", 3), (3, "s.>", 2)] {
        stream.delete(Seq::new(gone)).unwrap();
        assert_eq!(last(&stream, filter), left, "{filter} without {gone}");
        // The same is found again, and over again after a restart.
        assert_eq!(last(&stream, filter), left);
    }
    is_clean(&world);
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    let filters = ["s.a", "s.b", "s.c", "s.*"];
    assert_eq!(filters.map(|filter| last(&stream, filter)), [1, 2, 0, 2]);
    stream.publish("s.a", "").unwrap();
    assert_eq!(filters.map(|filter| last(&stream, filter)), [7, 2, 0, 7]);
    stream.purge(Purge::all().filter("s.a")).unwrap();
    assert_eq!(filters.map(|filter| last(&stream, filter)), [0, 2, 0, 2]);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stream.publish_message(after("s.*", 2)).unwrap().seq, 8);
    stream.purge(Purge::all()).unwrap();
    assert_eq!(stream.publish_message(after("s.*", 0)).unwrap().seq, 9);
    is_clean(&world);
}

#[test]
fn what_a_limit_took_counts_as_none() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects(["s.>"]).max_messages(2);
    let stream = world.store.create_stream(config).unwrap();
    for subject in ["s.a", "s.b", "s.c"] {
        stream.publish(subject, "").unwrap();
    }
    assert_eq!((last(&stream, "s.a"), last(&stream, "s.b")), (0, 2));
    stream.delete(Seq::new(3)).unwrap();
    assert_eq!(stream.publish_message(after("s.*", 2)).unwrap().seq, 4);
    is_clean(&world);
}

#[test]
fn a_filter_finds_the_last_among_many_that_were_removed() {
    let world = World::new();
    let stream = world.stream("s");
    for round in 0..40 {
        let batch = (0..50).map(|n| (format!("s.{}", n % 25), format!("{round}")));
        stream.publish_batch(batch).unwrap();
    }
    for gone in (60..=2_000).rev() {
        if gone % 2 == 0 {
            stream.delete(Seq::new(gone)).unwrap();
        }
    }
    stream
        .purge(Purge::all().filter("s.*").up_to(Seq::new(1_999)))
        .unwrap();
    assert_eq!((last(&stream, "s.*"), last(&stream, "s.24")), (1_999, 0));
    stream.delete(Seq::new(1_999)).unwrap();
    assert_eq!(last(&stream, "s.*"), 0);
    is_clean(&world);
}

#[test]
fn what_is_deleted_before_it_is_on_disk_is_looked_for_in_memory() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    world.store.hold_group();
    for subject in ["s.a", "s.b", "s.a"] {
        stream.publish(subject, "").unwrap();
    }
    stream.delete(Seq::new(5)).unwrap();
    assert_eq!((last(&stream, "s.a"), last(&stream, "s.*")), (3, 4));
    stream.delete(Seq::new(3)).unwrap();
    stream.delete(Seq::new(4)).unwrap();
    assert_eq!((last(&stream, "s.a"), last(&stream, "s.*")), (2, 2));
    stream.delete(Seq::new(2)).unwrap();
    assert_eq!((last(&stream, "s.a"), last(&stream, "s.*")), (1, 1));
    world.store.commit_held().unwrap();
    assert_eq!((last(&stream, "s.a"), last(&stream, "s.*")), (1, 1));
    is_clean(&world);
}

#[test]
fn i6_a_publish_may_expect_the_last_id() {
    let world = World::new();
    let stream = world.stream("s");
    assert_eq!(last_id(&stream), None);
    let message = |id: &str| Publish::new("s.a", "x").id(id);
    stream.publish_message(message("one")).unwrap();
    stream.publish_message(message("two")).unwrap();
    assert_eq!(last_id(&stream).as_deref(), Some("two"));
    let refused = publish_kind(after_id(&stream, "one"));
    let wrong = PublishErrorKind::WrongLastId {
        stream: "s".into(),
        expected: "one".into(),
        actual: Some("two".into()),
    };
    assert_eq!(refused, wrong);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(after_id(&stream, "two").unwrap().seq, 3);
    assert_eq!(last_id(&stream), None, "the last message has none");
    stream.delete(Seq::new(3)).unwrap();
    assert_eq!(last_id(&stream).as_deref(), Some("two"));
    stream.delete(Seq::new(2)).unwrap();
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(after_id(&stream, "one").unwrap().seq, 4);
    stream.purge(Purge::all()).unwrap();
    assert_eq!(last_id(&stream), None);
    is_clean(&world);
}

#[test]
fn i8_a_retry_is_a_duplicate_whatever_subject_or_id_it_expects() {
    let world = World::new();
    let stream = world.stream("s");
    let conditional = after("s.*", 0).id("a");
    stream.publish_message(conditional.clone()).unwrap();
    let chained = Publish::new("s.a", "").id("b").expect_last_id("a");
    stream.publish_message(chained.clone()).unwrap();
    for (retry, seq) in [(conditional, 1), (chained, 2)] {
        let retry = stream.publish_message(retry).unwrap();
        assert_eq!((retry.seq.get(), retry.duplicate), (seq, true));
    }
    // What is refused leaves no id behind.
    let refused = after("s.new", 7).id("c");
    assert!(stream.publish_message(refused).is_err());
    assert!(
        !stream
            .publish_message(Publish::new("s.a", "").id("c"))
            .unwrap()
            .duplicate
    );
    is_clean(&world);
}

#[test]
fn i11_in_a_batch_each_message_may_expect_a_subject_that_none_before_it_is_on() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "").unwrap();
    let on = |subject: &str, of: &str, seq: u64| {
        Publish::new(subject, "").expect_last_for_subject(of, Seq::new(seq))
    };
    let batch = || {
        vec![
            on("s.b", "s.*", 1),
            on("s.a", "s.a", 1),
            on("s.c", "s.c", 0),
        ]
    };
    let mut late = batch();
    late.push(on("s.d", "s.d", 9));
    let refused = publish_kind(stream.publish_batch(late));
    assert_eq!(refused, wrong("s.d", 9, 0));
    assert_eq!(stored(&stream), [1], "all or none");
    let mut own = batch();
    own.push(on("s.d", "s.b", 0));
    let refused = publish_kind(stream.publish_batch(own));
    let subject = "s.b".into();
    assert_eq!(refused, PublishErrorKind::ExpectOwn { at: 3, subject });
    let firsts = [
        on("s.d", "s.*", 0),
        Publish::new("s.d", "").expect_last(Seq::new(1)),
        Publish::new("s.d", "").expect_last_id("a"),
    ];
    for first in firsts {
        let refused = publish_kind(stream.publish_batch([Publish::new("s.e", ""), first]));
        assert_eq!(refused, PublishErrorKind::ExpectInBatch { at: 1 });
    }
    let acks = stream.publish_batch(batch()).unwrap();
    let seqs: Vec<u64> = acks.iter().map(|ack| ack.seq.get()).collect();
    assert_eq!(seqs, [2, 3, 4]);
    is_clean(&world);
}

#[test]
fn a_pipelined_publish_and_one_that_waits_for_room_may_expect_a_subject() {
    let world = World::new();
    let stream = world.stream_of_three("s");
    let set = |last| Publish::new("s.a", "").expect_last_for_subject("s.a", Seq::new(last));
    stream.publish_async(set(0)).unwrap();
    stream.publish_async(set(1)).unwrap();
    let late = stream.publish_async(set(1)).unwrap_err();
    assert_eq!(late.kind, wrong("s.a", 1, 2));
    stream.delete(Seq::new(2)).unwrap();
    stream.publish_async(set(1)).unwrap();
    let patient = set(3).wait_for_room(secs(0));
    assert_eq!(stream.publish_message(patient).unwrap().seq, 4);
    let full = publish_kind(stream.publish_message(set(4).wait_for_room(secs(0))));
    assert!(matches!(full, PublishErrorKind::Full { .. }));
    is_clean(&world);
}
