//! A stream with a dead-letter stream and little room: every message is acked once or dies once.

use crate::{Stop, sum};
use riverbed::{
    AckError, Batch, Consumer, ConsumerConfig, Discard, Fetch, Message, Publish, Purge, Refusal,
    Riverbed, Runner, Seq, Stream, StreamConfig,
};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::Scope;
use std::time::Duration;

const PUBLISHERS: usize = 4;
const WORKERS: u64 = 4;
/// Room in the stream: publishers wait for it, and so the file stays small.
const ROOM: u64 = 4_000;
const BRIEF: Duration = Duration::from_millis(50);
/// Longer than anybody waits here while all is well.
const LONG: Duration = Duration::from_secs(120);

pub(crate) struct Work {
    stream: Stream,
    consumer: Consumer,
    dead: Stream,
    /// What each publisher published.
    published: [AtomicU64; PUBLISHERS],
    /// For each publisher, which messages have been acked, as work or as dead letters.
    done: [Mutex<Vec<bool>>; PUBLISHERS],
    acked: AtomicU64,
    handed_out: AtomicU64,
    runner: Mutex<Option<Runner>>,
    /// Wakes the trimmer.
    progress: SyncSender<()>,
    progressed: Mutex<Option<Receiver<()>>>,
    publishing: Mutex<Vec<Receiver<()>>>,
}

impl Work {
    pub(crate) fn new(store: &Riverbed) -> Self {
        let config = StreamConfig::new("work")
            .max_messages(ROOM)
            .discard(Discard::New);
        let stream = store.create_stream(config).unwrap();
        let config = ConsumerConfig::new("c").ack_wait(Duration::from_secs(1));
        let config = config.max_deliver(3).dead_letter("dead");
        let consumer = stream.create_consumer(config).unwrap();
        let dead = store.stream("dead").unwrap();
        dead.create_consumer(ConsumerConfig::new("reader")).unwrap();
        stream
            .create_consumer(ConsumerConfig::new("runner"))
            .unwrap();
        let (progress, progressed) = sync_channel(1);
        Self {
            stream,
            consumer,
            dead,
            published: Default::default(),
            done: Default::default(),
            acked: AtomicU64::new(0),
            handed_out: AtomicU64::new(0),
            runner: Mutex::default(),
            progress,
            progressed: Mutex::new(Some(progressed)),
            publishing: Mutex::default(),
        }
    }

    pub(crate) fn start<'s>(&'s self, scope: &'s Scope<'s, '_>, no_more: &'s Stop, stop: &'s Stop) {
        let failing = AtomicU64::new(0);
        let handler = move |_: &Message| match failing.fetch_add(1, Ordering::Relaxed) % 50 {
            0 => Err("it fails, as it should"),
            _ => Ok(()),
        };
        let runner = self
            .stream
            .consumer("runner")
            .unwrap()
            .run(2, handler)
            .unwrap();
        *self.runner.lock().unwrap() = Some(runner);
        for own in 0..PUBLISHERS {
            let (ended, end) = sync_channel(1);
            self.publishing.lock().unwrap().push(end);
            scope.spawn(move || {
                self.publish(own, no_more);
                drop(ended);
            });
        }
        for seed in 0..WORKERS {
            scope.spawn(move || self.handle(seed, stop));
        }
        scope.spawn(|| self.read_dead_letters(stop));
        let progressed = self.progressed.lock().unwrap().take().unwrap();
        scope.spawn(move || {
            while progressed.recv_timeout(BRIEF).is_ok() || !stop.said() {
                self.trim();
            }
        });
    }

    /// One publishes alone, one in batches, two without waiting for the disk.
    fn publish(&self, own: usize, no_more: &Stop) {
        let message =
            |number: u64| Publish::new("work", format!("{own} {number}")).wait_for_room(LONG);
        while !no_more.said() {
            let next = self.published[own].load(Ordering::Relaxed);
            let published = match own {
                0 => self.stream.publish_message(message(next)).map(|_| 1),
                1 => self
                    .stream
                    .publish_batch((next..next + 7).map(message))
                    .map(|_| 7),
                _ => self.stream.publish_async(message(next)).map(|_| 1),
            };
            self.published[own].fetch_add(published.unwrap(), Ordering::Relaxed);
        }
        self.stream.flush().unwrap();
    }

    /// Returns when the last publisher has ended.
    pub(crate) fn publishers_end(&self) {
        for end in self.publishing.lock().unwrap().drain(..) {
            assert!(end.recv().is_err(), "only the end of the thread ends this");
        }
    }

    fn handle(&self, seed: u64, stop: &Stop) {
        let mut random = fastrand::Rng::with_seed(seed);
        while !stop.said() {
            let fetch = Fetch::new(random.usize(1..40)).max_wait(BRIEF);
            let batch = self.consumer.fetch(fetch).unwrap();
            self.handed_out
                .fetch_add(batch.len() as u64, Ordering::Relaxed);
            if random.u8(0..3) == 0 {
                self.ack_at_once(&batch);
            } else {
                for message in &*batch {
                    self.settle(message, &mut random);
                }
            }
            match self.progress.try_send(()) {
                Ok(()) | Err(TrySendError::Full(())) => {}
                Err(TrySendError::Disconnected(())) => assert!(stop.said()),
            }
        }
    }

    fn ack_at_once(&self, batch: &Batch) {
        let acks = batch.ack().unwrap();
        for message in &**batch {
            if !acks
                .refused
                .iter()
                .any(|refusal| is_of(refusal, message.seq()))
            {
                self.acked(message);
            }
        }
    }

    fn settle(&self, message: &Message, random: &mut fastrand::Rng) {
        let settled = match random.u8(0..100) {
            0..=4 => message.nak_now(),
            5..=7 => message.nak_after(Duration::from_millis(random.u64(1..40))),
            8 => message.term("it is of no use"),
            // Its lease lapses.
            9 => return,
            rest => {
                let extended = if rest < 20 {
                    message.in_progress()
                } else {
                    Ok(())
                };
                extended
                    .and_then(|()| message.ack())
                    .inspect(|()| self.acked(message))
            }
        };
        match settled {
            Ok(()) | Err(AckError::Refused(_)) => {}
            Err(why) => panic!("{why}"),
        }
    }

    fn acked(&self, message: &Message) {
        self.acked.fetch_add(1, Ordering::Relaxed);
        self.mark(message.payload());
    }

    /// A message is over, for the first and only time.
    fn mark(&self, payload: &[u8]) {
        let text = std::str::from_utf8(payload).unwrap();
        let (own, number) = text.split_once(' ').unwrap();
        let (own, number): (usize, usize) = (own.parse().unwrap(), number.parse().unwrap());
        let mut done = self.done[own].lock().unwrap();
        if done.len() <= number {
            done.resize(number + 1, false);
        }
        assert!(
            !std::mem::replace(&mut done[number], true),
            "{text} is over twice"
        );
    }

    fn read_dead_letters(&self, stop: &Stop) {
        let reader = self.dead.consumer("reader").unwrap();
        while !stop.said() {
            let batch = reader.fetch(Fetch::new(100).max_wait(BRIEF)).unwrap();
            assert!(batch.ack().unwrap().refused.is_empty());
            for letter in &*batch {
                self.mark(letter.payload());
            }
        }
    }

    /// Makes room: what both consumers have finished goes.
    fn trim(&self) {
        let floor = |name| {
            self.stream
                .consumer(name)
                .unwrap()
                .info()
                .unwrap()
                .ack_floor
        };
        let below = floor("c").min(floor("runner")).get() + 1;
        if self.stream.info().unwrap().first_seq < below.into() {
            self.stream
                .purge(Purge::all().up_to(Seq::new(below)))
                .unwrap();
        }
    }

    pub(crate) fn look(&self) {
        let known = self.consumer.info().unwrap();
        assert!(known.ack_floor <= known.delivered, "{known:?}");
        assert!(self.stream.info().unwrap().messages <= ROOM);
    }

    fn total(&self) -> u64 {
        self.published
            .iter()
            .map(|own| own.load(Ordering::Relaxed))
            .sum()
    }

    /// Compares what was done with what the store says.
    pub(crate) fn add_up(&self, store: &Riverbed) {
        if let Some(runner) = self.runner.lock().unwrap().take() {
            let (report, known) = (runner.stop().unwrap(), self.stream.consumer("runner"));
            let known = known.unwrap().info().unwrap();
            assert_eq!((known.acked, known.failures), (report.acked, report.failed));
            assert_eq!((known.in_flight, report.panicked), (0, 0));
        }
        let (stream, total) = (store.stream("work").unwrap(), self.total());
        assert_eq!(stream.info().unwrap().last_seq, total);
        for name in ["c", "runner"] {
            let known = stream.consumer(name).unwrap().info().unwrap();
            assert_eq!(sum(&known), total, "{known:?}");
            assert_eq!((known.lost, known.dropped), (0, 0), "{known:?}");
        }
        let known = stream.consumer("c").unwrap().info().unwrap();
        assert_eq!(known.acked, self.acked.load(Ordering::Relaxed));
        assert_eq!(known.deliveries, self.handed_out.load(Ordering::Relaxed));
        let dead = store.stream("dead").unwrap();
        assert_eq!(dead.info().unwrap().last_seq, known.dead_lettered);
    }

    /// Takes what is left, so that every message published is seen to be over.
    pub(crate) fn drain(&self, store: &Riverbed) {
        let stream = store.stream("work").unwrap();
        let consumer = stream.consumer("c").unwrap();
        let left = |known: riverbed::ConsumerInfo| {
            known.pending + known.in_flight + known.due + known.delayed
        };
        while left(consumer.info().unwrap()) > 0 {
            let batch = consumer.fetch(Fetch::new(1_000).max_wait(LONG)).unwrap();
            assert_eq!(batch.ack().unwrap().acked, batch.len());
            self.handed_out
                .fetch_add(batch.len() as u64, Ordering::Relaxed);
            batch.iter().for_each(|message| self.acked(message));
        }
        let reader = store.stream("dead").unwrap().consumer("reader").unwrap();
        let letters = reader.fetch(Fetch::new(10_000).no_wait()).unwrap();
        letters
            .iter()
            .for_each(|letter| self.mark(letter.payload()));
        letters.ack().unwrap();
        assert_eq!(reader.info().unwrap().pending, 0);
        for (done, published) in self.done.iter().zip(&self.published) {
            let done = done.lock().unwrap();
            assert_eq!(done.len() as u64, published.load(Ordering::Relaxed));
            assert!(done.iter().all(|over| *over), "a message is lost");
        }
        self.add_up(store);
    }

    pub(crate) fn line(&self, store: &Riverbed) -> String {
        let known = store
            .stream("work")
            .unwrap()
            .consumer("c")
            .unwrap()
            .info()
            .unwrap();
        format!(
            "published={} acked={} dead_lettered={} failures={}",
            self.total(),
            known.acked,
            known.dead_lettered,
            known.failures
        )
    }
}

fn is_of(refusal: &Refusal, of: Seq) -> bool {
    match refusal {
        Refusal::Stale { seq, .. } | Refusal::Gone { seq, .. } => *seq == of,
        other => panic!("{other}"),
    }
}
