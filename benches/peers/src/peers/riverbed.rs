//! riverbed itself, with the configuration that it has by default, and without its journal.

use anyhow::{Result, ensure};
use riverbed::{
    Batch, BatchAck, Consumer, ConsumerConfig, Fetch, Publish, Riverbed, Stream, StreamConfig,
};
use std::path::Path;
use std::time::Duration;

use crate::cell::{Cell, Workload};
use crate::queue::{Client, Peer, Queue, Sink};
use crate::version;

const SUBJECT: &str = "bench";

/// A consumer that acks and then fetches, or one that does both in one call.
#[derive(PartialEq, Eq)]
pub enum Ours {
    Separate,
    AckAndFetch,
    /// As the first, in one file.
    WithoutJournal,
}

impl Peer for Ours {
    fn name(&self) -> &'static str {
        match self {
            Self::Separate => "riverbed",
            Self::AckAndFetch => "riverbed-ack-and-fetch",
            Self::WithoutJournal => "riverbed-no-journal",
        }
    }

    fn version(&self) -> String {
        version::of("riverbed")
    }

    fn durability(&self) -> &'static str {
        match self {
            Self::Separate | Self::AckAndFetch => {
                "the messages are in a record of the journal, beside the file, and fdatasync has returned; groups over 128 KiB are in a redb transaction committed with Durability::Immediate; callers that wait share one"
            }
            Self::WithoutJournal => {
                "the messages are in a redb transaction committed with Durability::Immediate; callers that wait share one"
            }
        }
    }

    fn consuming(&self) -> &'static str {
        match self {
            Self::Separate | Self::WithoutJournal => {
                "a fetch commits the count of the deliveries, an ack commits; messages stay in the stream"
            }
            Self::AckAndFetch => "an ack and the next fetch are one commit",
        }
    }

    fn refuses(&self, cell: &Cell) -> Option<&'static str> {
        let only_publishes = matches!(cell.workload, Workload::Publish | Workload::Batch);
        match self {
            Self::AckAndFetch if only_publishes || cell.workload == Workload::Latency => {
                Some("differs from riverbed only where many fetches follow each other")
            }
            _ => None,
        }
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let builder = match self {
            Self::Separate | Self::AckAndFetch => Riverbed::builder(),
            Self::WithoutJournal => Riverbed::builder().without_journal(),
        };
        let store = builder.open(dir.join("store.riverbed"))?;
        let stream = store.create_stream(StreamConfig::new(SUBJECT))?;
        // Room for several fetches of the largest size.
        let config = ConsumerConfig::new("consumer").max_ack_pending(100_000);
        let consumer = stream.create_consumer(config)?;
        Ok(Box::new(OurQueue {
            store,
            stream,
            consumer,
            together: matches!(self, Self::AckAndFetch),
        }))
    }
}

struct OurQueue {
    store: Riverbed,
    stream: Stream,
    consumer: Consumer,
    together: bool,
}

impl Queue for OurQueue {
    fn client(&self) -> Result<Box<dyn Client + '_>> {
        Ok(Box::new(OurClient {
            queue: self,
            fetched: None,
        }))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.store.close()?)
    }
}

struct OurClient<'a> {
    queue: &'a OurQueue,
    fetched: Option<Batch>,
}

impl OurClient<'_> {
    fn keep(&mut self, batch: Batch, sink: &mut Sink) -> usize {
        for message in &batch {
            sink(message.payload());
        }
        let messages = batch.len();
        self.fetched = Some(batch);
        messages
    }
}

impl Client for OurClient<'_> {
    fn publish(&mut self, payloads: &mut Vec<Vec<u8>>) -> Result<()> {
        let stream = &self.queue.stream;
        if payloads.len() == 1
            && let Some(payload) = payloads.pop()
        {
            stream.publish(SUBJECT, payload)?;
            return Ok(());
        }
        stream.publish_batch(
            payloads
                .drain(..)
                .map(|payload| Publish::new(SUBJECT, payload)),
        )?;
        Ok(())
    }

    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut Sink) -> Result<usize> {
        let batch = self.queue.consumer.fetch(Fetch::new(max).max_wait(wait))?;
        Ok(self.keep(batch, sink))
    }

    fn ack(&mut self) -> Result<()> {
        match self.fetched.take() {
            Some(batch) => all_taken(&batch.ack()?),
            None => Ok(()),
        }
    }

    fn together(&self) -> bool {
        self.queue.together
    }

    fn ack_and_fetch(&mut self, max: usize, wait: Duration, sink: &mut Sink) -> Result<usize> {
        let Some(before) = self.fetched.take() else {
            return self.fetch(max, wait, sink);
        };
        let fetch = Fetch::new(max).max_wait(wait);
        let (answer, batch) = self.queue.consumer.ack_and_fetch(&before, fetch)?;
        all_taken(&answer)?;
        Ok(self.keep(batch, sink))
    }
}

fn all_taken(answer: &BatchAck) -> Result<()> {
    ensure!(answer.refused.is_empty(), "acks were refused: {answer:?}");
    Ok(())
}
