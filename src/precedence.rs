//! Which of several workers gets the next message: overflow and priorities of fetches.

use crate::error::FetchError;
use crate::fetch::Fetch;
use crate::run::RunOptions;
use crate::state::Precedence;

/// The last priority.
const PRIORITY_MAX: u8 = 9;

impl Precedence {
    pub(crate) fn check(self) -> Result<(), FetchError> {
        let refused = |setting, why| Err(FetchError::Precedence { setting, why });
        if self.priority > PRIORITY_MAX {
            return refused("priority", "it is from 0, the first, to 9");
        }
        if self.min_pending == Some(0) {
            return refused("min_pending", "it is at least 1; leave it out");
        }
        if self.min_ack_pending == Some(0) {
            return refused("min_ack_pending", "it is at least 1; leave it out");
        }
        Ok(())
    }
}

impl Fetch {
    /// Which of the waiting fetches is served first: from 0, the default and the first, to 9. Those of one
    /// priority are served in the order in which they came.
    ///
    /// A fetch of a later priority takes nothing while one of an earlier priority waits that could take it; it
    /// waits too, or says [`OthersFirst`](crate::EmptyReason::OthersFirst). So workers of a later priority stand
    /// still while the others keep up: that is what they are for.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, Fetch, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
    /// let worker = jobs.create_consumer(ConsumerConfig::new("worker"))?;
    /// jobs.publish("jobs", "one")?;
    /// // Nobody who comes first waits.
    /// assert_eq!(worker.fetch(Fetch::new(10).priority(1))?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn priority(mut self, priority: u8) -> Self {
        self.precedence.priority = priority;
        self
    }

    /// Takes messages only when so many wait to be delivered, those that are due again among them: the worker
    /// helps when there is more than others keep up with. Otherwise the fetch waits, or says
    /// [`BelowMinimum`](crate::EmptyReason::BelowMinimum). With
    /// [`min_ack_pending`](Self::min_ack_pending), one of the two is enough.
    ///
    /// A consumer whose filters have wildcards is counted over its subjects.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, EmptyReason, Fetch, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
    /// let worker = jobs.create_consumer(ConsumerConfig::new("worker"))?;
    /// jobs.publish("jobs", "one")?;
    /// let helper = Fetch::new(10).min_pending(2).no_wait();
    /// let reason = worker.fetch(helper)?.empty_reason();
    /// assert_eq!(reason, Some(EmptyReason::BelowMinimum { pending: 1, in_flight: 0 }));
    /// jobs.publish("jobs", "two")?;
    /// assert_eq!(worker.fetch(helper)?.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn min_pending(mut self, messages: u64) -> Self {
        self.precedence.min_pending = Some(messages);
        self
    }

    /// Takes messages only when so many are in flight with other workers; see
    /// [`min_pending`](Self::min_pending). Fewer than the consumer's
    /// [`max_ack_pending`](crate::ConsumerConfig::max_ack_pending), at which nothing is delivered to anybody.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, Fetch, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
    /// let worker = jobs.create_consumer(ConsumerConfig::new("worker"))?;
    /// jobs.publish_batch([("jobs", "one"), ("jobs", "two")])?;
    /// let helper = Fetch::new(1).min_ack_pending(1).no_wait();
    /// assert!(worker.fetch(helper)?.is_empty());
    /// let busy = worker.fetch(1)?;
    /// assert_eq!(worker.fetch(helper)?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn min_ack_pending(mut self, messages: u64) -> Self {
        self.precedence.min_ack_pending = Some(messages);
        self
    }
}

impl RunOptions {
    /// Which workers get the next message first; see [`Fetch::priority`].
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::RunOptions;
    ///
    /// // Four more who help when 1,000 messages wait, after everybody else.
    /// let helpers = RunOptions::new(4).priority(9).min_pending(1_000);
    /// # let _ = helpers;
    /// ```
    pub fn priority(mut self, priority: u8) -> Self {
        self.precedence.priority = priority;
        self
    }

    /// Has the workers help only when so many messages wait; see [`Fetch::min_pending`].
    pub fn min_pending(mut self, messages: u64) -> Self {
        self.precedence.min_pending = Some(messages);
        self
    }

    /// Has the workers help only when so many messages are in flight; see [`Fetch::min_ack_pending`].
    pub fn min_ack_pending(mut self, messages: u64) -> Self {
        self.precedence.min_ack_pending = Some(messages);
        self
    }
}
