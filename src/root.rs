//! What all handles of a store share.

use crate::engine::Engine;
use crate::publish::PublishAck;
use std::sync::Arc;

/// What all handles share. When the last one goes, the store closes.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) engine: Arc<Engine>,
}

impl Drop for Root {
    fn drop(&mut self) {
        self.engine.close_quietly();
    }
}

/// The one answer to one message.
pub(crate) fn one(acks: Vec<PublishAck>) -> PublishAck {
    let Some(ack) = acks.into_iter().next() else {
        unreachable!("one message has one answer")
    };
    ack
}
