//! Tests of rows: golden bytes of each type, and what is refused.

use std::fmt::{Debug, Write};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bytes::Bytes;
use super::rows::{
    ConsumerConfigRow, ConsumerRow, DedupId, DedupRow, EntriesRow, EntryRow, ExpiriesRow, Extent,
    Place, PurgeRow, Reason, RemovalRow, RemovalsRow, RowError, ScheduledEntry, ScheduledIndexRow,
    ScheduledRow, StoreRow, StreamConfigRow, StreamRow, SubjectRow, SubjectsRow, Totals,
    decode_row, encode_row,
};
use crate::clock::Timestamp;
use crate::config::{
    AckPolicy, ConsumerConfig, DeliverPolicy, Deny, Discard, OnExhausted, Retention, StreamConfig,
    Unwanted,
};
use crate::event::Removal;
use crate::repeat::Repeat;
use crate::seq::Seq;

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
         00 01 00 00 00 00 00 00 00 00",
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
        .allow_message_ttl()
        .subject_delete_marker_ttl(Duration::from_secs(9))
        .max_lag_messages(4);
    golden(
        &StreamConfigRow { config },
        "01 0173 00 00 00 00 fc00008000 00 0103 01 00 05 00 fb2c01 0107 020001 01 01 01 01 010900 0104",
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
    };
    golden(
        &row,
        "01 01 02 fb2c01 fd00401e18240a0600 04 05 06 07 0108 09 0a 0f 01 03612e2a 0b 0c 01 0d 0e",
    );
    golden(
        &StreamRow::default(),
        "01 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
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

#[test]
fn consumer_config_row() {
    let row = |config| ConsumerConfigRow { stream: 3, config };
    let config = ConsumerConfig::new("billing")
        .filter("orders.*")
        .ack_wait(Duration::from_nanos(1_000_000_001))
        .backoff([Duration::from_secs(1), Duration::from_secs(600)])
        .max_deliver(5)
        .dead_letter("dead")
        .lazy_acks()
        .ack_policy(AckPolicy::All)
        .headers_only()
        .pause_until(Timestamp::from_micros(1000))
        .inactive_threshold(Duration::from_secs(5));
    golden(
        &row(config),
        "01 03 0762696c6c696e67 01 086f72646572732e2a 00 01 01 fbe803 fc00000010
         02 01 00 fb5802 00 0105 01 0464656164 01 01 01 01fbe803 01 05 00",
    );
    let small = |deliver| {
        let mut config = ConsumerConfig::new("c")
            .deliver(deliver)
            .max_ack_pending(1)
            .max_ack_pending_bytes(2)
            .on_exhausted(OnExhausted::Drop);
        config.ack_wait = Duration::from_secs(30);
        row(config)
    };
    let rest = "1e 00 01 02 00 00 02 00 00 00 00 00";
    for (deliver, bytes) in [
        (DeliverPolicy::All, "00"),
        (DeliverPolicy::New, "01"),
        (DeliverPolicy::Last, "02"),
        (DeliverPolicy::FromSequence(Seq::new(9)), "0309"),
        (
            DeliverPolicy::FromTime(Timestamp::from_micros(256)),
            "04fb0001",
        ),
        (DeliverPolicy::LastPerSubject, "05"),
    ] {
        golden(&small(deliver), &format!("01 03 0163 00 {bytes} {rest}"));
    }
    let mut parks = small(DeliverPolicy::All);
    parks.config.on_exhausted = OnExhausted::Park;
    golden(
        &parks,
        "01 03 0163 00 00 1e 00 01 02 00 00 00 00 00 00 00 00",
    );
}

#[test]
fn consumer_row() {
    let row = ConsumerRow {
        next: 100,
        start: 80,
        floor: 90,
        next_serial: 251,
        pending: vec![1, 90, 255],
        accounted: 4,
        reset_below: 16,
        removals_from: 15,
        totals: Totals {
            deliveries: 5,
            acked: 6,
            dead_lettered: 7,
            dropped: 8,
            lost: 9,
            failures: 10,
            crashes: 11,
            skipped: 12,
            lost_range: Some((13, 14)),
        },
    };
    // The bytes of the pending set are bytes, not numbers: 255 stays `ff`.
    golden(
        &row,
        "01 64 50 10 5a fbfb00 03 015aff 04 0f 05 06 07 08 09 0a 0b 0c 010d0e",
    );
}

#[test]
fn entries_row() {
    let entry = |place| EntryRow {
        place,
        attempts: 1,
        failures: 2,
        crashes: 3,
    };
    let parked = |reason| Place::Parked { reason, since: 258 };
    let term = || Reason::Term("no".to_owned());
    let places = [
        (Place::InFlight, "00"),
        (Place::Due, "01"),
        (Place::Delayed { until: 300 }, "02fb2c01"),
        (
            Place::Condemned {
                reason: Reason::MaxDeliver,
            },
            "0300",
        ),
        (Place::Condemned { reason: term() }, "0301026e6f"),
        (parked(Reason::MaxDeliver), "0400fb0201"),
        (parked(term()), "0401026e6ffb0201"),
    ];
    let (mut entries, mut expected) = (Vec::new(), format!("01 {:02x}", places.len()));
    for (seq, (place, bytes)) in (1..).zip(places) {
        entries.push((seq, entry(place)));
        write!(expected, "{seq:02x} {bytes} 010203").unwrap();
    }
    golden(&EntriesRow { entries }, &expected);
}

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
    let second = "01 03 0163 00 00 00 fc00ca9a3b 01 02 00 00 00 00 00 00 00 00";
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
