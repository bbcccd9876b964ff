//! S: messages that replace earlier ones.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, Deny, Discard, Event, Publish, PublishErrorKind, Purge, Removal, Retention,
    Rollup, Seq, Stream, StreamConfig,
};

fn is_clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

fn rollup(subject: &str) -> Publish {
    Publish::new(subject, "now").rollup(Rollup::Subject)
}

fn fill(stream: &Stream) {
    for subject in ["s.a", "s.b", "s.a", "s.c", "s.a"] {
        stream.publish(subject, "").unwrap();
    }
}

#[test]
fn a_rollup_replaces_the_earlier_messages_of_its_subject() {
    let world = World::new();
    let stream = world.stream("s");
    fill(&stream);
    assert_eq!(stream.publish_message(rollup("s.a")).unwrap().seq, 6);
    assert_eq!(stored(&stream), [2, 4, 6]);
    // The usual case: there is one.
    assert_eq!(stream.publish_message(rollup("s.a")).unwrap().seq, 7);
    assert_eq!(stream.publish_message(rollup("s.new")).unwrap().seq, 8);
    assert_eq!(stored(&stream), [2, 4, 7, 8]);
    let last = stream.last_for_subject("s.a").unwrap().unwrap();
    assert_eq!(last.payload(), b"now");
    is_clean(&world);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stored(&stream), [2, 4, 7, 8]);
    stream.publish_message(rollup("s.b")).unwrap();
    assert_eq!(stored(&stream), [4, 7, 8, 9]);
    is_clean(&world);
}

#[test]
fn a_rollup_of_all_replaces_the_whole_stream() {
    let world = World::new();
    let stream = world.stream("s");
    fill(&stream);
    let all = || Publish::new("s.b", "all").rollup(Rollup::All);
    assert_eq!(stream.publish_message(all()).unwrap().seq, 6);
    assert_eq!(stored(&stream), [6]);
    let info = stream.info().unwrap();
    assert_eq!((info.messages, info.subjects, info.deleted), (1, 1, 0));
    stream.publish("s.a", "").unwrap();
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(stored(&stream), [6, 7]);
    stream.publish_message(all()).unwrap();
    world.store.drive().unwrap();
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    assert_eq!(
        (stored(&stream), stream.info().unwrap().last_seq.get()),
        (vec![8], 8)
    );
    is_clean(&world);
}

#[test]
fn a_stream_that_denies_purges_takes_no_rollup() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects(["s.>"]).deny(Deny::Purge);
    let stream = world.store.create_stream(config).unwrap();
    stream
        .publish_message(Publish::new("s.a", "").id("a"))
        .unwrap();
    for kind in [Rollup::Subject, Rollup::All] {
        let message = Publish::new("s.a", "").rollup(kind);
        let refused = publish_kind(stream.publish_message(message.clone()));
        assert_eq!(
            refused,
            PublishErrorKind::RollupDenied { stream: "s".into() }
        );
        // A duplicate replaces nothing, and is none.
        let retry = stream.publish_message(message.id("a")).unwrap();
        assert!(retry.duplicate);
    }
    assert_eq!(stored(&stream), [1]);
    is_clean(&world);
}

#[test]
fn a_duplicate_of_a_rollup_replaces_nothing_again() {
    let world = World::new();
    let stream = world.stream("s");
    fill(&stream);
    let once = || rollup("s.a").id("once");
    stream.publish_message(once()).unwrap();
    stream.publish("s.a", "later").unwrap();
    let retry = stream.publish_message(once()).unwrap();
    assert_eq!((retry.seq.get(), retry.duplicate), (6, true));
    assert_eq!(stored(&stream), [2, 4, 6, 7]);
    is_clean(&world);
}

#[test]
fn what_a_consumer_had_not_finished_of_the_replaced_is_counted_and_announced() {
    let world = World::new();
    let stream = world.stream("s");
    let one = create(&stream, ConsumerConfig::new("one").filter("s.a"));
    let two = create(&stream, ConsumerConfig::new("two"));
    fill(&stream);
    let held = take(&one, 2);
    held[0].ack().unwrap();
    let events = world.store.events(10);
    stream.publish_message(rollup("s.a")).unwrap();
    let told = events.try_iter().filter_map(|event| match event {
        Event::UnfinishedRemoved {
            consumer,
            messages,
            by,
            ..
        } => Some((consumer, messages, by)),
        _ => None,
    });
    let mut told: Vec<_> = told.collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    let lost = |consumer: &str, messages| (consumer.to_owned(), messages, Removal::Rollup);
    assert_eq!(told, [lost("one", 2), lost("two", 3)]);
    assert!(is_gone(&held[1].ack()));
    assert_eq!(seqs(&take(&one, 9)), [6]);
    assert_eq!(seqs(&take(&two, 9)), [2, 4, 6]);
    let all = Publish::new("s.z", "").rollup(Rollup::All);
    stream.publish_message(all).unwrap();
    assert_eq!((info(&one).lost, info(&two).lost), (3, 6));
    assert_eq!(seqs(&take(&two, 9)), [7]);
    is_clean(&world);
}

#[test]
fn rollups_of_a_batch_replace_what_the_batch_brought_before_them() {
    let world = World::new();
    let stream = world.stream("s");
    fill(&stream);
    let batch = [
        Publish::new("s.a", "1"),
        rollup("s.a"),
        rollup("s.b"),
        rollup("s.a"),
        Publish::new("s.a", "5"),
    ];
    stream.publish_batch(batch.clone()).unwrap();
    assert_eq!(stored(&stream), [4, 8, 9, 10]);
    is_clean(&world);
    let all = Publish::new("s.b", "").rollup(Rollup::All);
    let mixed = [
        rollup("s.b"),
        all,
        Publish::new("s.b", ""),
        rollup("s.b"),
        rollup("s.c"),
    ];
    stream.publish_batch(mixed).unwrap();
    assert_eq!(stored(&stream), [14, 15]);
    // Nothing was committed in between, and some is deleted.
    world.store.hold_group();
    stream.publish_batch(batch.clone()).unwrap();
    stream.delete(Seq::new(19)).unwrap();
    stream.publish_batch(batch).unwrap();
    stream.publish_message(rollup("s.a")).unwrap();
    world.store.commit_held().unwrap();
    assert_eq!(stored(&stream), [15, 23, 26]);
    let world = world.killed();
    assert_eq!(stored(&world.store.stream("s").unwrap()), [15, 23, 26]);
    is_clean(&world);
}

#[test]
fn a_rollup_makes_its_own_room() {
    let world = World::new();
    let stream = world.stream_of_three("s");
    for subject in ["s.a", "s.b", "s.a"] {
        stream.publish(subject, "").unwrap();
    }
    let full = publish_kind(stream.publish_message(rollup("s.c")));
    assert!(matches!(full, PublishErrorKind::Full { .. }));
    stream.publish_message(rollup("s.b")).unwrap();
    stream
        .publish_batch([rollup("s.a"), Publish::new("s.c", "")])
        .unwrap();
    assert_eq!(stored(&stream), [4, 5, 6]);
    let all = Publish::new("s.c", "").rollup(Rollup::All);
    stream.publish_message(all).unwrap();
    assert_eq!(stored(&stream), [7]);
    is_clean(&world);
}

#[test]
fn many_subjects_are_rolled_up_one_after_the_other_and_at_once() {
    let world = World::new();
    let stream = world.stream("s");
    let subject = |n: u64| format!("s.{}", n % 100);
    for round in 0..12_u64 {
        let batch = (0..1_000).map(|n| (subject(n), format!("{round}")));
        stream.publish_batch(batch).unwrap();
    }
    for n in 0..30 {
        stream.publish_message(rollup(&subject(n))).unwrap();
    }
    assert_eq!(stream.info().unwrap().messages, 70 * 120 + 30);
    is_clean(&world);
    stream
        .publish_batch((0..100).map(|n| rollup(&subject(n))))
        .unwrap();
    let expected: Vec<u64> = (12_031..=12_130).collect();
    assert_eq!(stored(&stream), expected);
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    stream
        .publish_batch((0..100).map(|n| rollup(&subject(n))))
        .unwrap();
    assert_eq!(stored(&stream).len(), 100);
    world.store.drive().unwrap();
    is_clean(&world);
}

#[test]
fn rollups_that_replace_too_much_at_once_are_refused_with_the_limit() {
    let world = World::new();
    let stream = world.stream("s");
    for _ in 0..2 {
        stream
            .publish_batch((0..40_000).map(|_| ("s.a", "")))
            .unwrap();
    }
    let refused = publish_kind(stream.publish_message(rollup("s.a")));
    let too_large = PublishErrorKind::RollupTooLarge {
        stream: "s".into(),
        messages: 80_000,
        limit: 65_536,
    };
    assert_eq!(refused, too_large);
    stream
        .purge(Purge::all().filter("s.a").keep(60_000))
        .unwrap();
    stream.publish_message(rollup("s.a")).unwrap();
    assert_eq!(stored(&stream), [80_001]);
    is_clean(&world);
}

#[test]
fn who_starts_later_loses_nothing_by_what_a_batch_brings_and_replaces() {
    let world = World::new();
    let stream = world.stream("s");
    let later = riverbed::DeliverPolicy::FromSequence(Seq::new(9));
    let any = create(&stream, ConsumerConfig::new("any").deliver(later));
    let own = create(
        &stream,
        ConsumerConfig::new("own").deliver(later).filter("s.a"),
    );
    let all = Publish::new("s.b", "").rollup(Rollup::All);
    let batch = [
        Publish::new("s.a", ""),
        rollup("s.a"),
        all,
        rollup("s.b"),
        rollup("s.a"),
    ];
    stream.publish_batch(batch.clone()).unwrap();
    stream.publish_batch(batch).unwrap();
    assert_eq!(stored(&stream), [9, 10]);
    assert_eq!((info(&any).lost, info(&own).lost), (0, 0));
    assert_eq!(
        (seqs(&take(&any, 9)), seqs(&take(&own, 9))),
        (vec![9, 10], vec![10])
    );
    is_clean(&world);
}

#[test]
fn a_rollup_finds_what_stands_behind_a_delete_that_is_not_on_disk_yet() {
    let world = World::new();
    let stream = world.stream("s");
    fill(&stream);
    world.store.hold_group();
    stream.delete(Seq::new(5)).unwrap();
    stream.delete(Seq::new(3)).unwrap();
    stream.publish_message(rollup("s.a")).unwrap();
    world.store.commit_held().unwrap();
    assert_eq!(stored(&stream), [2, 4, 6]);
    is_clean(&world);
}

#[test]
fn what_a_rollup_replaces_makes_room_on_a_full_subject() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects(["s.>"]);
    let stream = world.store.create_stream(
        config
            .max_messages_per_subject(2)
            .discard_per_subject(Discard::New)
            .allow_message_ttl(),
    );
    let stream = stream.unwrap();
    let brief = |message: Publish| message.ttl(secs(60));
    for _ in 0..2 {
        stream
            .publish_message(brief(Publish::new("s.a", "")))
            .unwrap();
    }
    let full = stream.publish("s.a", "").unwrap_err();
    assert!(matches!(full.kind, PublishErrorKind::Full { .. }));
    stream.publish_message(brief(rollup("s.a"))).unwrap();
    assert_eq!(stored(&stream), [3]);
    assert_eq!(stream.info().unwrap().expiring, 1);
    is_clean(&world);
}

#[test]
fn a_message_for_later_replaces_nothing_and_expects_nothing_of_a_subject() {
    let world = World::new();
    let stream = world.stream("s");
    fill(&stream);
    let waits = |message: Publish| message.after(secs(5));
    for (message, named) in [
        (rollup("s.a"), "rollup"),
        (
            Publish::new("s.a", "").expect_last_for_subject("s.a", Seq::new(5)),
            "expect_last_for_subject",
        ),
        (
            Publish::new("s.a", "").expect_last_id("x"),
            "expect_last_id",
        ),
    ] {
        let refused = stream
            .publish_batch([Publish::new("s.b", ""), waits(message)])
            .unwrap_err();
        let place = matches!(&refused.kind, PublishErrorKind::NotForLater { setting, .. } if *setting == named)
            || matches!(refused.kind, PublishErrorKind::ExpectInBatch { at: 1 });
        assert!(place, "{refused}");
    }
    let refused = stream.publish_message(waits(rollup("s.a"))).unwrap_err();
    assert!(matches!(
        refused.kind,
        PublishErrorKind::NotForLater {
            at: 0,
            setting: "rollup"
        }
    ));
    assert_eq!(stored(&stream), [1, 2, 3, 4, 5]);
    is_clean(&world);
}

#[test]
fn a_rollup_that_nobody_wants_takes_the_earlier_ones_with_it() {
    let world = World::new();
    let config = StreamConfig::new("s").subjects(["s.>"]);
    let config = config.retention(Retention::Interest);
    let stream = world.store.create_stream(config).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").filter("s.a"));
    stream.publish("s.a", "").unwrap();
    stream
        .publish_message(Publish::new("s.b", "").rollup(Rollup::All))
        .unwrap();
    world.store.drive().unwrap();
    assert_eq!(stored(&stream), [0_u64; 0]);
    assert_eq!(consumer.info().unwrap().lost, 1);
    is_clean(&world);
    let world = world.killed();
    assert_eq!(world.store.stream("s").unwrap().info().unwrap().messages, 0);
    is_clean(&world);
}
