//! Closing (R10): staged work gets its real answers, waiters and late calls get `Closed`.

use super::Engine;
use crate::error::{CloseError, Unavailable};
use crate::sync::thread_local;
use std::cell::RefCell;

thread_local! {
    /// The stores whose handlers run on this thread.
    static HANDLING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Marks this thread as one that runs a handler of a store, as long as the value lives.
#[derive(Debug)]
pub(crate) struct HandlerScope(());

/// Enters a handler of the store with this id.
pub(crate) fn handler_scope(store: u64) -> HandlerScope {
    HANDLING.with(|handling| handling.borrow_mut().push(store));
    HandlerScope(())
}

impl Drop for HandlerScope {
    fn drop(&mut self) {
        HANDLING.with(|handling| handling.borrow_mut().pop());
    }
}

impl Engine {
    pub(crate) fn store_id(&self) -> u64 {
        self.store.id()
    }

    /// Closes the store and says how it went. Closing twice is closing once.
    pub(crate) fn close(&self) -> Result<(), CloseError> {
        self.check_process()?;
        if HANDLING.with(|handling| handling.borrow().contains(&self.store.id())) {
            return Err(CloseError::FromHandler);
        }
        let poisoned = self.core.lock().poisoned().cloned();
        let committed = self.stop();
        let closed = self.store.close();
        self.core.lock().end();
        self.sweeper.raise();
        self.committer.raise();
        self.checkpointer.raise();
        let failed = |cause: String| CloseError::Failed { cause };
        if let Some(failure) = poisoned {
            return Err(failure.poisoned().into());
        }
        committed.map_err(|why| failed(why.to_string()))?;
        closed.map_err(|why| failed(why.to_string()))
    }

    /// Takes no more calls, releases the leases, and commits what is staged.
    fn stop(&self) -> Result<(), Unavailable> {
        let group = {
            let mut core = self.core.lock();
            if core.closed {
                return Ok(());
            }
            core.check_open()?;
            if !std::mem::replace(&mut core.closing, true) {
                core.state.release_leases();
            }
            core.wake_all();
            // Also the group that is on its way to the disk.
            core.newest_group()
        };
        self.wait(group)
    }

    /// Closes as far as possible, without a word: for a store whose handles are all dropped.
    pub(crate) fn close_quietly(&self) {
        if self.check_process().is_err() {
            // A child that drops its copy would write to the parent's file and free its lock (R11).
            self.store.leak();
            return;
        }
        let _stopped = self.stop();
        let _closed = self.store.close();
        self.core.lock().end();
        self.sweeper.raise();
        self.committer.raise();
        self.checkpointer.raise();
    }
}
