//! What time does, driven: by the sweeper's thread, or by a test that has no threads.

use super::Engine;
use crate::changes::Table;
use crate::clock::Mono;
use crate::error::Unavailable;
use crate::state::{Drop, FreeTo, SweepLimits};
use std::ops::ControlFlow;
use std::time::Duration;

/// Bounds of one step (R9).
const STEP: SweepLimits = SweepLimits {
    leases: 1_024,
    letters: 256,
    ids: 65_536,
    idle: IDLE,
};

/// How long nobody fetches from a consumer with messages before that is told.
pub(crate) const IDLE: Duration = Duration::from_secs(300);

/// Messages removed in one commit.
const MESSAGES: usize = 16_384;

/// Blocks freed in one commit: at most 32 MiB are read to free them.
const BLOCKS_FREED: usize = 512;

/// Bytes of messages that waited in a deleted stream freed in one commit.
const SCHEDULED_BYTES_FREED: usize = 32 << 20;

/// Calendar deadlines are looked at anew at least this often (R3): the only periodic wake-up.
const CALENDAR_CHECK: Duration = Duration::from_secs(60);

impl Engine {
    /// Does everything that is due, a bounded step a commit.
    pub(crate) fn sweep(&self) -> Result<(), Unavailable> {
        loop {
            let mut budget = MESSAGES;
            let (more, group) = self.run_marking(|core| {
                core.state.sweep_wanted = false;
                core.state.alarm = crate::state::Alarm::default();
                let mono = self.clock.mono();
                core.time.re_anchor(self.clock.now(), mono);
                let moment = core.now(&self.clock);
                let more = core.state.sweep(moment, STEP, &mut budget)?;
                core.wake_due();
                Ok((more, core.newest_work()))
            })?;
            self.wait(group)?;
            let freed = self.free_some()?;
            // What was removed may have made room for what was looked at before.
            let wanted = self.enter()?.state.sweep_wanted;
            if !more && !freed && !wanted {
                return Ok(());
            }
        }
    }

    /// Frees a step of what was cut off or deleted; says whether there was anything.
    pub(super) fn free_some(&self) -> Result<bool, Unavailable> {
        let next = self.enter()?.state.next_drop();
        let Some(next) = next else { return Ok(false) };
        let (id, free) = match next {
            Drop::Blocks(id) => (id, self.enter()?.state.free_to(id)),
            Drop::Stream(id) => (id, FreeTo::Below(u64::MAX)),
        };
        let starts = self.store.read(|reader| match free {
            FreeTo::Below(below) => reader.block_starts(id, below, BLOCKS_FREED),
            FreeTo::BlockOf(first) => {
                let mut starts = reader.block_starts(id, first + 1, BLOCKS_FREED + 1)?;
                // The last one may hold it; what starts before that does not.
                starts.pop();
                Ok(starts)
            }
        });
        let starts = starts.map_err(|why| self.failed(why))?;
        let to = starts.last().copied();
        if matches!((next, to), (Drop::Stream(_), None)) && self.free_some_scheduled(id)? {
            return Ok(true);
        }
        if matches!((next, to), (Drop::Stream(_), None)) {
            self.tails.lock().remove(&id);
        }
        let group = {
            let mut core = self.enter()?;
            match (next, to) {
                (Drop::Stream(id), None) => core.state.free_stream(id),
                (Drop::Stream(id) | Drop::Blocks(id), to) => core.state.free_blocks(id, to, free),
            }
            core.newest_work()
        };
        self.wait(group)?;
        Ok(true)
    }

    /// Frees a step of what waited in a deleted stream; says whether there was anything.
    fn free_some_scheduled(&self, id: u32) -> Result<bool, Unavailable> {
        let last = self.store.read(|reader| {
            let (mut rows, mut bytes, mut last) = (0, 0, None);
            reader.rows(Table::Scheduled, Some(id), 0, |key, value| {
                (rows, bytes, last) = (rows + 1, bytes + value.len(), Some(key.part));
                if rows >= MESSAGES || bytes >= SCHEDULED_BYTES_FREED {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            Ok(last)
        });
        let Some(last) = last.map_err(|why| self.failed(why))? else {
            return Ok(false);
        };
        let group = {
            let mut core = self.enter()?;
            core.state.free_scheduled(id, last);
            core.newest_work()
        };
        self.wait(group)?;
        Ok(true)
    }

    /// How long the sweeper may sleep from now on.
    pub(crate) fn sleep(&self) -> Option<Mono> {
        let mut core = self.core.lock();
        let now = self.clock.mono();
        let alarm = core.state.next_alarm(now, STEP.idle);
        let calendar = alarm
            .time
            .map(|time| core.time.mono_at(time).min(now.plus(CALENDAR_CHECK)));
        let until = [alarm.mono, calendar].into_iter().flatten().min();
        core.state.alarm = crate::state::Alarm::default();
        // Without a deadline it sleeps until one comes up.
        core.sweeper_sleeps_until = Some(until.unwrap_or(Mono(u64::MAX)));
        if core.state.sweep_wanted {
            Some(now)
        } else {
            until
        }
    }
}
