//! `World`: a store on a disk that may lose its power, and what its application was told.

use riverbed::disk::MemoryDisk;
use riverbed::{
    Consumer, DeliverPolicy, Fetch, ManualClock, Message, Publish, PublishErrorKind, Riverbed,
    Rollup, Seq, Stream,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The power is gone.
#[derive(Debug)]
pub(crate) struct Down;

pub(crate) type Outcome = Result<(), Down>;

pub(crate) fn down<E: std::fmt::Debug>(_: E) -> Down {
    Down
}

/// What the application was told, and what it asked for without being told the outcome.
#[derive(Default)]
pub(crate) struct Told {
    /// Payloads of acknowledged publishes with their sequence.
    pub(crate) stored: BTreeMap<String, u64>,
    /// Batches without an answer.
    pub(crate) open: Vec<Vec<String>>,
    /// Published without an id.
    pub(crate) without_id: BTreeSet<String>,
    pub(crate) acked: BTreeSet<String>,
    pub(crate) maybe_acked: BTreeSet<String>,
    /// Given up for certain, and not brought back since.
    pub(crate) dead: BTreeSet<String>,
    pub(crate) gone: BTreeSet<String>,
    pub(crate) maybe_gone: BTreeSet<String>,
    /// Whether the stream was deleted: asked for, and told.
    pub(crate) delete: (bool, bool),
    /// A limit that was asked for, and told.
    pub(crate) limit: (Option<u64>, bool),
    pub(crate) highest: u64,
    /// The dedup window has passed.
    pub(crate) late: bool,
    /// Whether the stream was sealed: asked for, and told.
    pub(crate) seal: (bool, bool),
    /// The sequence of the last message of a stream that begins with another one.
    pub(crate) begun: Option<u64>,
    /// A message that is to replace others, and those.
    pub(crate) replacing: Option<(String, Vec<String>)>,
    /// A second consumer was deleted.
    pub(crate) consumer_gone: bool,
    /// Published for later and acknowledged: each waits or was sent.
    pub(crate) scheduled: BTreeSet<String>,
    /// Published for later without an answer.
    pub(crate) maybe_scheduled: BTreeSet<String>,
    /// Cancelled for certain, and perhaps.
    pub(crate) cancelled: BTreeSet<String>,
    pub(crate) maybe_cancelled: BTreeSet<String>,
    /// Due and sent for certain.
    pub(crate) sent: BTreeSet<String>,
    /// A message that repeats: its name, when it came first and how long after each other it does, in seconds,
    /// and whether it was accepted for certain.
    pub(crate) repeating: Option<(String, u64, u64, bool)>,
    /// How often it came for certain.
    pub(crate) repeated: u64,
    /// Subjects that have a message, or a marker, for certain; and whether it is a marker.
    pub(crate) marked: BTreeMap<String, bool>,
    /// A second consumer was made, which has so many messages; whether that was told.
    pub(crate) second: Option<(u64, bool)>,
    /// The consumer is being reset, or was, and skipped so many.
    pub(crate) reset: Option<u64>,
    /// The consumer surely replays the stream, and this message does not come first.
    pub(crate) replayed: Option<&'static str>,
}

pub(crate) struct World {
    pub(crate) disk: MemoryDisk,
    pub(crate) clock: ManualClock,
    pub(crate) store: Riverbed,
    pub(crate) stream: Stream,
    pub(crate) consumer: Consumer,
    pub(crate) told: Told,
    pub(crate) held: BTreeMap<String, Message>,
}

pub(crate) fn text(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// A name and some bytes behind it; every fourth message is larger than a page.
pub(crate) fn payload(name: &str) -> Vec<u8> {
    let bulk = if name.ends_with('3') { 5_000 } else { 40 };
    format!("{name} {}", name.repeat(bulk / name.len())).into_bytes()
}

thread_local! {
    /// Bytes of a segment of the journal, if the stores have one.
    pub(crate) static JOURNAL: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

pub(crate) fn open(
    disk: &MemoryDisk,
    clock: &ManualClock,
) -> Result<Riverbed, riverbed::OpenError> {
    let mut builder = Riverbed::builder()
        .cache_bytes(1 << 20)
        .clock(clock.clock());
    builder = match JOURNAL.get() {
        Some(segment) => builder.journal_segment(segment),
        None => builder.without_journal(),
    };
    builder
        .disk(Arc::new(disk.clone()))
        .without_threads()
        .open("/store")
}

impl World {
    pub(crate) fn publish(&mut self, names: &[&str]) -> Outcome {
        let batch: Vec<Publish> = names
            .iter()
            .map(|name| Publish::new("s.x", payload(name)).id(*name))
            .collect();
        // What was stored before is only answered again.
        let fresh = names
            .iter()
            .filter(|name| !self.told.stored.contains_key(**name));
        self.told
            .open
            .push(fresh.map(ToString::to_string).collect());
        let acks = self.stream.publish_batch(batch).map_err(down)?;
        self.told.open.pop();
        for (name, ack) in names.iter().zip(acks) {
            self.told.stored.insert((*name).to_owned(), ack.seq.get());
            self.told.highest = self.told.highest.max(ack.seq.get());
        }
        Ok(())
    }

    /// Publishes a message with the id of another one that is done.
    pub(crate) fn publish_as(&mut self, name: &str, id: &str) -> Outcome {
        self.told.open.push(vec![name.to_owned()]);
        self.told.without_id.insert(name.to_owned());
        let message = Publish::new("s.x", payload(name)).id(id);
        let ack = self.stream.publish_message(message).map_err(down)?;
        self.told.open.pop();
        assert!(!ack.duplicate, "the id of {id} is free");
        self.told.stored.insert(name.to_owned(), ack.seq.get());
        self.told.highest = ack.seq.get();
        Ok(())
    }

    /// The consumer is as far behind as it may be; nothing is stored, also not by a cut in the answer.
    pub(crate) fn refused_for_lag(&mut self, name: &str) -> Outcome {
        let refused = self.stream.publish("s.x", payload(name)).unwrap_err().kind;
        match refused {
            PublishErrorKind::LagExceeded { .. } => Ok(()),
            PublishErrorKind::Unavailable(why) => Err(down(why)),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn fetch(&mut self, n: usize) -> Outcome {
        for message in self.consumer.fetch(Fetch::new(n).no_wait()).map_err(down)? {
            self.held.insert(text(message.payload()), message);
        }
        Ok(())
    }

    pub(crate) fn ack(&mut self, names: &[&str]) -> Outcome {
        self.told
            .maybe_acked
            .extend(names.iter().map(ToString::to_string));
        let messages: Vec<Message> = names.iter().map(|name| self.held[*name].clone()).collect();
        let acked = self.consumer.ack_batch(&messages).map_err(down)?;
        assert_eq!(acked.acked, names.len());
        self.told
            .acked
            .extend(names.iter().map(ToString::to_string));
        Ok(())
    }

    pub(crate) fn nak(&mut self, name: &str) -> Outcome {
        self.held[name].nak().map_err(down)
    }

    pub(crate) fn term(&mut self, name: &str) -> Outcome {
        self.held[name].term("no use").map_err(down)?;
        self.told.dead.insert(name.to_owned());
        Ok(())
    }

    pub(crate) fn reset(&mut self, to: DeliverPolicy) -> Outcome {
        self.consumer.reset(to).map(drop).map_err(down)
    }

    pub(crate) fn later(&mut self, seconds: u64) -> Outcome {
        self.clock.advance(Duration::from_secs(seconds));
        self.store.drive().map_err(down)
    }

    /// Publishes messages for so many seconds later, all or none.
    pub(crate) fn schedule(&mut self, names: &[&str], seconds: u64) -> Outcome {
        let delay = Duration::from_secs(seconds);
        let message = |name: &&str| Publish::new("s.x", payload(name)).id(*name).after(delay);
        let batch: Vec<Publish> = names.iter().map(message).collect();
        let names = names.iter().map(ToString::to_string);
        self.told.maybe_scheduled.extend(names.clone());
        self.stream.publish_batch(batch).map_err(down)?;
        self.told.scheduled.extend(names);
        Ok(())
    }

    /// Publishes a message that repeats.
    pub(crate) fn repeat(&mut self, name: &str, seconds: u64) -> Outcome {
        let first = self.clock.clock().now().as_micros() / 1_000_000 + seconds;
        self.told.repeating = Some((name.to_owned(), first, seconds, false));
        let message = Publish::new("s.x", payload(name));
        let message = message.every(Duration::from_secs(seconds));
        self.stream.publish_message(message).map_err(down)?;
        self.told.repeating = Some((name.to_owned(), first, seconds, true));
        Ok(())
    }

    /// Publishes a message that lives so many seconds.
    pub(crate) fn publish_brief(&mut self, name: &str, seconds: u64) -> Outcome {
        self.told.open.push(vec![name.to_owned()]);
        let message = Publish::new("s.x", payload(name)).id(name);
        let message = message.ttl(Duration::from_secs(seconds));
        let ack = self.stream.publish_message(message).map_err(down)?;
        self.told.open.pop();
        self.told.stored.insert(name.to_owned(), ack.seq.get());
        self.told.highest = self.told.highest.max(ack.seq.get());
        Ok(())
    }

    pub(crate) fn cancel(&mut self, name: &str, number: u64) -> Outcome {
        self.told.maybe_cancelled.insert(name.to_owned());
        self.stream.cancel_scheduled(number).map_err(down)?;
        self.told.cancelled.insert(name.to_owned());
        Ok(())
    }

    pub(crate) fn remove(&mut self, names: &[&str], act: impl FnOnce(&Self) -> Outcome) -> Outcome {
        self.told
            .maybe_gone
            .extend(names.iter().map(ToString::to_string));
        act(self)?;
        self.told.gone.extend(names.iter().map(ToString::to_string));
        Ok(())
    }

    /// Publishes a message that replaces others.
    pub(crate) fn replace(&mut self, name: &str, gone: &[&str], rollup: Rollup) -> Outcome {
        self.told.open.push(vec![name.to_owned()]);
        self.told.replacing = Some((
            name.to_owned(),
            gone.iter().map(ToString::to_string).collect(),
        ));
        self.remove(gone, |world| {
            let message = Publish::new("s.x", payload(name)).id(name).rollup(rollup);
            world
                .stream
                .publish_message(message)
                .map(drop)
                .map_err(down)
        })?;
        self.told.open.pop();
        self.told.replacing = None;
        let seq = self.stream.info().map_err(down)?.last_seq.get();
        self.told.stored.insert(name.to_owned(), seq);
        self.told.highest = seq;
        Ok(())
    }

    pub(crate) fn redrive(&mut self, name: &str, seq: u64, to_consumer: bool) -> Outcome {
        self.told.dead.remove(name);
        let dead = self.store.stream("dead").map_err(down)?;
        let seq = Seq::new(seq);
        let moved = if to_consumer {
            dead.redrive_to_consumer(seq)
        } else {
            dead.redrive(seq)
        };
        let seq = moved.map_err(down)?.get();
        self.told.highest = self.told.highest.max(seq);
        Ok(())
    }
}
