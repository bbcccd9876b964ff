//! S: subject delete markers.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, Discard, Publish, Purge, Retention, Rollup, Seq, Stream, StreamConfig,
    StreamError,
};

fn marking() -> StreamConfig {
    let config = StreamConfig::new("s").subjects(["s.>"]);
    let config = config.max_age(secs(60)).allow_message_ttl();
    config.subject_delete_marker_ttl(secs(10))
}

fn create_marking(world: &World) -> Stream {
    world.store.create_stream(marking()).unwrap()
}

/// Each message: its sequence, its subject, and what its marker says.
fn all(stream: &Stream) -> Vec<(u64, String, Option<String>)> {
    let stored = stream.range(..).map(Result::unwrap);
    let line = |message: riverbed::StoredMessage| {
        let reason = message.headers().get("Riverbed-Marker-Reason");
        let reason = reason.map(str::to_owned);
        (message.seq().get(), message.subject().to_owned(), reason)
    };
    stored.map(line).collect()
}

fn plain(seq: u64, subject: &str) -> (u64, String, Option<String>) {
    (seq, subject.to_owned(), None)
}

fn marker(seq: u64, subject: &str, reason: &str) -> (u64, String, Option<String>) {
    (seq, subject.to_owned(), Some(reason.to_owned()))
}

fn is_sound(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn h19_the_last_message_of_a_subject_leaves_a_marker_and_the_marker_none() {
    let world = World::new();
    let stream = create_marking(&world);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    stream.publish("s.a", "1").unwrap();
    stream.publish("s.b", "2").unwrap();
    world.pass(secs(30));
    stream.publish("s.a", "3").unwrap();
    world.pass(secs(30));
    // Another message is left on `s.a`.
    let expected = [plain(3, "s.a"), marker(4, "s.b", "max_age")];
    assert_eq!(all(&stream), expected);
    let info = stream.info().unwrap();
    assert_eq!((info.delete_markers, info.expiring), (1, 1));
    assert_eq!(stream.get(Seq::new(4)).unwrap().unwrap().payload(), b"");
    assert_eq!(seqs(&take(&consumer, 9)), [3, 4]);
    is_sound(&world);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(all(&stream), expected);
    assert_eq!(stream.info().unwrap().delete_markers, 1);
    world.pass(secs(10));
    assert_eq!(all(&stream), [plain(3, "s.a")], "the marker leaves none");
    // What expired while the store was closed leaves one when it is opened.
    world.clock.advance(secs(20));
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(all(&stream), [marker(5, "s.a", "max_age")]);
    is_sound(&world);
    world.pass(secs(10));
    let info = stream.info().unwrap();
    assert_eq!(
        (info.messages, info.last_seq.get(), info.delete_markers),
        (0, 5, 0)
    );
    is_sound(&world);
}

#[test]
fn a_message_that_outlives_its_own_time_leaves_one_and_one_before_it_does_not() {
    let world = World::new();
    let stream = create_marking(&world);
    let brief = |seconds| Publish::new("s.a", "x").ttl(secs(seconds));
    stream.publish_message(brief(5)).unwrap();
    stream.publish_message(brief(20)).unwrap();
    world.pass(secs(5));
    assert_eq!(all(&stream), [plain(2, "s.a")]);
    world.pass(secs(15));
    assert_eq!(all(&stream), [marker(3, "s.a", "message_ttl")]);
    let next = Publish::new("s.a", "y").expect_last_for_subject("s.a", Seq::new(3));
    stream.publish_message(next.ttl(secs(5))).unwrap();
    world.pass(secs(5));
    // The marker is still there; when it goes, it leaves nothing.
    assert_eq!(all(&stream), [marker(3, "s.a", "message_ttl")]);
    world.pass(secs(5));
    assert_eq!(all(&stream), []);
    is_sound(&world);
}

#[test]
fn what_is_taken_otherwise_leaves_no_marker() {
    let world = World::new();
    let config = marking().max_messages(2).max_messages_per_subject(1);
    let stream = world.store.create_stream(config).unwrap();
    publish(&stream, "s.a", 2);
    stream.publish("s.b", "3").unwrap();
    stream.publish("s.c", "4").unwrap();
    stream.delete(Seq::new(3)).unwrap();
    stream.purge(Purge::all()).unwrap();
    stream.publish("s.d", "5").unwrap();
    let all_of_it = Publish::new("s.e", "6").rollup(Rollup::All);
    stream.publish_message(all_of_it).unwrap();
    assert_eq!(all(&stream), [plain(6, "s.e")]);
    assert_eq!(stream.info().unwrap().delete_markers, 0);
    is_sound(&world);
}

#[test]
fn a_marker_has_a_place_in_a_full_stream_and_counts_as_any_message_later() {
    let world = World::new();
    let config = marking().max_bytes(6).discard(Discard::New);
    let full = world.store.create_stream(config).unwrap();
    full.publish("s.a", "123").unwrap();
    world.pass(secs(60));
    assert_eq!(all(&full), [marker(2, "s.a", "max_age")]);
    assert!(full.publish("s.b", "").is_err(), "it is full until it goes");
    world.pass(secs(10));
    full.publish("s.b", "").unwrap();
    is_sound(&world);
    // Where old messages make room, so does a marker.
    let world = World::new();
    let config = marking().max_bytes(6);
    let small = world.store.create_stream(config).unwrap();
    small.publish("s.a", "123").unwrap();
    world.pass(secs(60));
    assert_eq!(all(&small), []);
    assert_eq!(small.info().unwrap().last_seq.get(), 2);
    is_sound(&world);
}

#[test]
fn markers_that_make_no_sense_are_refused() {
    let world = World::new();
    let refused = |config: StreamConfig| match world.store.create_stream(config) {
        Err(StreamError::Invalid(why)) => why.to_string(),
        other => unreachable!("{other:?}"),
    };
    let never = StreamConfig::new("s").subject_delete_marker_ttl(secs(1));
    assert!(refused(never).contains("allow_message_ttl"));
    let queue = marking().retention(Retention::WorkQueue);
    assert!(refused(queue).contains("retention"));
    let brief = marking().subject_delete_marker_ttl(millis(99));
    assert!(refused(brief).contains("100 ms"));
    let long = marking().subject_delete_marker_ttl(secs(61));
    assert!(refused(long).contains("max_age"));
    let stream = create_marking(&world);
    stream.publish("s.a", "1").unwrap();
    // Taken back, nothing more is left.
    let config = StreamConfig::new("s").subjects(["s.>"]).max_age(secs(60));
    world.store.update_stream(config).unwrap();
    world.pass(secs(60));
    assert_eq!(all(&stream), []);
    is_sound(&world);
}
