//! A group's messages on their way into blocks, and the last blocks that they go on in.

use super::Engine;
use crate::changes::{Change, Changes};
use crate::format::{GROWN_IN_JOURNAL, GROWN_WHOLE, RecordInput, added, cut};
use crate::state::{Append, Sealed, Stored};
use crate::store::StoreError;
use std::collections::HashMap;

/// A stream's last block, while it is short enough to be grown: its first sequence and its bytes.
pub(super) type Tails = HashMap<u32, Option<Tail>>;

type Tail = (u64, Vec<u8>);

/// Streams whose last blocks are remembered; another's is read again when it is to grow.
const TAILS_MAX: usize = 512;

/// What a commit writes of a last block that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    /// All of it, so that a short one costs less.
    Whole,
    /// What is new.
    InJournal,
}

impl Growth {
    /// Up to which length a last block is grown.
    const fn below(self) -> usize {
        match self {
            Self::Whole => GROWN_WHOLE,
            Self::InJournal => GROWN_IN_JOURNAL,
        }
    }
}

impl Engine {
    /// Cuts what the group appends into blocks, which come behind its other changes.
    pub(super) fn cut_blocks(
        &self,
        sealed: &Sealed,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        let growth = if self.store.has_journal() {
            Growth::InJournal
        } else {
            Growth::Whole
        };
        let mut tails = self.tails.lock();
        for append in &sealed.appends {
            let tail = self.tail(&mut tails, append.stream, growth)?;
            // A block that is dropped with this group must not come back grown.
            let tail = tail.filter(|(first, _)| *first >= append.drop_to);
            let last = self.cut_append(append, tail, growth, &mut changes.changes)?;
            if tails.len() >= TAILS_MAX {
                tails.clear();
            }
            tails.insert(append.stream, last);
        }
        Ok(())
    }

    /// The blocks of one stream; the last of them, if it can be grown, is the answer.
    fn cut_append(
        &self,
        append: &Append,
        tail: Option<Tail>,
        growth: Growth,
        changes: &mut Vec<Change>,
    ) -> Result<Option<Tail>, StoreError> {
        let (store, stream) = (self.store.id(), append.stream);
        let records = append.written();
        let first_seq = records.first().map_or(0, |first| first.seq);
        let (tail_first, tail) = tail.unzip();
        let failed = |why: String| StoreError::Damaged {
            place: format!("a new block: {why}"),
        };
        let inputs = records.iter().map(input);
        // A tail that the new messages do not join on to stays as it is.
        let blocks = cut(
            store,
            stream,
            first_seq,
            tail.as_deref(),
            growth.below(),
            inputs,
        )
        .map_err(|why| failed(why.to_string()))?;
        let last = blocks.last();
        let last = last.filter(|(_, bytes)| bytes.len() < growth.below());
        let last = last.cloned();
        let next = blocks.get(1).map_or(u64::MAX, |(next, _)| *next);
        for (first, bytes) in blocks {
            let goes_on = tail_first == Some(first);
            changes.push(if goes_on && growth == Growth::InJournal {
                let inside = records.iter().take_while(|stored| stored.seq < next);
                Change::Grow {
                    stream,
                    first_seq: first,
                    added: added(store, stream, first_seq, inside.map(input))
                        .map_err(|why| failed(why.to_string()))?,
                    whole: Some(bytes),
                }
            } else {
                Change::Block {
                    stream,
                    first_seq: first,
                    bytes,
                }
            });
        }
        Ok(last)
    }

    /// The last block of a stream, if it is short enough to be grown.
    fn tail(
        &self,
        tails: &mut Tails,
        stream: u32,
        growth: Growth,
    ) -> Result<Option<Tail>, StoreError> {
        if let Some(known) = tails.get_mut(&stream) {
            return Ok(known.take());
        }
        match self.store.read(|reader| reader.last_block(stream)) {
            Ok(last) => Ok(last.filter(|(_, bytes)| bytes.len() < growth.below())),
            // It stays as it is, and who reads it is told; what is published now gets a block of its own.
            Err(StoreError::Damaged { .. }) => Ok(None),
            Err(why) => Err(why),
        }
    }
}

fn input(stored: &Stored) -> RecordInput<'_> {
    RecordInput {
        time: stored.time,
        subject: &stored.subject,
        id: stored.id.as_deref(),
        headers: &stored.headers,
        payload: &stored.payload,
    }
}
