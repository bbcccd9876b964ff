//! Bugs that a review found, each held by the behaviour that must be.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use riverbed::disk::MemoryDisk;
use riverbed::{
    Consumer, ConsumerConfig, Event, Fetch, Limits, ManualClock, Message, Publish, Riverbed,
    Runner, Seq, StreamConfig,
};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// Longer than anything here takes; a test that hangs fails with this instead.
const FOREVER: Duration = Duration::from_secs(60);

fn with_threads() -> Riverbed {
    Riverbed::builder()
        .disk(Arc::new(MemoryDisk::new()))
        .open("/store")
        .unwrap()
}

fn driven(disk: &MemoryDisk, clock: &ManualClock) -> Riverbed {
    let builder = Riverbed::builder()
        .disk(Arc::new(disk.clone()))
        .clock(clock.clock());
    builder.without_threads().open("/store").unwrap()
}

/// Runs what must end on a thread of its own.
fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    ended.recv_timeout(FOREVER).expect("it ends")
}

fn wait_for_waiting(consumer: &Consumer, fetches: u64) {
    while consumer.info().unwrap().waiting < fetches {
        thread::yield_now();
    }
}

#[test]
fn limits_are_enforced_however_far_a_batch_goes_over_them() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let jobs = store
        .create_stream(StreamConfig::new("jobs").max_messages(10))
        .unwrap();
    jobs.publish_batch((0..60_000).map(|_| ("jobs", "")))
        .unwrap();
    store.drive().unwrap();
    assert_eq!(jobs.info().unwrap().messages, 10);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn the_ack_floor_that_was_told_stays_over_a_close() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let jobs = store
        .create_stream(StreamConfig::new("jobs").subjects(["jobs.*"]))
        .unwrap();
    let worker = jobs
        .create_consumer(ConsumerConfig::new("worker").filter("jobs.z"))
        .unwrap();
    jobs.publish_batch((0..100).map(|_| ("jobs.a", "")))
        .unwrap();
    assert!(worker.fetch(Fetch::new(1).no_wait()).unwrap().is_empty());
    let floor = worker.info().unwrap().ack_floor;
    store.close().unwrap();
    drop((store, jobs, worker));
    let store = driven(&disk, &clock);
    let worker = store.stream("jobs").unwrap().consumer("worker").unwrap();
    assert!(worker.info().unwrap().ack_floor >= floor);
}

#[test]
fn a_dead_letter_whose_consumer_no_longer_wants_it_stays() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let jobs = store
        .create_stream(StreamConfig::new("jobs").subjects(["jobs.*"]))
        .unwrap();
    let config = |filter: &str| {
        ConsumerConfig::new("worker")
            .filter(filter)
            .dead_letter("dead")
    };
    let worker = jobs.create_consumer(config("jobs.a")).unwrap();
    jobs.publish("jobs.a", "precious").unwrap();
    worker.fetch(Fetch::new(1).no_wait()).unwrap()[0]
        .term("no")
        .unwrap();
    jobs.delete_consumer("worker").unwrap();
    jobs.create_consumer(config("jobs.b")).unwrap();
    let dead = store.stream("dead").unwrap();
    assert!(dead.redrive_to_consumer(Seq::new(1)).is_err());
    assert_eq!(dead.info().unwrap().messages, 1);
}

#[test]
fn a_fetch_that_ends_with_an_error_passes_its_wake_up_on() {
    let store = with_threads();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let worker = jobs.create_consumer(ConsumerConfig::new("worker")).unwrap();
    let fetching = |fetch: Fetch| {
        let worker = worker.clone();
        thread::spawn(move || {
            worker
                .fetch(fetch.max_wait(FOREVER))
                .map(|batch| batch.len())
        })
    };
    let small = fetching(Fetch::new(1).max_bytes(100));
    wait_for_waiting(&worker, 1);
    let large = fetching(Fetch::new(1));
    wait_for_waiting(&worker, 2);
    jobs.publish("jobs", vec![0; 1_000]).unwrap();
    assert!(small.join().unwrap().is_err());
    assert_eq!(large.join().unwrap(), Ok(1));
}

#[test]
fn a_lease_that_ends_by_giving_up_makes_room_for_whoever_waits() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let builder = Riverbed::builder()
        .disk(Arc::new(disk))
        .clock(clock.clock());
    let store = builder.open("/store").unwrap();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let config = ConsumerConfig::new("worker")
        .max_ack_pending(1)
        .max_deliver(1);
    let worker = jobs.create_consumer(config).unwrap();
    jobs.publish_batch([("jobs", "1"), ("jobs", "2")]).unwrap();
    let _held = worker.fetch(1).unwrap();
    let waiting = thread::spawn({
        let worker = worker.clone();
        move || {
            worker
                .fetch(Fetch::new(1).max_wait(FOREVER))
                .map(|batch| batch[0].seq())
        }
    });
    wait_for_waiting(&worker, 1);
    clock.advance(Duration::from_secs(31));
    assert_eq!(waiting.join().unwrap(), Ok(Seq::new(2)));
    assert_eq!(worker.info().unwrap().parked, 1);
}

#[test]
fn pipelined_duplicates_on_a_quiet_store_are_answered() {
    ends(|| {
        let store = with_threads();
        let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
        let message = || Publish::new("jobs", vec![1; 1 << 20]).id("same");
        jobs.publish_message(message()).unwrap();
        for _ in 0..40 {
            assert!(
                jobs.publish_async(message())
                    .unwrap()
                    .wait()
                    .unwrap()
                    .duplicate
            );
        }
    });
}

#[test]
fn a_group_limit_of_nothing_still_lets_one_publish_through() {
    ends(|| {
        let mut limits = Limits::default();
        limits.group_bytes = 0;
        let builder = Riverbed::builder()
            .disk(Arc::new(MemoryDisk::new()))
            .limits(limits);
        let store = builder.open("/store").unwrap();
        let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
        jobs.publish("jobs", "1").unwrap();
        jobs.publish("jobs", "2").unwrap();
    });
}

#[test]
fn a_nak_from_a_destructor_during_a_users_panic_poisons_nothing() {
    struct NakOnDrop(Message);
    impl Drop for NakOnDrop {
        fn drop(&mut self) {
            self.0.nak().expect("the store works");
        }
    }
    let store = with_threads();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let worker = jobs.create_consumer(ConsumerConfig::new("worker")).unwrap();
    jobs.publish("jobs", "1").unwrap();
    let message = worker.fetch(1).unwrap().into_iter().next().unwrap();
    let panicked = thread::spawn(move || {
        let _guard = NakOnDrop(message);
        panic!("the application's own");
    });
    assert!(panicked.join().is_err());
    assert_eq!(worker.fetch(1).unwrap()[0].deliveries(), 2);
    jobs.publish("jobs", "2").unwrap();
}

#[test]
fn a_runner_may_be_stopped_by_its_own_handler() {
    let store = with_threads();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let worker = jobs.create_consumer(ConsumerConfig::new("worker")).unwrap();
    let slot: Arc<Mutex<Option<Runner>>> = Arc::default();
    let (said, done) = mpsc::channel();
    let runner = worker
        .run(2, {
            let slot = Arc::clone(&slot);
            move |_: &Message| {
                let runner = slot.lock().unwrap().take();
                let stopped = runner.map(Runner::stop);
                said.send(stopped.is_some_and(|stopped| stopped.is_ok()))
                    .unwrap();
                Ok::<(), String>(())
            }
        })
        .unwrap();
    *slot.lock().unwrap() = Some(runner);
    jobs.publish("jobs", "stop").unwrap();
    assert!(done.recv_timeout(FOREVER).unwrap());
}

#[test]
fn receivers_of_events_end_when_the_store_closes() {
    ends(|| {
        let store = with_threads();
        let events = store.events(10);
        store.close().unwrap();
        assert!(events.recv().is_err());
        assert!(store.events(10).recv().is_err());
    });
}

#[test]
fn idleness_is_told_also_after_a_fetch_that_waited() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let events = store.events(10);
    let jobs = store
        .create_stream(StreamConfig::new("jobs").without_dedup())
        .unwrap();
    let worker = jobs.create_consumer(ConsumerConfig::new("worker")).unwrap();
    assert!(worker.fetch(Fetch::new(1).no_wait()).unwrap().is_empty());
    jobs.publish("jobs", "forgotten").unwrap();
    clock.advance(Duration::from_secs(301));
    store.drive().unwrap();
    assert!(matches!(
        events.try_recv().unwrap(),
        Event::ConsumerIdle { .. }
    ));
}

#[test]
fn a_consumer_is_created_while_the_head_of_its_stream_moves_on() {
    ends(|| {
        let store = with_threads();
        let jobs = store
            .create_stream(StreamConfig::new("jobs").max_messages(5_000))
            .unwrap();
        jobs.publish_batch((0..5_000).map(|_| ("jobs", "")))
            .unwrap();
        let (stop, stopped) = mpsc::channel::<()>();
        let publisher = thread::spawn({
            let jobs = jobs.clone();
            move || {
                while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    jobs.publish_batch((0..500).map(|_| ("jobs", ""))).unwrap();
                }
            }
        });
        let start = riverbed::DeliverPolicy::FromSequence(Seq::new(2));
        jobs.create_consumer(ConsumerConfig::new("worker").deliver(start))
            .unwrap();
        drop(stop);
        publisher.join().unwrap();
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_new_age_limit_is_judged_by_the_time_now() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let jobs = store
        .create_stream(StreamConfig::new("jobs").without_dedup())
        .unwrap();
    jobs.publish("jobs", "old").unwrap();
    clock.advance(Duration::from_secs(60));
    let aged = StreamConfig::new("jobs")
        .without_dedup()
        .max_age(Duration::from_secs(30));
    store.update_stream(aged).unwrap();
    assert_eq!(jobs.info().unwrap().messages, 0);
}

#[test]
fn r1_a_lazy_ack_that_is_refused_waits_for_what_refused_it() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    let consumer = stream
        .create_consumer(ConsumerConfig::new("c").lazy_acks())
        .unwrap();
    stream.publish_batch([("s", "1"), ("s", "2")]).unwrap();
    let held = consumer.fetch(Fetch::new(2).no_wait()).unwrap();
    let due_after_a_kill = || {
        let store = driven(&disk.kill_image(), &clock);
        let consumer = store.stream("s").unwrap().consumer("c").unwrap();
        consumer.info().unwrap().due
    };
    held[0].ack().unwrap();
    assert_eq!(due_after_a_kill(), 2, "the ack is lazy");
    held[0].ack().unwrap_err();
    assert_eq!(due_after_a_kill(), 1, "what is gone does not come back");
    held[1].ack().unwrap();
    assert_eq!(due_after_a_kill(), 1);
    let both = consumer.ack_batch(&held).unwrap();
    assert_eq!(both.refused.len(), 2);
    assert_eq!(due_after_a_kill(), 0);
}

/// A consumer whose dead letters go to a stream of so many bytes that refuses what is too much.
fn with_dead_letters(
    store: &Riverbed,
    most: u64,
) -> (riverbed::Stream, riverbed::Stream, Consumer) {
    let dead = StreamConfig::new("dead").subjects(["dead.>"]);
    let dead = dead.max_bytes(most).discard(riverbed::Discard::New);
    let dead = store.create_stream(dead).unwrap();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let config = ConsumerConfig::new("worker").dead_letter("dead");
    let worker = jobs.create_consumer(config).unwrap();
    (dead, jobs, worker)
}

fn terminate_all(worker: &Consumer) {
    loop {
        let batch = worker.fetch(Fetch::new(1_000).no_wait()).unwrap();
        if batch.is_empty() {
            return;
        }
        batch
            .iter()
            .for_each(|message| message.term("bad").unwrap());
    }
}

#[test]
fn r19_a_letter_that_never_fits_strands_no_other() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let (dead, jobs, worker) = with_dead_letters(&store, 500_000);
    dead.publish("dead.x", vec![0; 499_000]).unwrap();
    jobs.publish("jobs", vec![0; 600_000]).unwrap();
    // More than one step of the sweeper takes.
    jobs.publish_batch((0..400).map(|_| ("jobs", "small")))
        .unwrap();
    terminate_all(&worker);
    store.drive().unwrap();
    dead.purge(riverbed::Purge::all()).unwrap();
    store.drive().unwrap();
    assert_eq!(worker.info().unwrap().refused, 1);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn r19_a_small_letter_is_tried_behind_large_ones() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let (dead, jobs, worker) = with_dead_letters(&store, 8 << 20);
    dead.publish("dead.x", vec![0; 7 << 20]).unwrap();
    let filler = dead.publish("dead.x", vec![0; 900_000]).unwrap().seq;
    // Three of them are more than is read at once.
    for _ in 0..3 {
        jobs.publish("jobs", vec![0; 8_000_000]).unwrap();
    }
    jobs.publish("jobs", vec![0; 500_000]).unwrap();
    terminate_all(&worker);
    store.drive().unwrap();
    assert_eq!(worker.info().unwrap().refused, 4);
    dead.delete(filler).unwrap();
    store.drive().unwrap();
    assert_eq!(worker.info().unwrap().refused, 3);
}

#[test]
fn r19_a_refusal_does_not_hide_that_room_was_made_for_others() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = driven(&disk, &clock);
    let (dead, jobs, worker) = with_dead_letters(&store, 1_000);
    dead.publish("dead.x", vec![0; 900]).unwrap();
    jobs.publish("jobs", "small").unwrap();
    terminate_all(&worker);
    assert_eq!(worker.info().unwrap().refused, 1);
    dead.purge(riverbed::Purge::all()).unwrap();
    // Before the sweeper looks, another one is refused for its own size.
    jobs.publish("jobs", vec![0; 2_000]).unwrap();
    terminate_all(&worker);
    store.drive().unwrap();
    assert_eq!(worker.info().unwrap().refused, 1);
    assert_eq!(dead.info().unwrap().messages, 1);
}

/// A stream whose only message its consumer gave up, and a dead-letter stream that has no room for it.
fn refused(store: &Riverbed) -> (Consumer, riverbed::Stream, riverbed::Stream) {
    let dead = StreamConfig::new("dead")
        .subjects(["dead.>"])
        .without_dedup();
    let dead = dead.max_messages(1).discard(riverbed::Discard::New);
    let dead = dead.max_age(Duration::from_secs(10));
    let dead = store.create_stream(dead).unwrap();
    dead.publish("dead.by.hand", "in the way").unwrap();
    let jobs = StreamConfig::new("jobs")
        .subjects(["jobs.>"])
        .without_dedup();
    let jobs = store
        .create_stream(jobs.max_age(Duration::from_secs(10)))
        .unwrap();
    let worker = ConsumerConfig::new("worker")
        .filter("jobs.a")
        .max_deliver(1);
    let worker = jobs.create_consumer(worker.dead_letter("dead")).unwrap();
    // Blocks of their own, so that not all of the stream is read at once.
    for _ in 0..4 {
        jobs.publish("jobs.b", vec![7; 70_000]).unwrap();
    }
    jobs.publish("jobs.a", "work").unwrap();
    let message = worker.fetch(1).unwrap().into_iter().next().unwrap();
    message.nak().unwrap();
    store.drive().unwrap();
    assert_eq!(worker.info().unwrap().refused, 1);
    (worker, jobs, dead)
}

/// Found by the simulation: it depended on which of the two streams had to be read first.
#[test]
fn r19_what_is_too_old_is_lost_whatever_room_ages_make() {
    for restart in [false, true] {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let mut store = driven(&disk, &clock);
        let (mut worker, ..) = refused(&store);
        if restart {
            store.close().unwrap();
            drop((worker, store));
            store = driven(&disk, &clock);
            worker = store.stream("jobs").unwrap().consumer("worker").unwrap();
        }
        clock.advance(Duration::from_secs(60));
        store.drive().unwrap();
        let info = worker.info().unwrap();
        assert_eq!((info.dead_lettered, info.lost), (0, 1), "restart {restart}");
        assert_eq!(store.stream("dead").unwrap().info().unwrap().messages, 0);
    }
}

/// Found by the simulation: a power cut in the middle of a purge, and room for a letter that was refused.
#[test]
fn r19_a_message_that_is_purged_becomes_no_dead_letter() {
    let mut met = 0;
    for at in 0.. {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let store = driven(&disk, &clock);
        let (old, jobs, dead) = refused(&store);
        dead.purge(riverbed::Purge::all()).unwrap();
        disk.fail_from(disk.operations() + at);
        let purged = jobs.purge(riverbed::Purge::all().filter("jobs.a"));
        let image = disk.crash_image(1);
        drop((store, jobs, dead, old));
        let store = driven(&image, &clock);
        let info = |name| store.stream(name).unwrap().info().unwrap();
        let worker = store.stream("jobs").unwrap().consumer("worker").unwrap();
        let totals = worker.info().unwrap();
        let is_gone = info("jobs").messages == 4;
        assert_eq!(
            (totals.lost, totals.dead_lettered),
            if is_gone { (1, 0) } else { (0, 1) }
        );
        assert_eq!(info("dead").messages, u64::from(!is_gone));
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
        met |= 1 << u8::from(is_gone);
        if purged.is_ok() {
            break;
        }
    }
    assert_eq!(met, 3, "both were met");
}
