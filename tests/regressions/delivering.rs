//! Fetching, settling and running workers.

use super::{FOREVER, driven, ends, wait_for_waiting, with_threads};
use riverbed::disk::MemoryDisk;
use riverbed::{ConsumerConfig, Fetch, ManualClock, Message, Riverbed, Runner, Seq, StreamConfig};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

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
