//! `Moved`: what a compaction has done to the file so far, for whoever watches it.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::info::CompactionProgress;

/// Bytes that are written between two reports.
const STEP: u64 = 1 << 20;

/// Who is told how a compaction goes on: in the middle of a call of redb's, under its locks. So it takes note,
/// and neither calls the store nor runs anything of the application's (R7).
pub(crate) trait Watch: Debug + Send + Sync {
    fn note(&self, progress: CompactionProgress);
}

#[derive(Debug)]
struct Watched {
    by: Arc<dyn Watch>,
    now: CompactionProgress,
    told: CompactionProgress,
}

impl Watched {
    fn tell(&mut self) {
        self.told = self.now;
        self.by.note(self.now);
    }
}

/// What is written to a file, counted while somebody watches.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// All that a write looks at otherwise.
    is_watched: AtomicBool,
    watched: Mutex<Option<Watched>>,
}

impl Moved {
    /// From now on `by` is told, until what is returned is dropped.
    pub(super) fn watch(&self, by: Arc<dyn Watch>, file_bytes: u64) -> Watching<'_> {
        let now = CompactionProgress {
            before_bytes: file_bytes,
            file_bytes,
            written_bytes: 0,
        };
        let mut watched = Watched { by, now, told: now };
        watched.tell();
        *self.watched.lock() = Some(watched);
        self.is_watched.store(true, Ordering::Release);
        Watching(self)
    }

    /// So many bytes were written.
    pub(super) fn wrote(&self, bytes: u64) {
        self.change(|watched| {
            watched.now.written_bytes += bytes;
            if watched.now.written_bytes - watched.told.written_bytes >= STEP {
                watched.tell();
            }
        });
    }

    /// The file has this length now.
    pub(super) fn resized(&self, file_bytes: u64) {
        self.change(|watched| {
            watched.now.file_bytes = file_bytes;
            if watched.told.file_bytes != file_bytes {
                watched.tell();
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Watched)) {
        if self.is_watched.load(Ordering::Acquire) {
            self.watched.lock().as_mut().map(change);
        }
    }
}

/// As long as it lives somebody is told; last of all, how it ended.
#[derive(Debug)]
pub(super) struct Watching<'a>(&'a Moved);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.change(Watched::tell);
        self.0.is_watched.store(false, Ordering::Release);
        *self.0.watched.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::{Moved, STEP, Watch};
    use crate::info::CompactionProgress;
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[derive(Debug, Default)]
    struct Notes(Mutex<Vec<(u64, u64)>>);

    impl Watch for Notes {
        fn note(&self, progress: CompactionProgress) {
            let noted = (progress.file_bytes, progress.written_bytes);
            self.0.lock().push(noted);
        }
    }

    #[test]
    fn it_is_told_at_both_ends_when_the_length_changes_and_after_so_many_bytes() {
        let (moved, notes) = (Moved::default(), Arc::new(Notes::default()));
        moved.wrote(5);
        let by: Arc<dyn Watch> = Arc::<Notes>::clone(&notes);
        let watching = moved.watch(by, 900);
        moved.wrote(STEP - 1);
        moved.wrote(1);
        moved.wrote(7);
        moved.resized(900);
        moved.resized(800);
        moved.wrote(3);
        drop(watching);
        moved.wrote(STEP);
        let expected = [(900, 0), (900, STEP), (800, STEP + 7), (800, STEP + 10)];
        assert_eq!(*notes.0.lock(), expected);
    }
}
