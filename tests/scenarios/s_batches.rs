//! S: atomic batches that go to several streams.

use crate::helpers::*;
use riverbed::{Discard, Publish, PublishErrorKind, Seq, StreamConfig};

fn is_clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

fn limited(name: &str) -> StreamConfig {
    StreamConfig::new(name)
        .subjects([format!("{name}.>")])
        .max_messages(3)
        .discard(Discard::New)
}

#[test]
fn a_batch_goes_to_several_streams_and_is_answered_in_its_order() {
    let world = World::new();
    let (a, b) = (world.stream("a"), world.stream("b"));
    a.publish("a.x", "").unwrap();
    let batch = || {
        ["b.1", "a.1", "a.2", "b.2", "a.3"]
            .map(|subject| Publish::new(subject, subject).id(subject))
    };
    let acks = world.store.publish_batch(batch()).unwrap();
    let told: Vec<(&str, u64)> = acks
        .iter()
        .map(|ack| (&*ack.stream, ack.seq.get()))
        .collect();
    assert_eq!(told, [("b", 1), ("a", 2), ("a", 3), ("b", 2), ("a", 4)]);
    let world = world.killed();
    let again = world.store.publish_batch(batch()).unwrap();
    assert!(again.iter().all(|ack| ack.duplicate));
    for (again, first) in again.iter().zip(&acks) {
        assert_eq!((&again.stream, again.seq), (&first.stream, first.seq));
    }
    for (stream, subjects) in [
        (&a, vec!["a.x", "a.1", "a.2", "a.3"]),
        (&b, vec!["b.1", "b.2"]),
    ] {
        let stream = world.store.stream(stream.name()).unwrap();
        let found: Vec<String> = stream
            .range(..)
            .map(|message| message.unwrap().subject().to_owned())
            .collect();
        assert_eq!(found, subjects);
    }
    is_clean(&world);
}

#[test]
fn i9_what_one_stream_refuses_no_stream_stores() {
    let world = World::new();
    let (a, b) = (
        world.stream("a"),
        world.store.create_stream(limited("b")).unwrap(),
    );
    publish(&b, "b.x", 2);
    let batch = || {
        vec![
            Publish::new("a.1", "").id("a1"),
            Publish::new("b.1", "").id("b1"),
            Publish::new("a.2", "").header("h", "v"),
            Publish::new("b.2", "").wait_for_room(secs(0)),
        ]
    };
    let refused = world.store.publish_batch(batch()).unwrap_err();
    assert!(matches!(&refused.kind, PublishErrorKind::Full { stream, .. } if stream == "b"));
    assert_eq!(refused.messages, batch(), "all come back, in their order");
    let mut sealed = batch();
    sealed[3] = Publish::new("b.2", "").expect_last(Seq::new(2));
    let refused = world.store.publish_batch(sealed).unwrap_err();
    assert_eq!(refused.kind, PublishErrorKind::ExpectInBatch { at: 3 });
    let mut nowhere = batch();
    nowhere.push(Publish::new("c.1", ""));
    let refused = world.store.publish_batch(nowhere).unwrap_err();
    assert!(matches!(refused.kind, PublishErrorKind::NoStream { .. }));
    assert_eq!((stored(&a).len(), stored(&b).len()), (0, 2));
    b.delete(Seq::new(1)).unwrap();
    let acks = world.store.publish_batch(batch()).unwrap();
    assert!(
        acks.iter().all(|ack| !ack.duplicate),
        "no id was left behind"
    );
    let world = world.reopened();
    assert_eq!(world.store.stream("a").unwrap().info().unwrap().last_seq, 2);
    is_clean(&world);
}

#[test]
fn the_first_message_of_each_stream_may_expect_something_of_it() {
    let world = World::new();
    let (a, b) = (world.stream("a"), world.stream("b"));
    publish(&a, "a.x", 3);
    b.publish_message(Publish::new("b.x", "").id("b1")).unwrap();
    let batch = |last: u64, id: &str| {
        vec![
            Publish::new("a.x", "").expect_last(Seq::new(last)),
            Publish::new("b.x", "").expect_last_id(id),
            Publish::new("a.y", "").expect_last_for_subject("a.y", Seq::new(0)),
        ]
    };
    let refused = publish_kind(world.store.publish_batch(batch(2, "b1")));
    assert!(matches!(
        refused,
        PublishErrorKind::WrongLastSequence { .. }
    ));
    let refused = publish_kind(world.store.publish_batch(batch(3, "b2")));
    assert!(matches!(refused, PublishErrorKind::WrongLastId { .. }));
    assert_eq!((stored(&a).len(), stored(&b).len()), (3, 1));
    world.store.publish_batch(batch(3, "b1")).unwrap();
    assert_eq!((stored(&a).len(), stored(&b).len()), (5, 2));
    is_clean(&world);
}

#[test]
fn a_batch_to_several_streams_waits_for_room_in_whichever_is_full() {
    let world = World::threaded();
    let (a, b) = (
        world.store.create_stream(limited("a")).unwrap(),
        world.store.create_stream(limited("b")).unwrap(),
    );
    publish(&a, "a.x", 3);
    publish(&b, "b.x", 3);
    let waiting = {
        let store = world.store.clone();
        std::thread::spawn(move || {
            let first = Publish::new("a.y", "").wait_for_room(secs(3_600));
            store.publish_batch([first, Publish::new("b.y", "")])
        })
    };
    a.delete(Seq::new(1)).unwrap();
    assert_eq!((stored(&a).len(), stored(&b).len()), (2, 3));
    b.delete(Seq::new(1)).unwrap();
    let acks = waiting.join().unwrap().unwrap();
    let seqs: Vec<u64> = acks.iter().map(|ack| ack.seq.get()).collect();
    assert_eq!(seqs, [4, 4]);
    let first = Publish::new("b.y", "").wait_for_room(secs(0));
    let refused = world
        .store
        .publish_batch([first, Publish::new("a.y", "")])
        .unwrap_err();
    assert!(matches!(refused.kind, PublishErrorKind::Full { .. }));
    assert_eq!(refused.messages[0].subject(), "b.y");
    is_clean(&world);
}

#[test]
fn a_batch_to_several_streams_may_replace_messages_in_each() {
    let world = World::new();
    let (a, b) = (world.stream("a"), world.stream("b"));
    publish(&a, "a.x", 3);
    publish(&b, "b.x", 3);
    let replace = |subject: &str, rollup| Publish::new(subject, "").rollup(rollup);
    let batch = [
        replace("a.x", riverbed::Rollup::Subject),
        replace("b.y", riverbed::Rollup::All),
    ];
    world.store.publish_batch(batch).unwrap();
    assert_eq!((stored(&a), stored(&b)), (vec![4], vec![4]));
    is_clean(&world);
}
