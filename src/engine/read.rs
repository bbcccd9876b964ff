//! Reading without consuming. Readers see what is durable, and change nothing.

use super::Engine;
use super::scan::{Found, Scan};
use crate::error::{ReadError, Unavailable};
use crate::state::Stored;
use crate::subject::SubjectFilter;
use std::sync::Arc;

/// Messages that a range reads at once.
const CHUNK: usize = 1_000;
/// Bytes that a range reads at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// What the state knows of the last message on a subject, or of some.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Newest {
    /// Its sequence, in whatever group.
    seq: Option<u64>,
    /// Grows when messages leave the stream.
    removals: u64,
}

impl Engine {
    /// One message, if it is stored.
    pub(crate) fn get(
        &self,
        stream: u32,
        name: &str,
        seq: u64,
    ) -> Result<Option<Arc<Stored>>, ReadError> {
        Ok(self
            .range(stream, name, seq, seq, 1)?
            .messages
            .into_iter()
            .next())
    }

    /// Messages of a range, as many as one read takes, and where the next read begins.
    pub(crate) fn range(
        &self,
        stream: u32,
        name: &str,
        from: u64,
        to: u64,
        messages: usize,
    ) -> Result<Found, ReadError> {
        let scan = self.durable_scan(stream, name, Vec::new())?;
        let (from, to) = (from.max(scan.from), to.min(scan.to));
        if from > to {
            return Ok(Found {
                messages: Vec::new(),
                next: u64::MAX,
            });
        }
        let messages = messages.min(CHUNK);
        let scan = Scan {
            from,
            to,
            messages,
            bytes: CHUNK_BYTES,
            ..scan
        };
        let mut found = self
            .store
            .read(|reader| scan.collect(reader))
            .map_err(|w| self.failed(w))?;
        if found.next > to || found.next <= from && found.messages.is_empty() {
            found.next = u64::MAX;
        }
        self.drop_removed(stream, &mut found)?;
        Ok(found)
    }

    /// Messages that left at the head while they were read are not answered: their holes may have
    /// left before them. That they are gone must be durable before it shows (R1).
    fn drop_removed(&self, stream: u32, found: &mut Found) -> Result<(), Unavailable> {
        let (first, group) = {
            let core = self.enter()?;
            core.state
                .stream(stream)
                .map_or((0, 0), |known| (known.first(), known.group))
        };
        if found
            .messages
            .first()
            .is_some_and(|oldest| oldest.seq < first)
        {
            self.wait(group)?;
            found.messages.retain(|stored| stored.seq >= first);
        }
        Ok(())
    }

    /// The last message on a subject, or on any subject that a filter matches.
    pub(crate) fn last_for_subject(
        &self,
        stream: u32,
        name: &str,
        filter: SubjectFilter,
    ) -> Result<Option<Arc<Stored>>, ReadError> {
        let literal = filter.is_literal();
        let filters = vec![filter];
        let mut settled = None;
        loop {
            let scan = self.durable_scan(stream, name, filters.clone())?;
            let Some((newest, group)) = self.newest(stream, &filters)? else {
                // The scan says so, when that is durable.
                continue;
            };
            if let Some(seq) = newest.seq {
                // No message of one subject is newer; the one itself may be deleted since, then an older one is
                // looked for. Of several subjects one may have left with what is not durable yet.
                let to = if literal { scan.to.min(seq) } else { scan.to };
                let found = self.last_matching(&Scan { to, ..scan });
                if let Some((seq, _)) = found.map_err(|why| self.failed(why))?
                    && let Some(last) = self.get(stream, name, seq)?
                {
                    return Ok(Some(last));
                }
            }
            self.wait(group)?;
            // Whoever replaces it while it is looked for leaves none in sight, though there always was one. So
            // it must not have changed from when all of it was durable to behind the look.
            let again = self.newest(stream, &filters)?.map(|(again, _)| again);
            let unchanged = again.as_ref() == Some(&newest);
            if unchanged && (newest.seq.is_none() || settled == Some(newest)) {
                return Ok(None);
            }
            settled = Some(newest);
        }
    }

    /// What is known of the last message, and the newest group that changed the stream.
    fn newest(
        &self,
        stream: u32,
        filters: &[SubjectFilter],
    ) -> Result<Option<(Newest, u64)>, Unavailable> {
        let core = self.enter()?;
        let newest = core.state.stream(stream).map(|known| {
            let lasts = known.subjects.matching(filters).map(|known| known.last);
            let newest = Newest {
                seq: lasts.max(),
                removals: known.removals,
            };
            (newest, known.group)
        });
        Ok(newest)
    }

    /// A scan of what is durable now.
    pub(super) fn durable_scan(
        &self,
        stream: u32,
        name: &str,
        filters: Vec<SubjectFilter>,
    ) -> Result<Scan, ReadError> {
        let core = self.enter()?;
        let Some(known) = core.state.stream(stream) else {
            let group = core.state.catalog_group();
            drop(core);
            self.wait(group)?;
            return Err(ReadError::StreamGone {
                stream: name.to_owned(),
            });
        };
        if known.marks_group > core.durable {
            // A purge by subject shows when it is durable, and so do the holes that it becomes.
            let group = known.marks_group;
            drop(core);
            self.wait(group)?;
            return self.durable_scan(stream, name, filters);
        }
        let durable = known.durable;
        let marks = known.purges.clone();
        let has_holes = known.has_hole_rows();
        Ok(Scan {
            stream,
            from: durable.first.max(1),
            to: durable.last,
            filters: filters.into(),
            purges: marks,
            has_holes,
            messages: usize::MAX,
            bytes: u64::MAX,
        })
    }

    /// Names of all streams.
    pub(crate) fn stream_names(&self) -> Result<Vec<String>, Unavailable> {
        let (names, group) = {
            let core = self.enter()?;
            let names = core
                .state
                .stream_names()
                .map(|(name, _)| name.clone())
                .collect();
            (names, core.state.catalog_group())
        };
        self.wait(group)?;
        Ok(names)
    }

    /// Names of a stream's consumers; `None` when it is gone.
    pub(crate) fn consumer_names(&self, stream: u32) -> Result<Option<Vec<String>>, Unavailable> {
        let (names, group) = {
            let core = self.enter()?;
            let name = |id: &u32| {
                core.state
                    .consumer(*id)
                    .map(|known| known.config.name.clone())
            };
            let names = core.state.stream(stream).map(|known| {
                let mut names: Vec<String> = known.consumers.iter().filter_map(name).collect();
                names.sort_unstable();
                names
            });
            (names, core.state.catalog_group())
        };
        self.wait(group)?;
        Ok(names)
    }
}
