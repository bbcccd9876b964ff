//! Pipelined publishing: staged at once, durable in order, waited for later (R23).

use super::Engine;
use super::publish::{Pace, Target};
use crate::error::{PublishError, Unavailable};
use crate::publish::{Publish, PublishAck};

/// A message that was accepted and will be durable with its group.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) ack: PublishAck,
    pub(crate) group: u64,
}

impl Engine {
    /// Stages one message and leaves the commit to the committer.
    pub(crate) fn publish_async(
        &self,
        target: &Target,
        message: Publish,
    ) -> Result<Accepted, PublishError> {
        let staged = self.stage(target, vec![message], Pace::Pipelined)?;
        self.committer.raise();
        let Some(ack) = staged.acks.into_iter().next() else {
            unreachable!("one message has one answer")
        };
        Ok(Accepted {
            ack,
            group: staged.group,
        })
    }

    /// Waits until everything that was staged for a stream is durable.
    pub(crate) fn flush(&self, stream: u32) -> Result<(), Unavailable> {
        let group = self
            .enter()?
            .state
            .stream(stream)
            .map_or(0, |stream| stream.group);
        self.wait(group)
    }
}
