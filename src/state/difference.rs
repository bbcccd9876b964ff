//! Which setting makes two configurations of one name differ.

use crate::config::{ConsumerConfig, OnExhausted, StreamConfig};

/// The first setting in which two streams differ.
pub(super) fn stream_difference(one: &StreamConfig, other: &StreamConfig) -> Option<&'static str> {
    let settings = [
        ("subjects", one.subjects == other.subjects),
        ("max_messages", one.max_messages == other.max_messages),
        ("max_bytes", one.max_bytes == other.max_bytes),
        ("max_age", one.max_age == other.max_age),
        (
            "max_message_size",
            one.max_message_size == other.max_message_size,
        ),
        ("discard", one.discard == other.discard),
        (
            "max_messages_per_subject",
            one.max_messages_per_subject == other.max_messages_per_subject,
        ),
        (
            "discard_per_subject",
            one.discard_per_subject == other.discard_per_subject,
        ),
        ("dedup_window", one.dedup_window == other.dedup_window),
        ("dedup_ids", one.dedup_ids == other.dedup_ids),
        ("dedup_mode", one.dedup_mode == other.dedup_mode),
        ("first_sequence", one.first_sequence == other.first_sequence),
        ("max_consumers", one.max_consumers == other.max_consumers),
        ("deny", one.deny == other.deny),
        ("sealed", one.access == other.access),
        ("retention", one.retention == other.retention),
        ("unwanted", one.unwanted == other.unwanted),
        ("message_ttl", one.message_ttl == other.message_ttl),
        ("configuration", one == other),
    ];
    settings
        .into_iter()
        .find(|(_, same)| !same)
        .map(|(setting, _)| setting)
}

/// The first setting in which two consumers differ.
pub(super) fn consumer_difference(
    one: &ConsumerConfig,
    other: &ConsumerConfig,
) -> Option<&'static str> {
    let exhausted = |config: &ConsumerConfig| match &config.on_exhausted {
        OnExhausted::DeadLetter { stream } => Some(stream.clone()),
        OnExhausted::Park | OnExhausted::Drop => None,
    };
    // A consumer that was paused since is the same.
    let mut same_pause = other.clone();
    same_pause.pause_until = one.pause_until;
    let settings = [
        ("filters", one.filters == other.filters),
        ("deliver", one.deliver == other.deliver),
        ("ack_policy", one.ack_policy == other.ack_policy),
        ("ack_wait", one.ack_wait == other.ack_wait),
        (
            "max_ack_pending",
            one.max_ack_pending == other.max_ack_pending,
        ),
        (
            "max_ack_pending_bytes",
            one.max_ack_pending_bytes == other.max_ack_pending_bytes,
        ),
        ("backoff", one.backoff == other.backoff),
        ("max_deliver", one.max_deliver == other.max_deliver),
        ("dead_letter", exhausted(one) == exhausted(other)),
        ("on_exhausted", one.on_exhausted == other.on_exhausted),
        ("ack_durability", one.ack_durability == other.ack_durability),
        ("headers_only", one.headers_only == other.headers_only),
        (
            "inactive_threshold",
            one.inactive_threshold == other.inactive_threshold,
        ),
        ("configuration", *one == same_pause),
    ];
    settings
        .into_iter()
        .find(|(_, same)| !same)
        .map(|(setting, _)| setting)
}
