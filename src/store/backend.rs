//! `Backend`: redb's view of our file, which begins behind our header.

use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use super::fault::Faults;
use super::header::HEADER_LEN;
use super::moved::Moved;
use super::pages::Pages;
use crate::disk::DiskFile;

/// The file less its header, for redb. What is read is verified on its way (see [`Pages`]).
///
/// It takes no lock: the store holds the lock of the whole file before redb comes, and keeps it
/// until after redb has gone.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) faults: Arc<Faults>,
    pub(super) pages: Arc<Pages>,
    pub(super) moved: Arc<Moved>,
}

impl Backend {
    /// After a failure nothing may be written any more, above all not by a retried sync (R8).
    fn change(&self, change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if let Some(fault) = self.faults.first() {
            return Err(io::Error::other(format!(
                "not tried after an earlier failure: {fault}"
            )));
        }
        change().map_err(|error| self.faults.io(error))
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        let len = self.file.len().map_err(|error| self.faults.io(error))?;
        Ok(len.saturating_sub(HEADER_LEN))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = behind_header(offset)?;
        self.file
            .read_at(at, out)
            .and_then(|()| self.pages.verify(offset, out))
            .map_err(|error| self.faults.io(error))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pages.truncate(len);
        let len = behind_header(len)?;
        self.change(|| self.file.set_len(len))?;
        self.moved.resized(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Here and not only at the close: whoever sees the error may end the process without one.
        self.change(|| self.file.sync())
            .inspect_err(|_| self.faults.drop_cache(&*self.file))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.pages.forget(offset, data.len() as u64);
        self.change(|| self.file.write_at(behind_header(offset)?, data))?;
        self.moved.wrote(data.len() as u64);
        Ok(())
    }
}

/// An offset of redb's in our file. Only a damaged page asks for one that does not exist.
fn behind_header(offset: u64) -> io::Result<u64> {
    offset
        .checked_add(HEADER_LEN)
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::{Backend, StorageBackend};
    use crate::disk::{Disk, MemoryDisk};
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn a_failed_sync_is_not_tried_again() {
        let disk = MemoryDisk::new();
        let file = disk.create(Path::new("/a")).unwrap();
        let backend = Backend {
            file,
            faults: Arc::default(),
            pages: Arc::default(),
            moved: Arc::default(),
        };
        backend.write(0, b"x").unwrap();
        assert_eq!(backend.len().unwrap(), 1);
        disk.fail_from(disk.operations());
        backend.sync_data().unwrap_err();
        disk.stop_failing();
        let operations = disk.operations();
        assert!(
            backend
                .sync_data()
                .unwrap_err()
                .to_string()
                .contains("lost power")
        );
        backend.write(0, b"y").unwrap_err();
        backend.set_len(9).unwrap_err();
        assert_eq!(disk.operations(), operations);
        backend.read(0, &mut [0]).unwrap();
    }

    #[test]
    fn an_offset_that_no_file_has_is_an_error() {
        let file = MemoryDisk::new().create(Path::new("/a")).unwrap();
        let backend = Backend {
            file,
            faults: Arc::default(),
            pages: Arc::default(),
            moved: Arc::default(),
        };
        backend.read(u64::MAX - 5, &mut [0]).unwrap_err();
    }
}
