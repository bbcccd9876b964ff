//! From the call of publish until a consumer that was waiting has the message.

use anyhow::{Context, Result, ensure};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Outcome, Times, join};
use crate::cell::Cell;
use crate::payload::Payloads;
use crate::queue::{Client, Queue};

/// After the last ack, so that the consumer's next fetch waits already.
const PAUSE: Duration = Duration::from_micros(200);
const PATIENCE: Duration = Duration::from_secs(5);

pub fn run(queue: &dyn Queue, cell: &Cell, span: Duration) -> Result<Outcome> {
    let payloads = Payloads::new(cell.size);
    let (mut producer, consumer) = (queue.client()?, queue.client()?);
    let (came, comes) = mpsc::channel();
    let (mut publish, mut receive) = (Times::new()?, Times::new()?);
    // Three times as long: the slowest of a thousand wants thousands.
    let deadline = Instant::now() + span * 3;
    let mut messages = Vec::new();
    thread::scope(|scope| {
        let consuming = scope.spawn(move || consume(consumer, &came));
        let mut work = || {
            let mut first = true;
            while first || Instant::now() < deadline {
                thread::sleep(PAUSE);
                payloads.fill(&mut messages, 1);
                let called = Instant::now();
                producer.publish(&mut messages)?;
                let took = called.elapsed();
                let at: Instant = comes.recv_timeout(PATIENCE).context("nothing came")?;
                // The first one finds the consumer in any state.
                if !first {
                    publish.record(took)?;
                    receive.record(at.saturating_duration_since(called))?;
                }
                first = false;
            }
            Ok(())
        };
        let result = work();
        drop(comes);
        // What ends the consumer is a message that nobody wants to know of.
        payloads.fill(&mut messages, 1);
        let last = producer.publish(&mut messages);
        join(consuming)?;
        result.and(last)
    })?;
    ensure!(receive.count() > 0, "no message was measured");
    Ok(Outcome {
        messages: receive.count(),
        seconds: receive.total.as_secs_f64(),
        calls: vec![("receive", receive), ("publish", publish)],
    })
}

fn consume(mut client: Box<dyn Client + '_>, came: &mpsc::Sender<Instant>) -> Result<()> {
    let mut last = Instant::now();
    loop {
        let got = client.fetch(1, Duration::from_secs(1), &mut |_| ())?;
        let at = Instant::now();
        if got == 0 {
            ensure!(last.elapsed() < PATIENCE * 2, "nothing comes any more");
            continue;
        }
        last = at;
        client.ack()?;
        // Told only after the ack, so that the next publish does not wait for it.
        if came.send(at).is_err() {
            return Ok(());
        }
    }
}
