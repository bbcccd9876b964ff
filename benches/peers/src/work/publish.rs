//! One message at a time from many threads, and batches from one.

use anyhow::Result;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::{Outcome, Times, join};
use crate::cell::Cell;
use crate::payload::Payloads;
use crate::queue::{Client, Queue};

pub fn threads(queue: &dyn Queue, cell: &Cell, span: Duration) -> Result<Outcome> {
    let payloads = Payloads::new(cell.size);
    let mut clients = Vec::new();
    for _ in 0..cell.threads() {
        clients.push(queue.client()?);
    }
    if let Some(client) = clients.first_mut() {
        calls(client.as_mut(), &payloads, 1, span / 10)?;
    }
    let together = Barrier::new(clients.len());
    let work = |mut client: Box<dyn Client + '_>| {
        together.wait();
        let started = Instant::now();
        let times = calls(client.as_mut(), &payloads, 1, span)?;
        Ok((times, started, Instant::now()))
    };
    let results: Result<Vec<(Times, Instant, Instant)>> = thread::scope(|scope| {
        let spawned: Vec<_> = clients
            .into_iter()
            .map(|client| scope.spawn(|| work(client)))
            .collect();
        spawned.into_iter().map(join).collect()
    });
    let mut times = Times::new()?;
    let (mut first, mut last) = (None, None);
    for (of_thread, started, ended) in results? {
        times.add(&of_thread)?;
        first = Some(first.map_or(started, |first: Instant| first.min(started)));
        last = Some(last.map_or(ended, |last: Instant| last.max(ended)));
    }
    let wall = first.zip(last).map(|(first, last)| last - first);
    Ok(Outcome {
        messages: times.count(),
        seconds: wall.unwrap_or_default().as_secs_f64(),
        calls: vec![("publish", times)],
    })
}

/// Only the time in the calls counts: making the payloads is the program's work.
pub fn batches(queue: &dyn Queue, cell: &Cell, span: Duration) -> Result<Outcome> {
    let payloads = Payloads::new(cell.size);
    let mut client = queue.client()?;
    let batch = cell.batch();
    calls(client.as_mut(), &payloads, batch, span / 10)?;
    let times = calls(client.as_mut(), &payloads, batch, span)?;
    Ok(Outcome {
        messages: times.count() * batch as u64,
        seconds: times.total.as_secs_f64(),
        calls: vec![("publish", times)],
    })
}

/// Calls for this long, and one at least.
fn calls(
    client: &mut dyn Client,
    payloads: &Payloads,
    batch: usize,
    span: Duration,
) -> Result<Times> {
    let mut times = Times::new()?;
    let deadline = Instant::now() + span;
    let mut messages = Vec::new();
    loop {
        payloads.fill(&mut messages, batch);
        times.time(|| client.publish(&mut messages))?;
        if Instant::now() >= deadline {
            return Ok(times);
        }
    }
}
