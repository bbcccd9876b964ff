//! Updating streams and consumers: their messages stay, unless it is said that they may go.

use crate::config::{ConsumerConfig, StreamConfig};
use crate::consumer::Consumer;
use crate::error::{ConsumerError, StreamError};
use crate::riverbed::Riverbed;
use crate::state::Losing;
use crate::stream::Stream;
use std::sync::Arc;

impl Riverbed {
    /// Gives a stream another configuration; its messages and its consumers stay.
    ///
    /// An update that would remove stored messages at once is refused, with the setting that would:
    ///
    /// * a tighter `max_messages`, `max_bytes` or `max_messages_per_subject` that the stream is over, or
    ///   one that was there and now discards the old;
    /// * a shorter `max_age` that the oldest message is past;
    /// * `retention` by interest, or `unwanted` messages that are not kept any more, while messages are
    ///   stored that nobody needs. Finding that out reads the log up to the first of them.
    ///
    /// [`update_stream_removing`](Self::update_stream_removing) is the word for it. What is published
    /// later, or grows too old later, leaves by the new settings as ever.
    ///
    /// # Crash safety
    ///
    /// The change is whole or not there.
    ///
    /// # Errors
    ///
    /// As for [`create_stream`](Self::create_stream); [`StreamError::NotFound`] when there is none;
    /// [`StreamError::Fixed`] and [`StreamError::Irrevocable`] for what can't be changed;
    /// [`StreamError::InUse`] when it would refuse the dead letters of a consumer;
    /// [`StreamError::WouldRemove`].
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Riverbed, StreamConfig, StreamError};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let log = store.create_stream(StreamConfig::new("log"))?;
    /// for line in ["one", "two", "three"] {
    ///     log.publish("log", line)?;
    /// }
    /// let short = StreamConfig::new("log").max_messages(2);
    /// let refused = store.update_stream(short.clone());
    /// assert!(matches!(refused, Err(StreamError::WouldRemove { messages: Some(1), .. })));
    /// store.update_stream_removing(short)?;
    /// assert_eq!(log.info()?.messages, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update_stream(&self, config: StreamConfig) -> Result<Stream, StreamError> {
        self.update(config, Losing::Refused)
    }

    /// Gives a stream another configuration, whatever it costs: messages that its new settings do not
    /// allow are removed, and announced where a consumer had not finished them.
    ///
    /// # Crash safety
    ///
    /// The change is whole or not there. Removing many messages goes on after a crash.
    ///
    /// # Errors
    ///
    /// As for [`update_stream`](Self::update_stream), without `WouldRemove`.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let log = store.create_stream(StreamConfig::new("log"))?;
    /// log.publish("log", "one")?;
    /// log.publish("log", "two")?;
    /// store.update_stream_removing(StreamConfig::new("log").max_messages(1))?;
    /// assert_eq!(log.info()?.messages, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update_stream_removing(&self, config: StreamConfig) -> Result<Stream, StreamError> {
        self.update(config, Losing::Accepted)
    }

    fn update(&self, config: StreamConfig, losing: Losing) -> Result<Stream, StreamError> {
        let config = config.validated()?;
        let id = self.root.engine.update_stream(&config, losing)?;
        Ok(Stream::new(Arc::clone(&self.root), id, config.name))
    }
}

impl Stream {
    /// Gives a consumer another configuration. Its place and what it holds stay; a changed `ack_wait`
    /// holds for leases that start from now on, and a message that failed more often than a lowered
    /// `max_deliver` allows is given up. `deliver` and `ack_policy` can't be changed.
    ///
    /// Other `filters` hold from the consumer's place on: what it was given stays with it until it is settled, and
    /// what it passed over does not come again unless it is [reset](Consumer::reset). The messages ahead are counted
    /// for it, by a look at the subjects of the blocks there; fetches from the consumer wait
    /// meanwhile, also those that would not wait for messages.
    ///
    /// An update by which messages would be dropped at once is refused: those that a lowered
    /// `max_deliver` gives up, or those that wait for room in a dead-letter stream, where nothing is kept
    /// of them; and, in a stream that keeps what is wanted ([`Retention::Interest`](crate::Retention::Interest)),
    /// those on subjects that new filters leave out. [`update_consumer_dropping`](Self::update_consumer_dropping) is the word for it. In a work
    /// queue filters that leave something out are refused while the consumer holds messages
    /// ([`ConsumerError::WouldShare`]), whatever the word: another consumer could be given the same message.
    ///
    /// # Crash safety
    ///
    /// The change is whole or not there.
    ///
    /// # Errors
    ///
    /// As for [`create_consumer`](Self::create_consumer); [`ConsumerError::Fixed`];
    /// [`ConsumerError::WouldDrop`].
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, ConsumerError, OnExhausted, Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
    /// let config = ConsumerConfig::new("worker").on_exhausted(OnExhausted::Drop);
    /// let worker = jobs.create_consumer(config.clone().max_deliver(3))?;
    /// jobs.publish("jobs", "one")?;
    /// worker.fetch(1)?[0].nak()?;
    /// let once = config.max_deliver(1);
    /// let refused = jobs.update_consumer(once.clone());
    /// assert!(matches!(refused, Err(ConsumerError::WouldDrop { messages: 1, .. })));
    /// jobs.update_consumer_dropping(once)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update_consumer(&self, config: ConsumerConfig) -> Result<Consumer, ConsumerError> {
        self.update(config, Losing::Refused)
    }

    /// Gives a consumer another configuration, also when messages are dropped by it at once. Each of them
    /// is announced with [`Event::Dropped`](crate::Event::Dropped).
    ///
    /// # Crash safety
    ///
    /// The change is whole or not there; what it drops is dropped after a crash, too.
    ///
    /// # Errors
    ///
    /// As for [`update_consumer`](Self::update_consumer), without `WouldDrop`.
    ///
    /// # Examples
    ///
    /// See [`update_consumer`](Self::update_consumer).
    pub fn update_consumer_dropping(
        &self,
        config: ConsumerConfig,
    ) -> Result<Consumer, ConsumerError> {
        self.update(config, Losing::Accepted)
    }

    fn update(&self, config: ConsumerConfig, losing: Losing) -> Result<Consumer, ConsumerError> {
        let config = config.validated()?;
        let name = config.name.clone();
        let id = self.consumer_id(&name)?;
        self.root.engine.update_consumer(id, config, losing)?;
        Ok(self.consumer_handle(id, name))
    }
}
