//! Which setting makes two configurations of one name differ.

use crate::config::{ConsumerConfig, OnExhausted, StreamConfig};

/// Each of these settings by name, with whether both have the same.
macro_rules! compared {
    ($one:expr, $other:expr, $($setting:ident),+ $(,)?) => {
        [$((stringify!($setting), $one.$setting == $other.$setting)),+]
    };
}

/// The first setting in which two streams differ.
pub(super) fn stream_difference(one: &StreamConfig, other: &StreamConfig) -> Option<&'static str> {
    let settings = compared!(
        one,
        other,
        subjects,
        max_messages,
        max_bytes,
        max_age,
        max_message_size,
        discard,
        max_messages_per_subject,
        discard_per_subject,
        dedup_window,
        dedup_ids,
        dedup_mode,
        dedup_release,
        first_sequence,
        max_consumers,
        deny,
        retention,
        unwanted,
        message_ttl,
        subject_delete_marker_ttl,
        max_lag_messages,
    );
    let last = [
        ("sealed", one.access == other.access),
        ("configuration", one == other),
    ];
    first_other(settings.into_iter().chain(last))
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
    let settings = compared!(
        one,
        other,
        filters,
        deliver,
        ack_policy,
        ack_wait,
        max_ack_pending,
        max_ack_pending_bytes,
        backoff,
        max_deliver,
    );
    // A dead-letter stream is a setting of its own to those who read this.
    let dead_letter = [("dead_letter", exhausted(one) == exhausted(other))];
    let rest = compared!(
        one,
        other,
        on_exhausted,
        ack_durability,
        headers_only,
        inactive_threshold,
        rate_limit,
        rate_limit_bytes,
        replay,
        sample_acks,
    );
    let last = [("configuration", *one == same_pause)];
    let settings = settings.into_iter().chain(dead_letter);
    first_other(settings.chain(rest).chain(last))
}

fn first_other(mut settings: impl Iterator<Item = (&'static str, bool)>) -> Option<&'static str> {
    settings.find(|(_, same)| !same).map(|(setting, _)| setting)
}
