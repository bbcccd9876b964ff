//! I: publishing: routes, ids, expectations.

use crate::helpers::*;
use riverbed::{
    Publish, PublishAck, PublishErrorKind, Purge, Seq, Stream, StreamConfig, StreamError,
};

fn with_id(stream: &Stream, id: &str) -> PublishAck {
    stream
        .publish_message(Publish::new("s", "x").id(id))
        .unwrap()
}

fn dedup_stream(world: &World, config: StreamConfig) -> Stream {
    world.store.create_stream(config).unwrap()
}

#[test]
fn a_message_goes_to_the_stream_that_captures_its_subject() {
    let world = World::new();
    world.stream("a");
    world.stream("b");
    let ack = world.store.publish("b.x", "1").unwrap();
    assert_eq!(
        (&*ack.stream, ack.seq.get(), ack.duplicate),
        ("b", 1, false)
    );
    assert_eq!(&*world.store.publish("a.x", "1").unwrap().stream, "a");
}

#[test]
fn what_can_not_be_routed_comes_back() {
    let world = World::new();
    let stream = world.stream("a");
    world.stream("b");
    let message = Publish::new("c.x", "p").header("h", "v").id("i");
    let refused = world.store.publish_message(message.clone()).unwrap_err();
    assert_eq!(
        refused.kind,
        PublishErrorKind::NoStream {
            subject: "c.x".into()
        }
    );
    assert_eq!(refused.messages, [message]);
    let refused = stream.publish("b.x", "p").unwrap_err();
    assert!(matches!(refused.kind, PublishErrorKind::NotCaptured { .. }));
    assert_eq!(refused.messages, [Publish::new("b.x", "p")]);
    let batch = || [("a.x", "1"), ("b.x", "2"), ("c.x", "3")].map(Publish::from);
    let refused = world.store.publish_batch(batch()).unwrap_err();
    assert!(matches!(refused.kind, PublishErrorKind::NoStream { .. }));
    assert_eq!(refused.messages, batch());
    for malformed in ["", "a..x", "a.*", "a.>", "a x", ".a"] {
        let refused = world.store.publish(malformed, "p").unwrap_err();
        assert!(
            matches!(refused.kind, PublishErrorKind::Subject(_)),
            "{malformed:?}"
        );
        assert_eq!(refused.messages.len(), 1);
    }
    assert_eq!(stored(&stream), Vec::<u64>::new());
}

#[test]
fn a_stream_that_captures_everything_takes_no_malformed_subject() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects([">"]);
    let stream = world.store.create_stream(config).unwrap();
    for malformed in ["", "a..x", "a.*", ">", "a x"] {
        let refused = publish_kind(stream.publish_batch([(malformed, "")]));
        assert!(matches!(refused, PublishErrorKind::Subject(_)));
    }
    assert_eq!(stored(&stream), Vec::<u64>::new());
}

#[test]
fn subjects_of_two_streams_may_not_overlap() {
    let world = World::new();
    world
        .store
        .create_stream(StreamConfig::new("a").subjects(["x.*.z", "q"]))
        .unwrap();
    for subject in ["x.y.z", "x.>", ">", "*.y.*", "q"] {
        let other = world
            .store
            .create_stream(StreamConfig::new("b").subjects([subject]));
        assert!(
            matches!(other, Err(StreamError::SubjectOverlap { .. })),
            "{subject}"
        );
    }
    world
        .store
        .create_stream(StreamConfig::new("b").subjects(["x.*", "q.>"]))
        .unwrap();
    let moved = world
        .store
        .update_stream(StreamConfig::new("b").subjects(["x.y.*"]));
    assert!(matches!(moved, Err(StreamError::SubjectOverlap { .. })));
    world.store.delete_stream("a").unwrap();
    world
        .store
        .update_stream(StreamConfig::new("b").subjects(["x.y.*"]))
        .unwrap();
}

#[test]
fn i2_ids_are_remembered_over_restarts_kills_and_purges() {
    let world = World::new();
    let stream = dedup_stream(&world, StreamConfig::new("s"));
    assert_eq!(with_id(&stream, "a"), with_id(&stream, "a").tap_first());
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    let again = with_id(&stream, "a");
    assert_eq!((again.seq.get(), again.duplicate), (1, true));
    stream.purge(Purge::all()).unwrap();
    with_id(&stream, "b");
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert!(with_id(&stream, "a").duplicate);
    assert_eq!(with_id(&stream, "b").seq, 2);
    assert_eq!(stream.info().unwrap().last_seq, 2);
}

trait TapFirst {
    fn tap_first(self) -> Self;
}

impl TapFirst for PublishAck {
    /// The ack that the first publish of this duplicate had.
    fn tap_first(mut self) -> Self {
        assert!(self.duplicate);
        self.duplicate = false;
        self
    }
}

#[test]
fn i3_an_id_is_remembered_after_its_message_is_acked_and_deleted() {
    let world = World::new();
    let stream = dedup_stream(&world, StreamConfig::new("s").max_messages(1));
    let consumer = create(&stream, riverbed::ConsumerConfig::new("c"));
    with_id(&stream, "a");
    take_one(&consumer).ack().unwrap();
    stream.delete(1.into()).unwrap();
    with_id(&stream, "b");
    with_id(&stream, "c");
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    for (id, seq) in [("a", 1), ("b", 2), ("c", 3)] {
        let again = with_id(&stream, id);
        assert_eq!((again.seq.get(), again.duplicate), (seq, true));
    }
}

#[test]
fn an_id_is_new_again_after_the_window_also_over_a_restart() {
    let world = World::new();
    let stream = dedup_stream(&world, StreamConfig::new("s").dedup_window(secs(10)));
    with_id(&stream, "a");
    world.pass(millis(9_999));
    assert!(with_id(&stream, "a").duplicate);
    // A duplicate does not start the window anew.
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    assert!(with_id(&stream, "a").duplicate);
    world.clock.advance(millis(2));
    let again = with_id(&stream, "a");
    assert_eq!((again.seq.get(), again.duplicate), (2, false));
    world.pass(secs(20));
    assert_eq!(stream.info().unwrap().dedup_ids, 0);
}

#[test]
fn i5_a_window_must_fit_the_age() {
    let world = World::new();
    let base = StreamConfig::new("s").max_age(secs(60));
    // The age shortens a window that was not asked for.
    assert_eq!(base.dedup_window, Some(secs(60)));
    for config in [
        base.clone().dedup_window(secs(61)),
        base.dedup_window(millis(0)),
    ] {
        let refused = world.store.create_stream(config);
        assert!(matches!(refused, Err(StreamError::Invalid(_))));
    }
}

#[test]
fn i6_a_wrong_expectation_is_refused_and_burns_no_sequence() {
    let world = World::new();
    let stream = dedup_stream(&world, StreamConfig::new("s"));
    let expecting = |stream: &Stream, seq: u64| {
        stream.publish_message(Publish::new("s", "x").expect_last(Seq::new(seq)))
    };
    assert_eq!(expecting(&stream, 0).unwrap().seq, 1);
    for wrong in [0, 2] {
        let (expected, actual) = (Seq::new(wrong), Seq::new(1));
        assert_eq!(
            publish_kind(expecting(&stream, wrong)),
            PublishErrorKind::WrongLastSequence {
                stream: "s".into(),
                expected,
                actual
            }
        );
    }
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(expecting(&stream, 1).unwrap().seq, 2);
    stream.purge(Purge::all()).unwrap();
    assert!(expecting(&stream, 0).is_err());
    assert_eq!(expecting(&stream, 2).unwrap().seq, 3);
}

#[test]
fn i8_a_retry_is_a_duplicate_whatever_it_expects() {
    let world = World::new();
    let stream = dedup_stream(&world, StreamConfig::new("s"));
    let conditional = Publish::new("s", "x").id("a").expect_last(Seq::new(0));
    assert!(
        !stream
            .publish_message(conditional.clone())
            .unwrap()
            .duplicate
    );
    stream.publish("s", "").unwrap();
    let retry = stream.publish_message(conditional).unwrap();
    assert_eq!((retry.seq.get(), retry.duplicate), (1, true));
}

#[test]
fn a_refused_publish_leaves_no_id_behind() {
    let world = World::new();
    let stream = dedup_stream(&world, StreamConfig::new("s"));
    let wrong = Publish::new("s", "x").id("a").expect_last(Seq::new(9));
    assert!(stream.publish_message(wrong).is_err());
    assert!(!with_id(&stream, "a").duplicate);
}

#[test]
fn a_full_table_of_ids_is_said_and_forgets_nothing() {
    let world = World::new();
    let config = StreamConfig::new("s").dedup_ids(3).dedup_window(secs(10));
    let stream = dedup_stream(&world, config.clone());
    for id in ["a", "b", "c"] {
        with_id(&stream, id);
    }
    let refused = publish_kind(stream.publish_message(Publish::new("s", "x").id("d")));
    assert_eq!(
        refused,
        PublishErrorKind::DedupFull {
            stream: "s".into(),
            limit: 3
        }
    );
    assert!(with_id(&stream, "a").duplicate);
    stream.publish("s", "without an id").unwrap();
    world.store.update_stream(config.dedup_ids(4)).unwrap();
    assert!(!with_id(&stream, "d").duplicate);
    world.pass(secs(10));
    assert!(!with_id(&stream, "e").duplicate);
}

#[test]
fn an_id_needs_a_stream_that_remembers_ids_and_a_length() {
    let world = World::new();
    let stream = dedup_stream(&world, StreamConfig::new("s").without_dedup());
    let refused = publish_kind(stream.publish_message(Publish::new("s", "").id("a")));
    assert_eq!(refused, PublishErrorKind::NoDedup { stream: "s".into() });
    for bytes in [0, 1025] {
        let message = Publish::new("s", "").id("x".repeat(bytes));
        let refused = publish_kind(stream.publish_message(message));
        assert_eq!(refused, PublishErrorKind::IdLength { bytes, limit: 1024 });
    }
    let message = Publish::new("s", "").header("a:b", "");
    assert!(matches!(
        publish_kind(stream.publish_message(message)),
        PublishErrorKind::Headers(_)
    ));
}
