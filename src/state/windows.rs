//! Interior deletes, in windows of 4,096 sequences.
//!
//! A window's row holds its deleted sequences as runs. Windows are loaded when they are needed; one
//! that is cached is the truth, one that is not is as the store has it. A changed window stays cached
//! until its group is durable, so the two can't disagree.

use crate::changes::{Change, RowKey, Table};
use crate::state::runset::RunSet;
use std::collections::{BTreeMap, BTreeSet};

/// Sequences in a window.
pub(crate) const WINDOW: u64 = 4096;

/// Windows kept when nothing forces them to stay.
const CACHED_MAX: usize = 64;

pub(crate) fn window_of(seq: u64) -> u64 {
    seq / WINDOW
}

#[derive(Debug, Default)]
struct Window {
    dead: RunSet,
    /// The newest group that changed it.
    group: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Windows {
    cached: BTreeMap<u64, Window>,
    dirty: BTreeSet<u64>,
    /// Grows when a window leaves the cache: what was read from the store before may be old then.
    evictions: u64,
}

impl Windows {
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Whether a sequence is deleted; `None` when its window is not cached.
    pub(crate) fn is_dead(&self, seq: u64) -> Option<bool> {
        Some(self.cached.get(&window_of(seq))?.dead.contains(seq))
    }

    /// Takes a window in as it was read when `evictions` were counted; an outdated one is ignored.
    pub(crate) fn supply(&mut self, window: u64, dead: RunSet, evictions: u64) {
        if evictions == self.evictions {
            self.cached
                .entry(window)
                .or_insert(Window { dead, group: 0 });
        }
    }

    /// Marks a sequence of a cached window deleted in this group.
    pub(crate) fn kill(&mut self, seq: u64, group: u64) {
        let window = self.cached.entry(window_of(seq)).or_default();
        let fresh = window.dead.insert(seq);
        assert!(fresh, "a message is deleted once");
        window.group = group;
        self.dirty.insert(window_of(seq));
    }

    /// Forgets windows that lie before the stream's first message.
    pub(crate) fn drop_below(&mut self, window: u64) {
        if self
            .cached
            .first_key_value()
            .is_some_and(|(first, _)| *first < window)
        {
            self.cached = self.cached.split_off(&window);
            self.dirty = self.dirty.split_off(&window);
            self.evictions += 1;
        }
    }

    /// Lets durable windows go when there are many.
    pub(crate) fn evict(&mut self, durable: u64) {
        if self.cached.len() <= CACHED_MAX {
            return;
        }
        let dirty = &self.dirty;
        self.cached
            .retain(|at, window| window.group > durable || dirty.contains(at));
        self.evictions += 1;
    }

    /// The rows that changed since the last call.
    pub(crate) fn take_changes(&mut self, stream: u32, changes: &mut Vec<Change>) {
        for at in std::mem::take(&mut self.dirty) {
            let Some(window) = self.cached.get(&at) else {
                continue;
            };
            let key = RowKey::new(Table::Holes, stream, at);
            let mut value = Vec::new();
            window.dead.encode(&mut value);
            changes.push(Change::Put { key, value });
        }
    }
}
