//! What a JetStream client needs of NATS's protocol.

use anyhow::{Result, bail, ensure};
use std::collections::VecDeque;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::peers::server::Wire;
use crate::queue::{Client, Sink};

const NEXT: &str = "$JS.API.CONSUMER.MSG.NEXT.bench.consumer";
/// As many messages as one atomic batch has at most.
const ATOMIC: usize = 1_000;

pub struct NatsClient {
    wire: Wire,
    inbox: String,
    atomic: bool,
    batches: u64,
    fetches: u64,
    /// Messages that came after the fetch that asked for them had returned.
    early: VecDeque<Incoming>,
    /// Where the acks go.
    fetched: Vec<String>,
}

/// A message from the server.
struct Incoming {
    /// It answers a fetch. Its subject then is that of the message in the stream.
    fetched: bool,
    /// The last token of its subject, which says what else it answers.
    to: String,
    reply: String,
    /// What the first line of the headers says, if it does: then it is no message of the stream.
    status: Option<String>,
    payload: Vec<u8>,
}

impl NatsClient {
    /// A client with inboxes of its own number, on a new connection.
    pub fn new(wire: Wire, number: u64, atomic: bool) -> Result<Self> {
        let mut client = Self {
            wire,
            inbox: format!("_INBOX.{number}"),
            atomic,
            batches: 0,
            fetches: 0,
            early: VecDeque::new(),
            fetched: Vec::new(),
        };
        let info = client.wire.line()?;
        ensure!(info.starts_with("INFO "), "nats-server says {info}");
        let connect =
            r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;
        write!(
            client.wire.output,
            "{connect}\r\nSUB {0}.* 1\r\nSUB {0}.fetch.* 2\r\n",
            client.inbox
        )?;
        Ok(client)
    }

    fn post(&mut self, subject: &str, answer: &str, payload: &[u8]) -> Result<()> {
        let (inbox, length) = (&self.inbox, payload.len());
        write!(
            self.wire.output,
            "PUB {subject} {inbox}.{answer} {length}\r\n"
        )?;
        self.wire.send(payload)?;
        self.wire.send(b"\r\n")
    }

    fn receive(&mut self) -> Result<Incoming> {
        loop {
            let line = self.wire.line()?;
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let (subject, sid, reply, headers, length) = match words.as_slice() {
                ["PING"] => {
                    self.wire.send(b"PONG\r\n")?;
                    self.wire.flush()?;
                    continue;
                }
                ["PONG" | "INFO", ..] => continue,
                ["MSG", subject, sid, length] => (*subject, *sid, "", 0_usize, length.parse()?),
                ["MSG", subject, sid, reply, length] => {
                    (*subject, *sid, *reply, 0, length.parse()?)
                }
                ["HMSG", subject, sid, headers, length] => {
                    (*subject, *sid, "", headers.parse()?, length.parse()?)
                }
                ["HMSG", subject, sid, reply, headers, length] => {
                    (*subject, *sid, *reply, headers.parse()?, length.parse()?)
                }
                _ => bail!("nats-server says {words:?}"),
            };
            let mut payload = Vec::new();
            self.wire.bytes(length, &mut payload)?;
            ensure!(headers <= length, "headers of {headers} bytes in {length}");
            let headers: Vec<u8> = payload.drain(..headers).collect();
            let text = String::from_utf8_lossy(&headers);
            let first = text
                .lines()
                .next()
                .and_then(|line| line.strip_prefix("NATS/1.0"));
            let status = first.filter(|status| !status.is_empty()).map(str::to_owned);
            return Ok(Incoming {
                fetched: sid == "2",
                to: subject.rsplit('.').next().unwrap_or_default().to_owned(),
                reply: reply.to_owned(),
                status,
                payload,
            });
        }
    }

    /// The next answer to `to`.
    fn answer(&mut self, to: &str) -> Result<Incoming> {
        loop {
            let incoming = self.receive()?;
            match (&incoming.status, incoming.fetched) {
                (None, true) => self.early.push_back(incoming),
                // The end of a fetch that has returned already.
                (Some(_), true) => {}
                (_, false) if incoming.to == to => return Ok(incoming),
                (_, false) => bail!("an answer to {} and not to {to}", incoming.to),
            }
        }
    }

    /// The next message or end of the fetch with this name.
    fn next_fetched(&mut self, name: &str) -> Result<Incoming> {
        if let Some(early) = self.early.pop_front() {
            return Ok(early);
        }
        loop {
            let incoming = self.receive()?;
            let of_earlier = incoming.status.is_some() && incoming.to != name;
            if incoming.fetched && !of_earlier {
                return Ok(incoming);
            }
        }
    }

    pub fn ask(&mut self, subject: &str, request: &str) -> Result<String> {
        self.post(subject, "ask", request.as_bytes())?;
        self.wire.flush()?;
        let answer = self.answer("ask")?;
        no_error(&answer)?;
        Ok(String::from_utf8(answer.payload)?)
    }

    /// One batch, of which all or nothing is stored. Its first message and its last are answered.
    fn post_batch(&mut self, payloads: &[Vec<u8>]) -> Result<()> {
        self.batches += 1;
        // Inboxes differ by client.
        let id = format!("{}.{}", self.inbox, self.batches);
        for (at, payload) in (1..).zip(payloads) {
            let last = at == payloads.len();
            let commit = if last { "Nats-Batch-Commit: 1\r\n" } else { "" };
            let headers = format!(
                "NATS/1.0\r\nNats-Batch-Id: {id}\r\nNats-Batch-Sequence: {at}\r\n{commit}\r\n"
            );
            let reply = if at == 1 || last {
                format!(" {}.p", self.inbox)
            } else {
                String::new()
            };
            let (length, all) = (headers.len(), headers.len() + payload.len());
            write!(
                self.wire.output,
                "HPUB bench{reply} {length} {all}\r\n{headers}"
            )?;
            self.wire.send(payload)?;
            self.wire.send(b"\r\n")?;
        }
        Ok(())
    }

    fn publish_batches(&mut self, payloads: &[Vec<u8>]) -> Result<()> {
        for batch in payloads.chunks(ATOMIC) {
            self.post_batch(batch)?;
        }
        self.wire.flush()?;
        for batch in payloads.chunks(ATOMIC) {
            if batch.len() > 1 {
                no_error(&self.answer("p")?)?;
            }
            let answer = self.answer("p")?;
            no_error(&answer)?;
            let text = String::from_utf8_lossy(&answer.payload);
            let stored = text.contains(&format!("\"count\":{}", batch.len()));
            ensure!(stored, "nats-server says {text} to a batch");
        }
        Ok(())
    }

    fn fetch_some(&mut self, max: usize, wait: Option<Duration>, sink: &mut Sink) -> Result<()> {
        self.fetches += 1;
        let name = self.fetches.to_string();
        let request = match wait {
            None => format!(r#"{{"batch":{max},"no_wait":true}}"#),
            Some(wait) => format!(r#"{{"batch":{max},"expires":{}}}"#, wait.as_nanos()),
        };
        self.post(NEXT, &format!("fetch.{name}"), request.as_bytes())?;
        self.wire.flush()?;
        for _ in 0..max {
            let incoming = self.next_fetched(&name)?;
            match incoming.status.as_deref() {
                None => sink(&incoming.payload),
                // Nothing there, or the time is over.
                Some(status) if status.contains(" 404") || status.contains(" 408") => break,
                Some(status) => bail!("nats-server says {status}"),
            }
            // The subject for the ack ends with the number of messages that are left.
            let last = incoming.reply.ends_with(".0");
            self.fetched.push(incoming.reply);
            if last {
                break;
            }
        }
        Ok(())
    }
}

fn no_error(incoming: &Incoming) -> Result<()> {
    let text = String::from_utf8_lossy(&incoming.payload);
    let failed = text.contains("\"error\"") || incoming.status.is_some();
    ensure!(
        !failed,
        "nats-server says {} {text}",
        incoming.status.as_deref().unwrap_or_default()
    );
    Ok(())
}

impl Client for NatsClient {
    fn publish(&mut self, payloads: &mut Vec<Vec<u8>>) -> Result<()> {
        if self.atomic && payloads.len() > 1 {
            return self.publish_batches(payloads);
        }
        for payload in payloads.iter() {
            self.post("bench", "p", payload)?;
        }
        self.wire.flush()?;
        for _ in 0..payloads.len() {
            no_error(&self.answer("p")?)?;
        }
        Ok(())
    }

    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut Sink) -> Result<usize> {
        self.fetched.clear();
        let deadline = Instant::now() + wait;
        if max > 1 || wait.is_zero() {
            self.fetch_some(max, None, sink)?;
        }
        // A fetch that waits returns only when its batch is full, so it asks for one.
        let left = deadline.saturating_duration_since(Instant::now());
        if self.fetched.is_empty() && !left.is_zero() {
            self.fetch_some(1, Some(left), sink)?;
        }
        Ok(self.fetched.len())
    }

    fn ack(&mut self) -> Result<()> {
        let fetched = std::mem::take(&mut self.fetched);
        for reply in &fetched {
            self.post(reply, "a", b"+ACK")?;
        }
        self.wire.flush()?;
        for _ in &fetched {
            no_error(&self.answer("a")?)?;
        }
        Ok(())
    }
}
