//! A stream that drops its oldest messages and is purged and deleted from, while a consumer follows it:
//! what it did not get is counted (G11).

use crate::{Stop, sum};
use riverbed::{
    AckError, Consumer, ConsumerConfig, Fetch, Purge, PurgeError, Riverbed, Seq, Stream,
    StreamConfig,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Scope;
use std::time::Duration;

/// Messages that the stream keeps.
const KEPT: u64 = 500;

pub(crate) struct Log {
    stream: Stream,
    consumer: Consumer,
    published: AtomicU64,
    acked: AtomicU64,
}

impl Log {
    pub(crate) fn new(store: &Riverbed) -> Self {
        let config = StreamConfig::new("log")
            .subjects(["log.*"])
            .max_messages(KEPT);
        let stream = store.create_stream(config).unwrap();
        let config = ConsumerConfig::new("tail").ack_wait(Duration::from_secs(1));
        let consumer = stream.create_consumer(config).unwrap();
        let (published, acked) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            stream,
            consumer,
            published,
            acked,
        }
    }

    pub(crate) fn start<'s>(&'s self, scope: &'s Scope<'s, '_>, no_more: &'s Stop, stop: &'s Stop) {
        scope.spawn(|| self.publish_and_purge(no_more));
        for seed in 0..2 {
            scope.spawn(move || self.follow(seed, stop));
        }
    }

    fn publish_and_purge(&self, no_more: &Stop) {
        let mut random = fastrand::Rng::with_seed(7);
        while !no_more.said() {
            let messages = random.u64(1..60);
            let batch = (0..messages).map(|number| (["log.a", "log.b"][number as usize % 2], "x"));
            self.stream.publish_batch(batch).unwrap();
            self.published.fetch_add(messages, Ordering::Relaxed);
            let last = self.stream.info().unwrap().last_seq.get();
            let back = Seq::new(last.saturating_sub(random.u64(0..KEPT)).max(1));
            match random.u8(0..20) {
                0 => drop(self.stream.purge(Purge::all().filter("log.a")).unwrap()),
                1 => drop(self.stream.purge(Purge::all().up_to(back)).unwrap()),
                2 => drop(self.stream.purge(Purge::all().keep(100)).unwrap()),
                3..10 => match self.stream.delete(back) {
                    Ok(()) | Err(PurgeError::NoMessage { .. }) => {}
                    Err(why) => panic!("{why}"),
                },
                _ => {}
            }
        }
    }

    fn follow(&self, seed: u64, stop: &Stop) {
        let mut random = fastrand::Rng::with_seed(seed);
        while !stop.said() {
            let fetch = Fetch::new(random.usize(1..50)).max_wait(Duration::from_millis(50));
            let batch = self.consumer.fetch(fetch).unwrap();
            for message in &*batch {
                let settled = match random.u8(0..20) {
                    0 => message.nak_now(),
                    1 => continue,
                    _ => message.ack().inspect(|()| {
                        self.acked.fetch_add(1, Ordering::Relaxed);
                    }),
                };
                match settled {
                    Ok(()) | Err(AckError::Refused(_)) => {}
                    Err(why) => panic!("{why}"),
                }
            }
        }
    }

    pub(crate) fn look(&self) {
        for message in self.stream.range(..) {
            assert_eq!(message.unwrap().payload(), b"x");
        }
    }

    pub(crate) fn add_up(&self, store: &Riverbed) {
        let stream = store.stream("log").unwrap();
        let (published, known) = (
            self.published.load(Ordering::Relaxed),
            stream.info().unwrap(),
        );
        assert_eq!(known.last_seq, published);
        assert!(known.messages <= KEPT);
        assert_eq!(stream.range(..).count() as u64, known.messages);
        let known = stream.consumer("tail").unwrap().info().unwrap();
        assert_eq!(sum(&known), published, "{known:?}");
        assert_eq!(known.acked, self.acked.load(Ordering::Relaxed));
    }

    pub(crate) fn line(&self, store: &Riverbed) -> String {
        let known = store
            .stream("log")
            .unwrap()
            .consumer("tail")
            .unwrap()
            .info()
            .unwrap();
        let published = self.published.load(Ordering::Relaxed);
        format!(
            "logged={published} followed={} lost={}",
            known.acked, known.lost
        )
    }
}
