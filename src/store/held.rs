//! `Held`: a store's file while it is being opened, which is not written to before it is known to be whole.
//!
//! redb writes as soon as it opens: what it repairs, that the file is in use, and, when it is dropped, that
//! it no longer is. A store that is refused, for its journal is missing or damaged for example, must be left
//! as it was found, so that whoever puts things right begins with what there was. So what redb writes is
//! kept in memory until the store is known to open; then it is written, in the same order and with the
//! same syncs.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::disk::DiskFile;

const PAGE: u64 = 4096;

/// What was asked of the file, and not done yet.
#[derive(Debug)]
enum Call {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

/// The file as it will be when that is done.
#[derive(Debug, Default)]
struct Later {
    calls: Vec<Call>,
    len: u64,
    /// Where the bytes of the file itself end that are still seen.
    kept: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct Held {
    file: Arc<dyn DiskFile>,
    released: AtomicBool,
    later: Mutex<Later>,
}

impl Held {
    pub(super) fn over(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let len = file.len()?;
        let later = Later {
            len,
            kept: len,
            ..Later::default()
        };
        Ok(Self {
            file,
            released: AtomicBool::new(false),
            later: Mutex::new(later),
        })
    }

    /// Does everything that was asked, and from now on what is asked, at once.
    pub(super) fn release(&self) -> io::Result<()> {
        let mut later = self.later.lock();
        for call in std::mem::take(&mut later.calls) {
            match call {
                Call::Write(at, bytes) => self.file.write_at(at, &bytes)?,
                Call::SetLen(len) => self.file.set_len(len)?,
                Call::Sync => self.file.sync()?,
            }
        }
        later.pages.clear();
        self.released.store(true, Ordering::Release);
        Ok(())
    }

    /// What is not written yet, if anything may not be.
    fn later(&self) -> Option<parking_lot::MutexGuard<'_, Later>> {
        if self.released.load(Ordering::Acquire) {
            return None;
        }
        let later = self.later.lock();
        (!self.released.load(Ordering::Acquire)).then_some(later)
    }
}

impl Later {
    /// Bytes as they will be, in a file that is long enough.
    fn read(&self, file: &dyn DiskFile, at: u64, buf: &mut [u8]) -> io::Result<()> {
        let of_file = usize::try_from(self.kept.saturating_sub(at)).unwrap_or(usize::MAX);
        let (old, behind) = buf.split_at_mut(of_file.min(buf.len()));
        if !old.is_empty() {
            file.read_at(at, old)?;
        }
        behind.fill(0);
        let first = at - at % PAGE;
        let end = at.saturating_add(buf.len() as u64);
        for (start, page) in self.pages.range(first..end) {
            for (n, byte) in (*start..).zip(page) {
                let place = n.checked_sub(at).and_then(|n| usize::try_from(n).ok());
                if let Some(place) = place.and_then(|place| buf.get_mut(place)) {
                    *place = *byte;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, file: &dyn DiskFile, at: u64, bytes: &[u8]) -> io::Result<()> {
        let end = at.saturating_add(bytes.len() as u64);
        let mut start = at - at % PAGE;
        while start < end {
            let mut page = vec![0; PAGE as usize];
            self.read(file, start, &mut page)?;
            for (n, place) in (start..).zip(&mut page) {
                let from = n.checked_sub(at).and_then(|n| usize::try_from(n).ok());
                if let Some(byte) = from.and_then(|from| bytes.get(from)) {
                    *place = *byte;
                }
            }
            self.pages.insert(start, page);
            start += PAGE;
        }
        self.len = self.len.max(end);
        self.calls.push(Call::Write(at, bytes.to_vec()));
        Ok(())
    }

    fn set_len(&mut self, len: u64) {
        self.kept = self.kept.min(len);
        self.pages.retain(|start, _| *start < len);
        if let Some((start, page)) = self.pages.last_key_value() {
            let (start, mut page) = (*start, page.clone());
            let whole = usize::try_from(len - start).unwrap_or(usize::MAX);
            if let Some(behind) = page.get_mut(whole..) {
                behind.fill(0);
                self.pages.insert(start, page);
            }
        }
        self.len = len;
        self.calls.push(Call::SetLen(len));
    }
}

impl DiskFile for Held {
    fn len(&self) -> io::Result<u64> {
        match self.later() {
            Some(later) => Ok(later.len),
            None => self.file.len(),
        }
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let Some(later) = self.later() else {
            return self.file.read_at(offset, buf);
        };
        if offset
            .checked_add(buf.len() as u64)
            .is_none_or(|end| end > later.len)
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        later.read(&*self.file, offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.later() {
            Some(mut later) => later.write(&*self.file, offset, bytes),
            None => self.file.write_at(offset, bytes),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match self.later() {
            Some(mut later) => later.set_len(len),
            None => return self.file.set_len(len),
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        match self.later() {
            Some(mut later) => later.calls.push(Call::Sync),
            None => return self.file.sync(),
        }
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.file.drop_cache()
    }
}

#[cfg(test)]
mod tests {
    use super::Held;
    use crate::disk::{Disk, DiskFile, MemoryDisk};
    use fastrand::Rng;
    use std::path::Path;

    fn all(file: &dyn DiskFile) -> Vec<u8> {
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_held_reads_as_if_it_were_written_and_comes_to_the_file_at_once() {
        for seed in 0..200 {
            let mut rng = Rng::with_seed(seed);
            let disk = MemoryDisk::new();
            let [plain, under] = ["/a", "/b"].map(|name| disk.create(Path::new(name)).unwrap());
            for file in [&plain, &under] {
                file.write_at(0, &[9; 10_000]).unwrap();
            }
            let held = Held::over(under.clone()).unwrap();
            let before = all(&*under);
            for _ in 0..rng.usize(1..20) {
                let (at, len) = (rng.u64(..20_000), rng.usize(..6_000));
                if rng.u8(..4) == 0 {
                    plain.set_len(at).unwrap();
                    held.set_len(at).unwrap();
                } else {
                    let bytes = vec![rng.u8(..); len];
                    plain.write_at(at, &bytes).unwrap();
                    held.write_at(at, &bytes).unwrap();
                }
                held.sync().unwrap();
                assert!(all(&held) == all(&*plain), "seed {seed}");
                assert!(held.read_at(all(&*plain).len() as u64, &mut [0]).is_err());
            }
            assert!(all(&*under) == before, "seed {seed}");
            held.release().unwrap();
            assert!(all(&*under) == all(&*plain), "seed {seed}");
            held.write_at(3, b"at once").unwrap();
            assert_eq!(&all(&*under)[3..10], b"at once");
        }
    }
}
