//! What a stream's configuration keeps from being done to it.

use super::{State, Stream};
use crate::config::{Deny, StreamConfig};
use crate::error::{ConsumerError, PublishErrorKind, PurgeError, StreamError};

impl Stream {
    /// Refuses a message that is not a duplicate, if the stream is sealed.
    pub(super) fn admit_open(&self) -> Result<(), PublishErrorKind> {
        if self.config.is_sealed() {
            let stream = self.config.name.clone();
            return Err(PublishErrorKind::Sealed { stream });
        }
        Ok(())
    }

    /// Refuses what the stream denies; a sealed one denies everything.
    pub(super) fn permit(&self, what: Deny) -> Result<(), PurgeError> {
        let stream = || self.config.name.clone();
        if self.config.is_sealed() {
            return Err(PurgeError::Sealed { stream: stream() });
        }
        if self.config.deny.contains(&what) {
            let (stream, denied) = (stream(), what);
            return Err(PurgeError::Denied { stream, denied });
        }
        Ok(())
    }

    /// Refuses an update that takes back what is for good, or changes what is fixed.
    pub(super) fn permit_update(&self, config: &StreamConfig) -> Result<(), StreamError> {
        let name = || config.name.clone();
        if self.config.first_sequence != config.first_sequence {
            return Err(StreamError::Fixed {
                name: name(),
                setting: "first_sequence",
            });
        }
        let taken_back = [
            ("deny", !self.config.deny.is_subset(&config.deny)),
            ("sealed", self.config.is_sealed() && !config.is_sealed()),
        ];
        let taken_back = taken_back.into_iter().find(|(_, taken)| *taken);
        taken_back.map_or(Ok(()), |(setting, _)| {
            let name = name();
            Err(StreamError::Irrevocable { name, setting })
        })
    }

    /// Refuses one consumer more than there may be.
    pub(super) fn admit_consumer(&self) -> Result<(), ConsumerError> {
        match self.config.max_consumers {
            Some(limit) if self.consumers.len() as u64 >= limit => Err(ConsumerError::TooMany {
                stream: self.config.name.clone(),
                limit,
            }),
            _ => Ok(()),
        }
    }
}

impl State {
    /// Whether a purge of this stream would be refused; a stream that is gone refuses it elsewhere.
    pub(crate) fn permit_purge(&self, stream: u32) -> Result<(), PurgeError> {
        let stream = self.streams.get(&stream);
        stream.map_or(Ok(()), |stream| stream.permit(Deny::Purge))
    }
}
