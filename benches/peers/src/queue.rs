//! What every peer has to be able to do, so that one workload runs on all of them.

use anyhow::Result;
use std::path::Path;
use std::time::Duration;

use crate::cell::Cell;

/// Somebody who can be measured.
pub trait Peer: Sync {
    /// As it is called in arguments and tables.
    fn name(&self) -> &'static str;

    /// Of the crate that was built in, or of the server that would be started.
    fn version(&self) -> String;

    /// What is durable when `publish` returns.
    fn durability(&self) -> &'static str;

    /// What of a fetch and of an ack is durable when it returns.
    fn consuming(&self) -> &'static str;

    /// Why it has no part in this cell; `None` when it has.
    fn refuses(&self, _cell: &Cell) -> Option<&'static str> {
        None
    }

    /// Why it can't be measured on this machine at all.
    fn absent(&self) -> Option<String> {
        None
    }

    /// An empty queue in this empty folder.
    fn open(&self, dir: &Path) -> Result<Box<dyn Queue>>;
}

/// One queue, for any number of threads, each with a client of its own.
pub trait Queue: Sync {
    fn client(&self) -> Result<Box<dyn Client + '_>>;

    /// How many consumers may work at the same time, at most.
    fn consumers(&self) -> usize {
        usize::MAX
    }

    /// Ends it in order, as a program would.
    fn close(self: Box<Self>) -> Result<()>;
}

/// What takes a payload that was fetched.
pub type Sink<'a> = dyn FnMut(&[u8]) + 'a;

/// One thread's way to a queue.
pub trait Client: Send {
    /// Publishes all of them and returns when they are durable, in one commit where the peer has such a
    /// thing. Whoever wants to own the payloads takes them; whoever only borrows them leaves them, and they are
    /// freed by the caller, outside the measured time.
    fn publish(&mut self, payloads: &mut Vec<Vec<u8>>) -> Result<()>;

    /// At most `max` messages (or about as many, where only bytes can be asked for), as soon as there are
    /// any; 0 after `wait`. The client remembers them for `ack`.
    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut Sink) -> Result<usize>;

    /// Acks what the last fetch returned.
    fn ack(&mut self) -> Result<()>;

    /// Whether the peer is measured with `ack_and_fetch`.
    fn together(&self) -> bool {
        false
    }

    /// Acks what the last fetch returned and fetches the next, in one go where the peer can.
    fn ack_and_fetch(&mut self, max: usize, wait: Duration, sink: &mut Sink) -> Result<usize> {
        self.ack()?;
        self.fetch(max, wait, sink)
    }
}
