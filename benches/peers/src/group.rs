//! A small group commit: what is queued while one commit runs goes with the next.
//!
//! It makes the floor, and a store that commits one transaction at a time, comparable with peers that group the
//! commits of many threads by themselves. Whoever finds no commit running leads the next one; nobody waits
//! for company.

use anyhow::{Result, anyhow};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

type Payloads = Vec<Vec<u8>>;

#[derive(Default)]
struct State {
    queued: Vec<Payloads>,
    /// The number of the group that fills, and of the last one that is durable.
    open: u64,
    durable: u64,
    leading: bool,
    failed: Option<String>,
}

pub struct Group {
    state: Mutex<State>,
    changed: Condvar,
}

impl Default for Group {
    fn default() -> Self {
        let state = State {
            open: 1,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }
}

impl Group {
    /// Returns when `commit` has returned for a group that holds these payloads.
    pub fn publish(
        &self,
        payloads: &mut Payloads,
        commit: impl Fn(&mut dyn Iterator<Item = &[u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut state = self.lock();
        state.queued.push(std::mem::take(payloads));
        let mine = state.open;
        loop {
            if let Some(failure) = &state.failed {
                return Err(anyhow!("the group's commit failed: {failure}"));
            }
            if state.durable >= mine {
                return Ok(());
            }
            if state.leading {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.leading = true;
            let number = state.open;
            state.open += 1;
            let mut group = std::mem::take(&mut state.queued);
            drop(state);
            let result = commit(&mut group.iter().flatten().map(Vec::as_slice));
            // Alone in its group: the payloads go back, to be freed outside the measured time.
            if group.len() == 1 {
                *payloads = group.pop().unwrap_or_default();
            }
            state = self.lock();
            state.leading = false;
            match result {
                Ok(()) => state.durable = number,
                Err(error) => state.failed = Some(format!("{error:#}")),
            }
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn every_call_returns_after_its_payload_was_committed_once() {
        let (group, committed, running) = (
            Group::default(),
            Mutex::new(Vec::new()),
            AtomicUsize::new(0),
        );
        let commit = |messages: &mut dyn Iterator<Item = &[u8]>| {
            assert_eq!(
                running.fetch_add(1, Ordering::SeqCst),
                0,
                "one commit at a time"
            );
            committed
                .lock()
                .unwrap()
                .extend(messages.map(<[u8]>::to_vec));
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        };
        thread::scope(|scope| {
            for number in 0..8_u8 {
                let (group, committed, commit) = (&group, &committed, &commit);
                scope.spawn(move || {
                    for round in 0..100_u8 {
                        let payload = vec![number, round];
                        group.publish(&mut vec![payload.clone()], commit).unwrap();
                        assert!(committed.lock().unwrap().contains(&payload));
                    }
                });
            }
        });
        let mut committed = committed.into_inner().unwrap();
        committed.sort();
        committed.dedup();
        assert_eq!(committed.len(), 800);
    }

    #[test]
    fn a_failed_commit_fails_the_call_and_all_later_ones() {
        let group = Group::default();
        let mut payloads = vec![vec![1]];
        assert!(group.publish(&mut payloads, |_| bail!("the disk")).is_err());
        assert!(group.publish(&mut payloads, |_| Ok(())).is_err());
    }
}
