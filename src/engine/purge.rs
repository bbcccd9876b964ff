//! Purging and deleting: the cut in one commit, the space in steps.

use super::Engine;
use super::scan::Scan;
use crate::error::{PurgeError, Unavailable};
use crate::seq::Seq;
use crate::state::PurgeBound;
use crate::subject::SubjectFilter;
use std::ops::ControlFlow;

/// Messages that one commit of a purge frees (R9).
const PURGE_STEP: usize = 65_536;

/// What to purge.
#[derive(Clone, Debug, Default)]
pub(crate) struct PurgeAsk {
    pub(crate) filter: Option<SubjectFilter>,
    /// Messages from here on stay.
    pub(crate) up_to: Option<Seq>,
    /// So many of the newest stay.
    pub(crate) keep: Option<u64>,
}

impl Engine {
    /// Purges and waits until all of it is done; returns how many messages went.
    pub(crate) fn purge(&self, id: u32, name: &str, ask: &PurgeAsk) -> Result<u64, PurgeError> {
        let purged = self.try_purge(id, name, ask);
        if matches!(
            purged,
            Err(PurgeError::StreamGone { .. }
                | PurgeError::TooMany { .. }
                | PurgeError::Denied { .. }
                | PurgeError::Sealed { .. })
        ) {
            // Also a refusal is an answer about a state that must be durable (R1).
            let group = self.enter()?.newest_group();
            self.wait(group)?;
        }
        purged
    }

    fn try_purge(&self, id: u32, name: &str, ask: &PurgeAsk) -> Result<u64, PurgeError> {
        let gone = || PurgeError::StreamGone {
            stream: name.to_owned(),
        };
        self.enter()?.state.permit_purge(id)?;
        self.release_finished(id)?;
        let bound = match (ask.up_to, ask.keep) {
            (Some(_), Some(_)) => return Err(PurgeError::TwoBounds),
            (Some(seq), None) => PurgeBound::Below(seq.get()),
            (None, Some(keep)) => PurgeBound::Below(self.below_newest(id, name, ask, keep)?),
            (None, None) => PurgeBound::All,
        };
        // Another purge's messages must not be counted as this one's.
        let everything = matches!(bound, PurgeBound::All) && ask.filter.is_none();
        match self.finish_purges(id) {
            // What another purge could not read need not be read to purge everything.
            Err(Unavailable::Damaged { .. }) if everything => {}
            finished => finished?,
        }
        let begun = self.run_marking(|core| {
            let moment = core.now(&self.clock);
            core.state.now = core.state.now.max(moment.now);
            let Some(stream) = core.state.stream(id) else {
                return Ok(Err(gone()));
            };
            let before = stream.purged;
            if stream.releases_ids() {
                // What is finished leaves as that, before the purge may take it.
                core.state.retire_before(id)?;
            }
            let begun = core.state.begin_purge(id, ask.filter.clone(), &bound);
            let group = core.state.stream(id).map_or(0, |stream| stream.group);
            Ok(begun.map(|()| (before, group)))
        });
        let (before, group) = begun??;
        // The cut is durable before anything else: from here on the messages are gone.
        self.wait(group)?;
        // So a store that stops now must not say that nothing was done (R2).
        self.finish_purges(id).map_err(Unavailable::midway)?;
        let core = self.enter().map_err(Unavailable::midway)?;
        Ok(core.state.stream(id).ok_or_else(gone)?.purged - before)
    }

    /// What is finished leaves as that, before a purge may take it: where ids are released, that matters. What
    /// can't be read keeps its id.
    fn release_finished(&self, id: u32) -> Result<(), Unavailable> {
        let releases = |core: &mut super::Core| {
            let known = core.state.stream(id);
            known.is_some_and(crate::state::Stream::releases_ids)
        };
        let retired = self.run(|core| {
            if releases(core) {
                core.state.retire_before(id)?;
            }
            Ok(())
        });
        match retired {
            Err(Unavailable::Damaged { .. }) => Ok(()),
            retired => retired,
        }
    }

    /// Frees what purges of a stream cut, a step a commit.
    pub(crate) fn finish_purges(&self, id: u32) -> Result<(), Unavailable> {
        loop {
            let mut budget = PURGE_STEP;
            let group = self.run(|core| {
                if !core.state.is_purging(id) {
                    return Ok(None);
                }
                if let Some(place) = core.state.unreadable(id) {
                    return Ok(Some(Err(Unavailable::Damaged { place })));
                }
                core.state.retire_finished()?;
                core.state.trim(id, &mut budget)?;
                core.state.purge_step(id, &mut budget)?;
                Ok(Some(Ok(core.newest_group())))
            })?;
            match group {
                Some(group) => self.wait(group?)?,
                None => return Ok(()),
            }
        }
    }

    /// The sequence below which everything matching goes when the newest `keep` stay.
    fn below_newest(
        &self,
        id: u32,
        name: &str,
        ask: &PurgeAsk,
        keep: u64,
    ) -> Result<u64, PurgeError> {
        let (scan, last, group) = {
            let core = self.enter()?;
            let gone = || PurgeError::StreamGone {
                stream: name.to_owned(),
            };
            let stream = core.state.stream(id).ok_or_else(gone)?;
            let filters = ask.filter.clone().into_iter().collect();
            (core.scan_of(id, filters), stream.last, stream.group)
        };
        // What is not yet in the store is, then.
        self.wait(group)?;
        if keep == 0 {
            return Ok(last + 1);
        }
        let scan = Scan { to: last, ..scan };
        let newest = self.store.read(|reader| {
            let (mut left, mut below) = (keep, scan.from);
            let mut holes = super::load::Holes::default();
            reader.blocks_back(id, last, |block| {
                for seq in (block.first_seq().max(scan.from)..=block.last_seq().min(last)).rev() {
                    let record = block
                        .record_at_seq(seq)
                        .map_err(|why| super::load::damaged(block, &why))?;
                    if scan.wants(record.subject)
                        && !scan.is_gone(reader, &mut holes, seq, record.subject)?
                    {
                        left -= 1;
                        if left == 0 {
                            below = seq;
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                }
                let more = block.first_seq() > scan.from;
                Ok(if more {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                })
            })?;
            Ok(below)
        });
        newest.map_err(|why| self.failed(why).into())
    }

    /// Deletes one message.
    pub(crate) fn delete(&self, id: u32, name: &str, seq: Seq) -> Result<(), PurgeError> {
        let (answer, group) = self.run(|core| {
            let moment = core.now(&self.clock);
            core.state.now = core.state.now.max(moment.now);
            let answer = core.state.delete(id, seq.get())?;
            let absent = core.state.catalog_group();
            let group = core.state.stream(id).map_or(absent, |known| known.group);
            Ok((answer, group))
        })?;
        self.wait(group)?;
        answer.map_err(|why| match why {
            PurgeError::StreamGone { .. } => PurgeError::StreamGone {
                stream: name.to_owned(),
            },
            why => why,
        })
    }
}
