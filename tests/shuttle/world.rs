//! What the tests share: a store in memory, and the two schedulers.

use riverbed::disk::MemoryDisk;
use riverbed::{
    Builder, Consumer, ConsumerConfig, Durability, Fetch, ManualClock, Riverbed, Stream,
    StreamConfig,
};
use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
    UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, MaxSteps, Runner};
use std::env;
use std::sync::Arc;
use std::time::Duration;

/// redb needs more than shuttle's default.
const STACK_BYTES: usize = 1 << 20;

/// The longest run needs a few thousand steps: a thread that spins is found out.
const STEPS_MAX: usize = 100_000;

/// Untimely switches of a PCT schedule.
const DEPTH: usize = 4;

/// Longer than any test lets pass.
pub(crate) const LONG: Duration = Duration::from_secs(5_000);

fn run(scheduler: impl Scheduler + 'static, test: fn()) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(test);
}

/// Runs a test under many schedules, or under the one that is asked for.
pub(crate) fn explore(test: fn()) {
    if let Ok(schedule) = env::var("RIVERBED_SCHEDULE") {
        return run(ReplayScheduler::new_from_encoded(&schedule), test);
    }
    let schedules = env::var("RIVERBED_SCHEDULES").map_or(100, |number| number.parse().unwrap());
    run(RandomScheduler::new(schedules), test);
    run(PctScheduler::new(DEPTH, schedules), test);
}

/// Runs a test that is to end in what shuttle calls a deadlock.
pub(crate) fn once(test: fn()) {
    run(RandomScheduler::new(1), test);
}

fn builder(disk: &MemoryDisk, clock: &ManualClock) -> Builder {
    Riverbed::builder()
        .journal_segment(16 << 10)
        .clock(clock.clock())
        .disk(Arc::new(disk.clone()))
}

/// A store with its own threads.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) disk: MemoryDisk,
    pub(crate) store: Riverbed,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(MemoryDisk::new(), ManualClock::new())
    }

    fn on(disk: MemoryDisk, clock: ManualClock) -> Self {
        let store = builder(&disk, &clock).open("/store").unwrap();
        Self { clock, disk, store }
    }

    /// A store whose commits are synced within a time.
    pub(crate) fn written(synced_within: Duration) -> Self {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let builder = builder(&disk, &clock).durability(Durability::written(synced_within));
        let store = builder.open("/store").unwrap();
        Self { clock, disk, store }
    }

    /// What is in the stream of a store that is found on a disk.
    pub(crate) fn found(disk: &MemoryDisk) -> Vec<String> {
        let builder = builder(disk, &ManualClock::new());
        let store = builder.without_threads().open("/store").unwrap();
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
        payloads(&store.stream("s").unwrap())
    }

    /// The store opened again on the same disk; it must be closed.
    pub(crate) fn reopened(self) -> Self {
        Self::on(self.disk, self.clock)
    }

    /// The store as the next process finds it when this one is gone.
    pub(crate) fn killed(&self) -> Self {
        Self::on(self.disk.kill_image(), self.clock.clone())
    }

    /// A stream with a consumer of all of it.
    pub(crate) fn stream_and_consumer(&self) -> (Stream, Consumer) {
        let stream = self.store.create_stream(StreamConfig::new("s")).unwrap();
        let consumer = stream.create_consumer(ConsumerConfig::new("c")).unwrap();
        (stream, consumer)
    }

    /// Nothing is wrong with the store; then it is closed, which ends its threads.
    pub(crate) fn end(self) {
        assert_eq!(self.store.check().unwrap(), Vec::<String>::new());
        self.store.close().unwrap();
    }
}

/// One message, waited for.
pub(crate) fn one() -> Fetch {
    Fetch::new(1).max_wait(LONG)
}

/// The payloads of a stream, sorted.
pub(crate) fn payloads(stream: &Stream) -> Vec<String> {
    let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).unwrap();
    let messages = stream
        .range(..)
        .map(|message| text(message.unwrap().payload()));
    let mut messages: Vec<String> = messages.collect();
    messages.sort_unstable();
    messages
}

/// The schedule alone decides what happens, so that a failure can be had again.
#[test]
fn nothing_but_the_schedule_decides() {
    let scheduler = UncontrolledNondeterminismCheckScheduler::new(RandomScheduler::new(20));
    run(scheduler, || {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let publisher = shuttle::thread::spawn(move || stream.publish("s", "").map(|_| ()));
        consumer.fetch(one()).unwrap().ack().unwrap();
        publisher.join().unwrap().unwrap();
        world.end();
    });
}
