//! Answers of the real store, in the words in which they are compared.

use crate::model::Placed;
use riverbed::{
    AckError, ConsumerError, EmptyReason, FetchError, PublishError, PublishErrorKind, PurgeError,
    RedriveError, Refusal, ScheduleError, StreamError, Unavailable,
};

/// What an operation came to.
#[derive(Debug)]
pub(crate) enum Answer {
    Said(String),
    Down(Unavailable),
}

impl From<String> for Answer {
    fn from(said: String) -> Self {
        Self::Said(said)
    }
}

pub(crate) fn said(word: &str) -> Answer {
    Answer::Said(word.to_owned())
}

pub(crate) fn nothing(reason: EmptyReason) -> String {
    let why = match reason {
        EmptyReason::NoMessages => "NoMessages".to_owned(),
        EmptyReason::DelayedUntil(time) => format!("DelayedUntil {}", time.as_micros()),
        EmptyReason::InFlight { messages } => format!("InFlight {messages}"),
        EmptyReason::InFlightBytes { bytes } => format!("InFlightBytes {bytes}"),
        EmptyReason::HandledAlone { seq } => format!("HandledAlone {seq}"),
        EmptyReason::Paused { until } => format!("Paused {}", until.as_micros()),
        EmptyReason::BelowMinimum { pending, in_flight } => {
            format!("BelowMinimum {pending} {in_flight}")
        }
        EmptyReason::Replaying { until } => format!("Replaying {}", until.as_micros()),
        EmptyReason::RateLimited { until } => format!("RateLimited {}", until.as_micros()),
        other => format!("{other:?}"),
    };
    format!("nothing: {why}")
}

/// Where the messages of a batch were stored, and whether they had been before.
pub(crate) fn placed_line(placed: &[(String, Placed, bool)]) -> String {
    let name = &placed[0].0;
    if placed.iter().any(|(other, _, _)| other != name) {
        return format!("{placed:?}");
    }
    let placed: Vec<(Placed, bool)> = placed.iter().map(|(_, at, dup)| (*at, *dup)).collect();
    format!("{name} {placed:?}")
}

pub(crate) fn acked_line(acked: usize, refused: &[Refusal]) -> String {
    let word = |refusal: &Refusal| match refusal {
        Refusal::Stale { seq } => format!("Stale {seq}"),
        Refusal::Gone { seq } => format!("Gone {seq}"),
        other => format!("{other:?}"),
    };
    format!(
        "acked {acked} refused {:?}",
        refused.iter().map(word).collect::<Vec<_>>()
    )
}

/// The name of an error's variant, or the part that is worth comparing.
pub(crate) fn variant(error: &dyn std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.split([' ', '(', '{'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

pub(crate) fn would_remove(setting: &str, messages: Option<u64>) -> String {
    let messages = messages.map_or("some".to_owned(), |messages| messages.to_string());
    format!("WouldRemove({setting}) {messages}")
}

pub(crate) fn would_drop(setting: &str, messages: u64) -> String {
    format!("WouldDrop({setting}) {messages}")
}

pub(crate) fn stream_error(why: StreamError, not_found: &str) -> Answer {
    match why {
        StreamError::Unavailable(why) => Answer::Down(why),
        StreamError::NotFound { .. } => said(not_found),
        StreamError::WouldRemove {
            setting, messages, ..
        } => would_remove(setting, messages).into(),
        why => variant(&why).into(),
    }
}

pub(crate) fn consumer_error(why: ConsumerError, not_found: &str) -> Answer {
    match why {
        ConsumerError::Unavailable(why) => Answer::Down(why),
        ConsumerError::NotFound { .. } => said(not_found),
        ConsumerError::WouldDrop {
            setting, messages, ..
        } => would_drop(setting, messages).into(),
        why => variant(&why).into(),
    }
}

pub(crate) fn publish_error(why: &PublishError) -> Answer {
    match &why.kind {
        PublishErrorKind::Unavailable(why) => Answer::Down(why.clone()),
        kind => variant(kind).into(),
    }
}

pub(crate) fn fetch_error(why: FetchError) -> Answer {
    match why {
        FetchError::Unavailable(why) => Answer::Down(why),
        FetchError::TooBig { seq, .. } => format!("TooBig {seq}").into(),
        why => variant(&why).into(),
    }
}

pub(crate) fn ack_error(why: AckError) -> Answer {
    match why {
        AckError::Unavailable(why) => Answer::Down(why),
        AckError::Refused(Refusal::Stale { .. }) => said("Stale"),
        AckError::Refused(Refusal::Gone { .. }) => said("Gone"),
        why => variant(&why).into(),
    }
}

pub(crate) fn purge_error(why: PurgeError) -> Answer {
    match why {
        PurgeError::Unavailable(why) => Answer::Down(why),
        why => variant(&why).into(),
    }
}

pub(crate) fn schedule_error(why: ScheduleError) -> Answer {
    match why {
        ScheduleError::Unavailable(why) => Answer::Down(why),
        why => variant(&why).into(),
    }
}

pub(crate) fn redrive_error(why: RedriveError) -> Answer {
    match why {
        RedriveError::Unavailable(why) => Answer::Down(why),
        why => variant(&why).into(),
    }
}
