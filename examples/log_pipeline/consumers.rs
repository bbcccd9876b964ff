//! The three consumers. Each has a thread of its own here; a stuck one would delay none of the others.

use crate::parse::{self, Format, Record};
use crate::progress::{FailureFlag, Progress};
use riverbed::{Batch, Consumer, ConsumerConfig, Error, Fetch, Message, Stream};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

/// How long a fetch waits before it looks whether publishing has ended.
const PATIENCE: Duration = Duration::from_millis(50);
/// A fetch takes no more than this, so that long lines do not fill the memory.
const FETCH_BYTES: u64 = 16 << 20;
/// Threads that terminate the unparsable lines of one batch together, so that they share commits.
const TERMINATORS: usize = 64;
/// Attempts may fail this often before a line is given up. Nothing here fails but by a crash of this
/// program, which is not the line's fault.
const PATIENT: u64 = 1_000;

/// The dead-letter stream.
pub(crate) const DEAD: &str = "logs-dead";

/// The consumers of a store.
#[derive(Debug)]
pub(crate) struct Consumers {
    /// Sees everything.
    pub(crate) count: Consumer,
    /// Sees warnings and errors.
    pub(crate) alerts: Consumer,
    /// Sees everything, and gives up what it can't parse.
    pub(crate) parse: Consumer,
}

impl Consumers {
    /// Makes them, or finds them as an earlier run left them.
    pub(crate) fn create(logs: &Stream, batch: usize) -> Result<Self, Error> {
        // Two batches' worth: room for the next one while the last is not settled yet.
        let named = |name: &str| ConsumerConfig::new(name).max_ack_pending(batch as u64 * 2);
        let alerts = named("alerts")
            .filter("logs.*.warning")
            .filter("logs.*.error");
        let parse = named("parse").max_deliver(PATIENT).dead_letter(DEAD);
        Ok(Self {
            count: create_or_update(logs, named("count"))?,
            alerts: create_or_update(logs, alerts)?,
            parse: create_or_update(logs, parse)?,
        })
    }
}

/// Another `--batch` than last time changes the configuration, which `create_consumer` refuses.
fn create_or_update(logs: &Stream, config: ConsumerConfig) -> Result<Consumer, Error> {
    if logs.consumers()?.contains(&config.name) {
        logs.update_consumer(config.clone())?;
        return Ok(logs.consumer(&config.name)?);
    }
    Ok(logs.create_consumer(config)?)
}

/// Handles everything that the consumer wants until publishing has ended and nothing is left.
///
/// A batch is acked together with the fetch of the next one, in one commit. What a crash leaves unacked
/// is delivered again by the next run, so the consumer's own count of acks counts every line once.
pub(crate) fn drain(
    consumer: &Consumer,
    batch: usize,
    progress: &Progress,
    step: &str,
    mut handle: impl FnMut(&Batch) -> Result<(), Error>,
) -> Result<(), Error> {
    let flag = FailureFlag::new(progress);
    let more = || Fetch::new(batch).max_bytes(FETCH_BYTES).max_wait(PATIENCE);
    let mut all_published = progress.all_published.load(SeqCst);
    let mut messages = consumer.fetch(more())?;
    while !progress.has_failed() {
        if messages.is_empty() {
            // Asked before the fetch: what it did not see then, it would have found.
            if all_published && nothing_left(consumer)? {
                break;
            }
            all_published = progress.all_published.load(SeqCst);
            messages = consumer.fetch(more())?;
            continue;
        }
        handle(&messages)?;
        all_published = progress.all_published.load(SeqCst);
        // A refused ack needs nothing done: the message is settled, or it comes again.
        let (_acked, next) = consumer.ack_and_fetch(&messages, more())?;
        messages = next;
        progress.step(step);
    }
    flag.all_is_fine();
    Ok(())
}

fn nothing_left(consumer: &Consumer) -> Result<bool, Error> {
    let info = consumer.info()?;
    Ok(info.pending + info.in_flight + info.due + info.delayed == 0)
}

/// What the parser found, by format, in this run.
#[derive(Debug, Default)]
pub(crate) struct Found {
    formats: Vec<(Format, u64, String)>,
}

impl Found {
    fn note(&mut self, record: &Record<'_>) {
        let known = self
            .formats
            .iter_mut()
            .find(|(format, ..)| *format == record.format);
        if let Some((_, lines, _)) = known {
            *lines += 1;
            return;
        }
        let process = record
            .process
            .map_or_else(|| "none".to_owned(), |id| id.to_string());
        let text: String = record.text.chars().take(48).collect();
        let fields = format!(
            "time={:?} severity={} source={:?} process={process} text={text:?}",
            record.time,
            record.severity.as_str(),
            record.source,
        );
        self.formats.push((record.format, 1, fields));
    }

    /// For each format: lines, and the fields of the first one.
    pub(crate) fn by_format(&self) -> impl Iterator<Item = &(Format, u64, String)> {
        Format::ALL
            .iter()
            .filter_map(|wanted| self.formats.iter().find(|(has, ..)| has == wanted))
    }
}

/// Parses a batch and terminates what can't be parsed into the dead-letter stream. Acking the batch
/// afterwards passes those over, for they are settled.
pub(crate) fn parse_batch(messages: &Batch, found: &mut Found) -> Result<(), Error> {
    let mut hopeless = Vec::new();
    for message in messages {
        match parse::parse(message.payload()) {
            Ok(record) => found.note(&record),
            Err(why) => hopeless.push((message, why)),
        }
    }
    terminate(&hopeless)
}

fn terminate(hopeless: &[(&Message, &'static str)]) -> Result<(), Error> {
    let share = hopeless.len().div_ceil(TERMINATORS).max(1);
    thread::scope(|scope| {
        let term = |part: &[(&Message, &'static str)]| {
            part.iter()
                .try_for_each(|(message, why)| match message.term(*why) {
                    // The lease lapsed: another delivery will end it.
                    Ok(()) | Err(riverbed::AckError::Refused(_)) => Ok(()),
                    Err(error) => Err(Error::from(error)),
                })
        };
        let parts: Vec<_> = hopeless
            .chunks(share)
            .map(|part| scope.spawn(move || term(part)))
            .collect();
        parts.into_iter().try_for_each(|part| match part.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}
