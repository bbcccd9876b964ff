//! Whether messages may have a time to live of their own.

use super::StreamConfig;
use serde::{Deserialize, Serialize};

/// Whether a stream takes messages with a [time to live](crate::Publish::ttl) of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MessageTtl {
    /// It refuses them.
    #[default]
    Refused,
    /// It takes them.
    Allowed,
}

impl StreamConfig {
    /// Allows messages a [time to live](crate::Publish::ttl) of their own. Without it such a message is
    /// refused, so that nobody expires messages where others count on all of them. An update that leaves
    /// it out refuses new ones; those that are stored keep theirs.
    pub fn allow_message_ttl(mut self) -> Self {
        self.message_ttl = MessageTtl::Allowed;
        self
    }
}
