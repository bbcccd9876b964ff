//! Fetches that wait in several lanes: woken by any, and nobody beside them is left behind.

use crate::world::{LONG, World, explore, one};
use riverbed::{Consumer, ConsumerConfig, Fetch, FetchError, Lanes, Stream, StreamConfig};
use shuttle::sync::mpsc;
use shuttle::thread;
use std::time::Duration;

/// Two lanes of one stream.
struct Two {
    stream: Stream,
    urgent: Consumer,
    bulk: Consumer,
    lanes: Lanes,
}

fn two(world: &World) -> Two {
    let config = StreamConfig::new("s").subjects(["urgent", "bulk"]);
    let stream = world.store.create_stream(config).unwrap();
    let lane = |name: &str| {
        let config = ConsumerConfig::new(name).filter(name);
        stream.create_consumer(config).unwrap()
    };
    let (urgent, bulk) = (lane("urgent"), lane("bulk"));
    let lanes = world.store.lanes([&urgent, &bulk]).unwrap();
    Two {
        stream,
        urgent,
        bulk,
        lanes,
    }
}

impl Two {
    fn nothing_is_left(&self, acked: u64) {
        let (urgent, bulk) = (self.urgent.info().unwrap(), self.bulk.info().unwrap());
        assert_eq!(urgent.acked + bulk.acked, acked);
        assert_eq!((urgent.pending, bulk.pending), (0, 0));
        assert_eq!((urgent.waiting, bulk.waiting), (0, 0));
        assert_eq!((urgent.failures, bulk.failures), (0, 0));
    }
}

fn acked(lanes: &Lanes) -> Result<usize, FetchError> {
    Ok(lanes.fetch(one())?.ack().unwrap().acked)
}

#[test]
fn a_fetch_in_two_lanes_gets_what_is_published_to_either() {
    explore(|| {
        let world = World::new();
        let two = two(&world);
        let publishers: Vec<_> = ["urgent", "bulk"]
            .into_iter()
            .map(|subject| {
                let stream = two.stream.clone();
                thread::spawn(move || stream.publish(subject, "").map(drop))
            })
            .collect();
        for _ in 0..2 {
            assert_eq!(acked(&two.lanes), Ok(1));
        }
        for publisher in publishers {
            publisher.join().unwrap().unwrap();
        }
        two.nothing_is_left(2);
        world.end();
    });
}

#[test]
fn a_fetch_beside_one_in_lanes_is_not_left_behind() {
    explore(|| {
        let world = World::new();
        let two = two(&world);
        let (lanes, bulk) = (two.lanes.clone(), two.bulk.clone());
        let in_lanes = thread::spawn(move || acked(&lanes));
        let beside = thread::spawn(move || bulk.fetch(one()).unwrap().ack().unwrap().acked);
        let stream = two.stream.clone();
        let publisher = thread::spawn(move || stream.publish("bulk", "").map(drop));
        two.stream
            .publish_batch([("bulk", ""), ("urgent", "")])
            .unwrap();
        // Whichever the one in lanes takes, there is one for the other.
        assert_eq!(beside.join().unwrap(), 1);
        assert_eq!(in_lanes.join().unwrap(), Ok(1));
        publisher.join().unwrap().unwrap();
        assert_eq!(acked(&two.lanes), Ok(1));
        two.nothing_is_left(3);
        world.end();
    });
}

#[test]
fn fetches_in_lanes_of_opposite_orders_share_what_there_is() {
    explore(|| {
        let world = World::new();
        let two = two(&world);
        let opposite = world.store.lanes([&two.bulk, &two.urgent]).unwrap();
        let fetchers: Vec<_> = [two.lanes.clone(), opposite, two.lanes.clone()]
            .into_iter()
            .map(|lanes| thread::spawn(move || acked(&lanes)))
            .collect();
        let stream = two.stream.clone();
        let publisher = thread::spawn(move || stream.publish("urgent", "").map(drop));
        two.stream.publish("bulk", "").unwrap();
        two.stream.publish("bulk", "").unwrap();
        for fetcher in fetchers {
            assert_eq!(fetcher.join().unwrap(), Ok(1));
        }
        publisher.join().unwrap().unwrap();
        two.nothing_is_left(3);
        world.end();
    });
}

#[test]
fn a_fetch_in_lanes_whose_wait_ends_hands_its_wake_up_to_the_next_in_line() {
    explore(|| {
        let world = World::new();
        let two = two(&world);
        let (done, finished) = mpsc::channel();
        let (lanes, told) = (two.lanes.clone(), done.clone());
        let brief = thread::spawn(move || {
            let fetch = Fetch::new(1).max_wait(Duration::from_secs(1));
            let acks = lanes.fetch(fetch).unwrap().ack().unwrap();
            told.send(("brief", acks.acked)).unwrap();
        });
        let bulk = two.bulk.clone();
        let patient = thread::spawn(move || {
            let acks = bulk.fetch(one()).unwrap().ack().unwrap();
            done.send(("patient", acks.acked)).unwrap();
        });
        let clock = world.clock.clone();
        let time = thread::spawn(move || clock.advance(Duration::from_secs(1)));
        two.stream.publish("bulk", "").unwrap();
        let first = finished.recv().unwrap();
        if first != ("brief", 0) {
            two.stream.publish("bulk", "").unwrap();
        }
        let second = finished.recv().unwrap();
        assert!(first == ("patient", 1) || second == ("patient", 1));
        for thread in [brief, patient, time] {
            thread.join().unwrap();
        }
        let last = acks_left(&two);
        two.nothing_is_left((first.1 + second.1 + last) as u64);
        world.end();
    });
}

/// What came after a wait had ended with nothing.
fn acks_left(two: &Two) -> usize {
    let batch = two.lanes.fetch(Fetch::new(2).no_wait()).unwrap();
    batch.ack().unwrap().acked
}

#[test]
fn deleting_a_lane_ends_who_waits_there_and_nobody_else() {
    explore(|| {
        let world = World::new();
        let two = two(&world);
        let (lanes, bulk) = (two.lanes.clone(), two.bulk.clone());
        let in_lanes = thread::spawn(move || acked(&lanes));
        let beside = thread::spawn(move || bulk.fetch(one()).unwrap().ack().unwrap().acked);
        let stream = two.stream.clone();
        let publisher = thread::spawn(move || stream.publish("bulk", "").map(drop));
        two.stream.delete_consumer("urgent").unwrap();
        publisher.join().unwrap().unwrap();
        match in_lanes.join().unwrap() {
            // It was quicker than both.
            Ok(taken) => {
                assert_eq!(taken, 1);
                two.stream.publish("bulk", "").unwrap();
            }
            Err(why) => assert!(matches!(why, FetchError::ConsumerGone { .. }), "{why:?}"),
        }
        assert_eq!(beside.join().unwrap(), 1);
        world.end();
    });
}

#[test]
fn closing_or_stopping_ends_who_waits_in_lanes() {
    explore(|| {
        let world = World::new();
        let two = two(&world);
        let lanes = two.lanes.clone();
        let waiter = thread::spawn(move || lanes.fetch(Fetch::new(1).max_wait(LONG)).map(drop));
        let runner = two.lanes.run(2, |_| Ok::<(), String>(())).unwrap();
        two.stream.publish("bulk", "").unwrap();
        let report = runner.stop().unwrap();
        world.store.close().unwrap();
        match waiter.join().unwrap() {
            Ok(()) => assert_eq!(report.acked, 0),
            Err(why) => assert_eq!(why, FetchError::Unavailable(riverbed::Unavailable::Closed)),
        }
    });
}
