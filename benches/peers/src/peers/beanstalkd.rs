//! beanstalkd over loopback.

use anyhow::{Context, Result, bail, ensure};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cell::Cell;
use crate::peers::server::{Server, Wire, find, version};
use crate::queue::{Client, Peer, Queue, Sink};

pub struct Beanstalkd;

fn program() -> Option<PathBuf> {
    find("BEANSTALKD", "beanstalkd")
}

impl Peer for Beanstalkd {
    fn name(&self) -> &'static str {
        "beanstalkd"
    }

    fn version(&self) -> String {
        let line = version(program(), "-v");
        line.trim_start_matches("beanstalkd ").to_owned()
    }

    fn durability(&self) -> &'static str {
        "-b and -f 0: the log is synced at each put; the protocol has no batches, so a batch is puts in one go, each with its sync"
    }

    fn consuming(&self) -> &'static str {
        "a reservation is only in memory and not counted; each delete is in the log, synced as puts are"
    }

    fn refuses(&self, cell: &Cell) -> Option<&'static str> {
        // It would take a second, or a minute on a slow disk, and show the same.
        (cell.batch() > WINDOW).then_some("syncs each put, so it is as with 1,000")
    }

    fn absent(&self) -> Option<String> {
        program()
            .is_none()
            .then(|| "beanstalkd is not installed".to_owned())
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let program = program().context("beanstalkd is not installed")?;
        let log = dir.join("log");
        std::fs::create_dir(&log)?;
        let server = Server::start(&program, dir, |port| {
            let log = log.to_string_lossy();
            let text = format!("-l 127.0.0.1 -p {port} -f 0 -b");
            let words = text.split(' ').chain([log.as_ref()]).map(str::to_owned);
            Ok(words.collect())
        })?;
        Ok(Box::new(BeanstalkdQueue { server }))
    }
}

struct BeanstalkdQueue {
    server: Server,
}

impl Queue for BeanstalkdQueue {
    fn client(&self) -> Result<Box<dyn Client + '_>> {
        Ok(Box::new(BeanstalkdClient {
            wire: self.server.connect()?,
            fetched: Vec::new(),
        }))
    }

    fn close(self: Box<Self>) -> Result<()> {
        drop(self.server);
        Ok(())
    }
}

/// Commands in one go: fewer bytes of answers than a socket buffers, so that neither side waits for the other.
const WINDOW: usize = 1_000;

struct BeanstalkdClient {
    wire: Wire,
    fetched: Vec<u64>,
}

impl BeanstalkdClient {
    /// The id of a job that was reserved, whose payload goes to the sink; `None` when there is none.
    fn reserved(&mut self, sink: &mut Sink, buffer: &mut Vec<u8>) -> Result<bool> {
        let line = self.wire.line()?;
        if line == "TIMED_OUT" {
            return Ok(false);
        }
        let mut words = line.split(' ');
        let (Some("RESERVED"), Some(id), Some(length)) = (words.next(), words.next(), words.next())
        else {
            bail!("beanstalkd says {line}");
        };
        self.fetched.push(id.parse()?);
        let length = length.parse()?;
        self.wire.bytes(length, buffer)?;
        sink(buffer);
        Ok(true)
    }
}

impl Client for BeanstalkdClient {
    fn publish(&mut self, payloads: &mut Vec<Vec<u8>>) -> Result<()> {
        for window in payloads.chunks(WINDOW) {
            for payload in window {
                write!(self.wire.output, "put 0 0 120 {}\r\n", payload.len())?;
                self.wire.send(payload)?;
                self.wire.send(b"\r\n")?;
            }
            self.wire.flush()?;
            for _ in window {
                let line = self.wire.line()?;
                ensure!(line.starts_with("INSERTED "), "beanstalkd says {line}");
            }
        }
        Ok(())
    }

    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut Sink) -> Result<usize> {
        self.fetched.clear();
        let mut buffer = Vec::new();
        // A command that waits holds up those behind it, so all take what is there.
        for _ in 0..max {
            self.wire.send(b"reserve-with-timeout 0\r\n")?;
        }
        self.wire.flush()?;
        for _ in 0..max {
            self.reserved(sink, &mut buffer)?;
        }
        if self.fetched.is_empty() && !wait.is_zero() {
            // Whole seconds are what it knows.
            let wait = wait.as_secs().max(1);
            write!(self.wire.output, "reserve-with-timeout {wait}\r\n")?;
            self.wire.flush()?;
            self.reserved(sink, &mut buffer)?;
        }
        Ok(self.fetched.len())
    }

    fn ack(&mut self) -> Result<()> {
        for id in &self.fetched {
            write!(self.wire.output, "delete {id}\r\n")?;
        }
        self.wire.flush()?;
        for _ in 0..self.fetched.len() {
            let line = self.wire.line()?;
            ensure!(line == "DELETED", "beanstalkd says {line}");
        }
        self.fetched.clear();
        Ok(())
    }
}
