//! `Group`: a group commit for the floor, so that many threads share its syncs as riverbed's do.
//!
//! What a group commit gives depends on how its members meet, so there are several ways, and the best of
//! them is the floor.

use crate::Result;
use crate::zeroed::Zeroed;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a leader waits for the members of the last group.
const GATHER: Duration = Duration::from_micros(60);

/// How a group comes together, and how the next one gets its leader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strategy {
    pub(crate) name: &'static str,
    /// The leader waits a moment for as many as the last group had.
    gathers: bool,
    /// One member of the next group is woken to lead it; otherwise everybody is, and the first one leads.
    hands_off: bool,
}

pub(crate) const STRATEGIES: [Strategy; 4] = [
    Strategy::new("floor, plain", false, false),
    Strategy::new("floor, gathering", true, false),
    Strategy::new("floor, hand-off", false, true),
    Strategy::new("floor, both", true, true),
];

impl Strategy {
    const fn new(name: &'static str, gathers: bool, hands_off: bool) -> Self {
        Self {
            name,
            gathers,
            hands_off,
        }
    }
}

pub(crate) struct Group<'f> {
    strategy: Strategy,
    file: &'f Mutex<Zeroed>,
    state: Mutex<State>,
    /// Of the open group; outside the lock, so that a leader who waits for it disturbs nobody.
    members: AtomicUsize,
    /// Two groups have waiting members at most: the one being written and the open one.
    waiting: [Condvar; 2],
}

struct State {
    /// What the open group writes.
    bytes: Vec<u8>,
    open: u64,
    durable: u64,
    /// Members of the last group.
    last: usize,
    leading: bool,
    failed: Option<String>,
}

impl<'f> Group<'f> {
    pub(crate) fn new(file: &'f Mutex<Zeroed>, strategy: Strategy) -> Self {
        Self {
            strategy,
            file,
            state: Mutex::new(State {
                bytes: Vec::new(),
                open: 1,
                durable: 0,
                last: 0,
                leading: false,
                failed: None,
            }),
            members: AtomicUsize::new(0),
            waiting: [Condvar::new(), Condvar::new()],
        }
    }

    /// Returns when the payload is on the disk, with four bytes for its length.
    pub(crate) fn publish(&self, payload: &[u8]) -> Result {
        let mut state = self.state.lock();
        put(&mut state.bytes, payload);
        self.members.fetch_add(1, Ordering::Relaxed);
        let mine = state.open;
        loop {
            if let Some(failure) = &state.failed {
                return Err(failure.as_str().into());
            }
            if state.durable >= mine {
                return Ok(());
            }
            if state.leading {
                self.waiting_for(mine).wait(&mut state);
            } else {
                state = self.lead(state);
            }
        }
    }

    fn waiting_for(&self, group: u64) -> &Condvar {
        let [even, odd] = &self.waiting;
        if self.strategy.hands_off && group % 2 == 1 {
            odd
        } else {
            even
        }
    }

    /// Writes the open group.
    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.leading = true;
        if self.strategy.gathers && state.last > 1 {
            let expected = state.last;
            MutexGuard::unlocked(&mut state, || self.gather(expected));
        }
        let group = state.open;
        state.open += 1;
        state.last = self.members.swap(0, Ordering::Relaxed);
        let bytes = std::mem::take(&mut state.bytes);
        let written = MutexGuard::unlocked(&mut state, || self.file.lock().overwrite(&bytes));
        state.leading = false;
        match written {
            Ok(()) => state.durable = group,
            Err(why) => state.failed = Some(why.to_string()),
        }
        self.waiting_for(group).notify_all();
        if self.strategy.hands_off && !state.bytes.is_empty() {
            self.waiting_for(group + 1).notify_one();
        }
        state
    }

    fn gather(&self, expected: usize) {
        let until = Instant::now() + GATHER;
        while self.members.load(Ordering::Relaxed) < expected && Instant::now() < until {
            thread::yield_now();
        }
    }
}

/// Appends a payload as the floor writes it: its length and itself.
pub(crate) fn put(bytes: &mut Vec<u8>, payload: &[u8]) {
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(payload);
}
