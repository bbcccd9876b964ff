//! `OpenError` and `StoreError`: what goes wrong between riverbed and its file.
//!
//! redb's own errors end here; nothing above this folder sees one.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a store could not be opened.
///
/// ```
/// use riverbed::OpenError;
///
/// fn advice(error: &OpenError) -> &'static str {
///     match error {
///         OpenError::AlreadyOpen { .. } => "stop the other process first",
///         OpenError::NewerFormat { .. } => "upgrade riverbed",
///         OpenError::Damaged { .. } => "restore a backup, or salvage its messages",
///         _ => "look at the message",
///     }
/// }
/// # let _ = advice;
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path names something that riverbed did not write. It was left as it is.
    #[error("'{}' is not a riverbed store but {found}; it was left untouched, choose another path", path.display())]
    NotAStore {
        /// What was to be opened.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// A newer riverbed wrote the store. It was left as it is.
    #[error("'{}' has format version {found}, this riverbed reads up to {supported}; it was left untouched, upgrade riverbed to open it", path.display())]
    NewerFormat {
        /// What was to be opened.
        path: PathBuf,
        /// The version of the file.
        found: u32,
        /// The newest version that this riverbed reads.
        supported: u32,
    },
    /// Another handle, in this process or another one, has the store open (or is creating it).
    #[error("'{}' is already open, here or in another process; close it there or share the handle", path.display())]
    AlreadyOpen {
        /// What was to be opened.
        path: PathBuf,
    },
    /// The store is riverbed's, and broken, or the journal beside it is, or is missing. Where it is the
    /// journal, neither file was changed.
    #[error("'{}' is a damaged riverbed store: {what}; check the device, restore a backup, or save its messages with riverbed::salvage", path.display())]
    Damaged {
        /// What was to be opened.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The store's limits make no sense.
    #[error("the limits for '{}' are refused: {what}", path.display())]
    Limits {
        /// What was to be opened.
        path: PathBuf,
        /// Which settings conflict, and what to do.
        what: String,
    },
    /// The directory that the store is to be created in does not exist.
    #[error("'{}' cannot be created because its directory does not exist; create the directory first", path.display())]
    NoDirectory {
        /// What was to be created.
        path: PathBuf,
    },
    /// The disk has no room for what opening writes. Nothing that was stored is lost, and a store that
    /// was to be created can still be.
    #[error("{context} '{}' failed because the disk is full ({source}); make room and open it again, nothing that was stored is lost", path.display())]
    DiskFull {
        /// What was to be opened.
        path: PathBuf,
        /// What was being done.
        context: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system refused something.
    #[error("{context} '{}' failed: {source}", path.display())]
    Io {
        /// The path that it was refused for.
        path: PathBuf,
        /// What was being done.
        context: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

impl OpenError {
    /// Names what was being done when the disk failed; to be given to `map_err`.
    pub(super) fn io(path: &Path, context: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| {
            if is_full(source.kind()) {
                return Self::DiskFull {
                    path,
                    context,
                    source,
                };
            }
            Self::Io {
                path,
                context,
                source,
            }
        }
    }

    /// Says that the store at `path` is damaged.
    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    /// Turns what the open database said into why it could not be opened.
    pub(crate) fn database(path: &Path, context: &'static str) -> impl FnOnce(StoreError) -> Self {
        let path = path.to_owned();
        move |error| match error {
            StoreError::Io(source) | StoreError::Full(source) => Self::io(&path, context)(source),
            StoreError::Damaged { place } => Self::Damaged { path, what: place },
            StoreError::Poisoned { first, .. } => Self::io(&path, context)(io::Error::other(first)),
            closed @ StoreError::Closed => {
                Self::io(&path, context)(io::Error::other(closed.to_string()))
            }
        }
    }
}

/// Why an open store did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// The disk failed; whether the group is stored is unknown until the store is reopened.
    #[error("the disk failed, so check the device: {0}")]
    Io(#[source] io::Error),
    /// The disk is full; otherwise as `Io`.
    #[error("the disk is full ({0})")]
    Full(#[source] io::Error),
    /// Bytes in the file are not what was written there.
    #[error("the store is damaged: {place}")]
    Damaged { place: String },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// An earlier call failed; nothing works until the store is reopened.
    #[error("the store failed earlier and must be reopened: {first}")]
    Poisoned {
        first: String,
        /// Whether that was for want of room: then the user can mend it.
        full: bool,
    },
}

/// Whether there is no room on the disk, or not for this user or file.
pub(super) const fn is_full(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        if is_full(error.kind()) {
            return Self::Full(error);
        }
        match error.kind() {
            // The file ends before what its pages refer to, or redb's own header makes no sense.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Damaged {
                place: error.to_string(),
            },
            _ => Self::Io(error),
        }
    }
}

impl From<redb::StorageError> for StoreError {
    fn from(error: redb::StorageError) -> Self {
        match error {
            redb::StorageError::Io(error) => error.into(),
            redb::StorageError::Corrupted(place) => Self::Damaged { place },
            redb::StorageError::DatabaseClosed => Self::Closed,
            redb::StorageError::PreviousIo | redb::StorageError::LockPoisoned(_) => {
                Self::Poisoned {
                    first: error.to_string(),
                    full: false,
                }
            }
            other => Self::Io(io::Error::other(other.to_string())),
        }
    }
}

impl From<redb::TableError> for StoreError {
    fn from(error: redb::TableError) -> Self {
        match error {
            redb::TableError::Storage(error) => error.into(),
            // Every other kind means that a table is not what this program writes under its name.
            other => Self::Damaged {
                place: other.to_string(),
            },
        }
    }
}

impl From<redb::TransactionError> for StoreError {
    fn from(error: redb::TransactionError) -> Self {
        match error {
            redb::TransactionError::Storage(error) => error.into(),
            other => Self::Io(io::Error::other(other.to_string())),
        }
    }
}

impl From<redb::CommitError> for StoreError {
    fn from(error: redb::CommitError) -> Self {
        match error {
            redb::CommitError::Storage(error) => error.into(),
            other => Self::Io(io::Error::other(other.to_string())),
        }
    }
}

impl From<redb::CompactionError> for StoreError {
    fn from(error: redb::CompactionError) -> Self {
        match error {
            redb::CompactionError::Storage(error) => error.into(),
            other => Self::Io(io::Error::other(other.to_string())),
        }
    }
}

impl From<redb::DatabaseError> for StoreError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::Storage(error) => error.into(),
            other => Self::Damaged {
                place: other.to_string(),
            },
        }
    }
}
