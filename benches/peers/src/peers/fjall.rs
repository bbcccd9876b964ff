//! A queue in fjall, a log-structured store: a row a message.

use anyhow::{Context, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::embedded::{Embedded, Store};
use crate::queue::{Peer, Queue, Sink};
use crate::version;

pub struct Fjall;

impl Peer for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn version(&self) -> String {
        version::of("fjall")
    }

    fn durability(&self) -> &'static str {
        "one row a message, one write batch a call, committed with PersistMode::SyncData (fdatasync of the journal)"
    }

    fn consuming(&self) -> &'static str {
        "a fetch commits one row, the claim, with a count; an ack removes the messages' rows and the claim's"
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let database = Database::builder(dir.join("fjall"))
            .cache_size(64 << 20)
            .open()
            .context("open the database")?;
        let messages = database.keyspace("messages", KeyspaceCreateOptions::default)?;
        let claims = database.keyspace("claims", KeyspaceCreateOptions::default)?;
        Ok(Box::new(Embedded::new(FjallStore {
            database,
            messages,
            claims,
            publish: Mutex::new(0),
            claim: Mutex::new(0),
        })))
    }
}

struct FjallStore {
    database: Database,
    messages: Keyspace,
    claims: Keyspace,
    /// The next sequences to be given and to be claimed.
    publish: Mutex<u64>,
    claim: Mutex<u64>,
}

impl FjallStore {
    fn batch(&self) -> OwnedWriteBatch {
        self.database
            .batch()
            .durability(Some(PersistMode::SyncData))
    }
}

impl Store for FjallStore {
    type Claim = Vec<u64>;

    fn append(&self, messages: &mut dyn Iterator<Item = &[u8]>) -> Result<()> {
        // Held over the commit, as fjall holds its journal: a consumer must not pass a sequence that is not
        // there yet.
        let mut next = self.publish.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = self.batch();
        for message in messages {
            batch.insert(&self.messages, next.to_be_bytes(), message);
            *next += 1;
        }
        Ok(batch.commit()?)
    }

    fn claim(&self, max: usize, claim: &mut Vec<u64>, sink: &mut Sink) -> Result<usize> {
        let mut next = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        for row in self.messages.range(next.to_be_bytes()..).take(max) {
            let (key, payload) = row.into_inner()?;
            let key = key.first_chunk::<8>().context("a foreign key")?;
            sink(&payload);
            claim.push(u64::from_be_bytes(*key));
        }
        let (Some(first), Some(last)) = (claim.first(), claim.last()) else {
            return Ok(0);
        };
        let mut value = [0; 16];
        value[..8].copy_from_slice(&last.to_be_bytes());
        value[15] = 1;
        let mut batch = self.batch();
        batch.insert(&self.claims, first.to_be_bytes(), value.as_slice());
        batch.commit()?;
        *next = last + 1;
        Ok(claim.len())
    }

    fn ack(&self, claim: Vec<u64>) -> Result<()> {
        let mut batch = self.batch();
        for seq in &claim {
            batch.remove(&self.messages, seq.to_be_bytes());
        }
        if let Some(first) = claim.first() {
            batch.remove(&self.claims, first.to_be_bytes());
        }
        Ok(batch.commit()?)
    }
}
