//! Compaction: redb moves its pages to the front of its file and cuts it off behind them.

use std::sync::Arc;

use super::apply::Commit;
use super::error::StoreError;
use super::moved::Watch;
use super::{Store, Then};
use crate::info::Compaction;

impl Store {
    /// Everybody else waits meanwhile. It is many commits of redb's, none of which changes what is stored, so
    /// that it may be cut off at any of them. `watch` is told how it goes on, in the middle of redb's calls.
    pub(crate) fn compact(&self, watch: Option<Arc<dyn Watch>>) -> Result<Compaction, StoreError> {
        // What only the journal has is moved once and not twice.
        self.with(|opened| self.checkpoint_in(opened, Then::GoOn))?;
        // Alone: redb compacts only while nobody reads.
        let mut slot = self.opened.write();
        let opened = slot.as_mut().ok_or(StoreError::Closed)?;
        self.faults.check()?;
        self.faults.guard(|| {
            let before_bytes = opened.file.len()?;
            let moved = Arc::clone(&opened.moved);
            let _watching = watch.map(|watch| moved.watch(watch, before_bytes));
            let compacted = opened.database.compact();
            compacted.map_err(|why| self.faults.call(why.into()))?;
            // It left out what lets the next opening do without a look at all of the file.
            self.to_redb(opened, [&[], &[]], Commit::QuickRepair)?;
            let after_bytes = opened.file.len()?;
            Ok(Compaction {
                before_bytes,
                after_bytes,
            })
        })
    }
}
