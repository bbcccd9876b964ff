//! What the peers in this process share: a store that all threads use, and what a client of it remembers.

use anyhow::Result;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::bell::Bell;
use crate::group::Group;
use crate::queue::{Client, Queue, Sink};

/// A queue on top of an embedded store.
pub trait Store: Send + Sync {
    /// What a fetch took, so that it can be acked.
    type Claim: Send + Default;

    /// Appends all of them; durable when it returns.
    fn append(&self, messages: &mut dyn Iterator<Item = &[u8]>) -> Result<()>;

    /// Takes the next `max` messages that nobody has taken. Called by one thread at a time.
    fn claim(&self, max: usize, claim: &mut Self::Claim, sink: &mut Sink) -> Result<usize>;

    /// Removes what was claimed; durable when it returns.
    fn ack(&self, claim: Self::Claim) -> Result<()>;

    /// As [`Queue::consumers`].
    fn consumers(&self) -> usize {
        usize::MAX
    }
}

pub struct Embedded<S> {
    store: S,
    group: Option<Group>,
    claiming: Mutex<()>,
    bell: Bell,
}

impl<S: Store> Embedded<S> {
    pub fn new(store: S) -> Self {
        Self {
            store,
            group: None,
            claiming: Mutex::new(()),
            bell: Bell::default(),
        }
    }

    /// Commits of several threads share one sync.
    pub fn grouped(store: S) -> Self {
        Self {
            group: Some(Group::default()),
            ..Self::new(store)
        }
    }
}

impl<S: Store> Queue for Embedded<S> {
    fn client(&self) -> Result<Box<dyn Client + '_>> {
        Ok(Box::new(EmbeddedClient {
            queue: self,
            claim: S::Claim::default(),
        }))
    }

    fn consumers(&self) -> usize {
        self.store.consumers()
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct EmbeddedClient<'a, S: Store> {
    queue: &'a Embedded<S>,
    claim: S::Claim,
}

impl<S: Store> Client for EmbeddedClient<'_, S> {
    fn publish(&mut self, payloads: &mut Vec<Vec<u8>>) -> Result<()> {
        let store = &self.queue.store;
        match &self.queue.group {
            Some(group) => group.publish(payloads, |messages| store.append(messages))?,
            None => store.append(&mut payloads.iter().map(Vec::as_slice))?,
        }
        self.queue.bell.ring();
        Ok(())
    }

    fn fetch(&mut self, max: usize, wait: Duration, sink: &mut Sink) -> Result<usize> {
        let (queue, claim) = (self.queue, &mut self.claim);
        queue.bell.wait(wait, || {
            let _alone = queue
                .claiming
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            queue.store.claim(max, claim, sink)
        })
    }

    fn ack(&mut self) -> Result<()> {
        self.queue.store.ack(std::mem::take(&mut self.claim))
    }
}
