//! Reports of a compaction, on their way from the thread that does it to the one that asked for it.

use crate::error::Unavailable;
use crate::info::{Compaction, CompactionProgress};
use crate::store::Watch;
use crate::sync::{Condvar, Mutex, thread};
use std::io;
use std::sync::Arc;

/// The newest report. One that nobody came to before the next is left out, so that nothing waits for whoever is
/// told.
#[derive(Debug, Default)]
pub(super) struct Reports {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<CompactionProgress>,
    is_over: bool,
}

impl Reports {
    /// Waits for a report; `None` says that no more are to come.
    pub(super) fn next(&self) -> Option<CompactionProgress> {
        let mut state = self.state.lock();
        loop {
            if let Some(newest) = state.newest.take() {
                return Some(newest);
            }
            if state.is_over {
                return None;
            }
            state = self.changed.wait(state);
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_one();
    }
}

impl Watch for Reports {
    fn note(&self, progress: CompactionProgress) {
        self.change(|state| state.newest = Some(progress));
    }
}

/// Nobody waits for reports when it is gone, whichever way.
struct Over(Arc<Reports>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.change(|state| state.is_over = true);
    }
}

/// The thread that compacts. Whoever asked waits for its end, also when a report ends in a panic: threads keep
/// no store alive (R6).
pub(super) struct Compactor(Option<thread::JoinHandle<Result<Compaction, Unavailable>>>);

impl Compactor {
    pub(super) fn start(
        reports: &Arc<Reports>,
        compact: impl FnOnce() -> Result<Compaction, Unavailable> + Send + 'static,
    ) -> io::Result<Self> {
        let over = Over(Arc::clone(reports));
        let builder = thread::Builder::new().name("riverbed-compact".into());
        let handle = builder.spawn(move || {
            let _over = over;
            compact()
        })?;
        Ok(Self(Some(handle)))
    }

    /// What it came to. A panic goes on here, as if there were no thread.
    pub(super) fn end(mut self) -> Result<Compaction, Unavailable> {
        match self.0.take().map(thread::JoinHandle::join) {
            Some(Ok(compacted)) => compacted,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Err(Unavailable::Closed),
        }
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            // A report panicked; how the compaction ended, the store knows.
            let _: thread::Result<_> = handle.join();
        }
    }
}
