//! Everything that can be seen of a store, in words: of the real one and of the oracle.

use crate::model::{Consumer, Held, Place, Reason, Stored, Stream};
use crate::oracle::Oracle;
use riverbed::{DeadReason, Riverbed, Seq, StoredMessage, StreamConfig, Unavailable};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Payloads are compared by length and hash, to keep what is printed short.
pub(crate) fn fingerprint(payload: &[u8]) -> String {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!(
        "{}b:{:x}",
        payload.len(),
        payload.iter().fold(0xcbf2_9ce4_8422_2325, mix)
    )
}

pub(crate) fn message_line(
    seq: u64,
    subject: &str,
    id: Option<&str>,
    headers: &[(String, String)],
    payload: &[u8],
    time: u64,
) -> String {
    format!(
        "{seq} {subject} id={id:?} {headers:?} {} at {time}",
        fingerprint(payload)
    )
}

pub(crate) fn stored_line(seq: u64, stored: &Stored) -> String {
    let draft = &stored.draft;
    let id = draft.id.as_deref();
    message_line(
        seq,
        &draft.subject,
        id,
        &draft.headers,
        &draft.payload,
        stored.time,
    )
}

pub(crate) fn real_line(message: &StoredMessage) -> String {
    let headers = message.headers().iter();
    let headers: Vec<(String, String)> = headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let time = message.timestamp().as_micros();
    let (seq, id) = (message.seq().get(), message.id());
    message_line(
        seq,
        message.subject(),
        id,
        &headers,
        message.payload(),
        time,
    )
}

fn scheduled_line(number: u64, message: &str) -> String {
    format!("  scheduled {number}: {message}")
}

fn removed_line(removed: &BTreeMap<String, u64>, emptied: u64) -> String {
    format!("  removed {removed:?} emptied={emptied}")
}

fn config_line(config: &StreamConfig) -> String {
    format!("{config:?}")
}

/// What both sides say of a consumer; what needs a bound instead of a value is in `Bounds`.
fn consumer_line(name: &str, counts: &[(&str, u64)]) -> String {
    let mut line = format!("  consumer {name}:");
    for (what, count) in counts {
        let _ = write!(line, " {what}={count}");
    }
    line
}

/// The oracle's store in words.
pub(crate) fn expected(oracle: &Oracle, with_ids: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, stream) in &oracle.streams {
        let span = stream.last + 1 - stream.first();
        let scheduled = stream.scheduled.values();
        let refused: u64 = oracle
            .senders_to(name)
            .iter()
            .map(|(stream, consumer)| {
                let consumer = oracle.consumer(stream, consumer).unwrap();
                consumer.count(|held| matches!(held.place, Place::Refused { .. }))
            })
            .sum();
        lines.push(format!(
            "stream {name}: messages={} bytes={} first={} last={} subjects={} deleted={} \
             consumers={} refused={refused} last_time={:?} expiring={} markers={} scheduled={} repeating={} due={}",
            stream.stored.len(),
            stream.bytes(),
            stream.first(),
            stream.last,
            stream.subjects(),
            span - stream.stored.len() as u64,
            stream.consumers.len(),
            stream.was_used().then_some(stream.last_time),
            stream.expiring(),
            stream.markers(),
            scheduled.clone().count(),
            scheduled.clone().filter(|w| w.draft.again.is_some()).count(),
            scheduled.clone().filter(|w| w.due <= oracle.now).count(),
        ));
        lines.push(removed_line(&stream.removed(), stream.emptied));
        lines.push(format!("  {}", config_line(&stream.config)));
        for (number, w) in &stream.scheduled {
            let draft = &w.draft;
            lines.push(scheduled_line(
                *number,
                &message_line(
                    0,
                    &draft.subject,
                    draft.id.as_deref(),
                    &draft.headers,
                    &draft.payload,
                    w.due,
                ),
            ));
        }
        let bytes: u64 = scheduled.map(|w| w.draft.size()).sum();
        lines.push(format!("  scheduled bytes={bytes}"));
        if with_ids {
            lines.push(format!("  ids={}", stream.ids.len()));
        }
        lines.extend(
            stream
                .stored
                .iter()
                .map(|(seq, m)| format!("  {}", stored_line(*seq, m))),
        );
        for (name, consumer) in &stream.consumers {
            lines.push(expected_consumer(name, stream, consumer));
            lines.push(format!("    {:?}", consumer.config));
            for (seq, held) in &consumer.held {
                if let Place::Parked { reason, since } = &held.place {
                    lines.push(format!(
                        "    parked {} {} {} {reason:?} {since}",
                        stored_line(*seq, &stream.stored[seq]),
                        held.attempts,
                        held.failures
                    ));
                }
            }
        }
    }
    lines
}

pub(crate) fn pending(stream: &Stream, consumer: &Consumer) -> u64 {
    let ahead = stream.stored.range(consumer.next..);
    ahead
        .filter(|(_, m)| consumer.wants(&m.draft.subject))
        .count() as u64
}

fn expected_consumer(name: &str, stream: &Stream, consumer: &Consumer) -> String {
    let count = |is: fn(&Held) -> bool| consumer.count(is);
    let totals = consumer.totals;
    consumer_line(
        name,
        &[
            ("pending", pending(stream, consumer)),
            ("in_flight", count(Held::is_out)),
            ("due", count(|held| matches!(held.place, Place::Due { .. }))),
            (
                "delayed",
                count(|held| matches!(held.place, Place::Delayed { .. })),
            ),
            (
                "parked",
                count(|held| matches!(held.place, Place::Parked { .. })),
            ),
            (
                "refused",
                count(|held| matches!(held.place, Place::Refused { .. })),
            ),
            ("redelivered", count(|held| held.attempts > 1)),
            ("suspects", count(Held::is_suspect)),
            ("deliveries", totals.deliveries),
            ("acked", totals.acked),
            ("dead_lettered", totals.dead_lettered),
            ("dropped", totals.dropped),
            ("lost", totals.lost),
            ("skipped", totals.skipped),
            ("failures", totals.failures),
            ("crashes", totals.crashes),
        ],
    )
}

/// The real store in words. What must hold of it by itself is asserted on the way.
pub(crate) fn actual(store: &Riverbed, with_ids: bool) -> Result<Vec<String>, Unavailable> {
    let mut lines = Vec::new();
    let problems = store.check()?;
    assert!(problems.is_empty(), "check() found: {problems:#?}");
    for name in store.streams()? {
        let stream = store.stream(&name).unwrap();
        let info = stream.info().unwrap();
        lines.push(format!(
            "stream {name}: messages={} bytes={} first={} last={} subjects={} deleted={} \
             consumers={} refused={} last_time={:?} expiring={} markers={} scheduled={} repeating={} due={}",
            info.messages,
            info.bytes,
            info.first_seq.get(),
            info.last_seq.get(),
            info.subjects,
            info.deleted,
            info.consumers,
            info.refused_dead_letters,
            info.last_time.map(riverbed::Timestamp::as_micros),
            info.expiring,
            info.delete_markers,
            info.scheduled,
            info.schedules,
            info.scheduled_due,
        ));
        let removed = info.removed.iter();
        let removed = removed.map(|(by, count)| (format!("{by:?}"), *count));
        lines.push(removed_line(&removed.collect(), info.emptied_subjects));
        lines.push(format!("  {}", config_line(&info.config)));
        for message in stream.scheduled(0, 1_000).unwrap() {
            let headers = message.headers.iter();
            let headers: Vec<(String, String)> = headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let (id, due) = (message.id.as_deref(), message.due.as_micros());
            let line = message_line(0, &message.subject, id, &headers, &message.payload, due);
            lines.push(scheduled_line(message.number, &line));
        }
        lines.push(format!("  scheduled bytes={}", info.scheduled_bytes));
        if with_ids {
            lines.push(format!("  ids={}", info.dedup_ids));
        }
        let mut seqs = Vec::new();
        for message in stream.range(..) {
            let message = message.unwrap();
            seqs.push(message.seq());
            lines.push(format!("  {}", real_line(&message)));
        }
        check_reads(&stream, &seqs);
        for name in stream.consumers().unwrap() {
            let consumer = stream.consumer(&name).unwrap();
            let info = consumer.info().unwrap();
            lines.push(consumer_line(
                &name,
                &[
                    ("pending", info.pending),
                    ("in_flight", info.in_flight),
                    ("due", info.due),
                    ("delayed", info.delayed),
                    ("parked", info.parked),
                    ("refused", info.refused),
                    ("redelivered", info.redelivered),
                    ("suspects", info.suspects),
                    ("deliveries", info.deliveries),
                    ("acked", info.acked),
                    ("dead_lettered", info.dead_lettered),
                    ("dropped", info.dropped),
                    ("lost", info.lost),
                    ("skipped", info.skipped),
                    ("failures", info.failures),
                    ("crashes", info.crashes),
                ],
            ));
            lines.push(format!("    {:?}", info.config));
            for parked in consumer.parked(Seq::new(0), 1_000).unwrap() {
                let reason = match &parked.reason {
                    DeadReason::Term(detail) => Reason::Term(detail.clone()),
                    _ => Reason::MaxDeliver,
                };
                lines.push(format!(
                    "    parked {} {} {} {reason:?} {}",
                    real_line(&parked.message),
                    parked.deliveries,
                    parked.failures,
                    parked.since.as_micros()
                ));
            }
        }
    }
    Ok(lines)
}

/// `get` and `last_for_subject` agree with the range.
fn check_reads(stream: &riverbed::Stream, seqs: &[Seq]) {
    for seq in seqs.iter().rev().step_by(3) {
        let message = stream.get(*seq).unwrap();
        assert_eq!(
            message.map(|message| message.seq()),
            Some(*seq),
            "get({seq})"
        );
    }
    for gone in seqs
        .windows(2)
        .filter(|pair| pair[0].next() < pair[1])
        .map(|pair| pair[0].next())
    {
        assert_eq!(
            stream.get(gone).unwrap(),
            None,
            "get({gone}) of a deleted message"
        );
    }
    let last = stream
        .last_for_subject(">")
        .unwrap()
        .map(|message| message.seq());
    assert_eq!(last, seqs.last().copied(), "last_for_subject(>)");
    if let Some(some) = seqs.get(seqs.len() / 2) {
        let subject = stream.get(*some).unwrap().unwrap().subject().to_owned();
        let last = stream.last_for_subject(&subject).unwrap().unwrap();
        let of_it = |seq: &&Seq| stream.get(**seq).unwrap().unwrap().subject() == subject;
        assert_eq!(
            seqs.iter().rev().find(of_it),
            Some(&last.seq()),
            "last_for_subject({subject})"
        );
    }
}

/// What of a consumer's info has bounds rather than a value.
pub(crate) fn check_bounds(oracle: &Oracle, store: &Riverbed, floors: &mut crate::real::Floors) {
    for (stream_name, name) in oracle.by_age() {
        let stream = &oracle.streams[&stream_name];
        let consumer = &stream.consumers[&name];
        let info = store
            .stream(&stream_name)
            .unwrap()
            .consumer(&name)
            .unwrap()
            .info()
            .unwrap();
        let whose = format!("{stream_name}/{name}");
        let (floor, delivered) = (info.ack_floor.get(), info.delivered.get());
        assert!(
            delivered >= consumer.highest,
            "{whose}: delivered {delivered} is behind"
        );
        let wanted = |(_, m): &(&u64, &Stored)| consumer.wants(&m.draft.subject);
        let ahead = stream
            .stored
            .range(consumer.next..)
            .find(wanted)
            .map(|(seq, _)| *seq);
        assert!(
            ahead.is_none_or(|ahead| delivered < ahead),
            "{whose}: delivered is ahead"
        );
        let known = floors.entry(consumer.born).or_insert((0, 0));
        assert!(
            floor >= known.0,
            "{whose}: the ack floor went back from {} to {floor}",
            known.0
        );
        assert!(
            delivered >= known.1,
            "{whose}: delivered went back from {} to {delivered}",
            known.1
        );
        let at_work = |held: &Held| !matches!(held.place, Place::Parked { .. });
        let mut unfinished = consumer
            .held
            .iter()
            .filter(|(_, held)| at_work(held) && !held.again);
        if let Some((first, _)) = unfinished.next() {
            assert!(
                floor < *first,
                "{whose}: the ack floor {floor} passed the unfinished {first}"
            );
        }
        if consumer.held.values().all(|held| !at_work(held)) {
            assert!(
                floor >= consumer.highest,
                "{whose}: the ack floor {floor} is behind"
            );
        }
        *known = (floor, delivered);
        match (info.lost_range, consumer.totals.lost_range) {
            (None, None) => {}
            (Some((first, last)), Some((lowest, highest))) => assert!(
                first.get() <= lowest && last.get() >= highest && last.get() <= stream.last,
                "{whose}: lost from {first} to {last}, and really from {lowest} to {highest}"
            ),
            (told, lost) => panic!("{whose}: lost {told:?}, and really {lost:?}"),
        }
        let oldest = consumer
            .held
            .keys()
            .next()
            .copied()
            .into_iter()
            .chain(ahead)
            .min();
        let age = oldest.map(|seq| oracle.now - stream.stored[&seq].time);
        let told = info.oldest_unfinished.map(|age| age.as_micros() as u64);
        assert_eq!(
            told, age,
            "{whose}: the age of the oldest unfinished message ({oldest:?})"
        );
    }
}
