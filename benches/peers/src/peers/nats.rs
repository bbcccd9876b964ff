//! NATS JetStream with a file stream and a durable pull consumer, over loopback.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::peers::nats_client::NatsClient;
use crate::peers::server::{Server, find, version};
use crate::queue::{Client, Peer, Queue};

pub struct Nats;

const STREAM: &str = r#"{"name":"bench","subjects":["bench"],"storage":"file","num_replicas":1,"allow_atomic":true}"#;
const CONSUMER: &str = r#"{"stream_name":"bench","config":{"durable_name":"consumer","ack_policy":"explicit","ack_wait":30000000000,"max_ack_pending":100000}}"#;

fn program() -> Option<PathBuf> {
    find("NATS_SERVER", "nats-server")
}

impl Peer for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn version(&self) -> String {
        let line = version(program(), "--version");
        line.trim_start_matches("nats-server: v").to_owned()
    }

    fn durability(&self) -> &'static str {
        "sync_interval: always: a file stream syncs each message before its ack; a batch is atomic batches of 1,000, with a few syncs each (before 2.12: publishes in one go, each synced)"
    }

    fn consuming(&self) -> &'static str {
        "deliveries and acks are written to the consumer's state file in the background; an ack is confirmed by the server (double ack), not by the disk"
    }

    fn absent(&self) -> Option<String> {
        static WHY: OnceLock<Option<String>> = OnceLock::new();
        WHY.get_or_init(why_absent).clone()
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let program = program().context("nats-server is not installed")?;
        let server = Server::start(&program, dir, |port| {
            let path = dir.join("nats.conf");
            std::fs::write(&path, configuration(dir, port)?)?;
            Ok(vec!["-c".into(), path.into_os_string()])
        })?;
        let mut queue = NatsQueue {
            server,
            clients: AtomicU64::new(0),
            atomic: false,
        };
        let mut client = queue.connect()?;
        let answer = client.ask("$JS.API.STREAM.CREATE.bench", STREAM)?;
        client.ask("$JS.API.CONSUMER.DURABLE.CREATE.bench.consumer", CONSUMER)?;
        drop(client);
        // A server that knows no atomic batches leaves out what it did not understand.
        queue.atomic = answer.contains(r#""allow_atomic":true"#);
        Ok(Box::new(queue))
    }
}

fn configuration(dir: &Path, port: u16) -> Result<String> {
    let dir = serde_json::to_string(&dir.join("jetstream"))?;
    Ok(format!(
        "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {dir}, sync_interval: always }}\n"
    ))
}

/// Before 2.10 a server can't sync every message.
fn why_absent() -> Option<String> {
    let Some(program) = program() else {
        return Some("nats-server is not installed".to_owned());
    };
    let test = || -> Result<bool> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("nats.conf");
        std::fs::write(&path, configuration(dir.path(), 4222)?)?;
        let output = Command::new(&program)
            .arg("-t")
            .arg("-c")
            .arg(path)
            .output()?;
        Ok(output.status.success())
    };
    match test() {
        Ok(true) => None,
        Ok(false) => Some(format!(
            "nats-server {} does not know `sync_interval: always`",
            Nats.version()
        )),
        Err(error) => Some(format!("nats-server can't be asked: {error:#}")),
    }
}

struct NatsQueue {
    server: Server,
    clients: AtomicU64,
    /// Whether the server knows atomic batches.
    atomic: bool,
}

impl NatsQueue {
    fn connect(&self) -> Result<NatsClient> {
        let number = self.clients.fetch_add(1, Ordering::Relaxed);
        NatsClient::new(self.server.connect()?, number, self.atomic)
    }
}

impl Queue for NatsQueue {
    fn client(&self) -> Result<Box<dyn Client + '_>> {
        Ok(Box::new(self.connect()?))
    }

    fn close(self: Box<Self>) -> Result<()> {
        drop(self.server);
        Ok(())
    }
}
