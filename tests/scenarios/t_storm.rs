//! L19: everybody at once, with the store's own threads.

use crate::helpers::*;
use riverbed::{Consumer, ConsumerConfig, Fetch, Message, Purge, Seq, Stream};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// What the workers saw.
#[derive(Default)]
struct Seen {
    acked: Mutex<Vec<u64>>,
    serials: Mutex<Vec<u64>>,
    published: AtomicU64,
    over: AtomicBool,
}

impl Seen {
    fn settle(&self, message: &Message, random: &mut fastrand::Rng) {
        self.serials.lock().unwrap().push(message.serial());
        let settled = match random.u8(0..10) {
            0 => message.nak(),
            1 => message.nak_after(millis(random.u64(1..50))),
            2 => message.term("x"),
            3 => return,
            _ => {
                let acked = message.ack();
                if acked.is_ok() {
                    self.acked.lock().unwrap().push(message.seq().get());
                }
                acked
            }
        };
        assert!(
            settled.is_ok() || is_stale(&settled) || is_gone(&settled),
            "{settled:?}"
        );
    }

    fn work(&self, consumer: &Consumer, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        while !self.over.load(Ordering::Relaxed) {
            let ask = Fetch::new(random.usize(1..20)).no_wait();
            for message in consumer.fetch(ask).unwrap() {
                self.settle(&message, &mut random);
            }
        }
    }

    fn publish(&self, stream: &Stream, batches: u64) {
        for number in 0..batches {
            let batch: Vec<_> = (0..=number % 7).map(|_| ("s.a", "x")).collect();
            let count = batch.len() as u64;
            stream.publish_batch(batch).unwrap();
            self.published.fetch_add(count, Ordering::Relaxed);
        }
    }
}

#[test]
fn l19_in_a_storm_nothing_is_acked_twice_and_nothing_is_lost() {
    let world = World::threaded();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c")
        .ack_wait(millis(100))
        .max_deliver(4);
    let consumer = create(&stream, config);
    let seen = Seen::default();
    thread::scope(|scope| {
        for seed in 0..4 {
            let (seen, own) = (&seen, stream.consumer("c").unwrap());
            scope.spawn(move || seen.work(&own, seed));
        }
        let others = [
            scope.spawn(|| seen.publish(&stream, 120)),
            scope.spawn(|| seen.publish(&stream, 120)),
            scope.spawn(|| {
                let mut random = fastrand::Rng::with_seed(9);
                for _ in 0..40 {
                    let last = stream.info().unwrap().last_seq.get();
                    stream.delete(Seq::new(random.u64(1..=last.max(1)))).ok();
                    if random.u8(0..5) == 0 {
                        stream
                            .purge(Purge::all().up_to(Seq::new(last / 2)))
                            .unwrap();
                    }
                }
            }),
        ];
        while !others.iter().all(thread::ScopedJoinHandle::is_finished) {
            world.clock.advance(millis(10));
            thread::yield_now();
        }
        seen.over.store(true, Ordering::Relaxed);
    });
    // What is left is drained.
    for _ in 0..10 {
        world.pass(secs(1));
        for message in take(&consumer, 10_000) {
            message.ack().unwrap();
            seen.acked.lock().unwrap().push(message.seq().get());
        }
    }
    let acked = seen.acked.into_inner().unwrap();
    let known = info(&consumer);
    assert_eq!(
        acked.len(),
        acked.iter().collect::<BTreeSet<_>>().len(),
        "acked twice"
    );
    assert_eq!(known.acked, acked.len() as u64);
    let over = known.acked + known.dropped + known.lost + known.parked;
    assert_eq!(over, seen.published.into_inner(), "{known:?}");
    let serials = seen.serials.into_inner().unwrap();
    assert_eq!(
        serials.len(),
        serials.iter().collect::<BTreeSet<_>>().len(),
        "a serial twice"
    );
}

#[test]
fn g1_a_kill_in_a_storm_keeps_what_was_answered() {
    let world = World::threaded();
    let stream = world.stream("s");
    create(&stream, ConsumerConfig::new("c").ack_wait(secs(3600)));
    let seen = Seen::default();
    thread::scope(|scope| {
        for seed in 0..2 {
            let (seen, own) = (&seen, stream.consumer("c").unwrap());
            scope.spawn(move || seen.work(&own, seed));
        }
        let publishers = [(), ()].map(|()| scope.spawn(|| seen.publish(&stream, 60)));
        let mut images = 0;
        while images < 8 || !publishers.iter().all(thread::ScopedJoinHandle::is_finished) {
            images += 1;
            let acked: BTreeSet<u64> = seen.acked.lock().unwrap().iter().copied().collect();
            let published = seen.published.load(Ordering::Relaxed);
            let after = World::on(world.disk.kill_image(), world.clock.clone());
            let stored = stored(&after.store.stream("s").unwrap());
            assert!(stored.len() as u64 >= published, "G1");
            assert_eq!(
                stored,
                (1..=stored.len() as u64).collect::<Vec<u64>>(),
                "G7"
            );
            let consumer = after.consumer("s", "c");
            let again = take(&consumer, 10_000);
            assert!(
                again
                    .iter()
                    .all(|message| !acked.contains(&message.seq().get()))
            );
            let known = info(&consumer);
            let over = known.acked + known.dropped;
            let all = over + known.delayed + known.in_flight + known.due + known.pending;
            assert_eq!(all, stored.len() as u64, "{known:?}");
            if images > 60 {
                break;
            }
        }
        for publisher in publishers {
            publisher.join().unwrap();
        }
        seen.over.store(true, Ordering::Relaxed);
    });
}
