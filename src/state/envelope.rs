//! A dead letter's envelope: where the message came from and why it died, as headers.

use super::stored::Stored;
use crate::config::{MESSAGE_ID_BYTES_MAX, REASON_BYTES_MAX};
use crate::event::DeadReason;
use crate::headers::Headers;
use crate::subject::validate_subject;
use std::sync::Arc;

pub(crate) const STREAM: &str = "Riverbed-Dead-Stream";
pub(crate) const SEQUENCE: &str = "Riverbed-Dead-Sequence";
pub(crate) const SUBJECT: &str = "Riverbed-Dead-Subject";
pub(crate) const TIME: &str = "Riverbed-Dead-Time";
pub(crate) const CONSUMER: &str = "Riverbed-Dead-Consumer";
pub(crate) const DELIVERIES: &str = "Riverbed-Dead-Deliveries";
pub(crate) const FAILURES: &str = "Riverbed-Dead-Failures";
pub(crate) const CRASHES: &str = "Riverbed-Dead-Crashes";
pub(crate) const REASON: &str = "Riverbed-Dead-Reason";
pub(crate) const DETAIL: &str = "Riverbed-Dead-Detail";
pub(crate) const ID: &str = "Riverbed-Dead-Id";

const ALL: [&str; 11] = [
    STREAM, SEQUENCE, SUBJECT, TIME, CONSUMER, DELIVERIES, FAILURES, CRASHES, REASON, DETAIL, ID,
];

/// What the envelope says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) stream: String,
    pub(crate) seq: u64,
    pub(crate) subject: String,
    pub(crate) time: u64,
    pub(crate) consumer: String,
    pub(crate) deliveries: u64,
    pub(crate) failures: u64,
    pub(crate) crashes: u64,
    pub(crate) reason: DeadReason,
    pub(crate) id: Option<String>,
}

impl Envelope {
    /// The message's own headers with the envelope behind them. An older envelope, of a message that
    /// was redriven and died again, is replaced.
    pub(crate) fn wrap(&self, own: &Headers) -> Headers {
        let mut headers = strip(own);
        headers.insert(STREAM, self.stream.as_str());
        headers.insert(SEQUENCE, self.seq.to_string());
        headers.insert(SUBJECT, self.subject.as_str());
        headers.insert(TIME, self.time.to_string());
        headers.insert(CONSUMER, self.consumer.as_str());
        headers.insert(DELIVERIES, self.deliveries.to_string());
        headers.insert(FAILURES, self.failures.to_string());
        headers.insert(CRASHES, self.crashes.to_string());
        headers.insert(REASON, self.reason.as_str());
        if let DeadReason::Term(detail) = &self.reason {
            headers.insert(DETAIL, header_text(detail));
        }
        if let Some(id) = &self.id {
            headers.insert(ID, header_text(id));
        }
        headers
    }

    /// Reads the envelope of a dead letter, or names the header that is missing or wrong.
    pub(crate) fn read(message: &Stored) -> Result<Self, &'static str> {
        let headers = &message.headers;
        let text = |name: &'static str| headers.get(name).ok_or(name);
        let number = |name: &'static str| text(name)?.parse::<u64>().map_err(|_| name);
        let detail = headers.get(DETAIL).unwrap_or_default();
        let reason = match text(REASON)? {
            "max_deliver" => DeadReason::MaxDeliver,
            "term" => DeadReason::Term(detail.to_owned()),
            _ => return Err(REASON),
        };
        // Anybody can write such headers: what becomes a subject or an id again must be one.
        validate_subject(text(SUBJECT)?).map_err(|_| SUBJECT)?;
        let id = headers.get(ID);
        if id.is_some_and(|id| id.is_empty() || id.len() > MESSAGE_ID_BYTES_MAX) {
            return Err(ID);
        }
        Ok(Self {
            stream: text(STREAM)?.to_owned(),
            seq: number(SEQUENCE)?,
            subject: text(SUBJECT)?.to_owned(),
            time: number(TIME)?,
            consumer: text(CONSUMER)?.to_owned(),
            deliveries: number(DELIVERIES)?,
            failures: number(FAILURES)?,
            crashes: number(CRASHES)?,
            reason,
            id: id.map(str::to_owned),
        })
    }
}

/// Headers without an envelope.
pub(crate) fn strip(headers: &Headers) -> Headers {
    own(headers).collect()
}

/// The bytes of a message's own headers.
pub(crate) fn own_size(headers: &Headers) -> usize {
    own(headers)
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

fn own(headers: &Headers) -> impl Iterator<Item = (&str, &str)> {
    headers.iter().filter(|(name, _)| !ALL.contains(name))
}

/// A reason as it is kept: cut at 1 KiB, on a character's boundary (R19).
pub(crate) fn cut_reason(reason: &str) -> String {
    let fits = |(at, character): &(usize, char)| at + character.len_utf8() <= REASON_BYTES_MAX;
    reason
        .char_indices()
        .take_while(fits)
        .map(|(_, character)| character)
        .collect()
}

/// Text that a header may carry: line breaks become spaces.
fn header_text(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The subject of a dead letter (R19).
pub(crate) fn subject(dead_letter_stream: &str, stream: &str, consumer: &str) -> Arc<str> {
    format!("{dead_letter_stream}.{stream}.{consumer}").into()
}
