//! A backlog, and one consumer that fetches and acks it by batches.

use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

use super::{Outcome, Times};
use crate::cell::Cell;
use crate::payload::{Payloads, Seen};
use crate::queue::{Client, Queue, Sink};

/// Messages of a batch while the backlog is made.
const BATCH: usize = 1_000;
/// Bytes of payloads that a backlog has at most.
const BACKLOG: usize = 100 << 20;

pub fn run(queue: &dyn Queue, cell: &Cell, span: Duration) -> Result<Outcome> {
    let payloads = Payloads::new(cell.size);
    let mut client = queue.client()?;
    preload(client.as_mut(), &payloads, cell, span)?;

    let (mut seen, size, max) = (Seen::default(), cell.size, cell.fetch());
    let mut sink = |payload: &[u8]| seen.take(payload, size);
    let deadline = Instant::now() + span;
    let (published, mut taken) = (payloads.made(), 0);
    let mut calls = if client.together() {
        let fetch = |client: &mut dyn Client, sink: &mut Sink| {
            client.ack_and_fetch(max, Duration::ZERO, sink)
        };
        let mut both = Times::new()?;
        taken += client.fetch(max, Duration::ZERO, &mut sink)? as u64;
        while taken < published && Instant::now() < deadline {
            let got = both.time(|| fetch(client.as_mut(), &mut sink))?;
            ensure!(got > 0, "no messages, though {taken} of {published} came");
            taken += got as u64;
        }
        // The last ack has no fetch beside it; it is one call of many and belongs to the time.
        both.time(|| client.ack())?;
        vec![("ack+fetch", both)]
    } else {
        let (mut fetch, mut ack) = (Times::new()?, Times::new()?);
        while taken < published && Instant::now() < deadline {
            let got = fetch.time(|| client.fetch(max, Duration::ZERO, &mut sink))?;
            ensure!(got > 0, "no messages, though {taken} of {published} came");
            ack.time(|| client.ack())?;
            taken += got as u64;
        }
        vec![("fetch", fetch), ("ack", ack)]
    };
    seen.verify()?;
    ensure!(seen.messages == taken, "{taken} messages were promised");
    calls.retain(|(_, times)| times.count() > 0);
    let total: Duration = calls.iter().map(|(_, times)| times.total).sum();
    Ok(Outcome {
        messages: taken,
        seconds: total.as_secs_f64(),
        calls,
    })
}

/// As much as the consumer may need, as far as it can be made in twice the time.
fn preload(
    client: &mut dyn Client,
    payloads: &Payloads,
    cell: &Cell,
    span: Duration,
) -> Result<()> {
    let deadline = Instant::now() + span * 2;
    let most = (BACKLOG / cell.size)
        .min(cell.fetch() * 50_000)
        .min(500_000) as u64;
    let mut messages = Vec::new();
    while payloads.made() < most && Instant::now() < deadline {
        payloads.fill(&mut messages, BATCH);
        client.publish(&mut messages)?;
    }
    Ok(())
}
