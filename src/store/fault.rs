//! `Faults`: the first failure of an open store, kept until it is reopened (G12, R7, R8).

use std::fmt::{self, Display};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::error::{StoreError, is_full};
use crate::disk::DiskFile;

/// What failed first.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Io(io::ErrorKind, String),
    Damaged(String),
}

/// The latch that the database's backend and the store share.
///
/// redb latches too, but it swallows some errors (those of its last writes when it is dropped), and
/// after a failed sync nothing may be written any more, whoever asks.
#[derive(Debug, Default)]
pub(super) struct Faults {
    first: Mutex<Option<Fault>>,
    panicked: AtomicBool,
}

impl Faults {
    pub(super) fn first(&self) -> Option<Fault> {
        self.first.lock().clone()
    }

    /// Whether a call into redb ended in a panic.
    pub(super) fn panicked(&self) -> bool {
        self.panicked.load(Ordering::Acquire)
    }

    /// Remembers a failure of the disk, and hands it on.
    pub(super) fn io(&self, error: io::Error) -> io::Error {
        self.record(Fault::Io(error.kind(), error.to_string()));
        error
    }

    /// Remembers that a call failed for good, and hands the error on.
    pub(super) fn call(&self, error: StoreError) -> StoreError {
        // redb only says that something failed before; the latch knows what.
        let error = match (error, self.check()) {
            (StoreError::Poisoned { .. }, Err(known)) => known,
            (error, _) => error,
        };
        self.record(match &error {
            StoreError::Io(error) | StoreError::Full(error) => {
                Fault::Io(error.kind(), error.to_string())
            }
            other => Fault::Damaged(other.to_string()),
        });
        error
    }

    fn record(&self, fault: Fault) {
        self.first.lock().get_or_insert(fault);
    }

    /// Drops a file's page cache if something failed: what could not be written may look written in
    /// there, and the next to open the file must see what the device has (R8).
    pub(super) fn drop_cache(&self, file: &dyn DiskFile) {
        if self.first().is_some() {
            // That this fails, too, is no news beside the failure that led here.
            let _: io::Result<()> = file.drop_cache();
        }
    }

    /// Refuses when something failed before.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.first() {
            None => Ok(()),
            Some(fault) => Err(StoreError::Poisoned {
                first: fault.to_string(),
                full: matches!(fault, Fault::Io(kind, _) if is_full(kind)),
            }),
        }
    }

    /// Calls into redb: a panic there is damage, and the end of this open store.
    pub(super) fn guard<T>(
        &self,
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        #[cfg(any(test, fuzzing))]
        let _guarded = guarded::Scope::enter();
        // Nothing of what the closure leaves half done is used again: the latch is shut.
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
            self.panicked.store(true, Ordering::Release);
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            let text = text.unwrap_or_else(|| "no message".to_owned());
            Err(self.call(StoreError::Damaged {
                place: format!("the database panicked: {text}"),
            }))
        })
    }
}

/// Whether this thread is in a call whose panics are caught; for a fuzzer, which would count them.
#[cfg(any(test, fuzzing))]
pub(crate) mod guarded {
    use std::cell::Cell;

    thread_local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
    }

    /// One guarded call.
    pub(super) struct Scope;

    impl Scope {
        pub(super) fn enter() -> Self {
            DEPTH.set(DEPTH.get() + 1);
            Self
        }
    }

    impl Drop for Scope {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }

    pub(crate) fn is_guarded() -> bool {
        DEPTH.get() > 0
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_, text) | Self::Damaged(text) => f.write_str(text),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(kind, text) => io::Error::new(kind, text).into(),
            Fault::Damaged(place) => Self::Damaged { place },
        }
    }
}
