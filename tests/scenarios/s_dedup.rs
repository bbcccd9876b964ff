//! S: windows of message ids that slide.

use crate::helpers::*;
use riverbed::{DedupMode, Publish, PublishAck, Seq, Stream, StreamConfig, StreamError};

fn is_clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

fn sliding() -> StreamConfig {
    StreamConfig::new("s")
        .dedup_window(secs(80))
        .dedup_mode(DedupMode::Sliding)
}

fn send(stream: &Stream, id: &str) -> PublishAck {
    stream
        .publish_message(Publish::new("s", "").id(id))
        .unwrap()
}

#[test]
fn a_duplicate_renews_its_id_in_a_sliding_window() {
    let world = World::new();
    let stream = world.store.create_stream(sliding()).unwrap();
    send(&stream, "a");
    send(&stream, "b");
    for _ in 0..5 {
        world.pass(secs(60));
        let again = send(&stream, "a");
        assert_eq!((again.seq.get(), again.duplicate), (1, true));
    }
    assert!(!send(&stream, "b").duplicate, "nobody renewed it");
    assert_eq!(stream.info().unwrap().dedup_ids, 2);
    // The window holds at least, and not for ever.
    world.pass(secs(79));
    assert!(send(&stream, "a").duplicate);
    world.pass(secs(91));
    assert!(!send(&stream, "a").duplicate);
    world.pass(secs(91));
    assert_eq!(stream.info().unwrap().dedup_ids, 0);
    is_clean(&world);
}

#[test]
fn a_flood_of_duplicates_is_remembered_from_the_last_one_on() {
    let world = World::new();
    let stream = world.store.create_stream(sliding()).unwrap();
    send(&stream, "a");
    for _ in 0..1_000 {
        world.clock.advance(millis(200));
        assert!(send(&stream, "a").duplicate);
    }
    world.pass(secs(80));
    assert!(send(&stream, "a").duplicate);
    assert_eq!(stream.info().unwrap().dedup_ids, 1);
    is_clean(&world);
}

#[test]
fn a_renewed_id_is_known_after_a_restart_and_a_kill() {
    let world = World::new();
    let stream = world.store.create_stream(sliding()).unwrap();
    send(&stream, "a");
    world.pass(secs(70));
    assert!(send(&stream, "a").duplicate);
    let world = world.killed();
    world.pass(secs(70));
    let stream = world.store.stream("s").unwrap();
    assert!(send(&stream, "a").duplicate);
    let world = world.reopened();
    world.pass(secs(75));
    let stream = world.store.stream("s").unwrap();
    assert!(send(&stream, "a").duplicate);
    assert_eq!(stream.info().unwrap().last_seq, 1);
    is_clean(&world);
}

#[test]
fn a_batch_that_is_refused_renews_nothing() {
    let world = World::new();
    let stream = world.store.create_stream(sliding()).unwrap();
    send(&stream, "a");
    world.pass(secs(60));
    let wrong = Publish::new("s", "").expect_last(Seq::new(9));
    let batch = [wrong, Publish::new("s", "").id("a")];
    assert!(stream.publish_batch(batch).is_err());
    world.pass(secs(31));
    assert!(!send(&stream, "a").duplicate);
    is_clean(&world);
}

#[test]
fn a_window_that_is_not_there_does_not_slide() {
    let world = World::new();
    let refused = world.store.create_stream(sliding().without_dedup());
    match refused {
        Err(StreamError::Invalid(why)) => assert_eq!(why.setting, "dedup_mode"),
        other => panic!("{other:?}"),
    }
    // An update may change it, for ids that are known, too.
    let fixed = || StreamConfig::new("s").dedup_window(secs(80));
    let stream = world.store.create_stream(fixed()).unwrap();
    send(&stream, "a");
    world.pass(secs(60));
    world.store.update_stream(sliding()).unwrap();
    assert!(send(&stream, "a").duplicate);
    world.pass(secs(60));
    assert!(send(&stream, "a").duplicate);
    world.store.update_stream(fixed()).unwrap();
    world.pass(secs(60));
    assert!(send(&stream, "a").duplicate);
    world.pass(secs(21));
    assert!(!send(&stream, "a").duplicate);
    is_clean(&world);
}
