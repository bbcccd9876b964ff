//! Bare redb, as somebody would make a queue of it in an afternoon: a row a message.

use anyhow::{Context, Result};
use redb::{Database, Durability, ReadableDatabase, TableDefinition, WriteTransaction};
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::cell::Cell;
use crate::embedded::{Embedded, Store};
use crate::peers::only_threads;
use crate::queue::{Peer, Queue, Sink};
use crate::version;

const MESSAGES: TableDefinition<u64, &[u8]> = TableDefinition::new("messages");
/// First sequence of a claim: one past its last, and how often it was delivered.
const CLAIMS: TableDefinition<u64, (u64, u64)> = TableDefinition::new("claims");

/// One transaction a call, or one for everything that waits.
pub enum Redb {
    Plain,
    Grouped,
}

impl Peer for Redb {
    fn name(&self) -> &'static str {
        match self {
            Self::Plain => "redb",
            Self::Grouped => "redb-grouped",
        }
    }

    fn version(&self) -> String {
        version::of("redb")
    }

    fn durability(&self) -> &'static str {
        match self {
            Self::Plain => {
                "one row a message, one transaction a call, committed with Durability::Immediate"
            }
            Self::Grouped => "as redb, with this harness's group commit over the threads",
        }
    }

    fn consuming(&self) -> &'static str {
        "a fetch commits one row, the claim, with a count; an ack removes the messages' rows and the claim's"
    }

    fn refuses(&self, cell: &Cell) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Grouped => only_threads(cell),
        }
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let database = Database::builder()
            .set_cache_size(64 << 20)
            .create(dir.join("queue.redb"))
            .context("create the database")?;
        let transaction = database.begin_write()?;
        transaction.open_table(MESSAGES)?;
        transaction.open_table(CLAIMS)?;
        transaction.commit()?;
        let next = Mutex::new(Next {
            publish: 0,
            claim: 0,
        });
        let store = RedbStore { database, next };
        Ok(Box::new(match self {
            Self::Plain => Embedded::new(store),
            Self::Grouped => Embedded::grouped(store),
        }))
    }
}

struct Next {
    publish: u64,
    claim: u64,
}

struct RedbStore {
    database: Database,
    next: Mutex<Next>,
}

impl RedbStore {
    fn begin(&self) -> Result<WriteTransaction> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        Ok(transaction)
    }

    fn next<T>(&self, work: impl FnOnce(&mut Next) -> T) -> T {
        work(&mut self.next.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for RedbStore {
    type Claim = Vec<u64>;

    fn append(&self, messages: &mut dyn Iterator<Item = &[u8]>) -> Result<()> {
        // There is one write transaction at a time, so the sequence can't be taken by another meanwhile.
        let transaction = self.begin()?;
        let mut seq = self.next(|next| next.publish);
        let mut table = transaction.open_table(MESSAGES)?;
        for message in messages {
            table.insert(seq, message)?;
            seq += 1;
        }
        drop(table);
        self.next(|next| next.publish = seq);
        Ok(transaction.commit()?)
    }

    fn claim(&self, max: usize, claim: &mut Vec<u64>, sink: &mut Sink) -> Result<usize> {
        let from = self.next(|next| next.claim);
        let table = self.database.begin_read()?.open_table(MESSAGES)?;
        for row in table.range(from..)?.take(max) {
            let (seq, payload) = row?;
            sink(payload.value());
            claim.push(seq.value());
        }
        let (Some(first), Some(last)) = (claim.first(), claim.last()) else {
            return Ok(0);
        };
        let transaction = self.begin()?;
        transaction
            .open_table(CLAIMS)?
            .insert(first, (last + 1, 1))?;
        transaction.commit()?;
        self.next(|next| next.claim = last + 1);
        Ok(claim.len())
    }

    fn ack(&self, claim: Vec<u64>) -> Result<()> {
        let transaction = self.begin()?;
        let mut messages = transaction.open_table(MESSAGES)?;
        for seq in &claim {
            messages.remove(seq)?;
        }
        drop(messages);
        if let Some(first) = claim.first() {
            transaction.open_table(CLAIMS)?.remove(first)?;
        }
        Ok(transaction.commit()?)
    }
}
