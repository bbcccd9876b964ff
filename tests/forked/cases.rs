//! What a child does, and what the parent finds afterwards.

use fork::{Fork, WEXITSTATUS, WIFEXITED, fork, waitpid};
use riverbed::{
    AckError, CloseError, Consumer, ConsumerConfig, Fetch, FetchError, Message, OpenError, Publish,
    PublishErrorKind, PublishHandle, Purge, PurgeError, ReadError, Riverbed, RunError, Runner,
    Stream, StreamConfig, StreamError, Unavailable,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Forks while the parent's threads are at work.
const FORKS: u64 = 40;

type Case = (&'static str, fn(&Path));

pub(crate) fn all() {
    let cases: [Case; 4] = [
        ("r11_in_a_child_every_call_answers_forked", every_call),
        ("r11_a_child_neither_frees_the_lock_nor_takes_it", the_lock),
        (
            "r11_a_child_may_open_a_store_of_its_own",
            a_store_of_its_own,
        ),
        (
            "r11_no_child_hangs_on_a_lock_of_the_parents_threads",
            at_work,
        ),
    ];
    for (name, case) in cases {
        let folder = tempfile::tempdir().unwrap();
        case(&folder.path().join("store"));
        println!("test {name} ... ok");
    }
}

/// Does something in a child, and waits for it; a child that panics fails the test.
fn in_a_child(what: impl FnOnce()) {
    match fork().unwrap() {
        Fork::Child => {
            let ended = catch_unwind(AssertUnwindSafe(what));
            std::process::exit(i32::from(ended.is_err()))
        }
        Fork::Parent(child) => {
            let status = waitpid(child).unwrap();
            assert!(WIFEXITED(status), "the child was killed: {status}");
            assert_eq!(WEXITSTATUS(status), 0, "the child panicked");
        }
    }
}

/// Handles of every kind.
struct Held {
    path: PathBuf,
    store: Riverbed,
    stream: Stream,
    consumer: Consumer,
    messages: Vec<Message>,
    handle: PublishHandle,
    runner: Runner,
}

fn held(path: &Path) -> Held {
    let store = Riverbed::open(path).unwrap();
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    let consumer = stream.create_consumer(ConsumerConfig::new("c")).unwrap();
    stream.publish_batch([("s", "1"), ("s", "2")]).unwrap();
    let messages = consumer.fetch(Fetch::new(2).no_wait()).unwrap();
    let other = store.create_stream(StreamConfig::new("other")).unwrap();
    let worker = other
        .create_consumer(ConsumerConfig::new("worker"))
        .unwrap();
    Held {
        path: path.to_owned(),
        handle: stream.publish_async(("s", "3")).unwrap(),
        runner: worker.run(2, |_| Ok::<(), String>(())).unwrap(),
        messages: messages.into_iter().collect(),
        store,
        stream,
        consumer,
    }
}

/// Calls everything that could do anything.
fn all_answer_forked(held: Held) {
    let forked = Unavailable::Forked;
    let Held {
        store,
        stream,
        consumer,
        messages,
        ..
    } = &held;
    let unpublished = |kind| assert_eq!(kind, PublishErrorKind::Unavailable(forked.clone()));
    unpublished(store.publish("s", "x").unwrap_err().kind);
    unpublished(stream.publish_batch([("s", "x")]).unwrap_err().kind);
    unpublished(stream.publish_async(("s", "x")).unwrap_err().kind);
    let patient = Publish::new("s", "x").wait_for_room(std::time::Duration::from_secs(9));
    unpublished(stream.publish_message(patient).unwrap_err().kind);
    unpublished(held.handle.wait().unwrap_err().kind);
    assert_eq!(stream.flush(), Err(forked.clone()));

    assert_eq!(store.streams(), Err(forked.clone()));
    assert_eq!(store.info(), Err(forked.clone()));
    assert_eq!(store.check(), Err(forked.clone()));
    assert!(store.events(9).try_recv().is_err());
    let unmanaged = |why| assert_eq!(why, StreamError::Unavailable(forked.clone()));
    unmanaged(store.create_stream(StreamConfig::new("t")).unwrap_err());
    unmanaged(store.update_stream(StreamConfig::new("s")).unwrap_err());
    unmanaged(store.stream("s").unwrap_err());
    unmanaged(store.delete_stream("s").unwrap_err());
    unmanaged(stream.info().unwrap_err());
    unmanaged(stream.consumers().unwrap_err());

    let unread = ReadError::Unavailable(forked.clone());
    assert_eq!(stream.get(1.into()).unwrap_err(), unread);
    assert_eq!(stream.last_for_subject("s").unwrap_err(), unread);
    assert_eq!(stream.range(..).next().unwrap().unwrap_err(), unread);
    let unpurged = PurgeError::Unavailable(forked.clone());
    assert_eq!(stream.purge(Purge::all()), Err(unpurged.clone()));
    assert_eq!(stream.delete(1.into()), Err(unpurged));

    let unfetched = FetchError::Unavailable(forked.clone());
    assert_eq!(consumer.fetch(1).unwrap_err(), unfetched);
    assert_eq!(consumer.messages().next().unwrap().unwrap_err(), unfetched);
    let run = consumer.run(1, |_| Ok::<(), String>(()));
    assert_eq!(run.unwrap_err(), RunError::Fetch(unfetched.clone()));
    assert!(consumer.info().is_err() && consumer.parked(1.into(), 1).is_err());
    assert!(consumer.release(1.into()).is_err() && consumer.discard(1.into()).is_err());
    let unsettled = Err(AckError::Unavailable(forked.clone()));
    assert_eq!(messages[0].ack(), unsettled);
    assert_eq!(messages[0].nak(), unsettled);
    assert_eq!(messages[0].term("x"), unsettled);
    assert_eq!(messages[0].in_progress(), unsettled);
    assert_eq!(consumer.ack_batch(messages).map(drop), unsettled);
    // What was read stays readable.
    assert_eq!(messages[1].payload(), b"2");

    assert_eq!(store.close(), Err(CloseError::Unavailable(forked)));
    let Held { runner, .. } = held;
    assert_eq!(runner.stop().unwrap_err(), RunError::Fetch(unfetched));
}

fn every_call(path: &Path) {
    let held = held(path);
    held.handle.wait().unwrap();
    match fork().unwrap() {
        Fork::Child => {
            let ended = catch_unwind(AssertUnwindSafe(|| all_answer_forked(held)));
            std::process::exit(i32::from(ended.is_err()))
        }
        Fork::Parent(child) => {
            let status = waitpid(child).unwrap();
            assert!(
                WIFEXITED(status) && WEXITSTATUS(status) == 0,
                "the child failed"
            );
        }
    }
    // The child has closed, acked, purged and dropped; here nothing of it is seen.
    goes_on(held);
}

/// The parent's store does what it should.
fn goes_on(held: Held) {
    let Held {
        path,
        store,
        stream,
        consumer,
        messages,
        runner,
        ..
    } = held;
    consumer.ack_batch(&messages).unwrap();
    let before = stream.info().unwrap().last_seq.get();
    assert_eq!(stream.publish("s", "x").unwrap().seq, before + 1);
    runner.stop().unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    store.close().unwrap();
    let store = Riverbed::open(path).unwrap();
    let stream = store.stream("s").unwrap();
    assert_eq!(stream.info().unwrap().last_seq, before + 1);
    let consumer = stream.consumer("c").unwrap().info().unwrap();
    assert_eq!((consumer.acked, consumer.pending), (2, before - 1));
    store.close().unwrap();
}

fn the_lock(path: &Path) {
    let held = held(path);
    let own = path.to_owned();
    let is_held = move || {
        let refused = Riverbed::open(&own).unwrap_err();
        assert!(
            matches!(refused, OpenError::AlreadyOpen { .. }),
            "{refused:?}"
        );
    };
    in_a_child(&is_held);
    // Children have come and gone, with their copies of the file: the lock is where it was.
    is_held();
    in_a_child(is_held);
    goes_on(held);
}

fn a_store_of_its_own(path: &Path) {
    let held = held(path);
    let other = path.with_file_name("other");
    in_a_child(|| {
        let store = Riverbed::open(&other).unwrap();
        store.create_stream(StreamConfig::new("t")).unwrap();
        store.publish("t", "from the child").unwrap();
        store.close().unwrap();
    });
    let other = Riverbed::open(&other).unwrap();
    assert_eq!(other.stream("t").unwrap().info().unwrap().messages, 1);
    goes_on(held);
}

fn at_work(path: &Path) {
    let held = held(path);
    let (over, work) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let publisher = || {
            while !over.load(Ordering::Relaxed) {
                held.stream.publish("s", "x").unwrap();
                work.fetch_add(1, Ordering::Relaxed);
            }
        };
        scope.spawn(publisher);
        scope.spawn(publisher);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                assert_eq!(held.consumer.info().unwrap().acked, 0);
                assert_eq!(held.store.info().unwrap().streams, 2);
            }
        });
        for round in 1..=FORKS {
            // Each in the middle of other work.
            while work.load(Ordering::Relaxed) < round * 5 {
                thread::yield_now();
            }
            in_a_child(|| {
                let stream = held.stream.clone();
                assert!(stream.publish("s", "x").is_err() && stream.info().is_err());
                let consumer = held.consumer.clone();
                assert!(consumer.fetch(Fetch::new(1).no_wait()).is_err());
                assert!(held.messages[0].ack().is_err() && held.store.close().is_err());
                drop((stream, consumer));
            });
        }
        over.store(true, Ordering::Relaxed);
    });
    let published = work.into_inner();
    assert_eq!(held.stream.info().unwrap().messages, published + 3);
    goes_on(held);
}
