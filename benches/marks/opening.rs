//! `Opening`: what it takes to open a store after its process ended in one way or another.

use crate::Result;
use crate::counting::Counting;
use riverbed::{Builder, ConsumerConfig, Fetch, StreamConfig};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How a process ended that had the store open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    KilledIdle,
    KilledAtWork,
}

/// What was in the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backlog {
    pub(crate) messages: u64,
    pub(crate) payload: usize,
}

/// What opening it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) open_ms: f64,
    /// From the beginning to the first message in hand.
    pub(crate) first_ms: f64,
    pub(crate) bytes_read: u64,
    /// Bytes of the pages that messages take.
    pub(crate) used: u64,
}

const BATCH: u64 = 10_000;
/// What a child says when the backlog is there.
const READY: &str = "ready";
/// After so long a silence the store has noted what helps it to open.
const IDLE: Duration = Duration::from_secs(2);
const AT_WORK: Duration = Duration::from_millis(50);

impl End {
    pub(crate) const ALL: [Self; 3] = [Self::Closed, Self::KilledIdle, Self::KilledAtWork];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::KilledIdle => "killed while idle",
            Self::KilledAtWork => "killed at work",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|end| end.name() == name);
        Ok(found.ok_or_else(|| format!("no way to end is called {name}"))?)
    }

    /// In the process that is going to end: makes the backlog, and goes on as the way to end says.
    pub(crate) fn fill(self, builder: Builder, path: &Path, backlog: Backlog) -> Result {
        let store = builder.open(path)?;
        let stream = store.create_stream(StreamConfig::new("log"))?;
        stream.create_consumer(ConsumerConfig::new("reader"))?;
        let payload = vec![7; backlog.payload];
        let mut published = 0;
        while published < backlog.messages {
            let batch = BATCH.min(backlog.messages - published);
            stream.publish_batch((0..batch).map(|_| ("log", payload.clone())))?;
            published += batch;
        }
        if self == Self::Closed {
            store.close()?;
        }
        println!("{READY}");
        match self {
            Self::Closed => Ok(()),
            Self::KilledIdle => loop {
                thread::park();
            },
            Self::KilledAtWork => loop {
                stream.publish("log", "one more")?;
            },
        }
    }

    /// Runs the process, and ends it when the time has come: by SIGKILL, if it does not end by itself.
    pub(crate) fn run(self, mut command: Command) -> Result {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut said)?;
        }
        match self {
            Self::Closed => {}
            Self::KilledIdle => thread::sleep(IDLE),
            Self::KilledAtWork => thread::sleep(AT_WORK),
        }
        if self != Self::Closed {
            child.kill()?;
        }
        child.wait()?;
        if said.trim_end() != READY {
            return Err("the process that makes the backlog failed".into());
        }
        Ok(())
    }
}

impl Opening {
    /// Opens the store through a disk that counts, and sees that all of it is there.
    pub(crate) fn of(builder: Builder, path: &Path, messages: u64) -> Result<Self> {
        let disk = Counting::default();
        let started = Instant::now();
        let store = builder.disk(Arc::new(disk.clone())).open(path)?;
        let opened = started.elapsed();
        let log = store.stream("log")?;
        let first = log.consumer("reader")?.fetch(Fetch::new(1).no_wait())?;
        let first_in_hand = started.elapsed();
        let stored = log.info()?.messages;
        if first.is_empty() || stored < messages {
            return Err(format!("{stored} of {messages} messages came back").into());
        }
        Ok(Self {
            open_ms: opened.as_secs_f64() * 1e3,
            first_ms: first_in_hand.as_secs_f64() * 1e3,
            bytes_read: disk.counted().read,
            used: store.info()?.used_bytes,
        })
    }
}
