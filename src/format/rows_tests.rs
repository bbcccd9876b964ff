//! Tests of rows: golden bytes of each type, and what is refused.

mod any_bytes;
mod consumers;

use std::fmt::{Debug, Write};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bytes::Bytes;
use super::rows::{
    DedupId, DedupRow, ExpiriesRow, Extent, PurgeRow, RemovalRow, RemovalsRow, RowError,
    ScheduledEntry, ScheduledIndexRow, ScheduledRow, StoreRow, StreamConfigRow, StreamRow,
    SubjectRow, SubjectsRow, decode_row, encode_row,
};
use crate::config::{DedupRelease, Deny, Discard, Retention, StreamConfig, Unwanted};
use crate::event::Removal;
use crate::repeat::Repeat;

/// Compares with bytes in hex; white space only helps the reader.
fn golden<T>(row: &T, expected: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let bytes = encode_row(row);
    let mut hex = String::new();
    for byte in &bytes {
        write!(hex, "{byte:02x}").unwrap();
    }
    let expected: String = expected.split_whitespace().collect();
    assert_eq!(hex, expected, "{row:?}");
    assert_eq!(decode_row::<T>(&bytes).as_ref(), Ok(row));
    refuses_everything_else::<T>(&bytes);
}

/// What is shorter, longer or of another version.
fn refuses_everything_else<T>(bytes: &[u8])
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    for len in 1..bytes.len() {
        let cut = decode_row::<T>(&bytes[..len]);
        assert!(matches!(cut, Err(RowError::Malformed(_))), "{len}");
    }
    assert_eq!(decode_row::<T>(&[]), malformed("it is empty"));
    let longer = [bytes, &[0]].concat();
    assert_eq!(decode_row::<T>(&longer), malformed("bytes are left over"));
    for version in [0, 2, 255] {
        let mut other = bytes.to_vec();
        other[0] = version;
        assert_eq!(decode_row::<T>(&other), Err(RowError::Version(version)));
    }
}

fn malformed<T>(why: &str) -> Result<T, RowError> {
    Err(RowError::Malformed(why.to_owned()))
}

#[test]
fn store_row() {
    let row = StoreRow {
        secret: *b"0123456789abcdef",
        epoch: 250,
        next_stream: 251,
        next_consumer: 65_536,
        last_time: 1 << 32,
    };
    golden(
        &row,
        "01 30313233343536373839616263646566 fa fbfb00 fc00000100 fd0000000001000000",
    );
}

#[test]
fn stream_config_row() {
    let config = StreamConfig::new("orders")
        .subjects(["a.>", "ü"])
        .max_messages(1000)
        .max_age(Duration::from_millis(90_500))
        .discard(Discard::New);
    golden(
        &StreamConfigRow { config },
        "01 066f7264657273 02 03612e3e 02c3bc 01fbe803 00 01 5a fc0065cd1d
         fc00008000 01 00 00 01 5a fc0065cd1d fc40420f00
         00 00 01 00 00 00 00 00 00 00 00",
    );
    let config = StreamConfig::new("s")
        .without_dedup()
        .dedup_ids(5)
        .max_messages_per_subject(3)
        .discard_per_subject(Discard::New)
        .first_sequence(300)
        .max_consumers(7)
        .deny(Deny::Purge)
        .deny(Deny::Delete)
        .sealed()
        .retention(Retention::Interest)
        .unwanted(Unwanted::Keep)
        .dedup_release(DedupRelease::Finished)
        .allow_message_ttl()
        .subject_delete_marker_ttl(Duration::from_secs(9))
        .max_lag_messages(4);
    golden(
        &StreamConfigRow { config },
        "01 0173 00 00 00 00 fc00008000 00 0103 01 00 05 00 01 fb2c01 0107 020001 01 01 01 01 010900 0104",
    );
}

#[test]
fn stream_row() {
    let row = StreamRow {
        head: 1,
        cut: 2,
        last: 300,
        last_time: 1_700_000_000_000_000,
        messages: 4,
        bytes: 5,
        published: 6,
        holes: 7,
        hole_from: Some(8),
        next_subject: 9,
        next_dedup: 10,
        last_scheduled: 15,
        purges: vec![PurgeRow {
            filter: "a.*".to_owned(),
            below: 11,
            at: 12,
        }],
        rejudged: Some((13, 14)),
        removed: [(Removal::MaxAge, 16), (Removal::Delete, 17)].into(),
        emptied: 18,
    };
    golden(
        &row,
        "01 01 02 fb2c01 fd00401e18240a0600 04 05 06 07 0108 09 0a 0f 01 03612e2a 0b 0c 01 0d 0e 02 02 10 06 11 12",
    );
    golden(
        &StreamRow::default(),
        "01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
    );
}

#[test]
fn subjects_row() {
    let subject = |number, name: &str| SubjectRow {
        number,
        name: name.to_owned(),
        count: 1,
        total: 2,
        last: 3,
        first: 4,
        last_gone: number == 32,
    };
    let subjects = vec![subject(32, "a.b"), subject(u32::MAX, "ü")];
    golden(
        &SubjectsRow { subjects },
        "01 02 20 03612e62 01 02 03 04 01 fcffffffff 02c3bc 01 02 03 04 00",
    );
}

#[test]
fn dedup_row() {
    let ids = vec![
        DedupId {
            hash: 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100,
            seq: u64::MAX,
            time: 7,
        },
        DedupId {
            hash: 1,
            seq: 2,
            time: 3,
        },
    ];
    golden(
        &DedupRow { ids },
        "01 02 fe000102030405060708090a0b0c0d0e0f fdffffffffffffffff 07 01 02 03",
    );
}

#[test]
fn scheduled_row() {
    let row = ScheduledRow {
        due: 300,
        repeat: Some(Repeat::Every(Duration::from_millis(1_001))),
        subject: "a.b".to_owned(),
        id: Some("x".to_owned()),
        ttl: Some(7),
        headers: vec![("H".to_owned(), "v".to_owned())],
        payload: Bytes(vec![1, 90, 255]),
    };
    // A payload is bytes, not numbers: 255 stays `ff`.
    golden(
        &row,
        "01 fb2c01 01 00 01 fc40420f00 03612e62 010178 0107 01 0148 0176 03 015aff",
    );
    golden(&ScheduledRow::default(), "01 00 00 00 00 00 00 00");
    let repeat = Some(Repeat::Cron("@daily".to_owned()));
    let row = ScheduledRow { repeat, ..row };
    golden(
        &row,
        "01 fb2c01 01 01 06 406461696c79 03612e62 010178 0107 01 0148 0176 03 015aff",
    );
}

#[test]
fn scheduled_index_row() {
    let entry = |number| ScheduledEntry {
        number,
        due: 300,
        size: 7,
        repeats: number == 251,
    };
    let entries = vec![entry(1), entry(251)];
    golden(
        &ScheduledIndexRow { entries },
        "01 02 01 fb2c01 07 00 fbfb00 fb2c01 07 01",
    );
}

#[test]
fn removals_row() {
    let range = |by, extent| RemovalRow {
        first: 1,
        last: 251,
        by,
        extent,
        since: 300,
        until: 7,
    };
    let ranges = vec![
        range(Removal::MaxMessages, Extent::All),
        range(Removal::Damage, Extent::Rest),
    ];
    let row = RemovalsRow {
        forgotten: 9,
        ranges,
    };
    golden(
        &row,
        "01 09 02 01 fbfb00 00 00 fb2c01 07 01 fbfb00 09 01 fb2c01 07",
    );
    for (by, tag) in [
        (Removal::MaxBytes, 1),
        (Removal::MaxAge, 2),
        (Removal::MaxMessagesPerSubject, 3),
        (Removal::MessageTtl, 4),
        (Removal::Purge, 5),
        (Removal::Delete, 6),
        (Removal::Retention, 7),
        (Removal::Rollup, 8),
    ] {
        let row = RemovalsRow {
            forgotten: 0,
            ranges: vec![range(by, Extent::All)],
        };
        golden(&row, &format!("01 00 01 01 fbfb00 0{tag} 00 fb2c01 07"));
    }
}

#[test]
fn expiries_row() {
    let entries = vec![(1, 300), (251, 7)];
    let markers = vec![251];
    golden(
        &ExpiriesRow { entries, markers },
        "01 02 01 fb2c01 fbfb00 07 01 fbfb00",
    );
}
