//! Configuration of a stream.

use super::dedup::{DedupMode, DedupRelease};
use super::guard::{Access, Deny};
use super::limits::{MESSAGE_BYTES_MAX, SUBJECTS_MAX};
use super::message_ttl::MessageTtl;
use super::retention::{Retention, Unwanted};
use crate::error::InvalidSetting;
use crate::name::validate_name;
use crate::seq::Seq;
use crate::subject::SubjectFilter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What a full stream does with the next message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Discard {
    /// Removes the oldest messages to make room. A message that some consumer had not finished is
    /// counted on that consumer and announced (G11).
    #[default]
    Old,
    /// Refuses the new message.
    New,
}

/// Configuration of a stream: its name, the subjects it captures, and its limits.
///
/// Built by its setters; a setting left out means no limit. Every value is checked when the stream
/// is created or updated.
///
/// # Examples
///
/// ```
/// use riverbed::{Discard, StreamConfig};
/// use std::time::Duration;
///
/// let orders = StreamConfig::new("orders")
///     .subjects(["orders.>"])
///     .max_messages(1_000_000)
///     .max_age(Duration::from_secs(7 * 24 * 3600))
///     .discard(Discard::New);
/// assert_eq!(orders.name, "orders");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamConfig {
    /// The stream's name: 1 to 255 bytes, without white space, `.`, `*`, `>`, `/` and `\`.
    pub name: String,
    /// The subjects that the stream captures, at most 256; empty means the stream's own name.
    pub subjects: Vec<String>,
    /// Most messages; `None` means no limit.
    pub max_messages: Option<u64>,
    /// Most bytes (subjects, ids, headers and payloads); `None` means no limit.
    pub max_bytes: Option<u64>,
    /// The age at which a message is removed; `None` means never. At least 100 ms.
    pub max_age: Option<Duration>,
    /// Largest message (headers and payload); at most, and by default, 8 MiB.
    pub max_message_size: u64,
    /// What happens at `max_messages` and `max_bytes`.
    pub discard: Discard,
    /// Most messages on one subject; `None` means no limit.
    pub max_messages_per_subject: Option<u64>,
    /// What happens at `max_messages_per_subject`: the oldest message of the subject leaves, or the new one
    /// is refused.
    pub discard_per_subject: Discard,
    /// How long a message id is remembered (2 minutes, or `max_age` if that is shorter); `None`
    /// switches deduplication off, and publishing with an id is then refused.
    pub dedup_window: Option<Duration>,
    /// Most message ids remembered at once (1,000,000). At the bound a publish with a new id is
    /// refused, because forgetting an id early would break G8 in silence.
    pub dedup_ids: u64,
    /// Whether a duplicate renews its id.
    pub dedup_mode: DedupMode,
    /// Whether the id of a message is free again when consumers are done with it.
    pub dedup_release: DedupRelease,
    /// The sequence of the first message (1). Only for a stream to be created; 1 to 2^63 - 1.
    pub first_sequence: Seq,
    /// Most consumers; `None` means no limit. Counted when one is created.
    pub max_consumers: Option<u64>,
    /// What is denied for good.
    pub deny: BTreeSet<Deny>,
    /// Whether the stream still changes; it is sealed by an update, for good.
    pub access: Access,
    /// Whether messages leave when consumers are done with them.
    pub retention: Retention,
    /// What [`Retention::Interest`] does with messages that no consumer wants; refused to be anything but
    /// the default with another retention.
    pub unwanted: Unwanted,
    /// Whether messages may have a time to live of their own.
    pub message_ttl: MessageTtl,
    /// How long the marker lives that the last message of a subject leaves when it is too old; `None` means that
    /// it leaves none. At least 100 ms, and at most `max_age`.
    pub subject_delete_marker_ttl: Option<Duration>,
    /// Most messages that a consumer may be behind before publishers are held back; `None` means no limit.
    pub max_lag_messages: Option<u64>,
}

impl StreamConfig {
    /// A stream of this name that captures the subject of the same name, without limits.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            subjects: Vec::new(),
            max_messages: None,
            max_bytes: None,
            max_age: None,
            max_message_size: MESSAGE_BYTES_MAX,
            discard: Discard::Old,
            max_messages_per_subject: None,
            discard_per_subject: Discard::Old,
            dedup_window: Some(Duration::from_secs(120)),
            dedup_ids: 1_000_000,
            dedup_mode: DedupMode::Fixed,
            dedup_release: DedupRelease::Window,
            first_sequence: Seq::new(1),
            max_consumers: None,
            deny: BTreeSet::new(),
            access: Access::Open,
            retention: Retention::Limits,
            unwanted: Unwanted::Drop,
            message_ttl: MessageTtl::Refused,
            subject_delete_marker_ttl: None,
            max_lag_messages: None,
        }
    }

    /// Sets the subjects that the stream captures; wildcards are allowed.
    pub fn subjects<S: Into<String>>(mut self, subjects: impl IntoIterator<Item = S>) -> Self {
        self.subjects = subjects.into_iter().map(Into::into).collect();
        self
    }

    /// Limits the number of messages.
    pub fn max_messages(mut self, messages: u64) -> Self {
        self.max_messages = Some(messages);
        self
    }

    /// Limits the bytes.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Limits the age of messages. A longer dedup window is shortened to it.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self.dedup_window = self.dedup_window.map(|window| window.min(age));
        self
    }

    /// Limits the size of one message, headers and payload together.
    pub fn max_message_size(mut self, bytes: u64) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Chooses what a full stream does with the next message.
    pub fn discard(mut self, discard: Discard) -> Self {
        self.discard = discard;
        self
    }

    /// Limits the messages on one subject: with 1, the stream keeps the last value of each.
    ///
    /// Finding the oldest message of a subject with many reads on from the one before; it is quick when a
    /// subject has one message, or its messages are near each other.
    pub fn max_messages_per_subject(mut self, messages: u64) -> Self {
        self.max_messages_per_subject = Some(messages);
        self
    }

    /// Chooses what a full subject does with the next message.
    pub fn discard_per_subject(mut self, discard: Discard) -> Self {
        self.discard_per_subject = discard;
        self
    }

    /// Sets whether messages leave when consumers are done with them.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Sets what [`Retention::Interest`] does with messages that no consumer wants.
    pub fn unwanted(mut self, unwanted: Unwanted) -> Self {
        self.unwanted = unwanted;
        self
    }

    /// Checks every setting and fills in the subject of a stream that names none.
    pub(crate) fn validated(mut self) -> Result<Self, InvalidSetting> {
        validate_name(&self.name).map_err(|why| InvalidSetting::new("name", why))?;
        if self.subjects.is_empty() {
            self.subjects.push(self.name.clone());
        }
        if self.subjects.len() > SUBJECTS_MAX {
            let why = format!(
                "{} subjects are more than {SUBJECTS_MAX}",
                self.subjects.len()
            );
            return Err(InvalidSetting::new("subjects", why));
        }
        let filters = parse_filters("subjects", &self.subjects)?;
        if let Some((one, other)) = overlapping(&filters) {
            let why = format!("`{one}` and `{other}` can match the same subject; leave one out");
            return Err(InvalidSetting::new("subjects", why));
        }
        at_least_one("max_messages", self.max_messages)?;
        at_least_one("max_bytes", self.max_bytes)?;
        at_least_one("max_messages_per_subject", self.max_messages_per_subject)?;
        if self.discard_per_subject == Discard::New && self.max_messages_per_subject.is_none() {
            let why = "there is no `max_messages_per_subject` at which it would matter; set that, or leave it out";
            return Err(InvalidSetting::new("discard_per_subject", why));
        }
        at_least_one("max_message_size", Some(self.max_message_size))?;
        at_least_one("max_consumers", self.max_consumers)?;
        self.validate_first_sequence()?;
        if self.max_message_size > MESSAGE_BYTES_MAX {
            let why = format!("{} is more than {MESSAGE_BYTES_MAX}", self.max_message_size);
            return Err(InvalidSetting::new("max_message_size", why));
        }
        self.retention.validate(self.unwanted)?;
        self.validate_markers()?;
        self.validate_lag()?;
        let least = Duration::from_millis(100);
        if self.max_age.is_some_and(|age| age < least) {
            return Err(InvalidSetting::new("max_age", "it is shorter than 100 ms"));
        }
        self.validate_dedup()?;
        Ok(self)
    }

    /// Whether only what some consumer wants is stored.
    pub(crate) fn drops_unwanted(&self) -> bool {
        self.removes_finished()
            && self.retention == Retention::Interest
            && self.unwanted == Unwanted::Drop
    }

    /// Whether a message leaves when consumers are done with it; a sealed stream loses none.
    pub(crate) fn removes_finished(&self) -> bool {
        self.retention.removes_finished() && !self.is_sealed()
    }

    /// The subjects, parsed. Only for a validated configuration, where none is left out.
    pub(crate) fn filters(&self) -> Vec<SubjectFilter> {
        self.subjects
            .iter()
            .filter_map(|subject| subject.parse().ok())
            .collect()
    }
}

/// Parses subject filters, naming the setting they came from when one is wrong.
pub(crate) fn parse_filters(
    setting: &'static str,
    filters: &[String],
) -> Result<Vec<SubjectFilter>, InvalidSetting> {
    let parse = |filter: &String| {
        filter
            .parse()
            .map_err(|why| InvalidSetting::new(setting, why))
    };
    filters.iter().map(parse).collect()
}

pub(crate) fn at_least_one(name: &'static str, value: Option<u64>) -> Result<(), InvalidSetting> {
    match value {
        Some(0) => Err(InvalidSetting::new(name, "it must be at least 1")),
        _ => Ok(()),
    }
}

fn overlapping(filters: &[SubjectFilter]) -> Option<(&SubjectFilter, &SubjectFilter)> {
    filters.iter().enumerate().find_map(|(at, one)| {
        let other = filters
            .iter()
            .skip(at + 1)
            .find(|other| one.overlaps(other))?;
        Some((one, other))
    })
}
