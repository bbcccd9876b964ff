//! Opening: whose file it is, then the lock, then redb.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use redb::Database;

use super::backend::Backend;
use super::create::create;
use super::error::{OpenError, StoreError};
use super::fault::Faults;
use super::header::{HEADER_LEN, Header};
use super::held::Held;
use super::moved::Moved;
use super::pages::Pages;
use super::{Opened, Store, StoreOptions};
use crate::disk::{Disk, DiskFile};

/// What redb's header takes of its first page.
const REDB_HEADER_LEN: usize = 320;
/// How often a path that keeps appearing and vanishing is tried.
const ATTEMPTS: usize = 16;

pub(super) fn open(
    disk: &dyn Disk,
    path: &Path,
    options: &StoreOptions,
) -> Result<Store, OpenError> {
    for _ in 0..ATTEMPTS {
        match disk.open(path) {
            Ok(file) => return existing(disk, file, path, options),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // `None`: somebody else made one meanwhile.
                if let Some(store) = create(disk, path, options)? {
                    return Ok(store);
                }
            }
            Err(error) if error.kind() == ErrorKind::IsADirectory => {
                let found = "a directory".to_owned();
                return Err(OpenError::NotAStore {
                    path: path.to_owned(),
                    found,
                });
            }
            Err(error) => return Err(OpenError::io(path, "opening")(error)),
        }
    }
    Err(OpenError::AlreadyOpen {
        path: path.to_owned(),
    })
}

fn existing(
    disk: &dyn Disk,
    file: Arc<dyn DiskFile>,
    path: &Path,
    options: &StoreOptions,
) -> Result<Store, OpenError> {
    // The header comes before the lock: a foreign file is named as such even when its owner holds
    // a lock on it, and ours never changes once it has its name.
    let header = match Header::read(&*file, path) {
        // Where locks are mandatory (Windows), a locked file can't even be read.
        Err(OpenError::Io { .. }) if matches!(file.try_lock(), Ok(false)) => {
            return Err(OpenError::AlreadyOpen {
                path: path.to_owned(),
            });
        }
        header => header?,
    };
    if !file.try_lock().map_err(OpenError::io(path, "locking"))? {
        return Err(OpenError::AlreadyOpen {
            path: path.to_owned(),
        });
    }
    // Whoever made the file may have been killed before its name was durable.
    disk.sync_dir(directory(path))
        .map_err(OpenError::io(path, "syncing the directory of"))?;
    locked(file, header, path, options)
}

/// Opens a file of ours whose lock we have.
pub(super) fn locked(
    file: Arc<dyn DiskFile>,
    header: Header,
    path: &Path,
    options: &StoreOptions,
) -> Result<Store, OpenError> {
    let faults = Arc::new(Faults::default());
    let held = Held::over(file).map_err(OpenError::io(path, "opening"))?;
    let held = Arc::new(held);
    let over: Arc<dyn DiskFile> = Arc::<Held>::clone(&held);
    match database(&over, &faults, options, header.store) {
        Ok((database, moved)) => {
            let opened = Opened {
                database,
                file: over,
                moved,
                held: Some(held),
            };
            Ok(Store::new(header, opened, faults))
        }
        Err(error) => {
            faults.drop_cache(&*over);
            // Closing the handle would do, had a panic in redb not kept a copy of it.
            let _: std::io::Result<()> = over.unlock();
            Err(OpenError::database(path, "opening")(error))
        }
    }
}

/// Lets redb have the part of the file behind our header. A store that is being made has no id yet.
pub(super) fn database(
    file: &Arc<dyn DiskFile>,
    faults: &Arc<Faults>,
    options: &StoreOptions,
    store: u64,
) -> Result<(Database, Arc<Moved>), StoreError> {
    let (pages, moved) = (Arc::new(Pages::of(store)), Arc::<Moved>::default());
    begin_pages(&**file, &pages)?;
    let backend = Backend {
        file: Arc::clone(file),
        faults: Arc::clone(faults),
        pages: Arc::clone(&pages),
        moved: Arc::clone(&moved),
    };
    let opened = faults.guard(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(options.cache_bytes);
        Ok(builder.create_with_backend(backend)?)
    });
    pages.enforce();
    let opened = opened.map(|database| (database, moved));
    opened.map_err(|error| match (error, pages.damage()) {
        // redb says that it can't repair, and not where the reason lies.
        (StoreError::Damaged { place }, Some(page)) if !place.contains(&page) => {
            StoreError::Damaged {
                place: format!("{place} ({page}, does not match its checksum)"),
            }
        }
        (error, _) => error,
    })
}

/// Shows the first page of redb's part to whoever is to verify the others. A new file has none.
fn begin_pages(file: &dyn DiskFile, pages: &Pages) -> Result<(), StoreError> {
    let mut page = [0; REDB_HEADER_LEN];
    let len = file.len()?;
    if len <= HEADER_LEN {
        return Ok(());
    }
    if len < HEADER_LEN + page.len() as u64 {
        return Err(StoreError::Damaged {
            place: format!("the file ends after {len} bytes, in the header of the database"),
        });
    }
    file.read_at(HEADER_LEN, &mut page)?;
    Ok(pages.begin(&page)?)
}

/// The directory that holds the path's name.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}
