//! Any bytes as a journal: what is replayed stands in its place, whole, and follows what was before it.

use super::source::Source;
use crate::changes::{Change, Changes, RowKey, Table};
use crate::format::encode_changes;
use crate::format::journal::{
    HEAD_LEN, Head, Place, RECORD_HEAD_LEN, decode_record, encode_record, follows, holds_record,
};
use crate::store::replay_bytes;

const STORE: u64 = 5;
const JOURNAL: u64 = 7;

/// Replays the bytes as a whole file, then a file that is made of them, with records in place and out of
/// it, garbage between them, and damage.
pub fn journal(data: &[u8]) {
    raw(data);
    made(&mut Source::new(data));
}

fn raw(data: &[u8]) {
    let Ok(head) = Head::decode(data) else {
        assert!(replay_bytes(data, STORE, JOURNAL, 1).is_err());
        return;
    };
    let encoded = head.encode();
    assert_eq!(data.get(..encoded.len()), Some(encoded.as_slice()));
    if let Ok(groups) = replay_bytes(data, head.store, head.journal, 1) {
        assert!(groups.len() * RECORD_HEAD_LEN <= data.len());
    }
    for lap in 0..3 {
        let segment = data.get(head.start_of(lap) as usize..).unwrap_or_default();
        each(head.store, head.journal, lap, segment);
    }
}

/// What decodes encodes to the same bytes, but for the zeros behind its payload.
fn each(store: u64, journal: u64, lap: u64, segment: &[u8]) {
    let mut rest = segment;
    while let Some(record) = decode_record(store, journal, lap, rest) {
        let after = follows(rest).expect("it has a head");
        let place = Place {
            journal,
            lap,
            number: record.number,
            after,
            unsynced: record.unsynced(),
        };
        let (encoded, sum) = encode_record(store, place, record.payload);
        assert_eq!((sum, encoded.len() as u64), (record.checksum, record.len));
        let used = RECORD_HEAD_LEN + record.payload.len();
        assert_eq!(rest[..used], encoded[..used]);
        assert!(holds_record(store, journal, lap, rest, |_| true));
        rest = rest.get(encoded.len()..).unwrap_or_default();
    }
}

/// A file of two laps, and what was acknowledged in it.
struct Made {
    head: Head,
    bytes: Vec<u8>,
    groups: Vec<Changes>,
    number: u64,
    after: u64,
    /// Whether nothing but what belongs there was written.
    is_whole: bool,
}

impl Made {
    /// Writes a lap, as far as it has room.
    fn lap(&mut self, lap: u64, source: &mut Source<'_>) {
        let mut at = self.head.start_of(lap) as usize;
        let end = at + self.head.segment as usize;
        for _ in 0..source.below(9) {
            let item = match source.below(8) {
                0..=4 => self.next(lap, source),
                5 => {
                    self.is_whole = false;
                    self.stray(lap, source)
                }
                _ => {
                    self.is_whole = false;
                    source.bytes(80).to_vec()
                }
            };
            let to = (at + item.len()).min(end);
            let place = self.bytes.get_mut(at..to).unwrap_or_default();
            self.is_whole &= place.len() == item.len();
            place.copy_from_slice(&item[..place.len()]);
            at += item.len().next_multiple_of(8);
        }
    }

    fn next(&mut self, lap: u64, source: &mut Source<'_>) -> Vec<u8> {
        let place = Place {
            journal: JOURNAL,
            lap,
            number: self.number + 1,
            after: self.after,
            // None, one or two of those before it.
            unsynced: (self.number % 3) as u32,
        };
        let group = group(source, place.number);
        let (record, sum) = encode_record(STORE, place, &encode_changes(&group));
        self.groups.push(group);
        (self.number, self.after) = (place.number, sum);
        record
    }

    /// A whole record of somewhere else.
    fn stray(&self, lap: u64, source: &mut Source<'_>) -> Vec<u8> {
        let mut place = Place {
            journal: JOURNAL,
            lap,
            number: self.number + 1,
            after: self.after,
            // None, one or two of those before it.
            unsynced: (self.number % 3) as u32,
        };
        let mut store = STORE;
        match source.below(5) {
            0 => store += 1,
            1 => place.journal += 1,
            2 => place.lap += u64::from(source.below(6)) + 1,
            3 => place.number += u64::from(source.below(6)) + 1,
            _ => place.after ^= 1,
        }
        let changes = encode_changes(&group(source, u64::MAX));
        encode_record(store, place, &changes).0
    }
}

fn group(source: &mut Source<'_>, group: u64) -> Changes {
    let value = source.bytes(100).to_vec();
    let key = RowKey::new(Table::Holes, 1, group);
    let changes = vec![Change::Put { key, value }];
    Changes { group, changes }
}

fn made(source: &mut Source<'_>) {
    let head = Head {
        store: STORE,
        journal: JOURNAL,
        segment: 8 + source.number() % 2_000,
    };
    let first = source.number() % 5;
    let mut made = Made {
        head,
        bytes: vec![0; head.file_len() as usize],
        groups: Vec::new(),
        number: 0,
        after: 0,
        is_whole: true,
    };
    let encoded = head.encode();
    made.bytes[..encoded.len()].copy_from_slice(&encoded);
    made.lap(first, source);
    made.lap(first + 1, source);
    while !source.is_empty() {
        let at = HEAD_LEN as usize + source.number() as usize % (3 * head.segment as usize);
        for (byte, patch) in made.bytes[at..].iter_mut().zip(source.bytes(16)) {
            made.is_whole &= *patch == 0;
            *byte ^= patch;
        }
    }
    match replay_bytes(&made.bytes, STORE, JOURNAL, first) {
        // Only what was acknowledged, from the first on, each in its place.
        Ok(groups) => {
            assert_eq!(made.groups.get(..groups.len()), Some(groups.as_slice()));
            assert!(!made.is_whole || groups.len() == made.groups.len());
        }
        Err(why) => assert!(!made.is_whole, "{why}"),
    }
    for lap in first..first + 2 {
        let segment = &made.bytes[head.start_of(lap) as usize..];
        each(STORE, JOURNAL, lap, segment);
    }
}
