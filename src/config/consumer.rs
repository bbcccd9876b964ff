//! Configuration of a consumer.

use super::ack_policy::AckPolicy;
use super::limits::SUBJECTS_MAX;
use super::rate::Rate;
use super::replay::ReplayPolicy;
use super::stream::{at_least_one, parse_filters};
use crate::clock::Timestamp;
use crate::error::InvalidSetting;
use crate::name::validate_name;
use crate::seq::Seq;
use crate::subject::SubjectFilter;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where a new consumer starts in its stream.
///
/// The place is fixed when the consumer is created (R4) and survives restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DeliverPolicy {
    /// At the first message stored.
    #[default]
    All,
    /// After the last message stored: only what is published from now on.
    New,
    /// At the last message stored that matches the consumer's filters, then onwards.
    Last,
    /// At this sequence, or the next one stored; a sequence still to come is waited for.
    FromSequence(Seq),
    /// At the first message stored at or after this time; a time still to come means `New`.
    FromTime(Timestamp),
    /// The last message stored of each subject that matches, in the order of the stream, then what is
    /// published from now on. The first ones are counted as due
    /// ([`ConsumerInfo::due`](crate::ConsumerInfo::due)); one that is removed before it is delivered is
    /// lost, also when a later one took its place. Wants `filters`; `>` is every subject.
    LastPerSubject,
}

impl DeliverPolicy {
    /// Whether it is a place for a consumer with these filters.
    pub(crate) fn fits<T>(self, filters: &[T]) -> Result<(), InvalidSetting> {
        let why = match self {
            Self::FromSequence(seq) if seq.get() == 0 => "sequences start at 1",
            Self::LastPerSubject if filters.is_empty() => {
                "`LastPerSubject` wants `filters`, to say which subjects; `>` is all of them"
            }
            _ => return Ok(()),
        };
        Err(InvalidSetting::new("deliver", why))
    }
}

/// What happens to a message whose deliveries are used up, or that a handler terminates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum OnExhausted {
    /// The message is set aside in the consumer: listed, counted, released or discarded by name. It
    /// stays in the stream.
    #[default]
    Park,
    /// A copy with an envelope goes to this stream, in the same transaction (G5).
    DeadLetter {
        /// The stream; it is created on demand, bounded and without a maximum age.
        stream: String,
    },
    /// The consumer is done with the message; it is counted and announced.
    Drop,
}

/// When an ack returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AckDurability {
    /// When it is on disk.
    #[default]
    Durable,
    /// At once; it reaches the disk with the next commit. What a crash loses in between is
    /// redelivered, nothing else.
    Lazy,
}

/// Configuration of a durable consumer.
///
/// # Examples
///
/// ```
/// use riverbed::ConsumerConfig;
/// use std::time::Duration;
///
/// let billing = ConsumerConfig::new("billing")
///     .filter("orders.*.paid")
///     .ack_wait(Duration::from_secs(60))
///     .backoff([Duration::from_secs(1), Duration::from_secs(10)])
///     .max_deliver(5)
///     .dead_letter("orders-dead");
/// assert_eq!(billing.name, "billing");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// The consumer's name, by the rules of a stream's name.
    pub name: String,
    /// Subjects it wants; empty means all of the stream. None may be a subset of another.
    pub filters: Vec<String>,
    /// Where it starts.
    pub deliver: DeliverPolicy,
    /// How long a delivery may take before the message is due again (30 s; 1 ms to 24 h).
    pub ack_wait: Duration,
    /// Most messages in flight at once (1,000; at most 1,000,000). Delayed, due, parked and refused
    /// messages do not count.
    pub max_ack_pending: u64,
    /// Most bytes in flight at once (256 MiB). One message is always allowed.
    pub max_ack_pending_bytes: u64,
    /// Delays by attempt: the wait after the n-th attempt fails, and the time that attempt may take.
    /// The last one repeats; it takes the place of `ack_wait`. Empty means none.
    pub backoff: Vec<Duration>,
    /// How many attempts may fail (naks, lapsed leases, and crashes while handled alone; R18) before
    /// `on_exhausted`; `None` means any number, or 5 when a dead-letter stream is named.
    pub max_deliver: Option<u64>,
    /// What happens then, and to a terminated message.
    pub on_exhausted: OnExhausted,
    /// Whether an ack waits for the disk.
    pub ack_durability: AckDurability,
    /// What an ack finishes.
    pub ack_policy: AckPolicy,
    /// Whether deliveries come without their payloads.
    pub headers_only: bool,
    /// Nothing is delivered before this time.
    pub pause_until: Option<Timestamp>,
    /// How long nobody may be at work with the consumer before it is deleted; `None` means for ever.
    pub inactive_threshold: Option<Duration>,
    /// How many messages are delivered in a time; `None` means as many as are fetched.
    pub rate_limit: Option<Rate>,
    /// How many bytes of messages are delivered in a time.
    pub rate_limit_bytes: Option<Rate>,
    /// At which pace the messages come that are in the stream already.
    pub replay: ReplayPolicy,
    /// Of how many of 100 acks it is told how long they took; `None` means of none.
    pub sample_acks: Option<u8>,
}

/// Failures allowed when a dead-letter stream is named without a number.
const MAX_DELIVER_WITH_DEAD_LETTER: u64 = 5;
/// The defaults of what is in flight.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(30);
pub(super) const MAX_ACK_PENDING: u64 = 1_000;
pub(super) const MAX_ACK_PENDING_BYTES: u64 = 256 << 20;
const DAY: Duration = Duration::from_secs(24 * 3600);

impl ConsumerConfig {
    /// A consumer of this name that takes everything from the first message on.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            filters: Vec::new(),
            deliver: DeliverPolicy::All,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            max_ack_pending_bytes: MAX_ACK_PENDING_BYTES,
            backoff: Vec::new(),
            max_deliver: None,
            on_exhausted: OnExhausted::Park,
            ack_durability: AckDurability::Durable,
            ack_policy: AckPolicy::Explicit,
            headers_only: false,
            pause_until: None,
            inactive_threshold: None,
            rate_limit: None,
            rate_limit_bytes: None,
            replay: ReplayPolicy::Instant,
            sample_acks: None,
        }
    }

    /// Adds a subject that the consumer wants.
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filters.push(filter.into());
        self
    }

    /// Sets the subjects that the consumer wants.
    pub fn filters<S: Into<String>>(mut self, filters: impl IntoIterator<Item = S>) -> Self {
        self.filters = filters.into_iter().map(Into::into).collect();
        self
    }

    /// Sets where the consumer starts.
    pub fn deliver(mut self, deliver: DeliverPolicy) -> Self {
        self.deliver = deliver;
        self
    }

    /// Sets how long a delivery may take.
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = wait;
        self
    }

    /// Limits the messages in flight.
    pub fn max_ack_pending(mut self, messages: u64) -> Self {
        self.max_ack_pending = messages;
        self
    }

    /// Limits the bytes in flight.
    pub fn max_ack_pending_bytes(mut self, bytes: u64) -> Self {
        self.max_ack_pending_bytes = bytes;
        self
    }

    /// Sets the delays by attempt.
    pub fn backoff(mut self, delays: impl IntoIterator<Item = Duration>) -> Self {
        self.backoff = delays.into_iter().collect();
        self
    }

    /// Sets how many attempts may fail.
    pub fn max_deliver(mut self, failures: u64) -> Self {
        self.max_deliver = Some(failures);
        self
    }

    /// Sends exhausted and terminated messages to this stream.
    pub fn dead_letter(mut self, stream: impl Into<String>) -> Self {
        self.on_exhausted = OnExhausted::DeadLetter {
            stream: stream.into(),
        };
        self
    }

    /// Sets what happens to exhausted messages.
    pub fn on_exhausted(mut self, action: OnExhausted) -> Self {
        self.on_exhausted = action;
        self
    }

    /// Lets acks return before they are on disk.
    pub fn lazy_acks(mut self) -> Self {
        self.ack_durability = AckDurability::Lazy;
        self
    }

    /// Checks every setting and fills in what depends on others.
    pub(crate) fn validated(mut self) -> Result<Self, InvalidSetting> {
        validate_name(&self.name).map_err(|why| InvalidSetting::new("name", why))?;
        if self.filters.len() > SUBJECTS_MAX {
            let why = format!(
                "{} filters are more than {SUBJECTS_MAX}",
                self.filters.len()
            );
            return Err(InvalidSetting::new("filters", why));
        }
        refuse_subsets(&parse_filters("filters", &self.filters)?)?;
        self.deliver.fits(&self.filters)?;
        in_day("ack_wait", self.ack_wait)?;
        if self.backoff.len() > SUBJECTS_MAX {
            return Err(InvalidSetting::new("backoff", "it has more than 256 steps"));
        }
        for step in &self.backoff {
            in_day("backoff", *step)?;
        }
        at_least_one("max_ack_pending", Some(self.max_ack_pending))?;
        if self.max_ack_pending > 1_000_000 {
            return Err(InvalidSetting::new(
                "max_ack_pending",
                "it is more than 1,000,000",
            ));
        }
        at_least_one("max_ack_pending_bytes", Some(self.max_ack_pending_bytes))?;
        at_least_one("max_deliver", self.max_deliver)?;
        self.refuse_without_acks()?;
        self.check_inactivity()?;
        self.check_rates()?;
        self.check_replay()?;
        self.check_sampling()?;
        if let OnExhausted::DeadLetter { stream } = &self.on_exhausted {
            validate_name(stream).map_err(|why| InvalidSetting::new("dead_letter", why))?;
            self.max_deliver.get_or_insert(MAX_DELIVER_WITH_DEAD_LETTER);
        }
        Ok(self)
    }

    /// The filters, parsed. Only for a validated configuration, where none is left out.
    pub(crate) fn parsed_filters(&self) -> Vec<SubjectFilter> {
        self.filters
            .iter()
            .filter_map(|filter| filter.parse().ok())
            .collect()
    }

    /// The dead-letter stream's name, if there is one.
    pub(crate) fn dead_letter_stream(&self) -> Option<&str> {
        match &self.on_exhausted {
            OnExhausted::DeadLetter { stream } => Some(stream),
            OnExhausted::Park | OnExhausted::Drop => None,
        }
    }

    /// The longest time that an attempt may take.
    pub(crate) fn longest_attempt(&self) -> Duration {
        self.backoff.iter().max().copied().unwrap_or(self.ack_wait)
    }

    /// The backoff step for an attempt that is counted from 1.
    pub(crate) fn backoff_step(&self, attempt: u64) -> Option<Duration> {
        let at = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        self.backoff.get(at).or(self.backoff.last()).copied()
    }
}

pub(super) fn in_day(name: &'static str, value: Duration) -> Result<(), InvalidSetting> {
    if value < Duration::from_millis(1) {
        return Err(InvalidSetting::new(name, "it is shorter than 1 ms"));
    }
    if value > DAY {
        return Err(InvalidSetting::new(name, "it is longer than 24 h"));
    }
    Ok(())
}

fn refuse_subsets(filters: &[SubjectFilter]) -> Result<(), InvalidSetting> {
    for (at, one) in filters.iter().enumerate() {
        for (other_at, other) in filters.iter().enumerate() {
            if at != other_at && one.is_subset_of(other) {
                let why = format!("`{one}` is contained in `{other}`; leave it out");
                return Err(InvalidSetting::new("filters", why));
            }
        }
    }
    Ok(())
}
