//! persistent-queue over redb: a work queue with reserve and ack, one message at a time.

use anyhow::{Context, Result, ensure};
use persistent_queue::{Builder, Consumer, Durability, Producer, RedbStore, Reserved};
use std::path::Path;

use crate::cell::Cell;
use crate::embedded::{Embedded, Store};
use crate::queue::{Peer, Queue, Sink};
use crate::version;

pub struct Persistent;

impl Peer for Persistent {
    fn name(&self) -> &'static str {
        "persistent-queue"
    }

    fn version(&self) -> String {
        version::of("persistent-queue")
    }

    fn durability(&self) -> &'static str {
        "one row a message in redb, Durability::Group: concurrent pushes share a transaction that is synced"
    }

    fn consuming(&self) -> &'static str {
        "a reservation is only in memory and not counted; each ack is a synced transaction; one consumer"
    }

    fn refuses(&self, cell: &Cell) -> Option<&'static str> {
        if cell.batch() > 1 {
            Some("has no call that publishes a batch")
        } else if cell.fetch() > 1 {
            Some("reserves and acks one message at a time")
        } else {
            None
        }
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let store = RedbStore::open(dir.join("queue.redb")).context("open the database")?;
        let (producer, consumer) = Builder::new(store)
            .capacity(usize::MAX)
            .durability(Durability::Group)
            .durable_acks(true)
            .open()?;
        Ok(Box::new(Embedded::new(PersistentStore {
            producer,
            consumer,
        })))
    }
}

struct PersistentStore {
    producer: Producer<RedbStore>,
    consumer: Consumer<RedbStore>,
}

impl Store for PersistentStore {
    type Claim = Option<Reserved<RedbStore>>;

    fn append(&self, messages: &mut dyn Iterator<Item = &[u8]>) -> Result<()> {
        for message in messages {
            self.producer.push(message)?;
        }
        Ok(())
    }

    fn claim(&self, max: usize, claim: &mut Self::Claim, sink: &mut Sink) -> Result<usize> {
        ensure!(max == 1, "one message at a time");
        *claim = self.consumer.reserve()?;
        let Some(reserved) = claim else { return Ok(0) };
        sink(reserved);
        Ok(1)
    }

    fn ack(&self, claim: Self::Claim) -> Result<()> {
        match claim {
            Some(reserved) => Ok(reserved.ack()?),
            None => Ok(()),
        }
    }

    fn consumers(&self) -> usize {
        1
    }
}
