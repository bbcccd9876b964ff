//! Golden bytes of the rows of consumers.

use super::golden;
use std::fmt::Write;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::{AckPolicy, ConsumerConfig, DeliverPolicy, OnExhausted, Rate, ReplayPolicy};
use crate::format::rows::{
    ConsumerConfigRow, ConsumerRow, EntriesRow, EntryRow, Place, Reason, Totals,
};
use crate::seq::Seq;

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
        .inactive_threshold(Duration::from_secs(5))
        .rate_limit(Rate::per_second(9).burst(300))
        .rate_limit_bytes(Rate::new(10, Duration::from_millis(1)))
        .replay(ReplayPolicy::Original)
        .sample_acks(7);
    golden(
        &row(config),
        "01 03 0762696c6c696e67 01 086f72646572732e2a 00 01 01 fbe803 fc00000010
         02 01 00 fb5802 00 0105 01 0464656164 01 01 01 01fbe803 01 05 00
         01 09 01 00 fb2c01  01 0a 00 fc40420f00 0a 01 0107",
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
    let rest = "1e 00 01 02 00 00 02 00 00 00 00 00 00 00 00 00";
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
        "01 03 0163 00 00 1e 00 01 02 00 00 00 00 00 00 00 00 00 00 00 00",
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
        filters_from: 17,
        filters_below: 18,
        removals_from: 15,
        replay_to: 79,
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
        "01 64 50 10 11 12 5a fbfb00 03 015aff 04 0f 4f 05 06 07 08 09 0a 0b 0c 010d0e",
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
