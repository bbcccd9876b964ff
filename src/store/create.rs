//! Creating a store so that its path never names half of one (R24).
//!
//! The file is made under a temporary name beside the path, locked, filled, synced, and renamed;
//! then the directory is synced. Two rules make this safe against crashes and against others who
//! create the same store at the same time:
//!
//! 1. The header is written last. A file with a valid header is a complete store, so it is never
//!    emptied or overwritten: a leftover that has one is given its name instead. A leftover without
//!    one never was a store, and is filled anew.
//! 2. Only who holds the lock of the file that the temporary name names renames that name. That the
//!    path is free is asked under this lock, and that the name still names the locked file is proven
//!    by reading its random id back through the name.
//!
//! So of two creators one wins, and the other finds the store there, or open. The rename could
//! replace only a file that something else than riverbed puts at the path between the question and
//! the rename. (A hard link would refuse then, but many file systems have none, and a crash between
//! the link and the removal of the old name would leave a second name of a live store.)

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::apply::create_tables;
use super::error::{OpenError, StoreError};
use super::fault::Faults;
use super::header::{Header, VERSION};
use super::open::{database, directory, locked};
use super::{Opened, Store, StoreOptions};
use crate::disk::{Disk, DiskFile};

/// Makes the store; `None` when somebody else came first and the path should be opened again.
pub(super) fn create(
    disk: &dyn Disk,
    path: &Path,
    options: &StoreOptions,
) -> Result<Option<Store>, OpenError> {
    let temporary = temporary_name(path)?;
    let Some(file) = temporary_file(disk, &temporary, path)? else {
        return Ok(None);
    };
    if !file
        .try_lock()
        .map_err(OpenError::io(&temporary, "locking"))?
    {
        return Err(OpenError::AlreadyOpen {
            path: path.to_owned(),
        });
    }
    let complete = complete(&*file, &temporary)?;
    if disk
        .exists(path)
        .map_err(OpenError::io(path, "looking for"))?
    {
        if complete.is_none() {
            discard(disk, &temporary);
        }
        return Ok(None);
    }
    let (header, built) = match complete {
        Some(header) => {
            // Its creator may have been killed before its own sync.
            file.sync().map_err(OpenError::io(&temporary, "syncing"))?;
            (header, None)
        }
        None => match build(&file, options) {
            Ok((store, header)) => (header, Some(store)),
            Err(error) => {
                discard(disk, &temporary);
                return Err(OpenError::database(path, "creating")(error));
            }
        },
    };
    if !give_name(disk, &temporary, path, header)? {
        return Ok(None);
    }
    match built {
        Some(store) => Ok(Some(store)),
        None => locked(file, header, path, options).map(Some),
    }
}

/// The header of a file that is a complete store.
fn complete(file: &dyn DiskFile, temporary: &Path) -> Result<Option<Header>, OpenError> {
    match Header::read(file, temporary) {
        Ok(header) => Ok(Some(header)),
        // A newer riverbed's leftover is complete, too: it is not ours to empty.
        Err(error @ (OpenError::Io { .. } | OpenError::NewerFormat { .. })) => Err(error),
        Err(_) => Ok(None),
    }
}

fn temporary_name(path: &Path) -> Result<PathBuf, OpenError> {
    let Some(name) = path.file_name() else {
        let found = "a path without a file name".to_owned();
        return Err(OpenError::NotAStore {
            path: path.to_owned(),
            found,
        });
    };
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".creating");
    Ok(path.with_file_name(temporary))
}

/// Creates the temporary file, or opens what a crash or another creator left.
fn temporary_file(
    disk: &dyn Disk,
    temporary: &Path,
    path: &Path,
) -> Result<Option<Arc<dyn DiskFile>>, OpenError> {
    let error = match disk.create(temporary) {
        Ok(file) => return Ok(Some(file)),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::NotFound => Err(OpenError::NoDirectory {
            path: path.to_owned(),
        }),
        ErrorKind::AlreadyExists => match disk.open(temporary) {
            Ok(file) => Ok(Some(file)),
            // Its creator has finished.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::io(temporary, "opening")(error)),
        },
        _ => Err(OpenError::io(temporary, "creating")(error)),
    }
}

/// Fills a locked file: redb and its tables first, then, when that is durable, the header.
fn build(file: &Arc<dyn DiskFile>, options: &StoreOptions) -> Result<(Store, Header), StoreError> {
    file.set_len(0)?;
    let faults = Arc::new(Faults::default());
    fill(file, &faults, options).inspect_err(|_| faults.drop_cache(&**file))
}

fn fill(
    file: &Arc<dyn DiskFile>,
    faults: &Arc<Faults>,
    options: &StoreOptions,
) -> Result<(Store, Header), StoreError> {
    let (database, moved) = database(file, faults, options, 0)?;
    // The database moves in, so that a failure drops it inside the guard, too.
    let database = faults.guard(|| {
        create_tables(&database)?;
        Ok(database)
    })?;
    let random = || getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()));
    let store = options.identity.map_or_else(random, Ok)?;
    let header = Header {
        version: VERSION,
        store,
        created: options.now_ms,
    };
    // A failure is remembered before the database goes, so that it writes and syncs no more.
    header.write(&**file).map_err(|error| faults.io(error))?;
    let opened = Opened {
        database,
        file: Arc::clone(file),
        moved,
        held: None,
    };
    Ok((Store::new(header, opened, Arc::clone(faults)), header))
}

/// Renames the finished file to its path, durably; `false` when the temporary name is no longer
/// ours to rename.
fn give_name(
    disk: &dyn Disk,
    temporary: &Path,
    path: &Path,
    header: Header,
) -> Result<bool, OpenError> {
    if !names_our_file(disk, temporary, header)? {
        return Ok(false);
    }
    match disk.rename(temporary, path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(OpenError::io(path, "giving its name to")(error)),
    }
    disk.sync_dir(directory(path))
        .map_err(OpenError::io(path, "syncing the directory of"))?;
    Ok(true)
}

fn names_our_file(disk: &dyn Disk, temporary: &Path, ours: Header) -> Result<bool, OpenError> {
    let named = match disk.open(temporary) {
        Ok(named) => named,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(OpenError::io(temporary, "opening")(error)),
    };
    match Header::read(&*named, temporary) {
        Ok(header) => Ok(header == ours),
        // Where locks are mandatory, our own lock keeps this second handle from reading; there, a
        // file that is open can't have lost its name either.
        Err(OpenError::Io { .. }) if cfg!(windows) => Ok(true),
        Err(error @ OpenError::Io { .. }) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Removes the temporary name of a file that never was a store. Should another creator have put its
/// own file there, it notices before it renames, and starts over.
fn discard(disk: &dyn Disk, temporary: &Path) {
    // It is only litter: the next creation fills it anew if this fails.
    let _: std::io::Result<()> = disk.remove(temporary);
}
