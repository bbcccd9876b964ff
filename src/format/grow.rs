//! Blocks that grow by the records of others: a journal has only what was added.

use super::block::Block;
use super::block_error::BlockError;
use super::builder::{BlockBuilder, PushError};
use super::record::RecordInput;

/// Why a block can't grow: a bug further up, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrowError {
    #[error(transparent)]
    Push(#[from] PushError),
    #[error("the stream's last block is damaged: {0}")]
    Tail(#[from] BlockError),
}

/// A block of records alone that belong behind a block.
pub(crate) fn added<'a>(
    store: u64,
    stream: u32,
    first_seq: u64,
    records: impl IntoIterator<Item = RecordInput<'a>>,
) -> Result<Vec<u8>, PushError> {
    let mut builder = BlockBuilder::new(store, stream, first_seq);
    for record in records {
        builder.push(&record)?;
    }
    Ok(builder.seal())
}

/// A block with the records of another behind its own. One that has them already stays as it is.
pub(crate) fn grow(bytes: &[u8], added: &[u8]) -> Result<Vec<u8>, GrowError> {
    let (block, added) = (Block::open_any(bytes)?, Block::open_any(added)?);
    if added.last_seq() <= block.last_seq() {
        return Ok(bytes.to_vec());
    }
    if block.last_seq().checked_add(1) != Some(added.first_seq()) {
        return Err(GrowError::Tail(BlockError::FirstSeq {
            found: added.first_seq(),
            expected: block.last_seq().saturating_add(1),
        }));
    }
    let mut builder = BlockBuilder::resume(&block)?;
    for record in added.records() {
        builder.push_record(&record?)?;
    }
    Ok(builder.seal())
}

#[cfg(test)]
mod tests {
    use super::{added, grow};
    use crate::format::{BlockBuilder, RecordInput};
    use crate::headers::Headers;

    type Message = (u64, String, Vec<u8>);

    fn input<'a>((time, subject, payload): &'a Message, headers: &'a Headers) -> RecordInput<'a> {
        RecordInput {
            time: *time,
            subject,
            id: None,
            headers,
            payload,
        }
    }

    fn block(first_seq: u64, messages: &[Message]) -> Vec<u8> {
        let headers = Headers::new();
        let mut builder = BlockBuilder::new(5, 6, first_seq);
        for message in messages {
            builder.push(&input(message, &headers)).unwrap();
        }
        builder.encode()
    }

    #[test]
    fn a_block_that_grows_by_records_of_another_is_what_all_of_them_make() {
        for seed in 0..40 {
            let rng = &mut fastrand::Rng::with_seed(seed);
            let subject = |n: u64| format!("s.{}", n * n % 20);
            let messages: Vec<Message> = (0..rng.u64(2..60))
                .map(|n| (7 * n, subject(n), vec![7; rng.usize(0..=200)]))
                .collect();
            let grown_from = rng.usize(1..messages.len());
            let all = block(3, &messages);
            let before = block(3, &messages[..grown_from]);
            let headers = Headers::new();
            let records = messages[grown_from..]
                .iter()
                .map(|message| input(message, &headers));
            let more = added(5, 6, 3 + grown_from as u64, records).unwrap();
            let whole = grow(&before, &more).unwrap();
            assert_eq!(whole, all);
            // Once more changes nothing, and what does not follow is refused.
            assert_eq!(grow(&whole, &more).unwrap(), whole);
            let headers = Headers::new();
            let apart = added(
                5,
                6,
                4 + messages.len() as u64,
                [input(&messages[0], &headers)],
            );
            assert!(grow(&whole, &apart.unwrap()).is_err());
        }
    }
}
