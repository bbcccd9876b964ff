//! Reading the messages that a rollup replaces, outside the lock.

use super::Engine;
use super::load::{Holes, damaged, read_window, size_of};
use super::scan::Scan;
use crate::error::Unavailable;
use crate::state::{EarlierNeed, Fact, Found, windows_of};
use crate::store::{Reader, StoreError};
use crate::subject::SubjectFilter;
use std::ops::ControlFlow;
use std::sync::Arc;

impl Engine {
    /// Reads what the log has of some subjects, and the holes around it.
    pub(super) fn load_earlier(&self, need: &EarlierNeed) -> Result<(), Unavailable> {
        let mut looks = Vec::new();
        let evictions = {
            let core = self.enter_closing()?;
            for (subject, count) in &need.subjects {
                let filter = SubjectFilter::try_from(subject.as_str());
                let scan = core.scan_of(need.stream, filter.into_iter().collect());
                let stream = core.state.stream(need.stream);
                let known = stream.and_then(|stream| stream.subjects.get(subject));
                looks.push(Look {
                    subject: subject.clone(),
                    to: scan.to,
                    scan: Scan {
                        // None is newer, so nothing is read that only has others.
                        to: known.map_or(scan.to, |known| known.last.min(scan.to)),
                        ..scan
                    },
                    count: *count,
                });
            }
            let stream = core.state.stream(need.stream);
            stream.map_or(0, |stream| stream.windows.evictions())
        };
        let read = self.store.read(|reader| {
            let (mut found, mut windows) = (Vec::new(), std::collections::BTreeSet::new());
            for look in &looks {
                let (facts, complete) = newest(reader, &look.scan, look.count)?;
                windows.extend(windows_of(&facts));
                found.push((
                    look.subject.clone(),
                    Found {
                        to: look.to,
                        facts: Arc::new(facts),
                        complete,
                    },
                ));
            }
            let mut holes = Vec::new();
            for window in windows {
                holes.push((window, read_window(reader, need.stream, window)?));
            }
            Ok((found, holes))
        });
        let (found, holes) = read.map_err(|why| self.failed(why))?;
        // All of it in one go: a commit in between might let windows go.
        let mut core = self.enter_closing()?;
        if let Some(stream) = core.state.streams.get_mut(&need.stream) {
            for (window, dead) in holes {
                stream.windows.supply(window, dead, evictions);
            }
        }
        for (subject, found) in found {
            core.state.supply_earlier(need.stream, subject, found);
        }
        Ok(())
    }
}

/// A subject whose messages are looked for.
struct Look {
    subject: String,
    scan: Scan,
    /// Up to here it is known then.
    to: u64,
    count: u64,
}

/// The newest messages of a scan, at most so many, in order, and whether that is all.
fn newest(reader: &Reader, scan: &Scan, count: u64) -> Result<(Vec<Fact>, bool), StoreError> {
    let (mut facts, mut complete) = (Vec::new(), true);
    let mut holes = Holes::default();
    reader.blocks_back(scan.stream, scan.to, |block| {
        if block.last_seq() < scan.from {
            return Ok(ControlFlow::Break(()));
        }
        if !block.subjects().any(|known| scan.wants(known.subject)) {
            return Ok(ControlFlow::Continue(()));
        }
        for seq in (block.first_seq().max(scan.from)..=block.last_seq().min(scan.to)).rev() {
            let record = block.record_at_seq(seq);
            let record = record.map_err(|why| damaged(block, &why))?;
            if !scan.wants(record.subject)
                || scan.is_gone(reader, &mut holes, seq, record.subject)?
            {
                continue;
            }
            facts.push(Fact {
                seq,
                subject: Arc::from(record.subject),
                size: size_of(&record),
                time: record.time,
            });
            if facts.len() as u64 >= count {
                complete = false;
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    facts.reverse();
    Ok((facts, complete))
}
