//! Rows of arbitrary bytes: what is refused, and what a claimed length may cost.

use super::malformed;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::format::bytes::Bytes;
use crate::format::rows::{
    ConsumerConfigRow, ConsumerRow, DedupId, DedupRow, EntriesRow, ExpiriesRow, RemovalsRow,
    RowError, ScheduledIndexRow, ScheduledRow, StoreRow, StreamConfigRow, StreamRow, SubjectsRow,
    decode_row, encode_row,
};

const NOT_THE_ONE: &str = "it is not the one encoding of what it says";

#[test]
fn a_number_has_one_form() {
    let row = |number: &[u8]| {
        let bytes = [&[1, 1][..], number, &[2, 3]].concat();
        decode_row::<DedupRow>(&bytes).map(|row| row.ids[0].hash)
    };
    assert_eq!(row(&[250]), Ok(250));
    assert_eq!(row(&[251, 251, 0]), Ok(251));
    assert_eq!(row(&[251, 250, 0]), malformed(NOT_THE_ONE));
    assert_eq!(row(&[252, 255, 255, 0, 0]), malformed(NOT_THE_ONE));
    assert_eq!(row(&[253, 1, 0, 0, 0, 0, 0, 0, 0]), malformed(NOT_THE_ONE));
    assert!(row(&[255]).is_err());
    // A second written as 10^9 nanoseconds.
    let second = "01 03 0163 00 00 00 fc00ca9a3b 01 02 00 00 00 00 00 00 00 00 00 00 00 00";
    assert_eq!(
        decode_row::<ConsumerConfigRow>(&unhex(second)),
        malformed(NOT_THE_ONE)
    );
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| {
        let pair: String = pair.iter().collect();
        u8::from_str_radix(&pair, 16).unwrap()
    };
    digits.chunks(2).map(byte).collect()
}

/// Decodes as every type; how many accept.
fn decode_as_each(bytes: &[u8]) -> usize {
    fn accepts<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
        let row = decode_row::<T>(bytes);
        row.is_ok_and(|row| encode_row(&row) == bytes)
    }
    let accepted = [
        accepts::<StoreRow>(bytes),
        accepts::<StreamConfigRow>(bytes),
        accepts::<StreamRow>(bytes),
        accepts::<SubjectsRow>(bytes),
        accepts::<DedupRow>(bytes),
        accepts::<ConsumerConfigRow>(bytes),
        accepts::<ConsumerRow>(bytes),
        accepts::<EntriesRow>(bytes),
        accepts::<ScheduledRow>(bytes),
        accepts::<ExpiriesRow>(bytes),
        accepts::<RemovalsRow>(bytes),
        accepts::<ScheduledIndexRow>(bytes),
    ];
    accepted.into_iter().filter(|accepted| *accepted).count()
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut accepted = 0;
    for _ in 0..50_000 {
        // Small numbers, so that lengths and variants are often right.
        let shift = rng.u8(0..8);
        let mut bytes: Vec<u8> = (0..rng.usize(1..60)).map(|_| rng.u8(..) >> shift).collect();
        bytes[0] = 1;
        accepted += decode_as_each(&bytes);
    }
    assert!(accepted > 100, "{accepted}: else this tests nothing");
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let huge = [
        &[253, 0, 0, 0, 0, 0, 0, 0, 0x10][..],
        &[253, 255, 255, 255, 255, 255, 255, 255, 255],
        &[252, 0, 0, 0, 4],
    ];
    for len in huge {
        let front = [&[1], len].concat();
        for bytes in [front.clone(), [&front[..], &[0; 100]].concat()] {
            assert!(decode_row::<SubjectsRow>(&bytes).is_err());
            assert!(decode_row::<DedupRow>(&bytes).is_err());
            assert!(decode_row::<EntriesRow>(&bytes).is_err());
        }
        // A list of bytes, and a string; bincode makes room for a string first.
        let pending = [&[1, 1, 1, 1, 1], len, &[0; 9]].concat();
        assert!(decode_row::<ConsumerRow>(&pending).is_err());
        assert_eq!(
            decode_row::<StreamConfigRow>(&front),
            malformed("LimitExceeded")
        );
        let payload = [&[1, 1, 0, 0, 0, 0], len, &[0; 9]].concat();
        assert!(decode_row::<ScheduledRow>(&payload).is_err());
        let name = [&[1, 1, 7], len, &[0; 9]].concat();
        assert_eq!(decode_row::<SubjectsRow>(&name), malformed("LimitExceeded"));
    }
    // Room for a string is at most some hundred times what was given.
    for (given, claimed, fits) in [
        (10, 3000, true),
        (10, 5000, false),
        (5000, 90_000_u32, true),
    ] {
        let mut bytes = vec![b'a'; given];
        bytes[0] = 1;
        bytes[1] = 252;
        bytes[2..6].copy_from_slice(&u32::to_le_bytes(claimed));
        let refused = decode_row::<StreamConfigRow>(&bytes).unwrap_err();
        let by_limit = refused == RowError::Malformed("LimitExceeded".to_owned());
        assert_eq!(by_limit, !fits, "{given} {claimed} {refused}");
    }
}

#[test]
fn every_length_is_read_back() {
    // Hashes of one byte are what decodes to the most for the fewest bytes. The last row decodes to over
    // 64 MiB, which a group of very many small messages with ids does.
    for count in [0, 20, 100, 1_500, 30_000, 400_000, 2_200_000] {
        let id = |n: u128| DedupId {
            hash: n % 250,
            seq: 1,
            time: 1,
        };
        let row = DedupRow {
            ids: (0..count).map(id).collect(),
        };
        let bytes = encode_row(&row);
        assert!(decode_row(&bytes) == Ok(row), "{count}");
    }
    let payload = Bytes(vec![255; 8 << 20]);
    let row = ScheduledRow {
        payload,
        ..ScheduledRow::default()
    };
    assert!(decode_row(&encode_row(&row)) == Ok(row));
}
