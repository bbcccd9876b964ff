//! Tests of blocks as a whole: building, reading, damage, golden bytes.

use std::fmt::Write;
use xxhash_rust::xxh3::xxh3_64;

use super::block::Block;
use super::block_error::BlockError;
use super::builder::{BlockBuilder, PushError};
use super::checksum::{CHECKSUM_LEN, checksum};
use super::header::{HEADER_LEN, Header};
use super::record::RecordInput;
use crate::headers::Headers;

const STORE: u64 = 0x0123_4567_89ab_cdef;

fn headers() -> Headers {
    [("Trace", "é"), ("Trace", ""), ("Kind", "order")]
        .into_iter()
        .collect()
}

/// Four records with everything that a record can have.
fn sample() -> BlockBuilder {
    let (none, some) = (Headers::new(), headers());
    let mut builder = BlockBuilder::new(STORE, 7, 41);
    let inputs = [
        RecordInput {
            time: 1000,
            subject: "a.b",
            id: None,
            headers: &none,
            payload: b"one",
        },
        RecordInput {
            time: 1000,
            subject: "a.c",
            id: Some("id-2"),
            headers: &none,
            payload: b"",
        },
        RecordInput {
            time: 1300,
            subject: "a.b",
            id: None,
            headers: &some,
            payload: b"three",
        },
        RecordInput {
            time: 9000,
            subject: "ü",
            id: Some("4"),
            headers: &some,
            payload: b"four",
        },
    ];
    for input in &inputs {
        let len = builder.len_with(input).unwrap();
        builder.push(input).unwrap();
        assert_eq!(builder.encoded_len(), len);
    }
    builder
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _written = write!(hex, "{byte:02x}");
        hex
    })
}

#[test]
fn reads_back_what_was_pushed() {
    let bytes = sample().finish();
    let block = Block::open(&bytes, STORE, 7, 41).unwrap();
    assert_eq!(
        (block.first_seq(), block.last_seq(), block.count()),
        (41, 44, 4)
    );
    assert_eq!((block.base_time(), block.last_time()), (1000, Ok(9000)));
    assert_eq!(block.verify(), Ok(()));
    let third = block.record_at_seq(43).unwrap();
    assert_eq!((third.seq, third.time, third.subject), (43, 1300, "a.b"));
    assert_eq!((third.id, third.payload), (None, &b"three"[..]));
    assert_eq!(third.headers.to_headers(), headers());
    let second = block.record(1).unwrap();
    assert_eq!((second.id, second.payload), (Some("id-2"), &b""[..]));
    assert!(second.headers.is_empty());
    let subjects: Vec<_> = block
        .subjects()
        .map(|s| (s.subject, s.count, s.last_seq))
        .collect();
    assert_eq!(subjects, [("a.b", 2, 43), ("a.c", 1, 42), ("ü", 1, 44)]);
    let indices: Vec<_> = (0..4).map(|n| block.subject_index_of(n).unwrap()).collect();
    assert_eq!(indices, [0, 1, 0, 2]);
    assert_eq!(block.records().count(), 4);
    assert!(matches!(
        block.record(4),
        Err(BlockError::NoRecord { n: 4 })
    ));
    assert!(block.record_at_seq(40).is_err() && block.record_at_seq(45).is_err());
}

#[test]
fn golden_blocks() {
    let mut small = BlockBuilder::new(STORE, 7, 41);
    let headers = [("k", "v")].into_iter().collect();
    let input = RecordInput {
        time: 258,
        subject: "a.b",
        id: Some("i"),
        headers: &headers,
        payload: b"pay",
    };
    small.push(&input).unwrap();
    small.push(&RecordInput { time: 260, ..input }).unwrap();
    let expected = [
        // Magic, version, flags, reserved; store; stream; first sequence.
        "5276426b",
        "01",
        "00",
        "0000",
        "efcdab8967452301",
        "07000000",
        "2900000000000000",
        // Records; base time; subjects; lengths of summary and records.
        "02000000",
        "0201000000000000",
        "01000000",
        "0f000000",
        "1a000000",
        // The summary: end of the name, count, last record; the names.
        "03000000",
        "02000000",
        "01000000",
        "612e62",
        // The records: delta, subject, flags, id, one header, payload.
        "00",
        "00",
        "03",
        "0169",
        "01",
        "016b",
        "0176",
        "706179",
        "02",
        "00",
        "03",
        "0169",
        "01",
        "016b",
        "0176",
        "706179",
        // The offset table; the checksum.
        "0d000000",
        "1a000000",
        "96f768cd4d57f3c4",
    ];
    assert_eq!(hex(&small.finish()), expected.concat());
    assert_eq!(xxh3_64(&sample().finish()), 0x8127_cad0_13d7_0c1c);
    assert_eq!(xxh3_64(&large().finish()), 0x0025_203f_f4be_d6d8);
}

/// A hundred records of ten subjects, some with ids and headers.
fn large() -> BlockBuilder {
    let mut builder = BlockBuilder::new(STORE, u32::MAX, 1 << 40);
    for n in 0..100_u64 {
        let headers = (0..n % 3)
            .map(|k| (format!("h{k}"), "v".repeat(k as usize * 100)))
            .collect();
        let (subject, id, payload) = (
            format!("s.{}", n % 10),
            format!("id{n}"),
            vec![n as u8; 150],
        );
        let id = (n % 2 == 0).then_some(id.as_str());
        let time = 1_700_000_000_000_000 + n * n;
        let input = RecordInput {
            time,
            subject: &subject,
            id,
            headers: &headers,
            payload: &payload,
        };
        builder.push(&input).unwrap();
    }
    builder
}

#[test]
fn belongs_to_one_place_only() {
    let bytes = sample().finish();
    assert!(matches!(
        Block::open(&bytes, 1, 7, 41),
        Err(BlockError::Store { .. })
    ));
    assert!(matches!(
        Block::open(&bytes, STORE, 8, 41),
        Err(BlockError::Stream { .. })
    ));
    assert!(matches!(
        Block::open(&bytes, STORE, 7, 42),
        Err(BlockError::FirstSeq { .. })
    ));
    // Written to look as if it belonged elsewhere: the checksum knows the place.
    let mut moved = bytes.clone();
    moved[16] = 8;
    assert!(matches!(
        Block::open(&moved, STORE, 8, 41),
        Err(BlockError::Checksum)
    ));
    assert_eq!(
        Block::declared_len(&[&bytes[..], b"the rest of a page"].concat()),
        Ok(bytes.len())
    );
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let bytes = sample().finish();
    for len in 0..bytes.len() {
        assert!(Block::open(&bytes[..len], STORE, 7, 41).is_err(), "{len}");
    }
    for at in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        assert!(Block::open(&damaged, STORE, 7, 41).is_err(), "bit {at}");
    }
}

#[test]
fn a_newer_version_is_named() {
    let mut bytes = sample().finish();
    bytes[4] = 2;
    assert!(matches!(
        Block::open_any(&bytes),
        Err(BlockError::Version { version: 2 })
    ));
    bytes[4] = 1;
    bytes[5] = 1;
    assert!(matches!(
        Block::open_any(&bytes),
        Err(BlockError::Flags { flags: 1 })
    ));
}

#[test]
fn resuming_is_the_same_as_having_gone_on() {
    let none = Headers::new();
    let more = [
        RecordInput {
            time: 9000,
            subject: "a.c",
            id: None,
            headers: &none,
            payload: b"five",
        },
        RecordInput {
            time: 9001,
            subject: "new",
            id: None,
            headers: &none,
            payload: b"six",
        },
    ];
    let mut whole = sample();
    let bytes = whole.clone().finish();
    let mut resumed = BlockBuilder::resume(&Block::open_any(&bytes).unwrap()).unwrap();
    for input in &more {
        whole.push(input).unwrap();
        resumed.push(input).unwrap();
    }
    assert_eq!(whole.finish(), resumed.finish());
}

#[test]
fn refuses_what_no_block_can_hold() {
    let none = Headers::new();
    let good = RecordInput {
        time: 5,
        subject: "a",
        id: None,
        headers: &none,
        payload: b"",
    };
    let mut builder = BlockBuilder::new(1, 1, u64::MAX);
    builder.push(&good).unwrap();
    assert!(matches!(
        builder.push(&good),
        Err(PushError::Sequence { .. })
    ));
    let bytes = builder.seal();
    assert_eq!(Block::open_any(&bytes).unwrap().last_seq(), u64::MAX);
    assert!(matches!(
        builder.push(&good),
        Err(PushError::Sequence { .. })
    ));
    assert!(builder.seal().is_empty());

    let mut builder = BlockBuilder::new(1, 1, 1);
    builder.push(&good).unwrap();
    let early = builder.push(&RecordInput { time: 4, ..good });
    assert_eq!(early, Err(PushError::TimeWentBack { time: 4, before: 5 }));
    assert_eq!(
        builder.push(&RecordInput {
            subject: "",
            ..good
        }),
        Err(PushError::Subject { len: 0 })
    );
    assert_eq!(
        builder.push(&RecordInput {
            id: Some(""),
            ..good
        }),
        Err(PushError::Id { len: 0 })
    );
    let payload = vec![0; 16 << 20];
    let large = RecordInput {
        payload: &payload,
        ..good
    };
    assert!(matches!(
        builder.len_with(&large),
        Err(PushError::TooLarge { .. })
    ));
    assert_eq!(builder.count(), 1);
}

/// Writes over some bytes of the sample and makes the checksum right, as no accident would.
fn forged(at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = sample().finish();
    bytes[at..at + new.len()].copy_from_slice(new);
    let header = Header::read(&bytes).unwrap();
    let (sealed, sum) = bytes.split_last_chunk_mut::<CHECKSUM_LEN>().unwrap();
    *sum = checksum(header.store, &header.place(), sealed).to_le_bytes();
    bytes
}

#[test]
fn a_forged_summary_or_offset_table_is_found() {
    let len = sample().finish().len();
    let (first, second) = (HEADER_LEN, HEADER_LEN + 12);
    let opens = |bytes: &[u8]| Block::open_any(bytes).map(|_| ());
    let walks = |bytes: &[u8]| Block::open_any(bytes).unwrap().verify();
    // A count that does not add up; a last record that is not there, or too early; half an 'ü'.
    assert_eq!(opens(&forged(first + 4, &[3])), Err(BlockError::Summary));
    assert_eq!(opens(&forged(first + 8, &[4])), Err(BlockError::Summary));
    assert_eq!(opens(&forged(first + 8, &[0])), Err(BlockError::Summary));
    assert_eq!(opens(&forged(second, &[7])), Err(BlockError::Summary));
    // Well-formed, but not what the records say: counts, a last record, a name twice.
    let swapped = [&[1, 0, 0, 0, 2, 0, 0, 0][..], &[6, 0, 0, 0, 2]].concat();
    assert_eq!(
        walks(&forged(first + 4, &swapped)),
        Err(BlockError::SummaryNotExact)
    );
    assert_eq!(
        walks(&forged(first + 8, &[3])),
        Err(BlockError::SummaryNotExact)
    );
    assert_eq!(
        walks(&forged(HEADER_LEN + 36, b"a.ba.b")),
        Err(BlockError::SummaryNotExact)
    );
    // Ends that do not grow, or do not end where the records do.
    let table = len - CHECKSUM_LEN - 16;
    assert_eq!(opens(&forged(table, &[0])), Err(BlockError::Offsets));
    assert_eq!(opens(&forged(table + 12, &[0])), Err(BlockError::Offsets));
}

#[test]
fn a_forged_record_is_found() {
    let records = HEADER_LEN + 36 + 8;
    let walks = |at: usize, new: &[u8]| Block::open_any(&forged(at, new)).unwrap().verify();
    assert_eq!(walks(records, &[1]), Err(BlockError::Time { seq: 41 }));
    assert_eq!(
        walks(records + 1, &[3]),
        Err(BlockError::Record { seq: 41 })
    );
    assert_eq!(walks(records + 1, &[1]), Err(BlockError::SummaryNotExact));
    assert_eq!(
        walks(records + 2, &[4]),
        Err(BlockError::Record { seq: 41 })
    );
    // A zero written in two bytes; an id of no bytes, and one longer than the record.
    assert_eq!(
        walks(records, &[0x80, 0]),
        Err(BlockError::Record { seq: 41 })
    );
    let second = records + 6;
    assert_eq!(walks(second + 3, &[0]), Err(BlockError::Record { seq: 42 }));
    assert_eq!(walks(second + 3, &[5]), Err(BlockError::Record { seq: 42 }));
    // Not every change is a lie.
    assert!(walks(second, &[0x7f]).is_ok(), "later, but in order");
    // The base time so late that adding to it overflows.
    assert_eq!(walks(32, &[0xff; 8]), Err(BlockError::Time { seq: 43 }));
}
