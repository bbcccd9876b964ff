//! `Failure`: what stopped the store, and how the application is told (G12, R2).

use crate::error::Unavailable;
use crate::store::{OpenError, StoreError};
use std::io;
use std::path::Path;

/// The first failure of an open store.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    cause: String,
    kind: Kind,
}

/// What the user can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The disk failed, or a thread panicked.
    Failed,
    /// There was no room: nothing is broken, and the user can make some.
    DiskFull,
    /// The file is not what was written.
    Damaged,
}

impl Failure {
    /// For a call that was in the group that failed.
    pub(crate) fn unknown(&self) -> Unavailable {
        let cause = self.cause.clone();
        if self.kind == Kind::DiskFull {
            Unavailable::DiskFull { cause }
        } else {
            Unavailable::OutcomeUnknown { cause }
        }
    }

    /// For a call that came later.
    pub(crate) fn poisoned(&self) -> Unavailable {
        let mut cause = self.cause.clone();
        if self.kind == Kind::DiskFull {
            // A checkpoint may have met it, so that this is the first that a caller hears of it.
            cause.push_str("; make room first");
        }
        Unavailable::Poisoned { cause }
    }

    /// For whoever opens the store, when it fails before it is open.
    pub(crate) fn opening(&self, path: &Path) -> OpenError {
        let (path, context) = (path.to_owned(), "opening");
        match self.kind {
            Kind::Failed => OpenError::Io {
                path,
                context,
                source: io::Error::other(self.cause.clone()),
            },
            Kind::DiskFull => OpenError::DiskFull {
                path,
                context,
                source: io::ErrorKind::StorageFull.into(),
            },
            Kind::Damaged => OpenError::Damaged {
                path,
                what: self.cause.clone(),
            },
        }
    }

    pub(crate) fn cause(&self) -> &str {
        &self.cause
    }
}

impl From<&str> for Failure {
    fn from(cause: &str) -> Self {
        Self {
            cause: cause.to_owned(),
            kind: Kind::Failed,
        }
    }
}

impl From<&StoreError> for Failure {
    fn from(why: &StoreError) -> Self {
        Self {
            cause: match why {
                // A checkpoint may have met it, and not told the engine yet.
                StoreError::Poisoned { first, full: true } => format!("the disk is full ({first})"),
                StoreError::Poisoned { first, .. } => first.clone(),
                why => why.to_string(),
            },
            kind: match why {
                StoreError::Full(_) | StoreError::Poisoned { full: true, .. } => Kind::DiskFull,
                StoreError::Damaged { .. } => Kind::Damaged,
                _ => Kind::Failed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_that_somebody_else_met_first_is_still_a_full_disk() {
        let first = "No space left on device".to_owned();
        let why = StoreError::Poisoned { first, full: true };
        let told = Failure::from(&why).unknown();
        assert!(matches!(told, Unavailable::DiskFull { .. }), "{told:?}");
        let told = told.to_string();
        assert!(
            told.contains("disk is full") && told.contains("make room"),
            "{told}"
        );
    }
}
