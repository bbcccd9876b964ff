//! A queue table in SQLite, behind one connection.

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cell::Cell;
use crate::embedded::{Embedded, Store};
use crate::peers::only_threads;
use crate::queue::{Peer, Queue, Sink};
use crate::version;

const SCHEMA: &str = "CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    payload BLOB NOT NULL,
    claimed INTEGER NOT NULL DEFAULT 0,
    deliveries INTEGER NOT NULL DEFAULT 0)";
const INSERT: &str = "INSERT INTO messages (payload) VALUES (?1)";
// What is claimed and not yet deleted is a few rows at the beginning, so an index would cost more than it
// saves.
const CLAIM: &str = "UPDATE messages SET claimed = 1, deliveries = deliveries + 1
    WHERE id IN (SELECT id FROM messages WHERE claimed = 0 ORDER BY id LIMIT ?1)
    RETURNING id, payload";
const DELETE: &str = "DELETE FROM messages WHERE id = ?1";

/// One transaction a call, or one for everything that waits.
pub enum Sqlite {
    Plain,
    Grouped,
}

impl Peer for Sqlite {
    fn name(&self) -> &'static str {
        match self {
            Self::Plain => "sqlite",
            Self::Grouped => "sqlite-grouped",
        }
    }

    fn version(&self) -> String {
        format!(
            "{} (rusqlite {})",
            rusqlite::version(),
            version::of("rusqlite")
        )
    }

    fn durability(&self) -> &'static str {
        match self {
            Self::Plain => {
                "one row a message, one transaction a call, journal_mode=WAL and synchronous=FULL: the log is synced at each commit"
            }
            Self::Grouped => "as sqlite, with this harness's group commit over the threads",
        }
    }

    fn consuming(&self) -> &'static str {
        "a fetch commits one UPDATE of the rows (claimed, deliveries + 1); an ack deletes them in one transaction"
    }

    fn refuses(&self, cell: &Cell) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Grouped => only_threads(cell),
        }
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let connection = Connection::open(dir.join("queue.sqlite")).context("open the database")?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        ensure!(mode == "wal", "SQLite's journal mode is {mode}");
        connection.pragma_update(None, "synchronous", "FULL")?;
        // As much as the others have.
        connection.pragma_update(None, "cache_size", -65_536)?;
        connection.execute(SCHEMA, [])?;
        let store = SqliteStore(Mutex::new(connection));
        Ok(Box::new(match self {
            Self::Plain => Embedded::new(store),
            Self::Grouped => Embedded::grouped(store),
        }))
    }
}

/// Writers of SQLite take turns anyway; behind a mutex they do it without polling its lock.
struct SqliteStore(Mutex<Connection>);

impl SqliteStore {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for SqliteStore {
    type Claim = Vec<i64>;

    fn append(&self, messages: &mut dyn Iterator<Item = &[u8]>) -> Result<()> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut insert = transaction.prepare_cached(INSERT)?;
        for message in messages {
            insert.execute([message])?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }

    fn claim(&self, max: usize, claim: &mut Vec<i64>, sink: &mut Sink) -> Result<usize> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut update = transaction.prepare_cached(CLAIM)?;
        let mut rows = update.query([i64::try_from(max)?])?;
        while let Some(row) = rows.next()? {
            claim.push(row.get(0)?);
            sink(row.get_ref(1)?.as_blob()?);
        }
        drop(rows);
        drop(update);
        transaction.commit()?;
        Ok(claim.len())
    }

    fn ack(&self, claim: Vec<i64>) -> Result<()> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut delete = transaction.prepare_cached(DELETE)?;
        for id in claim {
            delete.execute([id])?;
        }
        drop(delete);
        Ok(transaction.commit()?)
    }
}
