//! `Inside`: which call of a store is the outermost of its thread.

use std::cell::Cell;

thread_local! {
    /// How many calls of stores this thread is in.
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// That this thread is in a call of a store, as long as the value lives.
pub(super) struct Inside {
    is_outermost: bool,
}

impl Inside {
    pub(super) fn enter() -> Self {
        let before = CALLS.with(|calls| calls.replace(calls.get() + 1));
        Self {
            is_outermost: before == 0,
        }
    }

    pub(super) const fn is_outermost(&self) -> bool {
        self.is_outermost
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        CALLS.with(|calls| calls.set(calls.get() - 1));
    }
}
