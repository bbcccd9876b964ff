//! Explaining a sequence: facts of the state, told when they are durable (R1), and a look for dead letters.

use super::Engine;
use super::scan::Scan;
use super::start::ConsumerRef;
use crate::error::{ReadError, Unavailable};
use crate::explain::{ConsumerFate, Explanation};
use crate::seq::Seq;
use crate::state::{Copies, Envelope, Explained};
use crate::subject::SubjectFilter;

/// Copies of one consumer that are looked at.
const COPIES_MAX: usize = 10_000;
/// Copies that are read at once.
const CHUNK: usize = 500;
/// Bytes of copies that are read at once.
const CHUNK_BYTES: u64 = 1 << 20;

impl Engine {
    /// What became of a sequence, for one consumer or all; `None` when the stream is gone.
    pub(crate) fn explain(
        &self,
        stream: u32,
        name: &str,
        seq: Seq,
        whom: Option<&ConsumerRef>,
    ) -> Result<Option<Explanation>, Unavailable> {
        let (explained, group) = self.run(|core| {
            let now = core.now(&self.clock).now;
            let known = core.state.stream(stream);
            let whom = match (whom, known) {
                (Some(whom), _) => vec![whom.id],
                (None, Some(known)) => known.consumers.iter().copied().collect(),
                (None, None) => Vec::new(),
            };
            for id in &whom {
                core.state.end_delays_of(*id, now);
                core.state.save_cursor(*id);
            }
            let explained = core.state.explain(stream, seq.get(), &whom)?;
            let observed = whom.iter().map(|id| core.observed(*id));
            let own = core.state.stream(stream).map_or(0, |known| known.group);
            let group = observed.fold(core.state.catalog_group().max(own), u64::max);
            Ok((explained, group))
        })?;
        self.wait(group)?;
        let Some(Explained { message, consumers }) = explained else {
            return Ok(None);
        };
        let mut explanation = Explanation {
            stream: name.to_owned(),
            seq,
            message,
            consumers: std::collections::BTreeMap::new(),
        };
        for (consumer, fate, copies) in consumers {
            let copy = match &copies {
                Some(copies) => self.copy_of(copies, (name, &consumer), seq.get())?,
                None => None,
            };
            explanation.consumers.insert(consumer, copy.unwrap_or(fate));
        }
        Ok(Some(explanation))
    }

    /// The copy of a message in a dead-letter stream.
    fn copy_of(
        &self,
        copies: &Copies,
        (stream, consumer): (&str, &str),
        seq: u64,
    ) -> Result<Option<ConsumerFate>, Unavailable> {
        let Ok(filter) = copies.subject.parse::<SubjectFilter>() else {
            return Ok(None);
        };
        let all = match self.durable_scan(copies.id, &copies.name, vec![filter]) {
            Ok(scan) => scan,
            Err(ReadError::Unavailable(why)) => return Err(why),
            // The dead-letter stream is gone, and the copy with it.
            Err(_) => return Ok(None),
        };
        let (mut from, mut looked) = (all.from, 0);
        while from <= all.to && looked < COPIES_MAX {
            let scan = Scan {
                from,
                messages: CHUNK,
                bytes: CHUNK_BYTES,
                ..all.clone()
            };
            let found = self.store.read(|reader| scan.collect(reader));
            let found = found.map_err(|why| self.failed(why))?;
            let is_it = |envelope: &Envelope| {
                let same = envelope.stream == stream && envelope.consumer == consumer;
                let published = copies.published.is_none_or(|time| time == envelope.time);
                same && envelope.seq == seq && published
            };
            for copy in &found.messages {
                if Envelope::read(copy).as_ref().is_ok_and(is_it) {
                    let (to, to_seq) = (copies.name.clone(), Seq::new(copy.seq));
                    return Ok(Some(ConsumerFate::DeadLettered { to, to_seq }));
                }
            }
            looked += found.messages.len();
            if found.next <= from {
                break;
            }
            from = found.next;
        }
        Ok(None)
    }
}
