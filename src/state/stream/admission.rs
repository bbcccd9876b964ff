//! What a stream accepts: which subjects, how large, and for how much it has room.

use super::Stream;
use crate::config::Discard;
use crate::error::PublishErrorKind;
use crate::publish::Publish;

impl Stream {
    /// Refuses a subject that the stream does not capture.
    pub(crate) fn admit_subject(&self, subject: &str) -> Result<(), PublishErrorKind> {
        if self.captures(subject) {
            return Ok(());
        }
        let (stream, subject) = (self.config.name.clone(), subject.to_owned());
        Err(PublishErrorKind::NotCaptured { stream, subject })
    }

    /// Checks a publish against every rule but those about its subject and the batch it comes in.
    pub(crate) fn admit(&self, message: &Publish) -> Result<(), PublishErrorKind> {
        let stream = || self.config.name.clone();
        if message.id.is_some() && self.config.dedup_window.is_none() {
            return Err(PublishErrorKind::NoDedup { stream: stream() });
        }
        self.admit_ttl(message)?;
        let added = message.repeat_headers();
        self.admit_size(
            message.limited_size() + added,
            message.stored_size() + added,
        )
    }

    /// Whether a message of this size can ever fit.
    pub(crate) fn admit_size(&self, limited: u64, stored: u64) -> Result<(), PublishErrorKind> {
        let (limit, bytes) = match self.config.max_bytes {
            Some(most) if stored > most => (most, stored),
            _ if limited > self.config.max_message_size => (self.config.max_message_size, limited),
            _ => return Ok(()),
        };
        Err(PublishErrorKind::TooLarge {
            bytes,
            limit,
            stream: self.config.name.clone(),
        })
    }

    /// Whether so many more messages and bytes fit into a stream that discards new ones.
    pub(crate) fn room_for(&self, messages: u64, bytes: u64) -> Result<(), PublishErrorKind> {
        self.room_without((0, 0), messages, bytes)
    }

    /// The same when these messages and bytes leave first.
    pub(in crate::state) fn room_without(
        &self,
        leaving: (u64, u64),
        messages: u64,
        bytes: u64,
    ) -> Result<(), PublishErrorKind> {
        if self.config.discard == Discard::Old || messages == 0 {
            return Ok(());
        }
        let full = |limit: String| PublishErrorKind::Full {
            stream: self.config.name.clone(),
            limit,
        };
        match (self.config.max_messages, self.config.max_bytes) {
            (Some(most), _) if self.messages - leaving.0 + messages > most => {
                Err(full(format!("{} of {most} messages", self.messages)))
            }
            (_, Some(most)) if self.bytes - leaving.1 + bytes > most => {
                Err(full(format!("{} of {most} bytes", self.bytes)))
            }
            _ => Ok(()),
        }
    }
}
