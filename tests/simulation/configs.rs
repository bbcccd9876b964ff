//! Configurations that histories choose from.

use crate::history::{chance, ms};
use fastrand::Rng;
use riverbed::{
    AckPolicy, ConsumerConfig, DedupMode, DedupRelease, DeliverPolicy, Deny, Discard, MessageTtl,
    OnExhausted, Rate, ReplayPolicy, Retention, Seq, StreamConfig, Timestamp, Unwanted,
};

pub(crate) fn stream_config(rng: &mut Rng, name: &str) -> StreamConfig {
    let subjects: Vec<String> = match name {
        "a" => vec!["a.>".into()],
        "b" => vec!["b.*".into(), "bb".into()],
        dead => vec![format!("{dead}.>")],
    };
    let mut config = StreamConfig::new(name).subjects(subjects);
    if chance(rng, 3) {
        config = config.discard(Discard::New);
    }
    if chance(rng, 3) {
        config = config.max_messages(rng.u64(2..12));
    }
    if chance(rng, 4) {
        config = config.max_messages_per_subject(rng.u64(1..4));
        if chance(rng, 4) {
            config = config.discard_per_subject(Discard::New);
        }
    }
    if chance(rng, 4) {
        config = config.max_bytes(rng.u64(300..3_000));
    }
    if chance(rng, 6) {
        config = config.max_lag_messages(rng.u64(2..9));
    }
    config = match rng.u8(..4) {
        0 => config.without_dedup(),
        1 => config.dedup_window(ms(rng.u64(500..20_000))),
        _ => config,
    };
    if config.dedup_window.is_some() && chance(rng, 3) {
        config = config.dedup_mode(DedupMode::Sliding);
    }
    if chance(rng, 3) {
        config = config.dedup_ids(rng.u64(3..9));
    }
    if chance(rng, 3) {
        config = config.max_age(ms(rng.u64(2_000..60_000)));
    }
    if !chance(rng, 4) {
        config = config.allow_message_ttl();
    }
    if chance(rng, 4) {
        config = config.first_sequence(rng.u64(2..40));
    }
    if chance(rng, 6) {
        config = config.max_consumers(rng.u64(1..4));
    }
    for what in [Deny::Delete, Deny::Purge] {
        if chance(rng, 16) {
            config = config.deny(what);
        }
    }
    if name != "dlq" && chance(rng, 3) {
        config = match rng.u8(..3) {
            0 => config.retention(Retention::Interest),
            1 => config
                .retention(Retention::Interest)
                .unwanted(Unwanted::Keep),
            _ => config.retention(Retention::WorkQueue),
        };
    }
    let settled = config.retention != Retention::Limits && config.dedup_window.is_some();
    if if settled { rng.bool() } else { chance(rng, 60) } {
        config = config.dedup_release(DedupRelease::Finished);
    }
    let expires = config.max_age.is_some() || config.message_ttl == MessageTtl::Allowed;
    if config.retention == Retention::Limits && expires && rng.bool() {
        let ttl = ms(rng.u64(500..6_000));
        let ttl = config.max_age.map_or(ttl, |age| ttl.min(age));
        config = config.subject_delete_marker_ttl(ttl);
    }
    // A dead-letter stream takes what its sources take.
    if name != "dlq" && chance(rng, 5) {
        config = config.max_message_size(rng.u64(100..400));
    }
    config
}

/// Another configuration of a stream that there is, mostly one that it may have.
pub(crate) fn stream_update(rng: &mut Rng, known: &StreamConfig) -> StreamConfig {
    if known.discard == Discard::New && chance(rng, 2) {
        // First too much of it, then nothing but what becomes of that.
        return match known.max_messages {
            Some(1) => known.clone().discard(Discard::Old),
            _ => known.clone().max_messages(1),
        };
    }
    if chance(rng, 6) {
        return known.clone().unwanted(Unwanted::Drop);
    }
    let mut config = stream_config(rng, &known.name);
    if !chance(rng, 8) {
        config.first_sequence = known.first_sequence;
    }
    if !chance(rng, 8) {
        config.deny.extend(known.deny.iter().copied());
        config.access = known.access;
    }
    if chance(rng, 12) {
        config = config.sealed();
    }
    config
}

/// Filters of a consumer, or none.
pub(crate) fn filters(rng: &mut Rng, stream: &str) -> &'static [&'static str] {
    let filters: &'static [&'static [&'static str]] = match stream {
        "a" => &[
            &["a.x"],
            &["a.*"],
            &["a.x.>", "a.y"],
            &["a.z", "a.x"],
            &["a.>"],
        ],
        "b" => &[&["b.*"], &["bb"], &["b.x", "bb"]],
        _ => &[&["dlq.a.>"], &["dlq.*.c1"]],
    };
    if rng.bool() {
        filters[rng.usize(..filters.len())]
    } else {
        &[]
    }
}

pub(crate) fn consumer_config(rng: &mut Rng, stream: &str, name: &str) -> ConsumerConfig {
    let mut config = ConsumerConfig::new(name).filters(filters(rng, stream).iter().copied());
    config = match rng.u8(..12) {
        5 | 6 => config.deliver(DeliverPolicy::LastPerSubject),
        0 => config.deliver(DeliverPolicy::New),
        1 => config.deliver(DeliverPolicy::Last),
        2 | 3 => config.deliver(DeliverPolicy::FromSequence(Seq::new(rng.u64(1..30)))),
        4 => {
            let start = 1_577_836_800_000_000;
            let time = Timestamp::from_micros(start).plus(ms(rng.u64(..30_000)));
            config.deliver(DeliverPolicy::FromTime(time))
        }
        _ => config,
    };
    config = match rng.u8(..9) {
        0 | 1 => config.ack_policy(AckPolicy::All),
        2 => config.ack_policy(AckPolicy::None),
        _ => config,
    };
    let no_past = matches!(
        config.deliver,
        DeliverPolicy::New | DeliverPolicy::Last | DeliverPolicy::LastPerSubject
    );
    if chance(rng, if no_past { 40 } else { 4 }) {
        config = config.replay(ReplayPolicy::Original);
    }
    behaviour(rng, stream, config)
}

/// What means nothing where a delivery is finished when it is counted; now and then it stays, to be
/// refused.
fn without_acks(rng: &mut Rng, config: &ConsumerConfig) -> ConsumerConfig {
    let mut plain = ConsumerConfig::new(config.name.clone())
        .filters(config.filters.iter().cloned())
        .deliver(config.deliver)
        .ack_policy(AckPolicy::None);
    plain.headers_only = config.headers_only;
    plain.inactive_threshold = config.inactive_threshold;
    plain.pause_until = config.pause_until;
    plain.replay = config.replay;
    plain.rate_limit = config.rate_limit;
    plain.rate_limit_bytes = config.rate_limit_bytes;
    if chance(rng, 12) {
        plain.max_deliver = Some(2);
    }
    plain
}

/// The settings that an update may change.
pub(crate) fn behaviour(rng: &mut Rng, stream: &str, mut config: ConsumerConfig) -> ConsumerConfig {
    config.ack_wait = ms(rng.u64(500..5_000));
    config.max_ack_pending = if rng.bool() { 1_000 } else { rng.u64(1..5) };
    config.max_ack_pending_bytes = if chance(rng, 4) {
        rng.u64(50..500)
    } else {
        256 << 20
    };
    config.backoff = match rng.u8(..3) {
        0 => vec![ms(rng.u64(100..1_000)), ms(rng.u64(1_000..4_000))],
        1 => vec![ms(rng.u64(1..3_000))],
        _ => Vec::new(),
    };
    config.max_deliver = chance(rng, 4)
        .then(|| rng.u64(3..5))
        .or((!chance(rng, 4)).then(|| rng.u64(1..4)));
    config.on_exhausted = match rng.u8(..6) {
        0 => OnExhausted::Drop,
        1 | 2 => OnExhausted::Park,
        _ if stream == "dlq" => OnExhausted::DeadLetter {
            stream: "last".into(),
        },
        _ => OnExhausted::DeadLetter {
            stream: "dlq".into(),
        },
    };
    if matches!(config.on_exhausted, OnExhausted::DeadLetter { .. }) {
        config.max_deliver.get_or_insert(5);
    }
    config.headers_only = chance(rng, 8);
    config.sample_acks = chance(rng, 5).then(|| rng.u8(20..103));
    config.inactive_threshold = chance(rng, 8).then(|| ms(rng.u64(2_000..20_000)));
    if chance(rng, 5) {
        config = config.lazy_acks();
    }
    let rate = |rng: &mut Rng, most: u64| {
        let burst = if chance(rng, 30) { 0 } else { rng.u64(1..most) };
        Rate::new(rng.u64(1..most), ms(rng.u64(300..8_000))).burst(burst)
    };
    config.rate_limit = chance(rng, 6).then(|| rate(rng, 8));
    config.rate_limit_bytes = chance(rng, 7).then(|| rate(rng, 300));
    if config.ack_policy == AckPolicy::None {
        return without_acks(rng, &config);
    }
    config
}
