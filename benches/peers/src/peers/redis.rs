//! Redis Streams with a consumer group, over loopback.

use anyhow::{Context, Result, bail, ensure};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::peers::server::{Server, Wire, find, version};
use crate::queue::{Client, Peer, Queue, Sink};

pub struct Redis;

fn program() -> Option<PathBuf> {
    find("REDIS_SERVER", "redis-server")
}

impl Peer for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn version(&self) -> String {
        version(program(), "--version")
            .split_whitespace()
            .find_map(|word| word.strip_prefix("v="))
            .unwrap_or("not installed")
            .to_owned()
    }

    fn durability(&self) -> &'static str {
        "appendfsync always: the append-only file is synced before the answer; a batch is one MULTI of XADD; clients that come together share a sync"
    }

    fn consuming(&self) -> &'static str {
        "XREADGROUP enters the delivery and its count in the synced file, XACK the ack; messages stay in the stream"
    }

    fn absent(&self) -> Option<String> {
        program()
            .is_none()
            .then(|| "redis-server is not installed".to_owned())
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let program = program().context("redis-server is not installed")?;
        let server = Server::start(&program, dir, |port| {
            let port = port.to_string();
            // Rewriting the file in the background is left out: it would hit some repetitions only.
            let words = [
                ["--bind", "127.0.0.1"],
                ["--port", &port],
                ["--save", ""],
                ["--appendonly", "yes"],
                ["--appendfsync", "always"],
                ["--auto-aof-rewrite-percentage", "0"],
            ];
            Ok(words.concat().into_iter().map(str::to_owned).collect())
        })?;
        let mut client = RedisClient::new(&server)?;
        client.command(&[b"XGROUP", b"CREATE", b"bench", b"group", b"0", b"MKSTREAM"])?;
        client.wire.flush()?;
        client.skip()?;
        Ok(Box::new(RedisQueue { server }))
    }
}

struct RedisQueue {
    server: Server,
}

impl Queue for RedisQueue {
    fn client(&self) -> Result<Box<dyn Client + '_>> {
        Ok(Box::new(RedisClient::new(&self.server)?))
    }

    fn close(self: Box<Self>) -> Result<()> {
        drop(self.server);
        Ok(())
    }
}

struct RedisClient {
    wire: Wire,
    fetched: Vec<Vec<u8>>,
}

impl RedisClient {
    fn new(server: &Server) -> Result<Self> {
        let (wire, fetched) = (server.connect()?, Vec::new());
        Ok(Self { wire, fetched })
    }

    fn command(&mut self, words: &[&[u8]]) -> Result<()> {
        write!(self.wire.output, "*{}\r\n", words.len())?;
        for word in words {
            write!(self.wire.output, "${}\r\n", word.len())?;
            self.wire.send(word)?;
            self.wire.send(b"\r\n")?;
        }
        Ok(())
    }

    /// The beginning of an answer: its kind and its number or text.
    fn head(&mut self) -> Result<(char, String)> {
        let line = self.wire.line()?;
        let mut rest = line.chars();
        let kind = rest.next().context("an empty answer")?;
        let rest = rest.as_str().to_owned();
        if kind == '-' {
            bail!("redis says {rest}");
        }
        Ok((kind, rest))
    }

    fn count(&mut self, wanted: char) -> Result<i64> {
        let (kind, rest) = self.head()?;
        ensure!(kind == wanted, "an answer of kind {kind} and not {wanted}");
        Ok(rest.parse()?)
    }

    fn bulk(&mut self) -> Result<Vec<u8>> {
        let length = self.count('$')?;
        let mut bytes = Vec::new();
        self.wire.bytes(usize::try_from(length)?, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads an answer whose content does not matter, so long as it is no error.
    fn skip(&mut self) -> Result<()> {
        let mut left = 1;
        while left > 0 {
            left -= 1;
            let (kind, rest) = self.head()?;
            match (kind, rest.parse::<i64>()) {
                ('*', Ok(count @ 1..)) => left += count,
                ('$', Ok(length @ 0..)) => {
                    let mut bytes = Vec::new();
                    self.wire.bytes(usize::try_from(length)?, &mut bytes)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Client for RedisClient {
    fn publish(&mut self, payloads: &mut Vec<Vec<u8>>) -> Result<()> {
        let together = payloads.len() > 1;
        if together {
            self.command(&[b"MULTI"])?;
        }
        for payload in payloads.iter() {
            self.command(&[b"XADD", b"bench", b"*", b"p", payload])?;
        }
        if together {
            self.command(&[b"EXEC"])?;
        }
        self.wire.flush()?;
        // MULTI and each XADD are answered, then EXEC with all results.
        let answers = if together { payloads.len() + 2 } else { 1 };
        for _ in 0..answers {
            self.skip()?;
        }
        Ok(())
    }

    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut Sink) -> Result<usize> {
        self.fetched.clear();
        // BLOCK 0 would wait for ever.
        let wait = wait.as_millis().max(1).to_string();
        let max = max.to_string();
        self.command(&[
            b"XREADGROUP",
            b"GROUP",
            b"group",
            b"consumer",
            b"COUNT",
            max.as_bytes(),
            b"BLOCK",
            wait.as_bytes(),
            b"STREAMS",
            b"bench",
            b">",
        ])?;
        self.wire.flush()?;
        // One stream, of which there is the name and the messages: an id, and the fields p and its value.
        if self.count('*')? < 1 {
            return Ok(0);
        }
        ensure!(self.count('*')? == 2, "a stream is a name and messages");
        self.bulk()?;
        let messages = self.count('*')?;
        for _ in 0..messages {
            ensure!(self.count('*')? == 2, "a message is an id and fields");
            let id = self.bulk()?;
            self.fetched.push(id);
            ensure!(self.count('*')? == 2, "one field");
            self.bulk()?;
            sink(&self.bulk()?);
        }
        Ok(self.fetched.len())
    }

    fn ack(&mut self) -> Result<()> {
        let fetched = std::mem::take(&mut self.fetched);
        if fetched.is_empty() {
            return Ok(());
        }
        let mut words: Vec<&[u8]> = vec![b"XACK", b"bench", b"group"];
        words.extend(fetched.iter().map(Vec::as_slice));
        self.command(&words)?;
        self.wire.flush()?;
        let acked = self.count(':')?;
        ensure!(acked as usize == fetched.len(), "{acked} were acked");
        Ok(())
    }
}
