//! I: atomic batches, pipelined publishes, and room in full streams.

use crate::helpers::*;
use riverbed::{
    Discard, Limits, Publish, PublishErrorKind, Riverbed, Seq, StreamConfig, Unavailable,
};
use std::sync::Arc;

#[test]
fn i9_a_batch_is_stored_whole_or_not_at_all() {
    let world = World::new();
    let config = StreamConfig::new("s").max_messages(3).discard(Discard::New);
    let stream = world.store.create_stream(config).unwrap();
    let batch = |n: usize| (0..n).map(|at| Publish::new("s", at.to_string()).id(format!("{at}")));
    let refused = stream.publish_batch(batch(4)).unwrap_err();
    assert!(matches!(refused.kind, PublishErrorKind::Full { .. }));
    assert_eq!(refused.messages, batch(4).collect::<Vec<_>>());
    assert_eq!(
        (stored(&stream), stream.info().unwrap().dedup_ids),
        (vec![], 0)
    );
    // One bad message refuses all of them.
    let bad = batch(2).chain([Publish::new("elsewhere", "")]);
    assert!(stream.publish_batch(bad).is_err());
    let acks = stream.publish_batch(batch(3)).unwrap();
    let seqs: Vec<_> = acks
        .iter()
        .map(|ack| (ack.seq.get(), ack.duplicate))
        .collect();
    assert_eq!(seqs, [(1, false), (2, false), (3, false)]);
}

#[test]
fn i11_only_the_first_of_a_batch_may_expect_a_last_sequence() {
    let world = World::new();
    let stream = world.stream("s");
    let message = |seq: Option<u64>| {
        let plain = Publish::new("s.a", "");
        seq.map_or(plain.clone(), |seq| plain.expect_last(Seq::new(seq)))
    };
    let refused = publish_kind(stream.publish_batch([message(None), message(Some(1))]));
    assert_eq!(refused, PublishErrorKind::ExpectInBatch { at: 1 });
    stream
        .publish_batch([message(Some(0)), message(None)])
        .unwrap();
    assert!(
        stream
            .publish_batch([message(Some(0)), message(None)])
            .is_err()
    );
    assert_eq!(stored(&stream), [1, 2]);
}

#[test]
fn i12_a_kill_in_the_middle_of_a_batch_leaves_all_or_nothing() {
    let world = World::new();
    let stream = world.stream("s");
    stream.publish("s.a", "before").unwrap();
    let before = world.disk.operations();
    stream
        .publish_batch((0..50).map(|n| ("s.a", format!("{n}"))))
        .unwrap();
    let operations = world.disk.operations() - before;
    assert!(operations > 0);
    for stop in 1..=operations {
        let world = World::new();
        let stream = world.stream("s");
        stream.publish("s.a", "before").unwrap();
        world.disk.fail_from(world.disk.operations() + stop);
        let outcome = stream.publish_batch((0..50).map(|n| ("s.a", format!("{n}"))));
        let image = world.disk.kill_image();
        let after = World::on(image, world.clock.clone());
        let stored = stored(&after.store.stream("s").unwrap()).len();
        assert!(
            stored == 1 || stored == 51,
            "{stored} after operation {stop}"
        );
        match outcome {
            Ok(_) => assert_eq!(stored, 51),
            Err(why) => assert!(matches!(why.kind, PublishErrorKind::Unavailable(_))),
        }
    }
}

#[test]
fn duplicates_in_a_batch_are_flagged_one_by_one() {
    let world = World::new();
    let stream = world.stream("s");
    let message = |id: &str| Publish::new("s.a", id).id(id);
    stream.publish_message(message("old")).unwrap();
    let acks = stream
        .publish_batch([
            message("a"),
            message("old"),
            message("b"),
            message("a"),
            message("c"),
        ])
        .unwrap();
    let seen: Vec<_> = acks
        .iter()
        .map(|ack| (ack.seq.get(), ack.duplicate))
        .collect();
    assert_eq!(
        seen,
        [(2, false), (1, true), (3, false), (2, true), (4, false)]
    );
    assert_eq!(stored(&stream), [1, 2, 3, 4]);
    assert_eq!(stream.get(4.into()).unwrap().unwrap().payload(), b"c");
}

#[test]
fn a_batch_of_duplicates_alone_needs_no_room() {
    let world = World::new();
    let config = StreamConfig::new("s")
        .max_messages(2)
        .dedup_ids(2)
        .discard(Discard::New);
    let stream = world.store.create_stream(config).unwrap();
    let batch = || ["a", "b"].map(|id| Publish::new("s", "").id(id));
    stream.publish_batch(batch()).unwrap();
    let again = stream.publish_batch(batch()).unwrap();
    assert!(again.iter().all(|ack| ack.duplicate));
}

#[test]
fn a_batch_has_bounds() {
    let world = World::new();
    let stream = world.stream("s");
    let none: [(&str, &str); 0] = [];
    let refused = publish_kind(stream.publish_batch(none));
    assert!(matches!(
        refused,
        PublishErrorKind::BatchSize { messages: 0, .. }
    ));
    let refused = stream
        .publish_batch((0..65_537).map(|_| ("s.a", "")))
        .unwrap_err();
    assert!(matches!(
        refused.kind,
        PublishErrorKind::BatchSize {
            messages: 65_537,
            ..
        }
    ));
    assert_eq!(refused.messages.len(), 65_537);
    let large = vec![0; 8 << 20];
    let refused = publish_kind(stream.publish_batch((0..9).map(|_| ("s.a", large.clone()))));
    assert!(
        matches!(refused, PublishErrorKind::BatchSize { .. }),
        "{refused:?}"
    );
    assert_eq!(stored(&stream), Vec::<u64>::new());
}

#[test]
fn a_pipelined_publish_is_refused_at_the_call_or_stored_by_the_flush() {
    let world = World::new();
    let stream = world.stream("s");
    let refused = stream.publish_async(("elsewhere", "kept")).unwrap_err();
    assert_eq!(refused.messages, [Publish::new("elsewhere", "kept")]);
    let handles: Vec<_> = (0..10)
        .map(|n| stream.publish_async(("s.a", n.to_string())).unwrap())
        .collect();
    drop(handles.last().cloned());
    for (handle, seq) in handles.iter().take(9).zip(1..) {
        assert_eq!(handle.wait().unwrap().seq.get(), seq);
    }
    drop(handles);
    stream.flush().unwrap();
    assert_eq!(stored(&stream).len(), 10);
    let world = world.killed();
    assert_eq!(stored(&world.store.stream("s").unwrap()).len(), 10);
}

#[test]
fn pipelined_publishes_become_durable_as_a_prefix() {
    let world = World::new();
    let stream = world.stream("s");
    let handles: Vec<_> = (0..10)
        .map(|n| stream.publish_async(("s.a", n.to_string())).unwrap())
        .collect();
    handles[4].wait().unwrap();
    let world = world.killed();
    let survivors = stored(&world.store.stream("s").unwrap());
    assert!(survivors.len() >= 5);
    assert_eq!(
        survivors,
        (1..=survivors.len() as u64).collect::<Vec<u64>>()
    );
}

#[test]
fn every_handle_of_a_failed_group_gets_the_error() {
    let world = World::new();
    let stream = world.stream("s");
    let handles: Vec<_> = (0..3)
        .map(|_| stream.publish_async(("s.a", "")).unwrap())
        .collect();
    world.disk.fail_from(world.disk.operations() + 1);
    for handle in &handles {
        let kind = publish_kind(handle.wait());
        assert!(
            matches!(
                kind,
                PublishErrorKind::Unavailable(Unavailable::OutcomeUnknown { .. })
            ),
            "{kind:?}"
        );
    }
    let later = publish_kind(stream.publish("s.a", ""));
    assert!(matches!(
        later,
        PublishErrorKind::Unavailable(Unavailable::Poisoned { .. })
    ));
}

#[test]
fn a_publisher_may_wait_for_room_and_gets_it_or_is_refused_in_time() {
    let world = World::threaded();
    let config = StreamConfig::new("s").max_messages(1).discard(Discard::New);
    let stream = world.store.create_stream(config).unwrap();
    stream.publish("s", "").unwrap();
    let waiting = |patience| {
        let stream = stream.clone();
        std::thread::spawn(move || {
            stream.publish_message(Publish::new("s", "patient").wait_for_room(patience))
        })
    };
    let served = waiting(secs(3600));
    stream.delete(1.into()).unwrap();
    assert_eq!(served.join().unwrap().unwrap().seq, 2);
    let late = waiting(secs(5));
    while !late.is_finished() {
        world.clock.advance(secs(1));
        std::thread::yield_now();
    }
    let refused = late.join().unwrap().unwrap_err();
    assert!(matches!(refused.kind, PublishErrorKind::Full { .. }));
    assert_eq!(refused.messages.len(), 1);
}

#[test]
fn a_stream_tracks_so_many_subjects_and_says_so() {
    let world = World::new();
    let mut limits = Limits::default();
    limits.subjects_per_stream = 2;
    let builder = Riverbed::builder()
        .clock(world.clock.clock())
        .limits(limits);
    let store = builder
        .disk(Arc::new(world.disk.clone()))
        .without_threads()
        .open("/other")
        .unwrap();
    let stream = store
        .create_stream(StreamConfig::new("s").subjects(["s.>"]))
        .unwrap();
    stream
        .publish_batch([("s.a", ""), ("s.b", ""), ("s.a", "")])
        .unwrap();
    let full = PublishErrorKind::SubjectsFull {
        stream: "s".into(),
        limit: 2,
    };
    assert_eq!(publish_kind(stream.publish("s.c", "")), full);
    stream.delete(2.into()).unwrap();
    stream.publish("s.c", "").unwrap();
    assert_eq!(stream.info().unwrap().subjects, 2);
}
