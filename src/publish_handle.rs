//! `PublishHandle`: a pipelined publish, to be waited for.

use crate::engine::Accepted;
use crate::error::PublishError;
#[cfg(doc)]
use crate::error::PublishErrorKind;
use crate::publish::PublishAck;
use crate::root::Root;
use std::sync::Arc;

/// A message on its way to the disk: what `publish_async` returns.
///
/// Dropping it cancels nothing (R23).
///
/// # Examples
///
/// ```
/// use riverbed::{Riverbed, StreamConfig};
///
/// # let folder = tempfile::tempdir()?;
/// let store = Riverbed::open(folder.path().join("store"))?;
/// let stream = store.create_stream(StreamConfig::new("ticks"))?;
/// let on_their_way: Vec<_> =
///     (0..3).map(|n| stream.publish_async(("ticks", format!("{n}")))).collect::<Result<_, _>>()?;
/// for handle in on_their_way {
///     handle.wait()?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PublishHandle {
    pub(crate) root: Arc<Root>,
    pub(crate) accepted: Accepted,
}

impl PublishHandle {
    /// Waits until the message is on disk, and with it all that was accepted before it.
    ///
    /// # Errors
    ///
    /// [`PublishErrorKind::Unavailable`] when the commit failed: the outcome is unknown until the store
    /// is opened again, and the message does not come back.
    pub fn wait(&self) -> Result<PublishAck, PublishError> {
        match self.root.engine.wait(self.accepted.group) {
            Ok(()) => Ok(self.accepted.ack.clone()),
            Err(why) => Err(PublishError::new(why, Vec::new())),
        }
    }
}
