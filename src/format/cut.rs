//! Cutting a run of new messages into blocks whose sizes waste little of redb's pages.
//!
//! redb gives a big value pages of a power of two. In our tables (a `u64` key, one value of
//! variable length, one row in the leaf) a value of exactly P - 16 bytes takes one page of P, and
//! one byte more takes 2 P: measured with redb 4.4's `stats()` for every P from 4 KiB to 128 KiB.

use super::block::Block;
use super::block_error::BlockError;
use super::builder::{BlockBuilder, Measured, PushError};
use super::record::RecordInput;

/// Bytes of a page that a row's value can't have.
const ROW_COST: usize = 16;
/// The smallest page.
const SMALLEST: usize = 4096;
/// The largest page that a block fills. Larger ones were measured to gain little, and a block is
/// what a read of one message pays for.
const LARGEST: usize = 65536;

/// A last block below this is grown, where a commit writes the whole of it: it takes one page.
pub(crate) const GROWN_WHOLE: usize = fit(SMALLEST);
/// The same where a commit writes only what is added, and the whole later, once for many commits.
pub(crate) const GROWN_IN_JOURNAL: usize = fit(4 * SMALLEST);

/// Why a cut is impossible: a bug further up, or a damaged tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CutError {
    #[error(transparent)]
    Push(#[from] PushError),
    #[error("the stream's last block is damaged: {0}")]
    Tail(#[from] BlockError),
}

/// The largest block that fits in a page of `page` bytes.
const fn fit(page: usize) -> usize {
    page - ROW_COST
}

/// The page that a block of `len` bytes takes.
fn page_of(len: usize) -> usize {
    (len + ROW_COST).next_power_of_two().max(SMALLEST)
}

/// The bytes of the page that a block of `len` bytes takes. Small blocks of one stream may share one.
pub(crate) fn page_bytes(len: usize) -> u64 {
    page_of(len) as u64
}

/// Packs consecutive records, the first of them with sequence `first_seq`, into blocks.
///
/// `tail` is the stream's last block. When it is shorter than `grown_below`, the first block of the answer
/// replaces it: the same `first_seq`, its records and then new ones. A tail that stays as it is
/// does not come back, and without records there is nothing to do at all. A last block that can still be
/// grown is not split to waste less.
pub(crate) fn cut<'a>(
    store: u64,
    stream: u32,
    first_seq: u64,
    tail: Option<&[u8]>,
    grown_below: usize,
    records: impl IntoIterator<Item = RecordInput<'a>>,
) -> Result<Vec<(u64, Vec<u8>)>, CutError> {
    let mut records = records.into_iter().peekable();
    if records.peek().is_none() {
        return Ok(Vec::new());
    }
    let mut cutter = Cutter {
        builder: start(
            store,
            stream,
            first_seq,
            tail.filter(|bytes| bytes.len() < grown_below),
        )?,
        blocks: Vec::new(),
    };
    for record in records {
        cutter.push(&record)?;
    }
    let mut blocks = cutter.finish(grown_below)?;
    // There is one encoding of the same records, so equal bytes mean that nothing was added.
    if blocks
        .first()
        .is_some_and(|(_, bytes)| Some(bytes.as_slice()) == tail)
    {
        blocks.remove(0);
    }
    Ok(blocks)
}

fn start(
    store: u64,
    stream: u32,
    first_seq: u64,
    tail: Option<&[u8]>,
) -> Result<BlockBuilder, BlockError> {
    if let Some(bytes) = tail {
        let block = Block::open_any(bytes)?;
        if block.store() != store {
            return Err(BlockError::Store {
                found: block.store(),
                expected: store,
            });
        }
        if block.stream() != stream {
            return Err(BlockError::Stream {
                found: block.stream(),
                expected: stream,
            });
        }
        if block.last_seq().checked_add(1) == Some(first_seq) {
            return BlockBuilder::resume(&block);
        }
    }
    Ok(BlockBuilder::new(store, stream, first_seq))
}

struct Cutter {
    builder: BlockBuilder,
    blocks: Vec<Piece>,
}

impl Cutter {
    fn push(&mut self, record: &RecordInput<'_>) -> Result<(), PushError> {
        let measured = self.builder.measure_input(record)?;
        if self.fits(&measured) {
            self.builder.push_measured(&measured);
            return Ok(());
        }
        self.seal();
        // In a block of its own the record's subject and time are encoded anew.
        self.builder.push(record)
    }

    /// A record that is too large for any block gets one of its own.
    fn fits(&self, measured: &Measured<'_>) -> bool {
        self.builder.count() == 0 || measured.block_len <= fit(LARGEST)
    }

    fn seal(&mut self) {
        let first_seq = self.builder.first_seq();
        self.blocks.push((first_seq, self.builder.seal()));
    }

    fn finish(mut self, grown_below: usize) -> Result<Vec<Piece>, CutError> {
        self.seal();
        if let Some(last) = self.blocks.pop_if(|(_, bytes)| bytes.len() >= grown_below) {
            self.blocks.extend(split_tail(last)?);
        }
        Ok(self.blocks)
    }
}

type Piece = (u64, Vec<u8>);

/// Splits the last block at the next lower page size, and again what is then last, as long as
/// more than an eighth of a page would be wasted and splitting saves pages.
fn split_tail(whole: Piece) -> Result<Vec<Piece>, CutError> {
    let page = page_of(whole.1.len());
    let wasted = fit(page).saturating_sub(whole.1.len());
    if wasted <= page / 8 || page == SMALLEST || page > LARGEST {
        return Ok(vec![whole]);
    }
    let Some((head, rest)) = split_at(&whole.1, fit(page / 2))? else {
        return Ok(vec![whole]);
    };
    let mut pieces = vec![head];
    pieces.extend(split_tail(rest)?);
    let pages: usize = pieces.iter().map(|(_, bytes)| page_of(bytes.len())).sum();
    Ok(if pages < page { pieces } else { vec![whole] })
}

/// As many records as fit in `limit` bytes, and the rest; `None` when not even one fits.
fn split_at(bytes: &[u8], limit: usize) -> Result<Option<(Piece, Piece)>, CutError> {
    let block = Block::open_any(bytes)?;
    let mut builder = BlockBuilder::new(block.store(), block.stream(), block.first_seq());
    let mut head = None;
    for record in block.records() {
        let record = record?;
        let measured = builder.measure_record(&record)?;
        if head.is_some() || measured.block_len <= limit {
            builder.push_measured(&measured);
        } else if builder.count() == 0 {
            return Ok(None);
        } else {
            head = Some((builder.first_seq(), builder.seal()));
            builder.push_record(&record)?;
        }
    }
    let rest = (builder.first_seq(), builder.seal());
    Ok(head.map(|head| (head, rest)))
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
pub(crate) fn grow(bytes: &[u8], added: &[u8]) -> Result<Vec<u8>, CutError> {
    let (block, added) = (Block::open_any(bytes)?, Block::open_any(added)?);
    if added.last_seq() <= block.last_seq() {
        return Ok(bytes.to_vec());
    }
    if block.last_seq().checked_add(1) != Some(added.first_seq()) {
        return Err(CutError::Tail(BlockError::FirstSeq {
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
    use super::{GROWN_IN_JOURNAL, GROWN_WHOLE, added, cut, fit, grow, page_of};
    use crate::format::{Block, RecordInput};
    use crate::headers::Headers;

    type Message = (u64, String, Vec<u8>);

    fn messages(rng: &mut fastrand::Rng, count: usize, largest: usize) -> Vec<Message> {
        let mut time = 1_700_000_000_000_000;
        let mut message = || {
            time += rng.u64(0..1000);
            (
                time,
                format!("s.{}", rng.u8(0..20)),
                vec![7; rng.usize(0..=largest)],
            )
        };
        (0..count).map(|_| message()).collect()
    }

    fn input<'a>((time, subject, payload): &'a Message, headers: &'a Headers) -> RecordInput<'a> {
        RecordInput {
            time: *time,
            subject,
            id: None,
            headers,
            payload,
        }
    }

    fn cut_all(first_seq: u64, tail: Option<&[u8]>, messages: &[Message]) -> Vec<(u64, Vec<u8>)> {
        cut_below(GROWN_WHOLE, first_seq, tail, messages)
    }

    fn cut_below(
        grown_below: usize,
        first_seq: u64,
        tail: Option<&[u8]>,
        messages: &[Message],
    ) -> Vec<(u64, Vec<u8>)> {
        let headers = Headers::new();
        let inputs = messages.iter().map(|message| input(message, &headers));
        cut(5, 6, first_seq, tail, grown_below, inputs).unwrap()
    }

    /// Each block is sound, and together they hold exactly these messages.
    fn check(blocks: &[(u64, Vec<u8>)], first_seq: u64, messages: &[Message]) {
        let mut seq = first_seq;
        let mut expected = messages.iter();
        for (first, bytes) in blocks {
            assert_eq!(*first, seq);
            let block = Block::open(bytes, 5, 6, seq).unwrap();
            block.verify().unwrap();
            assert!(bytes.len() <= fit(65536) || block.count() == 1);
            for record in block.records() {
                let (record, (time, subject, payload)) =
                    (record.unwrap(), expected.next().unwrap());
                assert_eq!((record.seq, record.time), (seq, *time));
                assert_eq!(
                    (record.subject, record.payload),
                    (subject.as_str(), payload.as_slice())
                );
                seq += 1;
            }
        }
        assert!(expected.next().is_none());
    }

    #[test]
    fn blocks_hold_all_records_and_fit_their_pages() {
        for seed in 0..30 {
            let rng = &mut fastrand::Rng::with_seed(seed);
            let largest = [0, 100, 1000, 5000, 30_000, 100_000][seed as usize % 6];
            let count = rng.usize(1..400);
            let messages = messages(rng, count, largest);
            let blocks = cut_all(9, None, &messages);
            check(&blocks, 9, &messages);
            if largest <= 1000 {
                let pages: usize = blocks.iter().map(|(_, bytes)| page_of(bytes.len())).sum();
                let bytes: usize = blocks.iter().map(|(_, bytes)| bytes.len()).sum();
                // At most a record's worth at the end of each block, and the last page.
                assert!(
                    pages < bytes + blocks.len() * (largest + 100) + 4096,
                    "{pages} for {bytes}"
                );
            }
        }
    }

    #[test]
    fn a_last_block_that_would_waste_much_is_split() {
        let messages = messages(&mut fastrand::Rng::with_seed(1), 100, 0);
        let messages: Vec<_> = messages
            .into_iter()
            .map(|(time, ..)| (time, "s".to_owned(), vec![1; 95]))
            .collect();
        let blocks = cut_all(1, None, &messages);
        let pages: Vec<_> = blocks
            .iter()
            .map(|(_, bytes)| page_of(bytes.len()))
            .collect();
        assert_eq!(pages, [8192, 4096]);
        check(&blocks, 1, &messages);
    }

    #[test]
    fn splitting_that_saves_nothing_is_left_alone() {
        let messages: Vec<_> = (0..2).map(|n| (n, "s".to_owned(), vec![1; 5000])).collect();
        assert_eq!(cut_all(1, None, &messages).len(), 1);
    }

    #[test]
    fn a_block_that_grows_by_records_of_another_is_what_all_of_them_make() {
        for seed in 0..40 {
            let rng = &mut fastrand::Rng::with_seed(seed);
            let count = rng.usize(2..60);
            let messages = messages(rng, count, 200);
            let grown_from = rng.usize(1..messages.len());
            let all = cut_below(GROWN_IN_JOURNAL, 3, None, &messages).remove(0).1;
            let before = cut_below(GROWN_IN_JOURNAL, 3, None, &messages[..grown_from]);
            let [(3, before)] = before.as_slice() else {
                panic!("they fit one block");
            };
            let headers = Headers::new();
            let records = messages[grown_from..]
                .iter()
                .map(|message| input(message, &headers));
            let more = added(5, 6, 3 + grown_from as u64, records).unwrap();
            let whole = grow(before, &more).unwrap();
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

    #[test]
    fn a_small_tail_grows_and_a_full_one_does_not() {
        for seed in 0..40 {
            let rng = &mut fastrand::Rng::with_seed(seed);
            let messages = messages(rng, 60, 200);
            let (before, new) = messages.split_at(rng.usize(1..59));
            let old = cut_all(1, None, before);
            let (tail_seq, tail) = old.last().unwrap();
            let next = 1 + before.len() as u64;
            let added = cut_all(next, Some(tail), new);
            let replaced = added[0].0 == *tail_seq;
            assert!(replaced || added[0].0 == next);
            assert!(tail.len() < fit(4096) || !replaced);
            let kept = if replaced {
                &old[..old.len() - 1]
            } else {
                &old[..]
            };
            check(&[kept, &added].concat(), 1, &messages);
        }
    }

    #[test]
    fn an_unchanged_tail_does_not_come_back() {
        let small = vec![(1, "s".to_owned(), vec![1; 10])];
        let tail = cut_all(1, None, &small).remove(0).1;
        let huge = vec![(2, "s".to_owned(), vec![1; 100_000])];
        let blocks = cut_all(2, Some(&tail), &huge);
        assert_eq!(blocks.len(), 1);
        check(&blocks, 2, &huge);
        assert!(cut_all(2, Some(&tail), &[]).is_empty());
    }

    #[test]
    fn a_tail_that_ends_elsewhere_is_left_alone() {
        let small = vec![(1, "s".to_owned(), vec![1; 10])];
        let tail = cut_all(1, None, &small).remove(0).1;
        assert_eq!(cut_all(9, Some(&tail), &small)[0].0, 9);
    }
}
