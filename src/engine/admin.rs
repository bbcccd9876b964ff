//! Managing streams and consumers: one change of the state, one commit.

use super::Engine;
use super::start::ConsumerRef;
use crate::clock::Timestamp;
use crate::config::StreamConfig;
use crate::error::{ConsumerError, RedriveError, StreamError, Unavailable};
use crate::event::Event;
use crate::seq::Seq;
use crate::state::{Losing, Progress, RedriveTo};
use crossbeam_channel::Receiver;

impl Engine {
    pub(crate) fn create_stream(&self, config: StreamConfig) -> Result<u32, StreamError> {
        let (created, group) = {
            let mut core = self.enter()?;
            (core.state.create_stream(config), core.state.catalog_group())
        };
        self.wait(group)?;
        created
    }

    pub(crate) fn find_stream(&self, name: &str) -> Result<u32, StreamError> {
        let (found, group) = {
            let core = self.enter()?;
            (core.state.stream_id(name), core.state.catalog_group())
        };
        self.wait(group)?;
        found.ok_or_else(|| StreamError::NotFound {
            name: name.to_owned(),
        })
    }

    pub(crate) fn update_stream(
        &self,
        config: &StreamConfig,
        losing: Losing,
    ) -> Result<u32, StreamError> {
        if losing == Losing::Refused {
            self.finish_purges_of(&config.name)?;
        }
        let mut progress = Progress::default();
        loop {
            let (updated, group) = self.run(|core| {
                core.note_time(&self.clock);
                let updated = core.state.update_stream(config, losing, &mut progress)?;
                // What would be removed is an answer about what is stored.
                let id = core.state.stream_id(&config.name);
                let stored = id.and_then(|id| core.state.stream(id));
                let group = stored.map_or(0, |stream| stream.group);
                Ok((updated, core.state.catalog_group().max(group)))
            })?;
            if let Some(updated) = updated {
                self.wait(group)?;
                return updated;
            }
        }
    }

    /// What a purge took that is still at work must not be counted as stored.
    fn finish_purges_of(&self, name: &str) -> Result<(), Unavailable> {
        let Some(id) = self.enter()?.state.stream_id(name) else {
            return Ok(());
        };
        match self.finish_purges(id) {
            // Then it is counted: rather one update too many is refused than one too few.
            Err(Unavailable::Damaged { .. }) => Ok(()),
            finished => finished,
        }
    }

    pub(crate) fn delete_stream(&self, name: &str) -> Result<(), StreamError> {
        let (deleted, group) = {
            let mut core = self.enter()?;
            let id = core.state.stream_id(name);
            let known = id.and_then(|id| core.state.stream(id));
            let consumers =
                known.map_or_else(Vec::new, |known| known.consumers.iter().copied().collect());
            let deleted = core.state.delete_stream(name);
            if let (Ok(()), Some(id)) = (&deleted, id) {
                core.wake_all_publishers(id);
                for consumer in consumers {
                    core.wake_all_fetches(consumer);
                }
            }
            (deleted, core.state.catalog_group())
        };
        self.wait(group)?;
        deleted
    }

    pub(crate) fn find_consumer(
        &self,
        stream: u32,
        name: &str,
    ) -> Result<Option<u32>, ConsumerError> {
        let (found, group) = {
            let core = self.enter()?;
            (
                core.state.consumer_id(stream, name),
                core.state.catalog_group(),
            )
        };
        self.wait(group)?;
        Ok(found)
    }

    /// Pauses a consumer, or ends its pause.
    pub(crate) fn pause_consumer(
        &self,
        whose: &ConsumerRef,
        until: Option<Timestamp>,
    ) -> Result<bool, Unavailable> {
        let (found, group) = {
            let mut core = self.enter()?;
            core.note_time(&self.clock);
            let found = core.state.set_pause(whose.id, until);
            core.wake_fetch(whose.id);
            (found, core.observed(whose.id))
        };
        self.wait(group)?;
        Ok(found)
    }

    pub(crate) fn delete_consumer(&self, id: u32) -> Result<(), ConsumerError> {
        let group = {
            let mut core = self.enter()?;
            core.note_time(&self.clock);
            core.state.delete_consumer(id);
            core.wake_all_fetches(id);
            core.state.catalog_group()
        };
        self.wait(group)?;
        Ok(())
    }

    pub(crate) fn redrive(&self, from: u32, seq: Seq, to: RedriveTo) -> Result<Seq, RedriveError> {
        let (moved, group) = self.run(|core| {
            let moment = core.now(&self.clock);
            core.state.now = core.state.now.max(moment.now);
            let moved = core.state.redrive(from, seq.get(), to)?;
            core.wake_due();
            let group = core.state.stream(from).map_or(0, |stream| stream.group);
            Ok((moved, core.newest_work().max(group)))
        })?;
        self.wait(group)?;
        moved
    }

    pub(crate) fn release_parked(&self, whose: &ConsumerRef, seq: Seq) -> Result<(), RedriveError> {
        let (released, group) = {
            let mut core = self.enter()?;
            core.note_time(&self.clock);
            let released = core.state.release_parked(whose.id, seq.get());
            core.wake_fetch(whose.id);
            (released, core.observed(whose.id))
        };
        self.wait(group)?;
        released
    }

    pub(crate) fn discard_parked(&self, whose: &ConsumerRef, seq: Seq) -> Result<(), RedriveError> {
        let (discarded, group) = {
            let mut core = self.enter()?;
            core.note_time(&self.clock);
            let discarded = core.state.discard_parked(whose.id, seq.get());
            core.wake_fetch(whose.id);
            (discarded, core.observed(whose.id))
        };
        self.wait(group)?;
        discarded
    }

    /// A receiver of events; of a store that is closed or stopped, one that has already ended.
    pub(crate) fn subscribe(&self, capacity: usize) -> Receiver<Event> {
        match self.enter() {
            Ok(mut core) => core.subscribe(capacity),
            Err(_) => crossbeam_channel::bounded(1).1,
        }
    }
}
