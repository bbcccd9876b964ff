//! The last message of each subject, where a new consumer that wants those starts.

use super::Engine;
use super::core::Core;
use super::scan::Scan;
use crate::config::SET_ASIDE_MAX;
use crate::error::{ConsumerError, Unavailable};
use crate::state::Start;
use crate::store::StoreError;
use crate::subject::SubjectFilter;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

/// Last messages that were looked up in the log, because memory only has an upper bound of them.
#[derive(Debug, Default)]
pub(super) struct LookedUp {
    /// Deletions from the inside of the stream when it was looked.
    kills: u64,
    /// By subject: the upper bound at that time, and what was found.
    found: HashMap<String, (u64, Option<u64>)>,
}

/// What is known of the last messages of the subjects that match.
pub(super) enum Lasts {
    All(Start),
    /// The last messages of these are deleted, so that the ones before must be looked up; each with its
    /// upper bound.
    Missing(HashMap<String, u64>),
}

impl Core {
    /// Where a consumer of the last message of each subject starts, as far as memory and what was
    /// looked up say.
    pub(super) fn last_of_each(
        &self,
        stream: u32,
        filters: &[SubjectFilter],
        looked_up: &LookedUp,
    ) -> Result<Lasts, ConsumerError> {
        let Some(known) = self.state.stream(stream) else {
            return Ok(Lasts::Missing(HashMap::new()));
        };
        let subjects = known.subjects.matching(filters).count() as u64;
        if subjects > SET_ASIDE_MAX {
            return Err(ConsumerError::TooManySubjects {
                stream: known.config.name.clone(),
                subjects,
                limit: SET_ASIDE_MAX,
            });
        }
        let (mut due, mut missing) = (Vec::new(), HashMap::new());
        for subject in known.subjects.matching(filters) {
            let bound = subject.last;
            let found = looked_up.found.get(&*subject.name);
            let found = found
                .filter(|(at, _)| *at == bound && looked_up.kills == known.kills)
                .map(|(_, found)| *found);
            match (known.is_hole(bound), found) {
                (Ok(false), _) => due.push(bound),
                (_, Some(Some(found))) if found >= known.first() => due.push(found),
                // Messages are counted on it, and the log has none.
                (_, Some(None)) => return Err(super::load::missing(stream, bound).into()),
                _ => drop(missing.insert(subject.name.to_string(), bound)),
            }
        }
        if !missing.is_empty() {
            return Ok(Lasts::Missing(missing));
        }
        due.sort_unstable();
        Ok(Lasts::All(Start {
            next: known.last + 1,
            live: 0,
            due,
        }))
    }
}

impl Engine {
    /// Looks the last messages of subjects up. `kills` is the stream's count of deletions, all of which
    /// are in the store by now.
    pub(super) fn look_up_lasts(
        &self,
        stream: u32,
        missing: HashMap<String, u64>,
        kills: u64,
    ) -> Result<LookedUp, Unavailable> {
        let scan = self.enter()?.scan_of(stream, Vec::new());
        let found = self.store.read(|reader| lasts(&scan, reader, &missing));
        let found = found.map_err(|why| self.failed(why))?;
        let both = |(name, bound): (String, u64)| {
            let seq = found.get(&name).copied();
            (name, (bound, seq))
        };
        Ok(LookedUp {
            kills,
            found: missing.into_iter().map(both).collect(),
        })
    }
}

/// The last living message of each of these subjects: one pass back over the log, as far as needed.
fn lasts(
    scan: &Scan,
    reader: &crate::store::Reader,
    wanted: &HashMap<String, u64>,
) -> Result<HashMap<String, u64>, StoreError> {
    let mut left: HashSet<&str> = wanted.keys().map(String::as_str).collect();
    let from = wanted.values().copied().max().unwrap_or(0).min(scan.to);
    let (mut found, mut holes) = (HashMap::new(), super::load::Holes::default());
    reader.blocks_back(scan.stream, from, |block| {
        if block.last_seq() < scan.from {
            return Ok(ControlFlow::Break(()));
        }
        if block.subjects().any(|known| left.contains(known.subject)) {
            let seqs = block.first_seq().max(scan.from)..=block.last_seq().min(scan.to);
            for seq in seqs.rev() {
                let record = block.record_at_seq(seq);
                let record = record.map_err(|why| super::load::damaged(block, &why))?;
                if left.contains(record.subject)
                    && !scan.is_gone(reader, &mut holes, seq, record.subject)?
                {
                    left.remove(record.subject);
                    found.insert(record.subject.to_owned(), seq);
                }
            }
        }
        Ok(if left.is_empty() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    Ok(found)
}
