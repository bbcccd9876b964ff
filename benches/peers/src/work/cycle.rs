//! Everything at once: two producers and two consumers, where the peer allows so many.

use anyhow::{Result, ensure};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Outcome, Times, join};
use crate::cell::Cell;
use crate::payload::{Payloads, Seen};
use crate::queue::{Client, Queue};

const PRODUCERS: usize = 2;
const CONSUMERS: usize = 2;
/// Batches that may wait in the queue; then the producers pause. So that what is measured is a queue that is
/// worked on, and not a log that grows.
const AHEAD: u64 = 8;
/// When nothing has come for so long, something is lost.
const PATIENCE: Duration = Duration::from_secs(30);

struct Shared {
    cell: Cell,
    payloads: Payloads,
    published: AtomicU64,
    acked: AtomicU64,
    producing: AtomicUsize,
    /// A thread failed: the others stop.
    failed: AtomicBool,
    last_ack: Mutex<Instant>,
}

pub fn run(queue: &dyn Queue, cell: &Cell, span: Duration) -> Result<Outcome> {
    let started = Instant::now();
    let shared = Shared {
        cell: *cell,
        payloads: Payloads::new(cell.size),
        published: AtomicU64::new(0),
        acked: AtomicU64::new(0),
        producing: AtomicUsize::new(PRODUCERS),
        failed: AtomicBool::new(false),
        last_ack: Mutex::new(started),
    };
    let mut clients = Vec::new();
    for _ in 0..PRODUCERS + CONSUMERS.min(queue.consumers()) {
        clients.push(queue.client()?);
    }
    let started = Instant::now();
    let (publish, consumed) = thread::scope(|scope| {
        let (mut producers, mut consumers) = (Vec::new(), Vec::new());
        for (at, client) in clients.into_iter().enumerate() {
            if at < PRODUCERS {
                producers.push(scope.spawn(|| shared.noting(produce(&shared, client, span))));
            } else {
                consumers.push(scope.spawn(|| shared.noting(consume(&shared, client))));
            }
        }
        let publish: Result<Vec<Times>> = producers.into_iter().map(join).collect();
        let consumed: Result<Vec<Consumed>> = consumers.into_iter().map(join).collect();
        (publish, consumed)
    });
    let mut all = Consumed {
        seen: Seen::default(),
        fetch: Times::new()?,
        ack: Times::new()?,
    };
    let mut times = Times::new()?;
    for of_thread in publish? {
        times.add(&of_thread)?;
    }
    for of_thread in consumed? {
        all.seen.add(&of_thread.seen);
        all.fetch.add(&of_thread.fetch)?;
        all.ack.add(&of_thread.ack)?;
    }
    all.seen.verify()?;
    let (in_all, published) = (all.seen.messages, shared.payloads.made());
    ensure!(in_all == published, "{in_all} of {published} came out");
    let ended = *shared
        .last_ack
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let mut calls = vec![("publish", times), ("fetch", all.fetch), ("ack", all.ack)];
    calls.retain(|(_, times)| times.count() > 0);
    Ok(Outcome {
        messages: in_all,
        seconds: (ended - started).as_secs_f64(),
        calls,
    })
}

impl Shared {
    fn noting<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::SeqCst);
        }
        result
    }

    fn acked_now(&self) {
        let mut last = self.last_ack.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Instant::now();
    }

    fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    fn waiting(&self) -> u64 {
        let published = self.published.load(Ordering::SeqCst);
        published.saturating_sub(self.acked.load(Ordering::SeqCst))
    }
}

fn produce(shared: &Shared, mut client: Box<dyn Client + '_>, span: Duration) -> Result<Times> {
    let mut times = Times::new()?;
    let batch = shared.cell.batch();
    let deadline = Instant::now() + span;
    let mut messages = Vec::new();
    let mut work = || {
        while Instant::now() < deadline && !shared.failed() {
            if shared.waiting() >= AHEAD * batch as u64 {
                thread::sleep(Duration::from_micros(50));
                continue;
            }
            shared.payloads.fill(&mut messages, batch);
            times.time(|| client.publish(&mut messages))?;
            shared.published.fetch_add(batch as u64, Ordering::SeqCst);
        }
        Ok(())
    };
    let result = work();
    shared.producing.fetch_sub(1, Ordering::SeqCst);
    result.map(|()| times)
}

struct Consumed {
    seen: Seen,
    fetch: Times,
    ack: Times,
}

fn consume(shared: &Shared, mut client: Box<dyn Client + '_>) -> Result<Consumed> {
    let (mut seen, mut fetch, mut ack) = (Seen::default(), Times::new()?, Times::new()?);
    let (max, size) = (shared.cell.fetch(), shared.cell.size);
    let mut sink = |payload: &[u8]| seen.take(payload, size);
    let together = client.together();
    let mut held = false;
    let mut came = Instant::now();
    loop {
        let over = shared.producing.load(Ordering::SeqCst) == 0 && shared.waiting() == 0;
        if over || shared.failed() {
            if together && held {
                client.ack()?;
                shared.acked_now();
            }
            return Ok(Consumed { seen, fetch, ack });
        }
        let before = Instant::now();
        let wait = Duration::from_millis(20);
        let got = if together && held {
            client.ack_and_fetch(max, wait, &mut sink)?
        } else {
            client.fetch(max, wait, &mut sink)?
        };
        held = got > 0;
        if got == 0 {
            ensure!(came.elapsed() < PATIENCE, "nothing has come for long");
            continue;
        }
        came = Instant::now();
        fetch.record(before.elapsed())?;
        // With ack_and_fetch the messages count when they are fetched: their ack comes with the next call.
        if !together {
            ack.time(|| client.ack())?;
        }
        shared.acked.fetch_add(got as u64, Ordering::SeqCst);
        shared.acked_now();
    }
}
