//! What has happened so far: a bar for a person, one line a step for a test.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Shared by every thread of the run.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    steps: bool,
    pub(crate) published: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    /// Everything that this run publishes is in the store.
    pub(crate) all_published: AtomicBool,
    /// A thread failed; the others are to stop, or they would wait for it.
    pub(crate) failed: AtomicBool,
}

impl Progress {
    /// The bar is drawn on a terminal only. Without a size in bytes it counts up.
    pub(crate) fn new(bytes: Option<u64>, steps: bool) -> Self {
        let template = match bytes {
            Some(_) => "{bar:32} {bytes}/{total_bytes} {binary_bytes_per_sec} {msg}",
            None => "{spinner} {bytes} {binary_bytes_per_sec} {msg}",
        };
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
            steps,
            published: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            all_published: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    pub(crate) fn step(&self, what: &str) {
        if self.steps {
            eprintln!("step {what}");
        }
    }

    pub(crate) fn took(&self, bytes: u64, published: u64, duplicates: u64) {
        let published = self.published.fetch_add(published, Relaxed) + published;
        let duplicates = self.duplicates.fetch_add(duplicates, Relaxed) + duplicates;
        self.bar.inc(bytes);
        self.bar
            .set_message(format!("{published} published, {duplicates} known already"));
        self.step("published");
    }

    pub(crate) fn reading_done(&self) {
        self.bar.finish_and_clear();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }
}

/// Tells the other threads when the thread that holds it ends early, by an error or by a panic.
#[derive(Debug)]
pub(crate) struct FailureFlag<'a> {
    progress: &'a Progress,
    fine: bool,
}

impl<'a> FailureFlag<'a> {
    pub(crate) fn new(progress: &'a Progress) -> Self {
        Self {
            progress,
            fine: false,
        }
    }

    pub(crate) fn all_is_fine(mut self) {
        self.fine = true;
    }
}

impl Drop for FailureFlag<'_> {
    fn drop(&mut self) {
        if !self.fine {
            self.progress.failed.store(true, Relaxed);
        }
    }
}
