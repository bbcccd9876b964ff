//! S: message ids that are free again when consumers are done with the message.

use crate::helpers::*;
use riverbed::{
    ConsumerConfig, DedupMode, DedupRelease, DeliverPolicy, OnExhausted, Publish, PublishAck,
    PublishErrorKind, Purge, Retention, Seq, Stream, StreamConfig, StreamError,
};

fn is_clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

fn queue() -> StreamConfig {
    StreamConfig::new("q")
        .retention(Retention::WorkQueue)
        .dedup_window(secs(3_600))
        .dedup_release(DedupRelease::Finished)
}

fn queue_in(world: &World) -> (Stream, riverbed::Consumer) {
    let stream = world.store.create_stream(queue()).unwrap();
    let worker = create(&stream, ConsumerConfig::new("w"));
    (stream, worker)
}

fn of(world: &World) -> (Stream, riverbed::Consumer) {
    (world.store.stream("q").unwrap(), world.consumer("q", "w"))
}

fn send(stream: &Stream, id: &str) -> PublishAck {
    let name = stream.info().unwrap().config.name;
    stream
        .publish_message(Publish::new(name, "").id(id))
        .unwrap()
}

/// The sequence, and whether it was known before.
fn said(ack: &PublishAck) -> (u64, bool) {
    (ack.seq.get(), ack.duplicate)
}

fn ids(stream: &Stream) -> u64 {
    stream.info().unwrap().dedup_ids
}

#[test]
fn a_job_is_a_duplicate_while_it_is_queued_or_worked_on_and_a_new_one_when_it_is_done() {
    let world = World::new();
    let (stream, worker) = queue_in(&world);
    assert_eq!(said(&send(&stream, "a")), (1, false));
    assert_eq!(said(&send(&stream, "a")), (1, true), "it is queued");
    let job = take_one(&worker);
    assert_eq!(said(&send(&stream, "a")), (1, true), "it is worked on");
    job.nak().unwrap();
    assert_eq!(
        said(&send(&stream, "a")),
        (1, true),
        "it is to be done again"
    );
    take_one(&worker).ack().unwrap();
    assert_eq!(ids(&stream), 0);
    assert_eq!(said(&send(&stream, "a")), (2, false), "it is done");
    assert_eq!(said(&send(&stream, "a")), (2, true));
    take_one(&worker).term("no use").unwrap();
    assert_eq!(said(&send(&stream, "a")), (3, false), "it was given up");
    is_clean(&world);
}

#[test]
fn what_was_released_and_taken_again_is_so_after_a_restart_and_a_kill() {
    let world = World::new();
    let (stream, worker) = queue_in(&world);
    let batch = ["a", "b", "c"].map(|id| Publish::new("q", "").id(id));
    stream.publish_batch(batch).unwrap();
    let jobs = take(&worker, 2);
    jobs[0].ack().unwrap();
    jobs[1].ack().unwrap();
    assert_eq!(said(&send(&stream, "b")), (4, false));
    let mut world = world;
    for round in 0..4 {
        world = match round % 2 {
            0 => world.killed(),
            _ => world.reopened(),
        };
        let (stream, _) = of(&world);
        assert_eq!(ids(&stream), 2);
        assert_eq!(said(&send(&stream, "b")), (4, true), "round {round}");
        assert_eq!(said(&send(&stream, "c")), (3, true), "round {round}");
        is_clean(&world);
    }
    let (stream, worker) = of(&world);
    assert_eq!(said(&send(&stream, "a")), (5, false));
    for job in take(&worker, 9) {
        job.ack().unwrap();
    }
    let world = world.killed();
    let (stream, _) = of(&world);
    assert_eq!(ids(&stream), 0);
    assert_eq!(said(&send(&stream, "b")), (6, false));
    is_clean(&world);
}

#[test]
fn an_id_is_forgotten_with_its_window_too_and_that_of_its_second_job_is_its_own() {
    let world = World::new();
    let (stream, worker) = queue_in(&world);
    send(&stream, "a");
    world.pass(secs(3_000));
    take_one(&worker).ack().unwrap();
    assert_eq!(said(&send(&stream, "a")), (2, false));
    // The window of the first one ends, and takes nothing of the second one's with it.
    world.pass(secs(3_000));
    assert_eq!(said(&send(&stream, "a")), (2, true));
    world.pass(secs(601));
    assert_eq!(said(&send(&stream, "a")), (3, false), "its window is over");
    // The second one is done: the id is the third one's.
    take_one(&worker).ack().unwrap();
    assert_eq!(said(&send(&stream, "a")), (3, true));
    let world = world.killed();
    let (stream, worker) = of(&world);
    assert_eq!(said(&send(&stream, "a")), (3, true));
    take_one(&worker).ack().unwrap();
    assert_eq!(said(&send(&stream, "a")), (4, false));
    is_clean(&world);
}

#[test]
fn a_renewed_id_leaves_nothing_behind_when_it_is_released() {
    let world = World::new();
    let config = queue().dedup_mode(DedupMode::Sliding);
    let stream = world.store.create_stream(config).unwrap();
    let worker = create(&stream, ConsumerConfig::new("w"));
    send(&stream, "a");
    for _ in 0..9 {
        world.pass(secs(1_000));
        assert_eq!(said(&send(&stream, "a")), (1, true));
        send(&stream, "b");
    }
    is_clean(&world);
    take_one(&worker).ack().unwrap();
    let world = world.killed();
    let (stream, worker) = of(&world);
    assert_eq!(ids(&stream), 1);
    assert_eq!(said(&send(&stream, "a")), (3, false));
    world.pass(secs(1_000));
    assert_eq!(said(&send(&stream, "a")), (3, true));
    take_one(&worker).ack().unwrap();
    assert_eq!(
        said(&send(&stream, "a")),
        (3, true),
        "that was the other job"
    );
    is_clean(&world);
}

#[test]
fn what_leaves_undone_keeps_its_id() {
    let world = World::new();
    let config = queue().max_messages(2);
    let stream = world.store.create_stream(config).unwrap();
    let worker = create(&stream, ConsumerConfig::new("w"));
    for id in ["pushed out", "purged", "deleted"] {
        send(&stream, id);
    }
    stream.delete(Seq::new(3)).unwrap();
    stream.purge(Purge::all()).unwrap();
    let number = stream.publish_message(Publish::new("q", "").id("cancelled").after(secs(60)));
    let number = number.unwrap().scheduled.unwrap();
    stream.cancel_scheduled(number).unwrap();
    let again = |stream: &Stream| {
        for (id, seq) in [("pushed out", 1), ("purged", 2), ("deleted", 3)] {
            assert_eq!(said(&send(stream, id)), (seq, true), "{id}");
        }
        assert_eq!(send(stream, "cancelled").scheduled, Some(number));
    };
    again(&stream);
    assert_eq!(nothing(&worker), riverbed::EmptyReason::NoMessages);
    let world = world.killed();
    let (stream, worker) = of(&world);
    again(&stream);
    // What was done before it was purged was done.
    send(&stream, "done");
    take_one(&worker).ack().unwrap();
    stream.purge(Purge::all()).unwrap();
    assert_eq!(said(&send(&stream, "done")), (5, false));
    is_clean(&world);
}

#[test]
fn a_lazy_ack_releases_the_id_for_whoever_publishes_next() {
    let world = World::new();
    let stream = world.store.create_stream(queue()).unwrap();
    let worker = create(&stream, ConsumerConfig::new("w").lazy_acks());
    for seq in 1..=20 {
        assert_eq!(said(&send(&stream, "a")), (seq, false));
        assert_eq!(said(&send(&stream, "a")), (seq, true));
        take_one(&worker).ack().unwrap();
    }
    // A purge does not take what was done.
    send(&stream, "b");
    take_one(&worker).ack().unwrap();
    stream.purge(Purge::all()).unwrap();
    assert_eq!(said(&send(&stream, "b")), (22, false));
    is_clean(&world);
}

#[test]
fn a_parked_job_keeps_its_id_and_a_dead_letter_does_not() {
    let world = World::new();
    let stream = world.store.create_stream(queue()).unwrap();
    let config = ConsumerConfig::new("w").max_deliver(1);
    let parks = config.clone().on_exhausted(OnExhausted::Park);
    let worker = create(&stream, parks);
    send(&stream, "a");
    send(&stream, "b");
    for job in take(&worker, 2) {
        job.nak().unwrap();
    }
    assert_eq!(said(&send(&stream, "a")), (1, true), "it is parked");
    worker.discard(Seq::new(1)).unwrap();
    assert_eq!(said(&send(&stream, "a")), (3, false));
    worker.release(Seq::new(2)).unwrap();
    assert_eq!(said(&send(&stream, "b")), (2, true));
    let world = world.killed();
    let (stream, worker) = of(&world);
    assert_eq!(said(&send(&stream, "b")), (2, true));
    stream.update_consumer(config.dead_letter("dead")).unwrap();
    for job in take(&worker, 2) {
        job.nak().unwrap();
    }
    assert_eq!(ids(&stream), 0);
    assert_eq!(said(&send(&stream, "b")), (4, false));
    // A letter that comes back is no publish: it neither is a duplicate nor takes the id.
    let dead = world.store.stream("dead").unwrap();
    assert_eq!(dead.redrive(Seq::new(1)).unwrap(), 5);
    assert_eq!(dead.redrive(Seq::new(2)).unwrap(), 6);
    let jobs = take(&worker, 9);
    assert_eq!(seqs(&jobs), [4, 5, 6]);
    assert_eq!((jobs[1].id(), jobs[2].id()), (Some("b"), Some("a")));
    jobs[1].ack().unwrap();
    assert_eq!(said(&send(&stream, "b")), (4, true), "another has it");
    jobs[0].ack().unwrap();
    assert_eq!(said(&send(&stream, "b")), (7, false));
    is_clean(&world);
}

#[test]
fn with_interest_the_last_consumer_that_wants_it_releases_the_id() {
    let world = World::new();
    let config = StreamConfig::new("i")
        .subjects(["i", "i.>"])
        .retention(Retention::Interest)
        .dedup_release(DedupRelease::Finished);
    let stream = world.store.create_stream(config).unwrap();
    assert_eq!(said(&send(&stream, "early")), (1, false));
    assert_eq!(said(&send(&stream, "early")), (1, true), "nobody did it");
    let [one, two] = ["one", "two"].map(|name| create(&stream, ConsumerConfig::new(name)));
    create(&stream, ConsumerConfig::new("other").filter("i.x"));
    send(&stream, "a");
    take_one(&one).ack().unwrap();
    assert_eq!(said(&send(&stream, "a")), (2, true), "one is not done");
    take_one(&two).ack().unwrap();
    assert_eq!(said(&send(&stream, "a")), (3, false));
    // Who is deleted wants nothing any more, and the other one was done.
    take_one(&one).ack().unwrap();
    stream.delete_consumer("two").unwrap();
    world.store.drive().unwrap();
    assert_eq!(said(&send(&stream, "a")), (4, false));
    // What the last one leaves behind was not done.
    for name in ["one", "other"] {
        stream.delete_consumer(name).unwrap();
    }
    assert_eq!(stream.info().unwrap().messages, 0);
    assert_eq!(said(&send(&stream, "a")), (4, true));
    let world = world.killed();
    let stream = world.store.stream("i").unwrap();
    assert_eq!(said(&send(&stream, "a")), (4, true));
    is_clean(&world);
}

#[test]
fn the_id_of_a_message_for_later_leads_to_the_message_once_it_is_sent() {
    let world = World::new();
    let (stream, worker) = queue_in(&world);
    let later = |id: &str| Publish::new("q", "").id(id).after(secs(1_800));
    let first = stream.publish_message(later("a")).unwrap();
    assert_eq!(first.scheduled, Some(1));
    assert_eq!(send(&stream, "a").scheduled, Some(1));
    let world = world.killed();
    let stream = of(&world).0;
    assert_eq!(send(&stream, "a").scheduled, Some(1));
    world.pass(secs(1_800));
    let sent = send(&stream, "a");
    assert_eq!((said(&sent), sent.scheduled), ((1, true), None));
    // Its window is counted from here on.
    world.pass(secs(3_500));
    let world = world.killed();
    let (stream, worker) = (of(&world).0, {
        drop(worker);
        of(&world).1
    });
    assert_eq!(said(&send(&stream, "a")), (1, true));
    take_one(&worker).ack().unwrap();
    assert_eq!(said(&send(&stream, "a")), (2, false));
    // One that waits longer than the window is forgotten before it is sent, and takes its id from nobody.
    let late = Publish::new("q", "").id("late").after(secs(7_200));
    stream.publish_message(late).unwrap();
    world.pass(secs(3_601));
    assert_eq!(said(&send(&stream, "late")), (3, false));
    world.pass(secs(3_600));
    assert_eq!(stream.info().unwrap().last_seq.get(), 4, "it was sent");
    let jobs = take(&worker, 9);
    jobs[1].ack().unwrap();
    assert_eq!(said(&send(&stream, "late")), (5, false));
    jobs[2].ack().unwrap();
    assert_eq!(said(&send(&stream, "late")), (5, true));
    is_clean(&world);
}

#[test]
fn a_released_id_frees_its_place_among_those_that_are_remembered() {
    let world = World::new();
    let stream = world.store.create_stream(queue().dedup_ids(3)).unwrap();
    let worker = create(&stream, ConsumerConfig::new("w"));
    for id in ["a", "b", "c"] {
        send(&stream, id);
    }
    let more = || stream.publish_message(Publish::new("q", "").id("d"));
    let full = PublishErrorKind::DedupFull {
        stream: "q".into(),
        limit: 3,
    };
    assert_eq!(publish_kind(more()), full);
    take_one(&worker).ack().unwrap();
    assert_eq!(more().unwrap().seq, 4);
    assert_eq!(
        publish_kind(stream.publish_message(Publish::new("q", "").id("a"))),
        full
    );
    is_clean(&world);
}

#[test]
fn in_a_batch_of_several_streams_each_has_its_own_ids() {
    let world = World::new();
    let (queue, worker) = queue_in(&world);
    let log = world.stream("log");
    let batch = || ["q", "log.x"].map(|subject| Publish::new(subject, "").id("a"));
    world.store.publish_batch(batch()).unwrap();
    take_one(&worker).ack().unwrap();
    let acks = world.store.publish_batch(batch()).unwrap();
    assert_eq!(
        acks.iter().map(said).collect::<Vec<_>>(),
        [(2, false), (1, true)]
    );
    let twice = [Publish::new("q", "").id("b"), Publish::new("q", "").id("b")];
    let acks = queue.publish_batch(twice).unwrap();
    assert_eq!(
        acks.iter().map(said).collect::<Vec<_>>(),
        [(3, false), (3, true)]
    );
    assert_eq!((ids(&queue), ids(&log)), (2, 1));
    is_clean(&world);
}

#[test]
fn the_setting_may_change_while_ids_are_remembered() {
    let world = World::new();
    let held = queue()
        .dedup_release(DedupRelease::Window)
        .dedup_mode(DedupMode::Sliding);
    let stream = world.store.create_stream(held.clone()).unwrap();
    let worker = create(&stream, ConsumerConfig::new("w").max_ack_pending(1_000));
    let names: Vec<String> = (0..200).map(|n| format!("id {n}")).collect();
    let batch = names.iter().map(|id| Publish::new("q", "").id(id.clone()));
    stream.publish_batch(batch).unwrap();
    world.pass(secs(600));
    for id in ["id 0", "id 1", "id 199"] {
        assert!(send(&stream, id).duplicate, "it is renewed");
    }
    let jobs = take(&worker, 150);
    jobs[0].ack().unwrap();
    assert_eq!(
        said(&send(&stream, "id 0")),
        (1, true),
        "nothing is released"
    );
    // From now on.
    world.store.update_stream(queue()).unwrap();
    is_clean(&world);
    assert_eq!(ids(&stream), 200);
    assert_eq!(said(&send(&stream, "id 0")), (1, true), "that was before");
    for job in &jobs[1..140] {
        job.ack().unwrap();
    }
    assert_eq!(ids(&stream), 61);
    let world = world.killed();
    let (stream, worker) = of(&world);
    is_clean(&world);
    assert_eq!(ids(&stream), 61);
    assert_eq!(said(&send(&stream, "id 1")), (201, false));
    assert_eq!(said(&send(&stream, "id 140")), (141, true));
    // And back.
    world.store.update_stream(held).unwrap();
    for job in take(&worker, 200) {
        job.ack().unwrap();
    }
    assert_eq!(ids(&stream), 62);
    assert_eq!(said(&send(&stream, "id 1")), (201, true));
    let world = world.reopened();
    let (stream, _) = of(&world);
    assert_eq!(said(&send(&stream, "id 1")), (201, true));
    assert_eq!(said(&send(&stream, "id 2")), (202, false));
    is_clean(&world);
}

#[test]
fn ids_that_nobody_could_release_are_refused() {
    let world = World::new();
    let wrong = |config: StreamConfig, other: &str| {
        for refused in [
            world.store.create_stream(config.clone()).map(drop),
            world.store.update_stream(config.clone()).map(drop),
        ] {
            match refused {
                Err(StreamError::Invalid(why)) => {
                    assert_eq!(why.setting, "dedup_release");
                    assert!(why.to_string().contains(other), "{why}");
                }
                other => panic!("{other:?}"),
            }
        }
    };
    let interest = queue().retention(Retention::Interest);
    let stream = world.store.create_stream(interest).unwrap();
    wrong(queue().retention(Retention::Limits), "`retention`");
    wrong(queue().without_dedup(), "`dedup_window`");
    // What makes sense without it is another stream to whoever creates it again.
    let window = queue().retention(Retention::Interest);
    let window = window.dedup_release(DedupRelease::Window);
    match world.store.create_stream(window) {
        Err(StreamError::Exists { setting, .. }) => assert_eq!(setting, "dedup_release"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        stream.info().unwrap().config.dedup_release,
        DedupRelease::Finished
    );
    is_clean(&world);
}

#[test]
fn what_a_reset_passed_over_nobody_has_done() {
    for ahead in [false, true] {
        let world = World::new();
        let interest = queue().retention(Retention::Interest);
        let stream = world.store.create_stream(interest).unwrap();
        let worker = create(&stream, ConsumerConfig::new("w"));
        let passed = if ahead {
            worker
                .reset(DeliverPolicy::FromSequence(Seq::new(3)))
                .unwrap();
            send(&stream, "a")
        } else {
            let sent = send(&stream, "a");
            worker.reset(DeliverPolicy::New).unwrap();
            sent
        };
        world.store.drive().unwrap();
        assert_eq!(stored(&stream), Vec::<u64>::new());
        assert_eq!(said(&send(&stream, "a")), (passed.seq.get(), true));
        send(&stream, "b");
        send(&stream, "c");
        // What it is given then it may do.
        let done = take(&worker, 9);
        done.last().unwrap().ack().unwrap();
        assert!(!send(&stream, "c").duplicate);
        is_clean(&world);
        let world = world.killed();
        let stream = world.store.stream("q").unwrap();
        assert!(send(&stream, "a").duplicate);
        is_clean(&world);
    }
}
