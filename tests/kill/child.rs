//! The child: threads that publish, fetch and settle until somebody kills them.

use crate::fact::{Fact, Manner, SAYS, Verdict};
use crate::shape::{AUDIT, JOBS, LIMIT, WORK, message, name_of, payload, prepare};
use riverbed::{
    AckAndFetchError, AckError, Batch, Consumer, Fetch, FetchError, Message, PublishAck,
    PublishError, PublishErrorKind, Riverbed, Stream, Unavailable,
};
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The store is closed: the thread's work is done.
struct Over;

type Step<T = ()> = Result<T, Over>;

/// Writes a fact as one whole line.
fn say(fact: &Fact) {
    // The supervisor closes the pipe only when it has failed itself.
    let _: io::Result<()> = io::stdout()
        .lock()
        .write_all(format!("{SAYS}{fact}\n").as_bytes());
}

/// Nothing but the end of the store may fail a call.
fn wrong<T>(call: &str, why: &impl Debug) -> Step<T> {
    say(&Fact::Wrong(format!("{call}: {why:?}")));
    Err(Over)
}

fn published<T>(outcome: Result<T, PublishError>) -> Step<T> {
    match outcome {
        Ok(done) => Ok(done),
        Err(why) if why.kind == PublishErrorKind::Unavailable(Unavailable::Closed) => Err(Over),
        Err(why) => wrong("publish", &why),
    }
}

fn settled<T>(outcome: Result<T, AckError>) -> Step<T> {
    match outcome {
        Ok(done) => Ok(done),
        Err(AckError::Unavailable(Unavailable::Closed)) => Err(Over),
        Err(why) => wrong("settle", &why),
    }
}

fn stored(names: &[String], acks: &[PublishAck]) {
    let stored = names.iter().zip(acks);
    let pairs = stored.map(|(name, ack)| (name.clone(), ack.seq.get()));
    say(&Fact::Stored(pairs.collect()));
    if acks.len() != names.len() || acks.iter().any(|ack| ack.duplicate) {
        say(&Fact::Wrong(format!("answers to {names:?}: {acks:?}")));
    }
}

/// One thread's part.
struct Thread {
    jobs: Stream,
    random: fastrand::Rng,
    /// Distinguishes the names of children and threads.
    mark: String,
    said: u64,
}

impl Thread {
    fn name(&mut self) -> String {
        self.said += 1;
        format!("{}{}", self.mark, self.said)
    }

    fn names(&mut self, most: u64) -> Vec<String> {
        (0..self.random.u64(1..=most))
            .map(|_| self.name())
            .collect()
    }

    /// One by one; now and then again, which stores nothing.
    fn publish_singly(&mut self, with_ids: bool) -> Step {
        let names = self.names(1);
        say(&Fact::Publishing(Manner::Together, names.clone()));
        let ack = published(self.jobs.publish_message(message(&names[0])))?;
        let seq = ack.seq;
        stored(&names, &[ack]);
        if with_ids && self.random.u8(0..4) == 0 {
            let again = published(self.jobs.publish_message(message(&names[0])))?;
            say(&Fact::Known(vec![(names[0].clone(), again.seq.get())]));
            if !again.duplicate || again.seq != seq {
                say(&Fact::Wrong(format!("a duplicate is stored: {again:?}")));
            }
        }
        Ok(())
    }

    fn publish_batch(&mut self) -> Step {
        let names = self.names(12);
        say(&Fact::Publishing(Manner::Together, names.clone()));
        let batch = names.iter().map(|name| message(name));
        let acks = published(self.jobs.publish_batch(batch))?;
        stored(&names, &acks);
        Ok(())
    }

    fn publish_pipelined(&mut self) -> Step {
        let names = self.names(20);
        say(&Fact::Publishing(Manner::InOrder, names.clone()));
        let mut handles = Vec::new();
        for name in &names {
            handles.push(published(self.jobs.publish_async(message(name)))?);
        }
        for (name, handle) in names.iter().zip(handles) {
            let ack = published(handle.wait())?;
            stored(std::slice::from_ref(name), &[ack]);
        }
        Ok(())
    }

    /// Tells what came, and holds its bytes against its name.
    fn got(consumer: &Consumer, batch: &[Message]) {
        if batch.is_empty() {
            return;
        }
        let serials = batch.iter().map(|m| (m.seq().get(), m.serial()));
        say(&Fact::Got(consumer.name().to_owned(), serials.collect()));
        for message in batch {
            let name = name_of(message.payload());
            if message.payload() != payload(&name) || message.headers().get("name") != Some(&*name)
            {
                let seq = message.seq();
                say(&Fact::Wrong(format!("message {seq} has other bytes")));
            }
        }
    }

    /// `ack` answers how many were acked.
    fn ack(consumer: &Consumer, messages: &[Message], ack: impl FnOnce() -> Step<usize>) -> Step {
        if messages.is_empty() {
            return ack().map(drop);
        }
        let name = consumer.name().to_owned();
        let seqs: Vec<u64> = messages.iter().map(|m| m.seq().get()).collect();
        say(&Fact::Settling(name.clone(), Verdict::Ack, seqs.clone()));
        let acked = ack()?;
        if acked != seqs.len() {
            return wrong("acks of held deliveries", &(acked, seqs));
        }
        say(&Fact::Settled(name, Verdict::Ack, seqs));
        Ok(())
    }

    /// Gives up one delivery, or has it come again.
    fn refuse(&mut self, consumer: &Consumer, message: &Message) -> Step {
        let (name, seq) = (consumer.name().to_owned(), message.seq().get());
        let term = self.random.bool();
        let last = message.failures() + 1 >= LIMIT;
        let verdict = if term || last {
            Verdict::Dead
        } else {
            Verdict::Nak
        };
        say(&Fact::Settling(name.clone(), verdict, vec![seq]));
        settled(if term {
            message.term("no use")
        } else if self.random.bool() {
            message.nak_after(Duration::from_millis(self.random.u64(1..50)))
        } else {
            message.nak()
        })?;
        say(&Fact::Settled(name, verdict, vec![seq]));
        Ok(())
    }

    fn work(&mut self, consumer: &Consumer) -> Step {
        let fetched = consumer.fetch(self.random.usize(1..12));
        let batch = match fetched {
            Ok(batch) => batch,
            Err(FetchError::Unavailable(Unavailable::Closed)) => return Err(Over),
            Err(why) => return wrong("fetch", &why),
        };
        Self::got(consumer, &batch);
        let mut left: &[Message] = &batch;
        while let Some((first, others)) = left.split_first() {
            match self.random.u8(0..10) {
                0 | 1 => self.refuse(consumer, first)?,
                // It stays out until the child dies.
                2 => {}
                3..6 => {
                    let one = || settled(first.ack()).map(|()| 1);
                    Self::ack(consumer, std::slice::from_ref(first), one)?;
                }
                _ => {
                    let all = || settled(consumer.ack_batch(left)).map(|acked| acked.acked);
                    Self::ack(consumer, left, all)?;
                    break;
                }
            }
            left = others;
        }
        Ok(())
    }

    /// Acks what it has and takes more, in one call.
    fn audit(&mut self, consumer: &Consumer, held: &mut Option<Batch>) -> Step {
        let ask = Fetch::new(self.random.usize(1..20));
        let done: &[Message] = held.as_deref().unwrap_or_default();
        let mut next = None;
        Self::ack(consumer, done, || match consumer.ack_and_fetch(done, ask) {
            Ok((acked, batch)) => {
                next = Some(batch);
                Ok(acked.acked)
            }
            Err(AckAndFetchError::Ack(AckError::Unavailable(Unavailable::Closed))) => Err(Over),
            Err(AckAndFetchError::Fetch { why, .. }) if is_closed(&why) => Err(Over),
            Err(why) => wrong("ack_and_fetch", &why),
        })?;
        Self::got(consumer, next.as_deref().unwrap_or_default());
        *held = next;
        Ok(())
    }
}

fn is_closed(why: &FetchError) -> bool {
    *why == FetchError::Unavailable(Unavailable::Closed)
}

/// Works on the store until killed; closes it when the standard input ends.
pub(crate) fn run(path: &Path, number: u64, seed: u64) {
    say(&Fact::Opening);
    // With a small journal, none, and what everybody has.
    let builder = match number % 3 {
        0 => Riverbed::builder(),
        1 => Riverbed::builder().without_journal(),
        _ => Riverbed::builder().journal_segment(64 << 10),
    };
    let store = builder.open(path).unwrap();
    prepare(&store).unwrap();
    let jobs = store.stream(JOBS).unwrap();
    let (work, audit) = (jobs.consumer(WORK).unwrap(), jobs.consumer(AUDIT).unwrap());
    thread::scope(|scope| {
        let thread = |kind: &str| Thread {
            jobs: jobs.clone(),
            random: fastrand::Rng::with_seed(seed ^ u64::from(kind.as_bytes()[0])),
            mark: format!("c{number}{kind}"),
            said: 0,
        };
        let (mut single, mut plain) = (thread("s"), thread("u"));
        scope.spawn(move || while single.publish_singly(true).is_ok() {});
        scope.spawn(move || while plain.publish_singly(false).is_ok() {});
        let (mut batches, mut pipeline) = (thread("b"), thread("p"));
        scope.spawn(move || while batches.publish_batch().is_ok() {});
        scope.spawn(move || while pipeline.publish_pipelined().is_ok() {});
        for mut worker in [thread("x"), thread("y")] {
            let work = &work;
            scope.spawn(move || while worker.work(work).is_ok() {});
        }
        let (mut auditor, mut held) = (thread("z"), None);
        scope.spawn(move || while auditor.audit(&audit, &mut held).is_ok() {});
        // Until the supervisor wants the store closed.
        let _: io::Result<usize> = io::stdin().read_to_end(&mut Vec::new());
        say(&Fact::Closing);
        match store.close() {
            Ok(()) => say(&Fact::Closed),
            Err(why) => say(&Fact::Wrong(format!("close: {why:?}"))),
        }
    });
}
