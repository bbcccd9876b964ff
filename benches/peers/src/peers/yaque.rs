//! yaque: a queue of files between a sender and a receiver. It never syncs, so it is only counted.

use anyhow::{Result, anyhow, bail};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use yaque::Sender;

use crate::cell::Cell;
use crate::embedded::{Embedded, Store};
use crate::queue::{Peer, Queue, Sink};
use crate::version;

pub struct Yaque;

impl Peer for Yaque {
    fn name(&self) -> &'static str {
        "yaque"
    }

    fn version(&self) -> String {
        version::of("yaque")
    }

    fn durability(&self) -> &'static str {
        "nothing: the bytes are with the operating system, and the crate has no call that syncs them"
    }

    fn consuming(&self) -> &'static str {
        "nothing is synced"
    }

    fn refuses(&self, _cell: &Cell) -> Option<&'static str> {
        Some("never syncs, so it is not measured beside those that do")
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>> {
        let sender = Sender::open(dir.join("queue"))?;
        Ok(Box::new(Embedded::new(Files(Mutex::new(sender)))))
    }
}

struct Files(Mutex<Sender>);

impl Store for Files {
    type Claim = ();

    fn append(&self, messages: &mut dyn Iterator<Item = &[u8]>) -> Result<()> {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            sender
                .try_send(message)
                .map_err(|error| anyhow!("send: {error:?}"))?;
        }
        Ok(())
    }

    fn claim(&self, _max: usize, (): &mut (), _sink: &mut Sink) -> Result<usize> {
        bail!("only counted, never fetched from")
    }

    fn ack(&self, (): ()) -> Result<()> {
        bail!("only counted, never fetched from")
    }
}
