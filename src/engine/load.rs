//! Reading what rules need from the log, outside the lock.

use super::Engine;
use super::scan::Scan;
use crate::error::Unavailable;
use crate::format::{Block, BlockError, RecordRef};
use crate::state::{EarlierNeed, Facts, LastNeed, Looked, Need, Stored, WINDOW};
use crate::state::{runset::RunSet, window_of};
use crate::store::{Reader, StoreError};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes of messages that are read at once; what is left out is asked for again.
const LOADED_BYTES: u64 = 16 << 20;

impl Engine {
    /// Reads what is needed and supplies it. Returns which messages were supplied.
    pub(crate) fn load(&self, need: &Need) -> Result<Vec<(u32, u64)>, Unavailable> {
        match need {
            Need::Window { stream, window } => self.load_window(*stream, *window)?,
            Need::Facts { stream, seq } => self.load_facts(*stream, *seq)?,
            Need::Oldest {
                stream,
                subject,
                from,
                to,
            } => self.load_oldest(*stream, subject, *from, *to)?,
            Need::Last(need) => self.load_last(need)?,
            Need::Earlier(need) => self.load_earlier(need)?,
            Need::Messages(wanted) => return self.load_messages(wanted),
            Need::Scheduled { stream, numbers } => self.load_scheduled(*stream, numbers)?,
        }
        Ok(Vec::new())
    }

    /// Reads what is needed; what is damaged is marked, and the rule does without it.
    pub(crate) fn load_or_mark(&self, need: &Need) -> Result<Vec<(u32, u64)>, Unavailable> {
        let readable = self.enter_closing()?.state.exclusions;
        let place = match self.load(need) {
            Err(Unavailable::Damaged { place }) => place,
            loaded => return loaded,
        };
        match need {
            Need::Messages(wanted) => self.load_each_or_mark(wanted),
            Need::Scheduled { stream, numbers } => {
                self.load_each_scheduled_or_mark(*stream, numbers)?;
                Ok(Vec::new())
            }
            Need::Facts { stream, .. }
            | Need::Window { stream, .. }
            | Need::Oldest { stream, .. }
            | Need::Last(LastNeed { stream, .. })
            | Need::Earlier(EarlierNeed { stream, .. }) => {
                let mut core = self.enter_closing()?;
                core.state.mark_stream_unreadable(*stream, place, readable);
                Ok(Vec::new())
            }
        }
    }

    /// Reads them one by one, as many as are read at once, and marks those that are damaged.
    fn load_each_or_mark(&self, wanted: &[(u32, u64)]) -> Result<Vec<(u32, u64)>, Unavailable> {
        let (mut supplied, mut bytes) = (Vec::new(), 0);
        for (stream, seq) in wanted {
            let readable = self.enter_closing()?.state.exclusions;
            match self.load_messages(&[(*stream, *seq)]) {
                Ok(loaded) => {
                    supplied.extend(loaded);
                    bytes += self.enter_closing()?.state.supplied_bytes(*stream, *seq);
                }
                Err(Unavailable::Damaged { .. }) => {
                    let mut core = self.enter_closing()?;
                    core.state.mark_unreadable(*stream, *seq, readable);
                }
                Err(why) => return Err(why),
            }
            if bytes >= LOADED_BYTES {
                break;
            }
        }
        Ok(supplied)
    }

    fn load_window(&self, stream: u32, window: u64) -> Result<(), Unavailable> {
        let evictions =
            |core: &super::Core| core.state.stream(stream).map(|s| s.windows.evictions());
        let Some(before) = evictions(&*self.enter_closing()?) else {
            return Ok(());
        };
        let dead = self
            .store
            .read(|reader| read_window(reader, stream, window));
        let dead = dead.map_err(|why| self.failed(why))?;
        let mut core = self.enter_closing()?;
        if let Some(stream) = core.state.streams.get_mut(&stream) {
            stream.windows.supply(window, dead, before);
        }
        Ok(())
    }

    fn load_facts(&self, stream: u32, seq: u64) -> Result<(), Unavailable> {
        let facts = self.store.read(|reader| {
            let mut facts = None;
            reader.blocks_from(stream, seq, |block| {
                facts = Some(facts_of(block)?);
                Ok(ControlFlow::Break(()))
            })?;
            Ok(facts)
        });
        let facts = facts.map_err(|why| self.failed(why))?;
        let covers = facts.as_ref().is_some_and(|facts| facts.get(seq).is_some());
        let mut core = self.enter_closing()?;
        let Some(known) = core.state.streams.get_mut(&stream) else {
            return Ok(());
        };
        if let Some(facts) = facts {
            known.supply_facts(Arc::new(facts));
        }
        if !covers && known.is_expected(seq) {
            return Err(missing(stream, seq));
        }
        Ok(())
    }

    /// Looks for the first message on a subject, outside the lock and by the blocks' summaries.
    fn load_oldest(
        &self,
        stream: u32,
        subject: &Arc<str>,
        from: u64,
        to: u64,
    ) -> Result<(), Unavailable> {
        // A subject that is stored is a filter that matches nothing but itself.
        let filters: Vec<_> = subject.parse().into_iter().collect();
        let mut scan = self.enter_closing()?.scan_of(stream, filters);
        (scan.from, scan.to, scan.messages) = (from, to, 1);
        let seq = loop {
            let found = self.store.read(|reader| scan.collect(reader));
            let found = found.map_err(|why| self.failed(why))?;
            if let Some(first) = found.messages.first() {
                break first.seq;
            }
            if found.next > to {
                break found.next;
            }
            if found.next <= scan.from {
                // What was asked for may have left meanwhile; then the rule looks again.
                let must = self.enter_closing()?.state.must_log(stream, scan.from);
                return if must {
                    Err(missing(stream, scan.from))
                } else {
                    Ok(())
                };
            }
            scan.from = found.next;
        };
        if let Some(known) = self.enter_closing()?.state.streams.get_mut(&stream) {
            known.crowded.supply(Arc::clone(subject), from, seq);
        }
        Ok(())
    }

    fn load_last(&self, need: &LastNeed) -> Result<(), Unavailable> {
        let scan = {
            let core = self.enter_closing()?;
            core.scan_of(need.stream, vec![need.filter.clone()])
        };
        let scan = Scan {
            from: scan.from.max(need.from),
            to: scan.to.min(need.to),
            ..scan
        };
        let found = self.last_matching(&scan).map_err(|why| self.failed(why))?;
        let looked = Looked {
            to: need.to,
            from: need.from,
            found,
        };
        self.enter_closing()?.state.supply_last(need, looked);
        Ok(())
    }

    fn load_messages(&self, wanted: &[(u32, u64)]) -> Result<Vec<(u32, u64)>, Unavailable> {
        let found = self.store.read(|reader| {
            let (mut found, mut left) = (Vec::new(), LOADED_BYTES);
            while let Some(rest) = wanted.get(found.len()..).filter(|_| left > 0) {
                let Some((stream, _)) = rest.first() else {
                    break;
                };
                let seqs = rest.iter().take_while(|(of, _)| of == stream);
                let seqs = seqs.map(|(_, seq)| *seq);
                let run = read_run(reader, *stream, seqs, left)?;
                let read: u64 = run.iter().flatten().map(Stored::size).sum();
                left = left.saturating_sub(read);
                found.extend(run);
            }
            Ok(found)
        });
        let found: Vec<Option<Stored>> = found.map_err(|why| self.failed(why))?;
        let mut core = self.enter_closing()?;
        for ((stream, seq), stored) in wanted.iter().zip(found) {
            if let Some(stored) = stored {
                core.state.supply_message(*stream, Arc::new(stored));
            } else {
                let known = core.state.stream(*stream);
                if known.is_some_and(|known| known.is_expected(*seq)) {
                    return Err(missing(*stream, *seq));
                }
            }
        }
        Ok(wanted.to_vec())
    }
}

/// What a stream's counters say is stored, but the log does not hold.
pub(crate) fn missing(stream: u32, seq: u64) -> Unavailable {
    Unavailable::Damaged {
        place: format!("stream {stream}: no block holds message {seq}"),
    }
}

/// The holes of a window as the store has them.
pub(crate) fn read_window(reader: &Reader, stream: u32, window: u64) -> Result<RunSet, StoreError> {
    let key = crate::changes::RowKey::new(crate::changes::Table::Holes, stream, window);
    let Some(row) = reader.row(key)? else {
        return Ok(RunSet::default());
    };
    let damaged = |why: String| StoreError::Damaged {
        place: format!("holes of stream {stream}, window {window}: {why}"),
    };
    // At worst every other sequence is deleted.
    let (dead, rest) =
        RunSet::decode(&row, WINDOW as usize).map_err(|why| damaged(why.to_string()))?;
    if rest.is_empty() {
        Ok(dead)
    } else {
        Err(damaged("bytes are left over".into()))
    }
}

/// One message of the log, deleted or not.
pub(crate) fn read_message(
    reader: &Reader,
    stream: u32,
    seq: u64,
) -> Result<Option<Stored>, StoreError> {
    let run = read_run(reader, stream, std::iter::once(seq), u64::MAX)?;
    Ok(run.into_iter().next().flatten())
}

/// The first of these messages, and as many behind it as its block has, up to so many bytes: a block is read and
/// verified as a whole, so whoever wants many messages must not do that for each. The first is answered for in any case.
pub(crate) fn read_run(
    reader: &Reader,
    stream: u32,
    seqs: impl Iterator<Item = u64>,
    bytes: u64,
) -> Result<Vec<Option<Stored>>, StoreError> {
    let mut seqs = seqs.peekable();
    let Some(first) = seqs.peek().copied() else {
        return Ok(Vec::new());
    };
    let (mut found, mut left) = (Vec::new(), bytes);
    reader.blocks_back(stream, first, |block| {
        let held = block.first_seq()..=block.last_seq();
        for seq in seqs.by_ref().take_while(|seq| held.contains(seq)) {
            let record = block
                .record_at_seq(seq)
                .map_err(|why| damaged(block, &why))?;
            let message = stored(&record, Arc::from(record.subject));
            left = left.saturating_sub(message.size());
            found.push(Some(message));
            if left == 0 {
                break;
            }
        }
        Ok(ControlFlow::Break(()))
    })?;
    if found.is_empty() {
        found.push(None);
    }
    Ok(found)
}

pub(crate) fn damaged(block: &Block<'_>, why: &BlockError) -> StoreError {
    let place = format!(
        "stream {}, block {}: {why}",
        block.stream(),
        block.first_seq()
    );
    StoreError::Damaged { place }
}

/// A record, copied out of its block (R12).
pub(crate) fn stored(record: &RecordRef<'_>, subject: Arc<str>) -> Stored {
    Stored {
        seq: record.seq,
        time: record.time,
        subject,
        id: record.id.map(str::to_owned),
        headers: record.headers.to_headers(),
        payload: record.payload.to_vec().into(),
    }
}

fn facts_of(block: &Block<'_>) -> Result<Facts, StoreError> {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut facts = Facts {
        first: block.first_seq(),
        ..Facts::default()
    };
    for record in block.records() {
        let record = record.map_err(|why| damaged(block, &why))?;
        let number = *numbers.entry(record.subject).or_insert_with(|| {
            facts.subjects.push(Arc::from(record.subject));
            facts.subjects.len() as u32 - 1
        });
        facts.records.push((number, size_of(&record), record.time));
    }
    Ok(facts)
}

/// What a record counts for: the same as `Stored::size`.
pub(crate) fn size_of(record: &RecordRef<'_>) -> u64 {
    let headers: usize = record
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let id = record.id.map_or(0, str::len);
    (record.subject.len() + id + headers + record.payload.len()) as u64
}

/// Windows of holes, read once each while a scan goes on.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    read: HashMap<u64, RunSet>,
}

impl Holes {
    pub(crate) fn is_hole(
        &mut self,
        reader: &Reader,
        stream: u32,
        seq: u64,
    ) -> Result<bool, StoreError> {
        let window = window_of(seq);
        if let Some(known) = self.read.get(&window) {
            return Ok(known.contains(seq));
        }
        let dead = read_window(reader, stream, window)?;
        let is_hole = dead.contains(seq);
        self.read.insert(window, dead);
        Ok(is_hole)
    }
}
