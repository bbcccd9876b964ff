//! Two creators at once, interleaved where it hurts.

use std::fmt::{self, Debug};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;

use super::journal::{SEGMENT, file, open_beside};
use super::{OPTIONS, apply, open, path, put, row};
use crate::changes::Table;
use crate::disk::{Disk, DiskFile, MemoryDisk};
use crate::store::{OpenError, Store, Syncing};

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    BeforeCreate,
    AfterOpen,
    BeforeRemove,
}

type Others = Box<dyn FnOnce(&MemoryDisk) + Send>;

/// A disk on which somebody else acts in the middle of one call about a name.
struct Contended {
    disk: MemoryDisk,
    about: PathBuf,
    when: When,
    others: Mutex<Option<Others>>,
}

impl Contended {
    /// In a call about the temporary name.
    fn new(
        disk: &MemoryDisk,
        when: When,
        others: impl FnOnce(&MemoryDisk) + Send + 'static,
    ) -> Self {
        Self::about(disk, temporary(), when, others)
    }

    fn about(
        disk: &MemoryDisk,
        about: &Path,
        when: When,
        others: impl FnOnce(&MemoryDisk) + Send + 'static,
    ) -> Self {
        let others: Others = Box::new(others);
        Self {
            disk: disk.clone(),
            about: about.to_owned(),
            when,
            others: Mutex::new(Some(others)),
        }
    }

    fn act(&self, now: When, about: &Path) {
        let taken = if now == self.when && about == self.about {
            self.others.lock().take()
        } else {
            None
        };
        if let Some(others) = taken {
            others(&self.disk);
        }
    }
}

impl Debug for Contended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.when.fmt(f)
    }
}

impl Disk for Contended {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path);
        self.act(When::AfterOpen, path);
        file
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.act(When::BeforeCreate, path);
        self.disk.create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.act(When::BeforeRemove, path);
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
}

fn temporary() -> &'static Path {
    Path::new("/data/.q.riverbed.creating")
}

fn elsewhere() -> &'static Path {
    Path::new("/data/elsewhere.riverbed")
}

/// Another process makes the store, puts a row in it, and closes it.
fn make(disk: &MemoryDisk) {
    let store = open(disk).unwrap();
    apply(&store, vec![put(Table::Meta, 0, 1, b"theirs")]).unwrap();
    store.close().unwrap();
}

#[test]
fn who_comes_second_opens_the_store_of_who_came_first() {
    let disk = MemoryDisk::new();
    let contended = Contended::new(&disk, When::BeforeCreate, make);
    let store = Store::open(&contended, path(), &OPTIONS).unwrap();
    assert_eq!(row(&store, Table::Meta, 0, 1).unwrap(), b"theirs");
    assert!(!disk.exists(temporary()).unwrap());
}

#[test]
fn who_holds_a_file_that_became_the_store_opens_it() {
    let disk = MemoryDisk::new();
    disk.create(temporary()).unwrap();
    let contended = Contended::new(&disk, When::AfterOpen, make);
    let store = Store::open(&contended, path(), &OPTIONS).unwrap();
    assert_eq!(row(&store, Table::Meta, 0, 1).unwrap(), b"theirs");
}

#[test]
fn a_store_that_was_made_and_moved_away_is_not_emptied() {
    let disk = MemoryDisk::new();
    disk.create(temporary()).unwrap();
    let contended = Contended::new(&disk, When::AfterOpen, |disk| {
        make(disk);
        disk.rename(path(), elsewhere()).unwrap();
    });
    let store = Store::open(&contended, path(), &OPTIONS).unwrap();
    assert_eq!(row(&store, Table::Meta, 0, 1), None);
    let moved = Store::open(&disk, elsewhere(), &OPTIONS).unwrap();
    assert_eq!(row(&moved, Table::Meta, 0, 1).unwrap(), b"theirs");
}

#[test]
fn another_creators_half_made_file_is_not_given_the_name() {
    let disk = MemoryDisk::new();
    disk.create(temporary()).unwrap();
    let half_made = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&half_made);
    let contended = Contended::new(&disk, When::AfterOpen, move |disk| {
        make(disk);
        disk.rename(path(), elsewhere()).unwrap();
        let file = disk.create(temporary()).unwrap();
        assert!(file.try_lock().unwrap());
        *keep.lock() = Some(file);
    });
    let refused = Store::open(&contended, path(), &OPTIONS);
    assert!(
        matches!(refused, Err(OpenError::AlreadyOpen { .. })),
        "{refused:?}"
    );
    assert!(!disk.exists(path()).unwrap());
    // The half made file's creator is gone now, and what it left is made use of.
    half_made.lock().take();
    open(&disk).unwrap();
}

#[test]
fn a_store_that_closes_removes_its_journal_before_anybody_else_can_open_it() {
    let disk = MemoryDisk::new();
    let (asked, answer) = mpsc::channel();
    let contended = Arc::new(Contended {
        others: Mutex::new(None),
        ..Contended::about(&disk, &file(), When::BeforeRemove, |_| {})
    });
    let beside = Arc::<Contended>::clone(&contended);
    let store = open_beside(&disk, beside, SEGMENT, Syncing::Each).unwrap();
    for n in 0..6 {
        apply(&store, vec![put(Table::Holes, 1, n, b"x")]).unwrap();
        store.checkpoint().unwrap();
    }
    *contended.others.lock() = Some(Box::new(move |disk| {
        asked.send(open(disk).map(drop)).unwrap();
    }));
    store.close().unwrap();
    // Who opened it then would make a journal of the same name, which would go.
    let answer = answer.try_recv().unwrap();
    assert!(
        matches!(answer, Err(OpenError::AlreadyOpen { .. })),
        "{answer:?}"
    );
    assert!(!disk.exists(&file()).unwrap());
}
