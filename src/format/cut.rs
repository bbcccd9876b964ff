//! Cutting a run of new messages into blocks whose sizes waste little of redb's pages.

use super::block::Block;
use super::block_error::BlockError;
use super::builder::{BlockBuilder, Measured, PushError};
use super::page::{Growth, Rest};
use super::record::{Body, RecordInput};

/// Bytes of a record beside its body, about: its time, its subject's number, its entry in the table.
const RECORD_COST: usize = 8;

/// What comes of a cut.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The blocks by first sequence. The first replaces the one that was open, if it goes on in it.
    pub(crate) blocks: Vec<(u64, Vec<u8>)>,
    /// The last of them, if it is short enough to be grown.
    pub(crate) open: Option<BlockBuilder>,
}

/// Packs consecutive records into blocks: first behind those in `open`, which `open_block` makes.
///
/// An open block that nothing is added to does not come back, and without records there is nothing to do
/// at all.
pub(crate) fn cut<'a, I>(open: BlockBuilder, growth: Growth, records: I) -> Result<Cut, PushError>
where
    I: IntoIterator<Item = RecordInput<'a>, IntoIter: Clone>,
{
    let records = records.into_iter();
    let mut cutter = Cutter::new(open, growth, records.clone());
    for record in records {
        cutter.push(&record)?;
    }
    Ok(cutter.finish())
}

/// The block that a stream goes on in at a sequence: its last one, if that ends there and is short enough, or
/// a new one.
pub(crate) fn open_block(
    store: u64,
    stream: u32,
    first_seq: u64,
    last: Option<&[u8]>,
    growth: Growth,
) -> Result<BlockBuilder, BlockError> {
    let last = last.filter(|bytes| bytes.len() < growth.below());
    if let Some(bytes) = last {
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
    growth: Growth,
    blocks: Vec<(u64, Vec<u8>)>,
    /// Records that the block had when it was opened.
    had: usize,
    /// How long the block is to become.
    longest: usize,
    /// Bytes of the records to come, about, and of the largest of all.
    left: usize,
    largest: usize,
}

impl Cutter {
    fn new<'a>(
        builder: BlockBuilder,
        growth: Growth,
        records: impl Iterator<Item = RecordInput<'a>>,
    ) -> Self {
        let (mut left, mut largest) = (0, 0);
        for record in records {
            let size = size_of(&record);
            left += size;
            largest = size.max(largest);
        }
        let had = builder.count();
        let rest = Rest {
            whole: builder.encoded_len() + left,
            largest,
        };
        let longest = if had > 0 {
            rest.longest_grown(growth)
        } else {
            rest.longest(growth)
        };
        Self {
            builder,
            growth,
            blocks: Vec::new(),
            had,
            longest,
            left,
            largest,
        }
    }

    fn push(&mut self, record: &RecordInput<'_>) -> Result<(), PushError> {
        let measured = self.builder.measure_input(record)?;
        if self.fits(&measured) {
            self.builder.push_measured(&measured);
        } else {
            self.next_block();
            // In a block of its own the record's subject and time are encoded anew.
            self.builder.push(record)?;
        }
        self.left = self.left.saturating_sub(size_of(record));
        Ok(())
    }

    /// A record that is too large for any block gets one of its own.
    fn fits(&self, measured: &Measured<'_>) -> bool {
        self.builder.count() == 0 || measured.block_len <= self.longest
    }

    fn next_block(&mut self) {
        let (first_seq, count) = (self.builder.first_seq(), self.builder.count());
        if count > self.had {
            self.blocks.push((first_seq, self.builder.seal()));
        } else {
            self.builder.start_over();
        }
        self.had = 0;
        let rest = Rest {
            whole: self.builder.encoded_len() + self.left,
            largest: self.largest,
        };
        self.longest = rest.longest(self.growth);
    }

    fn finish(mut self) -> Cut {
        let stays_open = self.builder.encoded_len() < self.growth.below();
        if !self.blocks.is_empty() {
            // It may be kept for long, and has the memory of a larger block.
            self.builder.shrink();
        }
        if self.builder.count() > self.had {
            self.blocks
                .push((self.builder.first_seq(), self.builder.encode()));
        }
        Cut {
            blocks: self.blocks,
            open: stays_open.then_some(self.builder),
        }
    }
}

fn size_of(record: &RecordInput<'_>) -> usize {
    Body::of_input(record).encoded_len() + RECORD_COST
}

#[cfg(test)]
mod tests {
    use super::super::page::{fit, page_of};
    use super::{cut, open_block};
    use crate::format::{Block, Growth, RecordInput};
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
        cut_as(Growth::Whole, first_seq, tail, messages)
    }

    fn cut_as(
        growth: Growth,
        first_seq: u64,
        tail: Option<&[u8]>,
        messages: &[Message],
    ) -> Vec<(u64, Vec<u8>)> {
        let headers = Headers::new();
        let inputs = messages.iter().map(|message| input(message, &headers));
        let open = open_block(5, 6, first_seq, tail, growth).unwrap();
        cut(open, growth, inputs).unwrap().blocks
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
    fn a_journal_s_last_block_is_filled_up_and_no_more() {
        let messages: Vec<_> = (0..1500)
            .map(|n| (n, "s".to_owned(), vec![1; 95]))
            .collect();
        let before = cut_as(Growth::InJournal, 1, None, &messages[..50]);
        let [(1, tail)] = before.as_slice() else {
            panic!("they fit one block");
        };
        let blocks = cut_as(Growth::InJournal, 51, Some(tail), &messages[50..]);
        let lens: Vec<_> = blocks.iter().map(|(_, bytes)| bytes.len()).collect();
        check(&blocks, 1, &messages);
        assert!(
            lens[0] < Growth::InJournal.below() && lens[0] > 16_000,
            "{lens:?}"
        );
        // Of the 147 KB behind it none is encoded twice, and little of their pages is left empty.
        assert_eq!(page_of(lens[1]), 65_536, "{lens:?}");
        let pages: usize = lens.iter().map(|len| page_of(*len)).sum();
        assert!(pages < lens.iter().sum::<usize>() * 9 / 8, "{lens:?}");
    }

    #[test]
    fn a_block_that_stays_open_goes_on_as_one_that_is_read_again() {
        for seed in 0..60 {
            let rng = &mut fastrand::Rng::with_seed(seed);
            let growth = [Growth::Whole, Growth::InJournal][seed as usize % 2];
            let largest = [200, 3000][seed as usize % 3 / 2];
            let messages = messages(rng, 200, largest);
            let headers = Headers::new();
            let (mut open, mut last) =
                (open_block(5, 6, 1, None, growth).unwrap(), None::<Vec<u8>>);
            let mut from = 0;
            while from < messages.len() {
                let to = messages.len().min(from + rng.usize(1..30));
                let inputs = || {
                    messages[from..to]
                        .iter()
                        .map(|message| input(message, &headers))
                };
                let next = 1 + from as u64;
                let read = open_block(5, 6, next, last.as_deref(), growth).unwrap();
                let expected = cut(read, growth, inputs()).unwrap();
                let found = cut(open, growth, inputs()).unwrap();
                assert_eq!(found.blocks, expected.blocks);
                last = found.blocks.last().map(|(_, bytes)| bytes.clone());
                open = found
                    .open
                    .unwrap_or_else(|| open_block(5, 6, 1 + to as u64, None, growth).unwrap());
                from = to;
            }
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
