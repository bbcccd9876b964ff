//! A message as it is stored, and the few facts about it that retention needs.

use super::expect::LastNeed;
use super::rollup::EarlierNeed;
use crate::headers::Headers;
use std::ops::Deref;
use std::sync::Arc;

/// Payloads from here on are shared instead of copied.
const SHARED_FROM: usize = 4096;

/// A message's payload: a small one is copied where it goes, a large one is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Own(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.len() < SHARED_FROM {
            Self::Own(bytes)
        } else {
            Self::Shared(Arc::new(bytes))
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// A stored message with its bytes. Shared: between the open group, readers and holders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    /// Microseconds since the Unix epoch.
    pub(crate) time: u64,
    pub(crate) subject: Arc<str>,
    pub(crate) id: Option<String>,
    pub(crate) headers: Headers,
    pub(crate) payload: Payload,
}

impl Stored {
    /// All of it but the payload.
    pub(crate) fn without_payload(&self) -> Self {
        Self {
            seq: self.seq,
            time: self.time,
            subject: Arc::clone(&self.subject),
            id: self.id.clone(),
            headers: self.headers.clone(),
            payload: Payload::Own(Vec::new()),
        }
    }

    /// What the message adds to its stream's bytes.
    pub(crate) fn size(&self) -> u64 {
        let id = self.id.as_ref().map_or(0, String::len);
        (self.subject.len() + id + self.headers.encoded_size() + self.payload.len()) as u64
    }
}

/// What retention needs to know of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) seq: u64,
    pub(crate) subject: Arc<str>,
    pub(crate) size: u64,
    pub(crate) time: u64,
}

/// The facts of one block. They never change, because stored records never do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The block's first sequence.
    pub(crate) first: u64,
    pub(crate) subjects: Vec<Arc<str>>,
    /// By record: index into `subjects`, size, time.
    pub(crate) records: Vec<(u32, u64, u64)>,
}

impl Facts {
    pub(crate) fn get(&self, seq: u64) -> Option<Fact> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        let (subject, size, time) = *self.records.get(at)?;
        let subject = self.subjects.get(subject as usize)?.clone();
        Some(Fact {
            seq,
            subject,
            size,
            time,
        })
    }
}

/// What a rule needs from the log before it can go on; the engine reads it outside the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The facts of the block that holds this sequence, or of the next one stored.
    Facts { stream: u32, seq: u64 },
    /// The holes of a window.
    Window { stream: u32, window: u64 },
    /// The first message on a subject that the log holds from one sequence up to another.
    Oldest {
        stream: u32,
        subject: Arc<str>,
        from: u64,
        to: u64,
    },
    /// The last message that a filter matches.
    Last(LastNeed),
    /// All messages of some subjects.
    Earlier(EarlierNeed),
    /// These messages, whole.
    Messages(Vec<(u32, u64)>),
    /// Messages of a stream that wait for their time, whole.
    Scheduled { stream: u32, numbers: Vec<u64> },
}
