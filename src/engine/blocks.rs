//! A group's messages on their way into blocks, and the last blocks that they go on in.

use super::Engine;
use crate::changes::{Change, Changes};
use crate::format::{Block, GROWN_IN_JOURNAL, GROWN_WHOLE, RecordInput, added, cut};
use crate::state::{Append, Sealed, Stored};
use crate::store::StoreError;
use std::collections::HashMap;

/// A stream's last block, while it is short enough to be grown: its first sequence and its bytes.
pub(super) type Tails = HashMap<u32, Option<Tail>>;

type Tail = (u64, Vec<u8>);

/// Streams whose last blocks are remembered; another's is read again when it is to grow.
const TAILS_MAX: usize = 512;

impl Engine {
    /// Cuts what the group appends into blocks, which come behind its other changes.
    pub(super) fn cut_blocks(
        &self,
        sealed: &Sealed,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        let mut tails = self.tails.lock();
        for append in &sealed.appends {
            let tail = self.tail(&mut tails, append.stream)?;
            // A block that is dropped with this group must not come back grown.
            let tail = tail.filter(|(first, _)| *first >= append.drop_to);
            let last = self.cut_append(append, tail, &mut changes.changes)?;
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
        changes: &mut Vec<Change>,
    ) -> Result<Option<Tail>, StoreError> {
        let (store, stream) = (self.store.id(), append.stream);
        let records = append.written();
        let first_seq = records.first().map_or(0, |first| first.seq);
        let grown = tail.filter(|(_, bytes)| ends_before(bytes, first_seq));
        let tail = grown.as_ref().map(|(_, bytes)| bytes.as_slice());
        let failed = |why: String| StoreError::Damaged {
            place: format!("a new block: {why}"),
        };
        let inputs = records.iter().map(input);
        let blocks = cut(store, stream, first_seq, tail, self.grown_below(), inputs)
            .map_err(|why| failed(why.to_string()))?;
        let last = blocks.last();
        let last = last.filter(|(_, bytes)| bytes.len() < self.grown_below());
        let last = last.cloned();
        let next = blocks.get(1).map_or(u64::MAX, |(next, _)| *next);
        for (first, bytes) in blocks {
            let goes_on = self.store.keeps_journal()
                && grown.as_ref().is_some_and(|(tail, _)| *tail == first);
            changes.push(if goes_on {
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

    /// Up to which length a last block is grown.
    fn grown_below(&self) -> usize {
        if self.store.keeps_journal() {
            GROWN_IN_JOURNAL
        } else {
            GROWN_WHOLE
        }
    }

    /// The last block of a stream, if it is short enough to be grown.
    fn tail(&self, tails: &mut Tails, stream: u32) -> Result<Option<Tail>, StoreError> {
        if let Some(known) = tails.get_mut(&stream) {
            return Ok(known.take());
        }
        match self.store.read(|reader| reader.last_block(stream)) {
            Ok(last) => Ok(last.filter(|(_, bytes)| bytes.len() < self.grown_below())),
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

/// Whether a block ends right before a sequence, so that records from there on continue it.
fn ends_before(bytes: &[u8], first_seq: u64) -> bool {
    Block::open_any(bytes).is_ok_and(|block| block.last_seq() + 1 == first_seq)
}
