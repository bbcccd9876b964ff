//! `FaultyDisk`: a disk in memory of which one kind of operation fails when a test says so.

use riverbed::disk::{Disk, DiskFile, MemoryDisk};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Read,
    /// A write, or a change of a file's length.
    Write,
    Sync,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    op: Op,
    /// So many operations of this kind still work.
    skip: u64,
    kind: io::ErrorKind,
    /// Every operation of this kind fails from then on, not only one.
    lasting: bool,
    /// The operation waits until it is let go, and fails then.
    hold: bool,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    holding: bool,
    failed: u64,
    /// Writes and syncs that were asked for.
    changes: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk {
    inner: MemoryDisk,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl FaultyDisk {
    /// One operation fails, after so many of its kind that don't.
    pub(crate) fn fail_one(&self, op: Op, skip: u64) {
        self.arm(op, skip, io::ErrorKind::Other, false, false);
    }

    /// The next operation of this kind stands still until [`let_go`](Self::let_go), and then fails.
    pub(crate) fn hold_and_fail(&self, op: Op) {
        self.arm(op, 0, io::ErrorKind::Other, false, true);
    }

    /// After so many writes there is no room for others, until [`mend`](Self::mend).
    pub(crate) fn fill_up(&self, skip: u64) {
        self.arm(Op::Write, skip, io::ErrorKind::StorageFull, true, false);
    }

    fn arm(&self, op: Op, skip: u64, kind: io::ErrorKind, lasting: bool, hold: bool) {
        let mut state = self.state.0.lock().unwrap();
        state.failed = 0;
        state.fault = Some(Fault {
            op,
            skip,
            kind,
            lasting,
            hold,
        });
    }

    /// Everything works again; says how many operations failed.
    pub(crate) fn mend(&self) -> u64 {
        let mut state = self.state.0.lock().unwrap();
        state.fault = None;
        std::mem::take(&mut state.failed)
    }

    /// Waits until an operation stands still.
    pub(crate) fn wait_for_the_held(&self) {
        let mut state = self.state.0.lock().unwrap();
        while !state.holding {
            state = self.state.1.wait(state).unwrap();
        }
    }

    pub(crate) fn let_go(&self) {
        self.state.0.lock().unwrap().holding = false;
        self.state.1.notify_all();
    }

    pub(crate) fn changes(&self) -> u64 {
        self.state.0.lock().unwrap().changes
    }

    /// The disk as a power cut would leave it, without any fault.
    pub(crate) fn crash_image(&self, seed: u64) -> Self {
        Self {
            inner: self.inner.crash_image(seed),
            ..Self::default()
        }
    }

    fn file(&self, file: io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        let state = Arc::clone(&self.state);
        Ok(Arc::new(FaultyFile {
            inner: file?,
            state,
        }))
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.file(self.inner.open(path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.file(self.inner.create(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        operate(&self.state, Op::Write)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        operate(&self.state, Op::Sync)?;
        self.inner.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn DiskFile>,
    state: Arc<(Mutex<State>, Condvar)>,
}

/// Counts an operation; fails if it is its turn.
fn operate(state: &(Mutex<State>, Condvar), op: Op) -> io::Result<()> {
    let (lock, changed) = state;
    let mut state = lock.lock().unwrap();
    state.changes += u64::from(op != Op::Read);
    let Some(fault) = state.fault.as_mut().filter(|fault| fault.op == op) else {
        return Ok(());
    };
    if fault.skip > 0 {
        fault.skip -= 1;
        return Ok(());
    }
    let fault = *fault;
    if !fault.lasting {
        state.fault = None;
    }
    state.failed += 1;
    if fault.hold {
        state.holding = true;
        changed.notify_all();
        while state.holding {
            state = changed.wait(state).unwrap();
        }
    }
    match fault.kind {
        io::ErrorKind::Other => Err(io::Error::other("the test disk failed")),
        kind => Err(kind.into()),
    }
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        operate(&self.state, Op::Read)?;
        self.inner.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        operate(&self.state, Op::Write)?;
        self.inner.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        operate(&self.state, Op::Write)?;
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        operate(&self.state, Op::Sync)?;
        self.inner.sync()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }
}
