//! `MemoryFile`: one open handle on a file of a `MemoryDisk`.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::state::State;
use crate::disk::DiskFile;

#[derive(Debug)]
pub(super) struct MemoryFile {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) file: u64,
    pub(super) handle: u64,
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.powered()?;
        Ok(state.file(self.file)?.live().len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.read()?;
        let live = state.file(self.file)?.live();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = live.get(from..from.saturating_add(buf.len()));
        buf.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        state.bytes_read += buf.len() as u64;
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.write(self.file, offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        state.room_for(self.file, len)?;
        state.note(len, b"len");
        state.file(self.file)?.set_len(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.sync(self.file)
    }

    fn drop_cache(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.powered()?;
        state.file(self.file)?.drop_cache();
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.state.lock();
        state.powered()?;
        let holder = &mut state.file(self.file)?.locked_by;
        Ok(*holder.get_or_insert(self.handle) == self.handle)
    }

    fn unlock(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let holder = &mut state.file(self.file)?.locked_by;
        if *holder == Some(self.handle) {
            *holder = None;
        }
        Ok(())
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        // Closing a handle gives its lock back, as an operating system does; it cannot fail here.
        let _ = self.unlock();
    }
}
