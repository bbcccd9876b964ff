//! Any messages: what is pushed is what is read, alone, cut and grown.

use super::source::Source;
use crate::format::{Block, BlockBuilder, Growth, RecordInput, cut, open_block};
use crate::headers::Headers;

struct Message {
    time: u64,
    subject: String,
    id: Option<String>,
    headers: Headers,
    payload: Vec<u8>,
}

impl Message {
    fn input(&self) -> RecordInput<'_> {
        RecordInput {
            time: self.time,
            subject: &self.subject,
            id: self.id.as_deref(),
            headers: &self.headers,
            payload: &self.payload,
        }
    }
}

/// Builds messages of the bytes and takes them through builder, block and cut.
pub fn record(data: &[u8]) {
    let mut source = Source::new(data);
    let first_seq = source.number();
    let at = source.byte() as usize;
    let messages = messages(&mut source);
    let sound = build(first_seq, &messages);
    if first_seq > 0 && sound == messages.len() {
        cut_and_grow(first_seq, &messages, at, Growth::Whole);
        cut_and_grow(first_seq, &messages, at, Growth::InJournal);
    }
}

fn messages(source: &mut Source<'_>) -> Vec<Message> {
    let (mut messages, mut time) = (Vec::new(), source.number());
    while !source.is_empty() && messages.len() < 2000 {
        let shape = source.byte();
        time = time.saturating_add(if shape & 1 == 0 { 0 } else { source.number() });
        let subject = if shape & 2 == 0 {
            format!("s.{}", source.byte())
        } else {
            source.text(1100)
        };
        let id = (shape & 4 != 0).then(|| source.text(1100));
        let pairs = if shape & 8 == 0 { 0 } else { source.below(4) };
        let headers = (0..pairs)
            .map(|_| (source.text(40), source.text(300)))
            .collect();
        // Repetition makes large messages of few bytes.
        let payload = source.bytes(300).repeat(if shape & 16 == 0 {
            1
        } else {
            source.byte().into()
        });
        messages.push(Message {
            time,
            subject,
            id,
            headers,
            payload,
        });
    }
    messages
}

/// Pushes what may be pushed and reads it back; returns how many that were.
fn build(first_seq: u64, messages: &[Message]) -> usize {
    let mut builder = BlockBuilder::new(3, 4, first_seq);
    let mut pushed = Vec::new();
    for message in messages {
        let Ok(len) = builder.len_with(&message.input()) else {
            continue;
        };
        builder.push(&message.input()).expect("it was measured");
        assert_eq!(builder.encoded_len(), len);
        pushed.push(message);
    }
    let len = builder.encoded_len();
    let bytes = builder.finish();
    if pushed.is_empty() {
        assert!(bytes.is_empty());
        return 0;
    }
    assert_eq!(bytes.len(), len);
    assert_eq!(
        read(first_seq, &bytes, &mut pushed.iter().copied()),
        pushed.len() as u64
    );
    pushed.len()
}

/// Compares a block with the messages it should hold; returns how many it holds.
fn read<'a>(first_seq: u64, bytes: &[u8], expected: &mut impl Iterator<Item = &'a Message>) -> u64 {
    let block = Block::open(bytes, 3, 4, first_seq).expect("just made");
    assert_eq!(block.verify(), Ok(()));
    for record in block.records() {
        let (record, message) = (
            record.expect("verified"),
            expected.next().expect("not more"),
        );
        assert_eq!(
            (record.time, record.subject),
            (message.time, message.subject.as_str())
        );
        assert_eq!(
            (record.id, record.payload),
            (message.id.as_deref(), message.payload.as_slice())
        );
        assert_eq!(record.headers.to_headers(), message.headers);
    }
    block.count().into()
}

/// Publishes in two groups, split at `at`: the second may grow the first one's tail.
fn cut_and_grow(first_seq: u64, messages: &[Message], at: usize, growth: Growth) {
    let (before, new) = messages.split_at(at.min(messages.len()));
    // Wraps when nothing follows the very last sequence.
    let next = first_seq.wrapping_add(before.len() as u64);
    let new_block = BlockBuilder::new(3, 4, first_seq);
    let first = cut(new_block, growth, before.iter().map(Message::input)).expect("sound");
    let mut blocks = first.blocks;
    let tail = blocks.last().cloned();
    let tail_bytes = tail.as_ref().map(|(_, bytes)| bytes.as_slice());
    let open = open_block(3, 4, next, tail_bytes, growth).expect("sound");
    let grown = cut(open, growth, new.iter().map(Message::input)).expect("sound");
    if let Some(kept) = first
        .open
        .filter(|kept| kept.count() > 0 && !new.is_empty())
    {
        // To go on in the block that is open is to go on in its bytes.
        let same = cut(kept, growth, new.iter().map(Message::input)).expect("sound");
        assert_eq!(same.blocks, grown.blocks);
    }
    let grown = grown.blocks;
    if grown.first().map(|(seq, _)| seq) == tail.as_ref().map(|(seq, _)| seq) {
        blocks.pop();
    }
    blocks.extend(grown);
    let (mut seq, mut expected) = (first_seq, messages.iter());
    for (first, bytes) in &blocks {
        assert_eq!(*first, seq);
        let count = read(seq, bytes, &mut expected);
        assert!(count == 1 || bytes.len() <= 65536 - 16);
        seq = seq.wrapping_add(count);
    }
    assert!(expected.next().is_none());
}
