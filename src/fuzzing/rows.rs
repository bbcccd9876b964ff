//! Rows: any bytes as each type of row, and any rows encoded and decoded.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::source::Source;
use crate::event::Removal;
use crate::format::Bytes;
use crate::format::rows::{
    ConsumerConfigRow, ConsumerRow, DedupId, DedupRow, EntriesRow, EntryRow, ExpiriesRow, Extent,
    Place, PurgeRow, Reason, RemovalRow, RemovalsRow, ScheduledEntry, ScheduledIndexRow,
    ScheduledRow, StoreRow, StreamConfigRow, StreamRow, SubjectRow, SubjectsRow, Totals,
    decode_row, encode_row,
};
use crate::repeat::Repeat;
use std::time::Duration;

/// Decodes the bytes, and again with the right version in front; then makes rows of them, which must
/// come back.
pub fn rows(data: &[u8]) {
    decode_as_each(data);
    decode_as_each(&[&[1], data].concat());
    let mut source = Source::new(data);
    match source.below(9) {
        0 => comes_back(&stream(&mut source)),
        1 => comes_back(&subjects(&mut source)),
        2 => comes_back(&dedup(&mut source)),
        3 => comes_back(&consumer(&mut source)),
        4 => comes_back(&scheduled(&mut source)),
        5 => comes_back(&scheduled_index(&mut source)),
        6 => comes_back(&expiries(&mut source)),
        7 => comes_back(&removals(&mut source)),
        _ => comes_back(&entries(&mut source)),
    }
}

fn decode_as_each(bytes: &[u8]) {
    decode::<StoreRow>(bytes);
    decode::<StreamConfigRow>(bytes);
    decode::<StreamRow>(bytes);
    decode::<SubjectsRow>(bytes);
    decode::<DedupRow>(bytes);
    decode::<ConsumerConfigRow>(bytes);
    decode::<ConsumerRow>(bytes);
    decode::<EntriesRow>(bytes);
    decode::<ScheduledRow>(bytes);
    decode::<ExpiriesRow>(bytes);
    decode::<RemovalsRow>(bytes);
    decode::<ScheduledIndexRow>(bytes);
}

/// An error, or a row that encodes back to the same bytes.
fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(row) = decode_row::<T>(bytes) {
        assert_eq!(encode_row(&row), bytes);
    }
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(row: &T) {
    assert_eq!(decode_row::<T>(&encode_row(row)).as_ref(), Ok(row));
}

fn stream(source: &mut Source<'_>) -> StreamRow {
    StreamRow {
        head: source.number(),
        cut: source.number(),
        last: source.number(),
        last_time: source.number(),
        messages: source.number(),
        bytes: source.number(),
        published: source.number(),
        holes: source.number(),
        hole_from: (source.below(2) == 1).then(|| source.number()),
        next_subject: source.number() as u32,
        next_dedup: source.number(),
        last_scheduled: source.number(),
        purges: list(source, |source| PurgeRow {
            filter: source.text(300),
            below: source.number(),
            at: source.number(),
        }),
        rejudged: (source.below(2) == 1).then(|| (source.number(), source.number())),
        removed: list(source, |source| (removal(source), source.number()))
            .into_iter()
            .collect(),
        emptied: source.number(),
    }
}

fn subjects(source: &mut Source<'_>) -> SubjectsRow {
    let subject = |source: &mut Source<'_>| SubjectRow {
        number: source.number() as u32,
        name: source.text(300),
        count: source.number(),
        total: source.number(),
        last: source.number(),
        first: source.number(),
        last_gone: source.below(2) == 1,
    };
    SubjectsRow {
        subjects: list(source, subject),
    }
}

fn dedup(source: &mut Source<'_>) -> DedupRow {
    let id = |source: &mut Source<'_>| DedupId {
        hash: u128::from(source.number()) << 64 | u128::from(source.number()),
        seq: source.number(),
        time: source.number(),
    };
    DedupRow {
        ids: list(source, id),
    }
}

fn scheduled(source: &mut Source<'_>) -> ScheduledRow {
    ScheduledRow {
        due: source.number(),
        repeat: repeat(source),
        subject: source.text(300),
        id: (source.below(2) == 1).then(|| source.text(300)),
        ttl: (source.below(2) == 1).then(|| source.number()),
        payload: Bytes(source.bytes(300).to_vec()),
        headers: list(source, |source| (source.text(300), source.text(300))),
    }
}

fn sequence(source: &mut Source<'_>) -> u64 {
    source.number()
}

fn repeat(source: &mut Source<'_>) -> Option<Repeat> {
    match source.below(3) {
        0 => None,
        1 => Some(Repeat::Every(Duration::from_micros(source.number()))),
        _ => Some(Repeat::Cron(source.text(300))),
    }
}

fn expiries(source: &mut Source<'_>) -> ExpiriesRow {
    ExpiriesRow {
        entries: list(source, |source| (source.number(), source.number())),
        markers: list(source, sequence),
    }
}

fn removal(source: &mut Source<'_>) -> Removal {
    const BY: [Removal; 4] = [
        Removal::MaxMessages,
        Removal::Purge,
        Removal::Retention,
        Removal::Damage,
    ];
    BY[usize::from(source.below(4))]
}

fn removals(source: &mut Source<'_>) -> RemovalsRow {
    RemovalsRow {
        forgotten: source.number(),
        ranges: list(source, |source| RemovalRow {
            first: source.number(),
            last: source.number(),
            by: removal(source),
            extent: if source.below(2) == 1 {
                Extent::All
            } else {
                Extent::Rest
            },
            since: source.number(),
            until: source.number(),
        }),
    }
}

fn scheduled_index(source: &mut Source<'_>) -> ScheduledIndexRow {
    let entry = |source: &mut Source<'_>| ScheduledEntry {
        number: source.number(),
        due: source.number(),
        size: source.number(),
        repeats: source.below(2) == 1,
    };
    ScheduledIndexRow {
        entries: list(source, entry),
    }
}

fn consumer(source: &mut Source<'_>) -> ConsumerRow {
    ConsumerRow {
        next: source.number(),
        start: source.number(),
        floor: source.number(),
        next_serial: source.number(),
        pending: source.bytes(300).to_vec(),
        accounted: source.number(),
        reset_below: source.number(),
        filters_from: source.number(),
        filters_below: source.number(),
        removals_from: source.number(),
        replay_to: source.number(),
        totals: Totals {
            deliveries: source.number(),
            acked: source.number(),
            dead_lettered: source.number(),
            dropped: source.number(),
            lost: source.number(),
            failures: source.number(),
            crashes: source.number(),
            skipped: source.number(),
            lost_range: source
                .number()
                .is_multiple_of(2)
                .then(|| (source.number(), source.number())),
        },
    }
}

fn entries(source: &mut Source<'_>) -> EntriesRow {
    let entry = |source: &mut Source<'_>| {
        let seq = source.number();
        let entry = EntryRow {
            place: place(source),
            attempts: source.number(),
            failures: source.number(),
            crashes: source.number(),
        };
        (seq, entry)
    };
    EntriesRow {
        entries: list(source, entry),
    }
}

fn place(source: &mut Source<'_>) -> Place {
    match source.below(5) {
        0 => Place::InFlight,
        1 => Place::Due,
        2 => Place::Delayed {
            until: source.number(),
        },
        3 => Place::Condemned {
            reason: reason(source),
        },
        _ => Place::Parked {
            reason: reason(source),
            since: source.number(),
        },
    }
}

fn reason(source: &mut Source<'_>) -> Reason {
    if source.below(2) == 0 {
        Reason::MaxDeliver
    } else {
        Reason::Term(source.text(300))
    }
}

/// Elements until the bytes are used up.
fn list<T>(source: &mut Source<'_>, element: impl Fn(&mut Source<'_>) -> T) -> Vec<T> {
    let mut elements = Vec::new();
    while !source.is_empty() {
        elements.push(element(source));
    }
    elements
}
