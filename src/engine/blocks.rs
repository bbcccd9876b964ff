//! A group's messages on their way into blocks, and the last blocks that they go on in.

use super::Engine;
use crate::changes::{Change, Changes};
use crate::format::{BlockBuilder, Growth, RecordInput, added, cut, open_block};
use crate::state::{Append, Sealed, Stored};
use crate::store::StoreError;
use std::collections::HashMap;

/// The last blocks of streams, while they are short enough to be grown.
pub(super) type Tails = HashMap<u32, Option<BlockBuilder>>;

/// Streams whose last blocks are remembered; another's is read again when it is to grow.
const TAILS_MAX: usize = 512;

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
            let tail = self.tail(&mut tails, append, growth)?;
            let last = self.cut_append(append, tail, growth, &mut changes.changes)?;
            if tails.len() >= TAILS_MAX && !tails.contains_key(&append.stream) {
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
        tail: Option<BlockBuilder>,
        growth: Growth,
        changes: &mut Vec<Change>,
    ) -> Result<Option<BlockBuilder>, StoreError> {
        let (store, stream) = (self.store.id(), append.stream);
        let records = append.written();
        let first_new = records.first().map_or(0, |first| first.seq);
        let failed = |why: String| StoreError::Damaged {
            place: format!("a new block: {why}"),
        };
        let tail = tail.unwrap_or_else(|| BlockBuilder::new(store, stream, first_new));
        let cut =
            cut(tail, growth, records.iter().map(input)).map_err(|why| failed(why.to_string()))?;
        let next = cut.blocks.get(1).map_or(u64::MAX, |(next, _)| *next);
        for (first_seq, bytes) in cut.blocks {
            let goes_on = first_seq < first_new;
            changes.push(if goes_on && growth == Growth::InJournal {
                let inside = records.iter().take_while(|stored| stored.seq < next);
                Change::Grow {
                    stream,
                    first_seq,
                    added: added(store, stream, first_new, inside.map(input))
                        .map_err(|why| failed(why.to_string()))?,
                    whole: Some(bytes),
                }
            } else {
                Change::Block {
                    stream,
                    first_seq,
                    bytes,
                }
            });
        }
        Ok(cut.open)
    }

    /// The last block of a stream, if the group's messages can go on in it.
    fn tail(
        &self,
        tails: &mut Tails,
        append: &Append,
        growth: Growth,
    ) -> Result<Option<BlockBuilder>, StoreError> {
        let stream = append.stream;
        let Some(first_new) = append.written().first().map(|first| first.seq) else {
            return Ok(None);
        };
        let tail = match tails.get_mut(&stream) {
            Some(known) => known.take(),
            None => match self.store.read(|reader| reader.last_block(stream)) {
                Ok(last) => last
                    .map(|(_, bytes)| {
                        open_block(self.store.id(), stream, first_new, Some(&bytes), growth)
                    })
                    .transpose()
                    .map_err(|why| StoreError::Damaged {
                        place: format!("the last block of a stream: {why}"),
                    })?,
                // It stays as it is, and who reads it is told; what is published now gets a block of its own.
                Err(StoreError::Damaged { .. }) => None,
                Err(why) => return Err(why),
            },
        };
        Ok(tail.filter(|tail| {
            tail.next_seq() == first_new
                && tail.encoded_len() < growth.below()
                // A block that is dropped with this group must not come back grown.
                && tail.first_seq() >= append.drop_to
        }))
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
