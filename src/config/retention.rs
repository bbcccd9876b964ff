//! When messages leave a stream other than by its limits.

use crate::error::InvalidSetting;
use serde::{Deserialize, Serialize};

/// When a stream removes a message, besides its limits, purges and deletes.
///
/// With [`Interest`](Self::Interest) and [`WorkQueue`](Self::WorkQueue) a message leaves in the very
/// transaction that settles it for the last consumer that wanted it: by an ack, a dead letter, a drop or
/// a discard. A parked message is not settled and stays. Limits apply besides, to messages that nobody
/// has acked too.
///
/// # Examples
///
/// ```
/// use riverbed::{ConsumerConfig, Retention, Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let jobs = store.create_stream(StreamConfig::new("jobs").retention(Retention::WorkQueue))?;
/// let worker = jobs.create_consumer(ConsumerConfig::new("worker"))?;
/// jobs.publish("jobs", "one")?;
/// worker.fetch(1)?[0].ack()?;
/// assert_eq!(jobs.info()?.messages, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Retention {
    /// Only by limits: consumers leave the stream as it is.
    #[default]
    Limits,
    /// When every consumer that wants it is done with it. What no consumer wants takes a sequence and is
    /// removed at once, unless [`Unwanted::Keep`] is set.
    Interest,
    /// When the one consumer that wants it is done with it. Consumers deliver from the first message on,
    /// and no two of them may want the same subject. What no consumer wants stays.
    WorkQueue,
}

/// What a stream with [`Retention::Interest`] does with messages that no consumer wants.
///
/// # Examples
///
/// ```
/// use riverbed::{Retention, Riverbed, StreamConfig, Unwanted};
///
/// # let folder = tempfile::tempdir()?;
/// # let store = Riverbed::open(folder.path().join("store"))?;
/// let config = StreamConfig::new("early").retention(Retention::Interest);
/// let early = store.create_stream(config.unwanted(Unwanted::Keep))?;
/// early.publish("early", "before anybody came")?;
/// assert_eq!(early.info()?.messages, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Unwanted {
    /// They leave: with the commit that publishes them, or soon after the consumer is deleted that wanted
    /// them. So it is in `JetStream`.
    #[default]
    Drop,
    /// They stay until a consumer that wants them is done with them, or a limit takes them; so nothing is
    /// lost that is published before its consumer is created.
    Keep,
}

impl Retention {
    /// Whether a message leaves when consumers are done with it.
    pub(crate) const fn removes_finished(self) -> bool {
        matches!(self, Self::Interest | Self::WorkQueue)
    }

    /// Says which of the two settings makes no sense beside the other.
    pub(crate) fn validate(self, unwanted: Unwanted) -> Result<(), InvalidSetting> {
        if unwanted == Unwanted::Keep && self != Self::Interest {
            let why = "only a stream with `retention` Interest removes what no consumer wants; leave it out, or set Retention::Interest";
            return Err(InvalidSetting::new("unwanted", why));
        }
        Ok(())
    }
}
