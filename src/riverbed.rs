//! `Riverbed`: a store, and how it is opened.

use crate::builder::Builder;
#[cfg(doc)]
use crate::config::Durability;
use crate::config::StreamConfig;
use crate::engine::Target;
use crate::error::{CloseError, PublishError, StreamError, Unavailable};
use crate::event::Event;
use crate::excluded::Exclusions;
use crate::info::{Compaction, CompactionProgress, StoreInfo};
use crate::publish::{Publish, PublishAck};
use crate::root::{Root, one};
use crate::store::OpenError;
use crate::stream::Stream;
use crossbeam_channel::Receiver;
use std::path::Path;
use std::sync::Arc;

/// An open store: streams of messages in one file.
///
/// A cheap handle: clones share the store, and it closes when the last handle of any kind (streams,
/// consumers and messages count) is dropped. `Send` and `Sync`.
///
/// In a fork of the process every call answers [`Unavailable::Forked`], and drops do nothing: the store
/// stays the parent's (R11). A child may open a store of its own.
///
/// # Examples
///
/// ```
/// use riverbed::{ConsumerConfig, Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("store");
/// let store = Riverbed::open(path)?;
/// let orders = store.create_stream(StreamConfig::new("orders").subjects(["orders.>"]))?;
/// store.publish("orders.eu", "first order")?;
/// let billing = orders.create_consumer(ConsumerConfig::new("billing"))?;
/// for message in billing.fetch(10)? {
///     assert_eq!(message.payload(), b"first order");
///     message.ack()?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Riverbed {
    pub(crate) root: Arc<Root>,
}

impl Riverbed {
    /// Opens the store at a path with the defaults, or makes one where nothing is.
    ///
    /// Every delivery that was outstanding when the store was last open has ended: its message is due
    /// again, since no worker can have survived (R17). Messages that were in flight when the process
    /// died are told apart from messages that failed (R18).
    ///
    /// # Crash safety
    ///
    /// A crash while a store is being made leaves a path where a store opens or is made anew.
    ///
    /// # Errors
    ///
    /// See [`Builder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(path)
    }

    /// Options for opening a store.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Creates a stream. One of the same name and the same configuration is simply found.
    ///
    /// # Crash safety
    ///
    /// The stream exists after a crash if this returned `Ok`; if it did not, it exists whole or not at
    /// all.
    ///
    /// # Errors
    ///
    /// [`StreamError`]: a setting breaks a rule, another stream has the name or one of the subjects, or
    /// the store is unavailable.
    pub fn create_stream(&self, config: StreamConfig) -> Result<Stream, StreamError> {
        let config = config.validated()?;
        let name = config.name.clone();
        let id = self.root.engine.create_stream(config)?;
        Ok(Stream::new(Arc::clone(&self.root), id, name))
    }

    /// Finds a stream.
    ///
    /// # Errors
    ///
    /// [`StreamError::NotFound`], or the store is unavailable.
    pub fn stream(&self, name: &str) -> Result<Stream, StreamError> {
        let id = self.root.engine.find_stream(name)?;
        Ok(Stream::new(Arc::clone(&self.root), id, name.to_owned()))
    }

    /// Deletes a stream with its messages and its consumers.
    ///
    /// # Crash safety
    ///
    /// The stream is there or gone. Its space is freed in steps, which go on after a crash.
    ///
    /// # Errors
    ///
    /// [`StreamError::NotFound`]; [`StreamError::InUse`] while a consumer sends dead letters to it.
    pub fn delete_stream(&self, name: &str) -> Result<(), StreamError> {
        self.root.engine.delete_stream(name)
    }

    /// The names of all streams, sorted.
    ///
    /// # Errors
    ///
    /// The store is unavailable.
    pub fn streams(&self) -> Result<Vec<String>, Unavailable> {
        self.root.engine.stream_names()
    }

    /// Publishes a message to the stream that captures its subject, and waits until it is on disk.
    ///
    /// # Crash safety
    ///
    /// After `Ok` the message survives a kill of the process and a power cut (G1). Before, it is stored
    /// whole or not at all, and never delivered unless it is on disk (G2).
    ///
    /// # Errors
    ///
    /// [`PublishError`], with the message in it: nobody captures the subject, the stream is full, a
    /// limit is broken, or the store is unavailable.
    pub fn publish(
        &self,
        subject: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) -> Result<PublishAck, PublishError> {
        self.publish_message(Publish::new(subject, payload))
    }

    /// Publishes a message with its headers, id and conditions.
    ///
    /// # Crash safety
    ///
    /// As for [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish), and what the conditions say.
    pub fn publish_message(&self, message: impl Into<Publish>) -> Result<PublishAck, PublishError> {
        let acks = self
            .root
            .engine
            .publish(&Target::Subject, vec![message.into()])?;
        Ok(one(acks))
    }

    /// Publishes a batch to the streams that capture its subjects: all messages or none, in one commit.
    /// Duplicates are flagged one by one and do not stop the others (R22). The answers come in the order
    /// of the messages; in each stream, too, they keep that order.
    ///
    /// At most 65,536 messages and 64 MiB. What a batch may expect, it may expect of each stream: the
    /// first message of a stream counts as the first one. The first message of the batch says how long
    /// it waits for room.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// store.create_stream(StreamConfig::new("orders").subjects(["orders.>"]))?;
    /// store.create_stream(StreamConfig::new("audit").subjects(["audit.>"]))?;
    /// let acks = store.publish_batch([("orders.placed", "17"), ("audit.order", "17 by anne")])?;
    /// assert_eq!((&*acks[0].stream, &*acks[1].stream), ("orders", "audit"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Crash safety
    ///
    /// All of the batch is stored, in all of its streams, or nothing.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish); the whole batch comes back.
    pub fn publish_batch<M: Into<Publish>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<Vec<PublishAck>, PublishError> {
        let messages = messages.into_iter().map(Into::into).collect();
        self.root.engine.publish(&Target::Subject, messages)
    }

    /// Subscribes to events. At most `capacity` wait to be received; what a full subscriber misses is
    /// counted in [`StoreInfo::events_missed`] and holds nobody up.
    ///
    /// # Examples
    ///
    /// See [`Event`].
    pub fn events(&self, capacity: usize) -> Receiver<Event> {
        self.root.engine.subscribe(capacity)
    }

    /// Facts about the store.
    ///
    /// # Errors
    ///
    /// The store is unavailable.
    pub fn info(&self) -> Result<StoreInfo, Unavailable> {
        self.root.engine.store_info()
    }

    /// Makes durable everything that was answered so far: commits that [`Durability::Written`] leaves to be
    /// synced, and acks of consumers whose acks are [lazy](crate::AckDurability::Lazy).
    ///
    /// In a store that syncs each commit, and whose acks are not lazy, there is nothing to do.
    ///
    /// # Crash safety
    ///
    /// After `Ok` all of it survives a power cut. A crash before leaves what the store was at one moment
    /// since the last sync.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: closed, or stopped by an earlier failure; when this sync itself fails the store
    /// stops, and what was written since the last one may be lost.
    ///
    /// # Examples
    ///
    /// See [`Builder::durability`].
    pub fn sync(&self) -> Result<(), Unavailable> {
        self.root.engine.sync()
    }

    /// Gives back what the file does not need: after a purge, or when a backlog is worked off.
    ///
    /// A store's file keeps what is freed for what is stored next, and does not become shorter by itself.
    /// This moves what is stored to the front, which writes all of it that lies behind, and cuts the file
    /// off. **Every other call waits meanwhile**: some seconds for each gigabyte that is stored. The commit at its
    /// end may let the file grow again, sparsely, by up to as much as is stored: what it takes on the disk is
    /// what counts, and closing cuts that off, too. It needs some room itself, so that a disk that is full is
    /// too late for it, and some hundred bytes of memory for each page that it moves.
    ///
    /// # Crash safety
    ///
    /// Nothing that is stored changes, whenever the process dies. Opening after a crash in the middle reads the
    /// part of the file in use twice, to repair it.
    ///
    /// # Errors
    ///
    /// The store is unavailable; when this fails, as where the disk does, the store stops (G12) and loses
    /// nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Purge, Riverbed, StreamConfig};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let store = Riverbed::open(folder.path().join("store"))?;
    /// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
    /// jobs.publish_batch((0..1_000).map(|_| ("jobs", vec![7; 4_096])))?;
    /// jobs.purge(Purge::all())?;
    /// let compaction = store.compact()?;
    /// assert!(compaction.after_bytes < compaction.before_bytes);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compact(&self) -> Result<Compaction, Unavailable> {
        self.root.engine.compact(None)
    }

    /// Does what [`compact`](Self::compact) does, and reports how it goes on: when it begins, each time the
    /// length of the file changes, after each MiB that is written, and at its end.
    ///
    /// `report` runs on this thread, and the compaction on one of its own, so that nothing is locked around it: it
    /// may do what it wants. What it calls of the store waits for the end of the compaction, and so does this
    /// when `report` panics, before the panic goes on; the store works on. While `report` is at work reports are
    /// not queued: the next one is the newest. There is at least one, unless the process can't have another thread,
    /// where the compaction goes on without.
    ///
    /// # Crash safety
    ///
    /// As of [`compact`](Self::compact). What was reported need not be on the disk: it says how the work goes on,
    /// not what survives.
    ///
    /// # Errors
    ///
    /// As of [`compact`](Self::compact).
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Purge, Riverbed, StreamConfig};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let store = Riverbed::open(folder.path().join("store"))?;
    /// let jobs = store.create_stream(StreamConfig::new("jobs"))?;
    /// jobs.publish_batch((0..1_000).map(|_| ("jobs", vec![7; 4_096])))?;
    /// jobs.purge(Purge::all())?;
    /// let mut reports = Vec::new();
    /// let compaction = store.compact_with(|progress| {
    ///     println!("{} of {} bytes", progress.file_bytes, progress.before_bytes);
    ///     reports.push(progress);
    /// })?;
    /// assert_eq!(reports[reports.len() - 1].file_bytes, compaction.after_bytes);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compact_with(
        &self,
        report: impl FnMut(CompactionProgress),
    ) -> Result<Compaction, Unavailable> {
        self.root.engine.compact_with(report)
    }

    /// Closes the store: new calls answer `Closed`, work that was staged gets its real answer, waiting
    /// fetches and publishers wake with `Closed`, deliveries in flight are released, and the file can be
    /// opened again, even while handles live.
    ///
    /// # Crash safety
    ///
    /// A closed store is one complete file.
    ///
    /// # Errors
    ///
    /// [`CloseError::FromHandler`] from a handler that the store runs; otherwise what could not be
    /// written or released. The store is closed all the same.
    pub fn close(&self) -> Result<(), CloseError> {
        self.root.engine.close()
    }

    /// Recomputes every counter from the raw tables and says what does not agree; nothing, if all is
    /// well. It reads the whole store, and waits for a moment without changes.
    ///
    /// # Errors
    ///
    /// The store is unavailable.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let store = Riverbed::open(folder.path().join("store"))?;
    /// store.create_stream(StreamConfig::new("notes"))?.publish("notes", "one")?;
    /// assert!(store.check()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self) -> Result<Vec<String>, Unavailable> {
        self.root.engine.check()
    }

    /// Goes on without the messages whose bytes are damaged, and says which they were; nothing, if all
    /// is well. [`check`](Self::check) names them before. Streams that it could not help are named beside
    /// them, with the reason, and stay as they are.
    ///
    /// Each is lost to every consumer that had not finished it: counted, and announced as
    /// [`Event::UnfinishedRemoved`]. Their sequences stay taken. The damaged bytes are not kept: copy the
    /// file before, if they may be of use, and see [`salvage`](crate::salvage), which is also the way
    /// out of a store that does not open at all. It reads the whole store, and waits for a moment
    /// without changes.
    ///
    /// # Crash safety
    ///
    /// A stream's damaged messages are all excluded, or none.
    ///
    /// # Errors
    ///
    /// The store is unavailable. If it stopped when something had been excluded already, that is
    /// [`Unavailable::OutcomeUnknown`]; call it again when the store is open again.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{Riverbed, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let store = Riverbed::open(folder.path().join("store"))?;
    /// store.create_stream(StreamConfig::new("notes"))?.publish("notes", "one")?;
    /// let found = store.exclude_damaged()?;
    /// for gone in &found.excluded {
    ///     println!("{}: {} to {} are lost", gone.stream, gone.first, gone.last);
    /// }
    /// for stays in &found.refused {
    ///     println!("{}: {}", stays.stream, stays.why);
    /// }
    /// assert!(found.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exclude_damaged(&self) -> Result<Exclusions, Unavailable> {
        self.root.engine.exclude_damaged()
    }

    /// From now on calls answer at once and leave what they stage in the open group, until
    /// [`commit_held`](Self::commit_held): work of several callers in one commit, without threads.
    #[doc(hidden)]
    pub fn hold_group(&self) {
        self.root.engine.hold_group();
    }

    /// Commits what calls left in the open group since [`hold_group`](Self::hold_group).
    ///
    /// # Errors
    ///
    /// The store is unavailable.
    #[doc(hidden)]
    pub fn commit_held(&self) -> Result<(), Unavailable> {
        self.root.engine.commit_held()
    }

    /// Does everything that is due by now: what the store's threads do when it has some.
    ///
    /// # Errors
    ///
    /// The store is unavailable.
    #[doc(hidden)]
    pub fn drive(&self) -> Result<(), Unavailable> {
        self.root.engine.sweep()?;
        self.root.engine.checkpoint()?;
        self.root.engine.sync_if_due()?;
        self.root.engine.commit_idle()
    }
}
