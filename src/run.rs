//! Running a handler on worker threads.

use crate::engine::{Engine, Holder, handler_scope};
use crate::error::{AckError, FetchError, RunError, Unavailable};
use crate::fetch::{Batch, Fetch};
use crate::lanes::Lanes;
use crate::message::Message;
use crate::state::Precedence;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::thread::{self, JoinHandle};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Most workers of one runner.
const WORKERS_MAX: usize = 1_024;

/// How a handler is run.
///
/// # Examples
///
/// ```
/// use riverbed::RunOptions;
///
/// let options = RunOptions::new(8).batch(100);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    workers: usize,
    batch: usize,
    pub(crate) precedence: Precedence,
}

impl RunOptions {
    /// So many worker threads (1 to 1,024), each with one message at a time.
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            batch: 1,
            precedence: Precedence::default(),
        }
    }

    /// Lets each worker fetch so many messages at once. It saves commits; a worker's messages wait for
    /// each other.
    pub fn batch(mut self, messages: usize) -> Self {
        self.batch = messages;
        self
    }
}

/// Workers at work; made by [`Consumer::run`](crate::Consumer::run).
///
/// Dropping it stops the workers and waits for the messages in hand.
///
/// # Examples
///
/// ```
/// use riverbed::{ConsumerConfig, Riverbed, StreamConfig};
/// use std::sync::mpsc;
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let stream = store.create_stream(StreamConfig::new("jobs"))?;
/// let worker = stream.create_consumer(ConsumerConfig::new("worker"))?;
/// let (done, seen) = mpsc::channel();
/// let runner = worker.run(2, move |message| done.send(message.payload().to_vec()))?;
/// stream.publish("jobs", "work")?;
/// assert_eq!(seen.recv()?, b"work");
/// let report = runner.stop()?;
/// assert_eq!((report.acked, report.failed, report.panicked), (1, 0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Runner {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<Result<(), RunError>>>,
}

/// What a runner did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunReport {
    /// Messages handled and acked.
    pub acked: u64,
    /// Attempts that the handler failed.
    pub failed: u64,
    /// Attempts in which the handler panicked.
    pub panicked: u64,
    /// Messages that were fetched but not started; they do not count as delivered.
    pub released: u64,
    /// Messages that the handler settled itself, or that were gone when it was done.
    pub settled: u64,
}

#[derive(Debug)]
struct Shared {
    /// What the workers fetch from.
    lanes: Lanes,
    stopping: AtomicBool,
    acked: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    released: AtomicU64,
    settled: AtomicU64,
}

/// What became of one message.
enum Handled {
    Ok,
    Failed,
    Panicked,
}

impl Runner {
    pub(crate) fn start<E: Display>(
        lanes: &Lanes,
        options: RunOptions,
        handler: impl Fn(&Message) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<Self, RunError> {
        let workers = options.workers;
        if workers == 0 || workers > WORKERS_MAX {
            return Err(RunError::Workers {
                workers,
                limit: WORKERS_MAX,
            });
        }
        let mut fetch = Fetch::new(options.batch).forever();
        fetch.precedence = options.precedence;
        fetch.ask(Holder::Runner)?;
        // Said here: what only the workers find out is heard of when they are stopped.
        let first = &lanes.first;
        first.root.engine.check_open().map_err(FetchError::from)?;
        let shared = Arc::new(Shared {
            lanes: lanes.clone(),
            stopping: AtomicBool::new(false),
            acked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            released: AtomicU64::new(0),
            settled: AtomicU64::new(0),
        });
        let handler = Arc::new(handler);
        let mut runner = Self {
            shared: Arc::clone(&shared),
            workers: Vec::with_capacity(workers),
        };
        for number in 0..workers {
            let (shared, handler) = (Arc::clone(&shared), Arc::clone(&handler));
            let handle = move |message: &Message| {
                // Everything that is the application's is dropped in here too: it may panic again.
                let ran = catch_unwind(AssertUnwindSafe(|| {
                    let _inside = handler_scope(shared.engine().store_id());
                    handler(message).is_ok()
                }));
                match ran {
                    Ok(true) => Handled::Ok,
                    Ok(false) => Handled::Failed,
                    Err(payload) => {
                        let _dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
                        Handled::Panicked
                    }
                }
            };
            let shared = Arc::clone(&runner.shared);
            let worker = thread::Builder::new()
                .name(format!("{}-{number}", first.reference.name))
                .spawn(move || shared.work(fetch, handle));
            match worker {
                Ok(worker) => runner.workers.push(worker),
                Err(why) => {
                    runner.end()?;
                    return Err(RunError::Thread {
                        cause: why.to_string(),
                    });
                }
            }
        }
        Ok(runner)
    }

    /// Stops the workers: each finishes the message in hand, and what was fetched but not started is
    /// released at once. Returns when all of them have ended.
    ///
    /// # Crash safety
    ///
    /// Nothing is lost at any moment: a message is acked, or it is due again.
    ///
    /// # Errors
    ///
    /// [`RunError`], if a worker had to end early.
    pub fn stop(mut self) -> Result<RunReport, RunError> {
        self.end()?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(RunReport {
            acked: count(&self.shared.acked),
            failed: count(&self.shared.failed),
            panicked: count(&self.shared.panicked),
            released: count(&self.shared.released),
            settled: count(&self.shared.settled),
        })
    }

    fn end(&mut self) -> Result<(), RunError> {
        self.shared.stopping.store(true, Ordering::Release);
        let engine = self.shared.engine();
        for lane in self.shared.lanes.all.iter() {
            engine.wake_fetches(&lane.reference);
        }
        let mut outcome = Ok(());
        if let Err(forked) = engine.check_process() {
            // There are no workers here to wait for (R11).
            self.workers.drain(..).for_each(std::mem::forget);
            return Err(FetchError::from(forked).into());
        }
        for worker in self.workers.drain(..) {
            // A handler that stops its own runner can't wait for itself.
            if worker.thread().id() == thread::current().id() {
                continue;
            }
            let ended = match worker.join() {
                Ok(ended) => ended,
                Err(_) => Err(RunError::Thread {
                    cause: "a worker panicked".into(),
                }),
            };
            outcome = outcome.and(ended);
        }
        outcome
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ended = self.end();
    }
}

impl Shared {
    fn engine(&self) -> &Engine {
        &self.lanes.first.root.engine
    }

    /// One worker: fetch, handle, settle, until told to stop or the store closes.
    fn work(&self, fetch: Fetch, handle: impl Fn(&Message) -> Handled) -> Result<(), RunError> {
        let ask = fetch.ask(Holder::Runner)?;
        loop {
            let stopping = || self.stopping.load(Ordering::Acquire);
            let fetched = self.engine().fetch_lanes(&self.lanes.all, &ask, &stopping);
            let (lane, fetched) = match fetched {
                Ok(Some(fetched)) => fetched,
                Ok(None) | Err(FetchError::Unavailable(Unavailable::Closed)) => return Ok(()),
                Err(why) => return Err(why.into()),
            };
            let batch = Batch::new(lane, fetched);
            if !self.handle_batch(&batch, &handle)? {
                return Ok(());
            }
        }
    }

    /// Handles the messages of a batch in turn; `false` when the store closed.
    fn handle_batch(
        &self,
        batch: &Batch,
        handle: &impl Fn(&Message) -> Handled,
    ) -> Result<bool, RunError> {
        // Whatever ends this early, what was not started is not left behind.
        let mut unstarted = Unstarted {
            shared: self,
            batch,
            left: batch,
        };
        while let Some((message, left)) = unstarted.left.split_first() {
            if self.stopping.load(Ordering::Acquire) {
                break;
            }
            unstarted.left = left;
            let (settled, counter) = match handle(message) {
                Handled::Ok => (message.ack(), &self.acked),
                Handled::Failed => (message.nak(), &self.failed),
                Handled::Panicked => (message.nak(), &self.panicked),
            };
            match settled {
                Ok(()) => counter.fetch_add(1, Ordering::Relaxed),
                // The handler settled it, or it was purged meanwhile.
                Err(AckError::Refused(_)) => self.settled.fetch_add(1, Ordering::Relaxed),
                Err(AckError::Unavailable(Unavailable::Closed)) => return Ok(false),
                // It can't be copied to its dead-letter stream now: the sweeper sees to it.
                Err(AckError::Unavailable(Unavailable::Damaged { .. })) => {
                    let whose = &batch.whose.reference;
                    self.engine().lapse(whose, message.token());
                    self.settled.fetch_add(1, Ordering::Relaxed)
                }
                Err(why) => {
                    // A runner's lease has no deadline: it must not outlive its worker.
                    let whose = &batch.whose.reference;
                    self.engine().release(whose, &[message.token()]);
                    return Err(why.into());
                }
            };
        }
        Ok(true)
    }
}

/// Messages that were fetched but not started. Dropping it releases them.
struct Unstarted<'a> {
    shared: &'a Shared,
    batch: &'a Batch,
    left: &'a [Message],
}

impl Drop for Unstarted<'_> {
    fn drop(&mut self) {
        if self.left.is_empty() {
            return;
        }
        let tokens: Vec<_> = self.left.iter().map(Message::token).collect();
        let whose = &self.batch.whose.reference;
        self.shared.engine().release(whose, &tokens);
        self.shared
            .released
            .fetch_add(tokens.len() as u64, Ordering::Relaxed);
    }
}
