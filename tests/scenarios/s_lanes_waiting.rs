//! Waiting in several lanes at once, and running workers over them.

use crate::helpers::*;
use crate::s_lanes::{clean, got, lane, now, three};
use riverbed::{
    Consumer, ConsumerConfig, EmptyReason, Fetch, FetchError, Lanes, Rate, RunOptions, Runner,
    Unavailable,
};
use std::sync::{Mutex, mpsc};
use std::thread;

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

/// A fetch of one message that waits in all lanes by now, as the last of so many in the last of them.
fn waiting(
    lanes: &Lanes,
    last: &Consumer,
    place: u64,
) -> thread::JoinHandle<Result<(String, Vec<u64>), FetchError>> {
    let own = lanes.clone();
    let waiter = thread::spawn(move || {
        let batch = own.fetch(Fetch::new(1).max_wait(secs(5_000)))?;
        batch.ack().unwrap();
        Ok((batch.consumer_name().to_owned(), seqs(&batch)))
    });
    wait_until(|| info(last).waiting == place);
    waiter
}

/// The same of one consumer.
fn waiting_alone(consumer: &Consumer, place: u64) -> thread::JoinHandle<Vec<u64>> {
    let own = consumer.clone();
    let waiter = thread::spawn(move || {
        let batch = own.fetch(Fetch::new(1).max_wait(secs(5_000))).unwrap();
        batch.ack().unwrap();
        seqs(&batch)
    });
    wait_until(|| info(consumer).waiting == place);
    waiter
}

#[test]
fn a_fetch_that_waits_in_lanes_is_woken_by_what_comes_to_any() {
    let world = World::threaded();
    let of = three(&world);
    for (name, seq) in [("bulk", 1), ("urgent", 2), ("normal", 3)] {
        let waiter = waiting(&of.lanes, &of.bulk, 1);
        assert_eq!(info(&of.urgent).waiting, 1);
        of.stream.publish(format!("s.{name}"), "").unwrap();
        assert_eq!(waiter.join().unwrap().unwrap(), lane(name, &[seq]));
        let left = [&of.urgent, &of.normal, &of.bulk].map(|lane| info(lane).waiting);
        assert_eq!(left, [0, 0, 0]);
    }
    // Of what comes to two lanes in one commit, the urgent one is first.
    let waiter = waiting(&of.lanes, &of.bulk, 1);
    of.stream
        .publish_batch([("s.bulk", ""), ("s.urgent", "")])
        .unwrap();
    assert_eq!(waiter.join().unwrap().unwrap(), lane("urgent", &[5]));
    clean(&world);
}

#[test]
fn a_wait_in_lanes_ends_when_it_is_over() {
    let world = World::threaded();
    let of = three(&world);
    let own = of.lanes.clone();
    let waiter = thread::spawn(move || {
        let batch = own.fetch(Fetch::new(1).max_wait(secs(2))).unwrap();
        batch.empty_reason()
    });
    wait_until(|| info(&of.bulk).waiting == 1);
    world.clock.advance(secs(2));
    assert_eq!(waiter.join().unwrap(), Some(EmptyReason::NoMessages));
    let left = [&of.urgent, &of.normal, &of.bulk].map(|lane| info(lane).waiting);
    assert_eq!(left, [0, 0, 0]);
    // It takes nothing any more.
    publish(&of.stream, "s.urgent", 1);
    assert_eq!(got(&of.lanes, 1), lane("urgent", &[1]));
    clean(&world);
}

#[test]
fn a_fetch_that_waits_in_lanes_goes_on_when_the_time_has_come() {
    let world = World::threaded();
    let of = three(&world);
    // The end of a delay.
    publish(&of.stream, "s.normal", 1);
    now(&of.lanes, 1)[0].nak_after(secs(3)).unwrap();
    let waiter = waiting(&of.lanes, &of.bulk, 1);
    world.clock.advance(secs(3));
    assert_eq!(waiter.join().unwrap().unwrap(), lane("normal", &[1]));
    // The end of a pause.
    publish(&of.stream, "s.urgent", 1);
    let until = world.clock.clock().now().plus(secs(3));
    of.urgent.pause(until).unwrap();
    let waiter = waiting(&of.lanes, &of.bulk, 1);
    world.clock.advance(secs(3));
    assert_eq!(waiter.join().unwrap().unwrap(), lane("urgent", &[2]));
    // The turn of a rate.
    let slow = ConsumerConfig::new("slow").filter("s.slow");
    let slow = create(&of.stream, slow.rate_limit(Rate::per_second(1).burst(1)));
    let lanes = world.store.lanes([&slow, &of.bulk]).unwrap();
    publish(&of.stream, "s.slow", 2);
    assert_eq!(got(&lanes, 1), lane("slow", &[3]));
    let waiter = waiting(&lanes, &of.bulk, 1);
    world.clock.advance(secs(1));
    assert_eq!(waiter.join().unwrap().unwrap(), lane("slow", &[4]));
    // A lease that lapses.
    publish(&of.stream, "s.bulk", 1);
    assert_eq!(got(&of.lanes, 1), lane("bulk", &[5]));
    let waiter = waiting(&of.lanes, &of.bulk, 1);
    world.clock.advance(secs(30));
    assert_eq!(waiter.join().unwrap().unwrap(), lane("bulk", &[5]));
    clean(&world);
}

#[test]
fn a_fetch_in_lanes_and_one_beside_it_are_both_served() {
    let world = World::threaded();
    let of = three(&world);
    // In both orders of coming; in one commit, and in two.
    for round in 0..4 {
        let (first, both) = (round % 2, round < 2);
        let (mut lanes, mut alone) = (None, None);
        for place in 1..=2 {
            if place == first + 1 {
                lanes = Some(waiting(&of.lanes, &of.bulk, place));
            } else {
                alone = Some(waiting_alone(&of.bulk, place));
            }
        }
        if both {
            of.stream
                .publish_batch([("s.bulk", ""), ("s.bulk", "")])
                .unwrap();
        } else {
            publish(&of.stream, "s.bulk", 2);
        }
        let (_, mut all) = lanes.unwrap().join().unwrap().unwrap();
        all.extend(alone.unwrap().join().unwrap());
        all.sort_unstable();
        assert_eq!(all, [2 * round + 1, 2 * round + 2]);
    }
    clean(&world);
}

#[test]
fn a_wake_up_that_came_to_a_fetch_served_in_another_lane_is_passed_on() {
    let world = World::threaded();
    let of = three(&world);
    for round in 0..20 {
        let lanes = waiting(&of.lanes, &of.bulk, 1);
        let alone = waiting_alone(&of.bulk, 2);
        let batch = [("s.bulk", ""), ("s.urgent", "")];
        of.stream.publish_batch(batch).unwrap();
        let (bulk, urgent) = (2 * round + 1, 2 * round + 2);
        let got = lanes.join().unwrap().unwrap();
        assert_eq!(got, lane("urgent", &[urgent]));
        assert_eq!(alone.join().unwrap(), [bulk]);
    }
    clean(&world);
}

#[test]
fn an_earlier_priority_comes_first_in_every_lane() {
    let world = World::threaded();
    let of = three(&world);
    let own = of.lanes.clone();
    let later = thread::spawn(move || {
        let fetch = Fetch::new(1).priority(5).max_wait(secs(5_000));
        seqs(&own.fetch(fetch).unwrap())
    });
    wait_until(|| info(&of.bulk).waiting == 1);
    let alone = waiting_alone(&of.urgent, 2);
    publish(&of.stream, "s.urgent", 1);
    assert_eq!(alone.join().unwrap(), [1]);
    publish(&of.stream, "s.urgent", 1);
    assert_eq!(later.join().unwrap(), [2]);
    // The other way round: who comes later leaves it to the lanes, and they take it.
    let lanes = waiting(&of.lanes, &of.bulk, 1);
    publish(&of.stream, "s.bulk", 1);
    let reason = of.bulk.fetch(Fetch::new(1).priority(5).no_wait()).unwrap();
    assert!(reason.is_empty());
    assert_eq!(lanes.join().unwrap().unwrap(), lane("bulk", &[3]));
    clean(&world);
}

#[test]
fn deleting_a_lane_ends_the_fetch_that_waits_and_leaves_nothing_behind() {
    let world = World::threaded();
    let of = three(&world);
    let waiter = waiting(&of.lanes, &of.bulk, 1);
    let alone = waiting_alone(&of.urgent, 2);
    of.stream.delete_consumer("normal").unwrap();
    let gone = FetchError::ConsumerGone {
        consumer: "normal".to_owned(),
    };
    assert_eq!(waiter.join().unwrap(), Err(gone));
    assert_eq!((info(&of.urgent).waiting, info(&of.bulk).waiting), (1, 0));
    publish(&of.stream, "s.urgent", 1);
    assert_eq!(alone.join().unwrap(), [1]);
    let lanes = world.store.lanes([&of.urgent, &of.bulk]).unwrap();
    let waiter = waiting(&lanes, &of.bulk, 1);
    world.store.delete_stream("s").unwrap();
    assert!(matches!(
        waiter.join().unwrap(),
        Err(FetchError::ConsumerGone { .. })
    ));
    clean(&world);
}

#[test]
fn closing_ends_the_fetch_that_waits() {
    let world = World::threaded();
    let of = three(&world);
    let waiter = waiting(&of.lanes, &of.bulk, 1);
    world.store.close().unwrap();
    let closed = FetchError::Unavailable(Unavailable::Closed);
    assert_eq!(waiter.join().unwrap(), Err(closed.clone()));
    assert_eq!(of.lanes.fetch(1).map(drop), Err(closed));
}

#[test]
fn a_runner_over_lanes_handles_what_is_urgent_first() {
    let world = World::threaded();
    let of = three(&world);
    publish(&of.stream, "s.bulk", 3);
    publish(&of.stream, "s.urgent", 2);
    let (done, seen) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let runner = of.lanes.run(1, move |message| {
        done.send(message.seq().get()).unwrap();
        gate.lock().unwrap().recv().map_err(|_| "over")
    });
    let runner = runner.unwrap();
    let mut order = Vec::new();
    for handled in 0..7 {
        order.push(seen.recv().unwrap());
        if handled == 2 {
            // A bulk message is in hand: what comes now is next.
            publish(&of.stream, "s.urgent", 1);
            publish(&of.stream, "s.normal", 1);
        }
        go.send(()).unwrap();
    }
    assert_eq!(order, [4, 5, 1, 6, 7, 2, 3]);
    wait_until(|| info(&of.bulk).acked == 3);
    let report = runner.stop().unwrap();
    assert_eq!((report.acked, report.failed), (7, 0));
    assert_eq!((info(&of.urgent).acked, info(&of.normal).acked), (3, 1));
    clean(&world);
}

#[test]
fn stopping_a_runner_over_lanes_gives_back_what_it_had_not_begun() {
    let world = World::threaded();
    let of = three(&world);
    // With nothing to do.
    let idle = of.lanes.run(3, |_| Ok::<(), String>(())).unwrap();
    wait_until(|| info(&of.bulk).waiting == 3);
    assert_eq!(idle.stop().unwrap().acked, 0);
    let left = [&of.urgent, &of.normal, &of.bulk].map(|lane| info(lane).waiting);
    assert_eq!(left, [0, 0, 0]);
    publish(&of.stream, "s.bulk", 3);
    // The first message has the runner stopped, and two are left.
    let (hand_over, own) = mpsc::channel::<Runner>();
    let own = Mutex::new(own);
    let options = RunOptions::new(1).batch(3);
    let runner = of.lanes.run_with(options, move |_| {
        let runner = own.lock().unwrap().recv().map_err(|_| "handled twice")?;
        runner.stop().map(drop).map_err(|_| "not stopped")
    });
    hand_over.send(runner.unwrap()).unwrap();
    wait_until(|| info(&of.bulk).acked == 1 && info(&of.bulk).in_flight == 0);
    let rest = take(&of.bulk, 3);
    assert_eq!((seqs(&rest), deliveries(&rest)), (vec![2, 3], vec![1, 1]));
    clean(&world);
}

#[test]
fn many_workers_in_lanes_and_beside_them_handle_everything_once() {
    let world = World::threaded();
    let of = three(&world);
    let lanes = of.lanes.run(3, |_| Ok::<(), String>(())).unwrap();
    let beside = of.bulk.run(2, |_| Ok::<(), String>(())).unwrap();
    let reversed = world.store.lanes([&of.bulk, &of.urgent]).unwrap();
    let reversed = reversed.run(2, |_| Ok::<(), String>(())).unwrap();
    for round in 0..100 {
        let subject = ["s.urgent", "s.bulk", "s.normal"][round % 3];
        of.stream.publish(subject, "").unwrap();
        if round % 7 == 0 {
            let both = [("s.bulk", ""), ("s.urgent", ""), ("s.bulk", "")];
            of.stream.publish_batch(both).unwrap();
        }
    }
    let acked = || {
        let lanes = [&of.urgent, &of.normal, &of.bulk];
        lanes.map(|lane| info(lane).acked).iter().sum::<u64>()
    };
    wait_until(|| acked() == 145);
    let reports = [lanes, beside, reversed].map(|runner| runner.stop().unwrap());
    let settled: u64 = reports.iter().map(|report| report.acked).sum();
    assert_eq!(settled, 145);
    clean(&world);
}
