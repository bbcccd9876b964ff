//! Checking a store: every counter is recomputed from the raw tables.

use super::Engine;
use super::check_ids::{IdsBySeq, check_ids};
use super::check_removals::{check_removals, has_left, left};
use super::exclude::unreadable;
use super::load::{Holes, damaged, size_of};
use crate::changes::Table;
use crate::error::Unavailable;
use crate::format::RecordRef;
use crate::format::rows::{ExpiriesRow, ScheduledRow, decode_row};
use crate::state::{ConsumerAudit, MARKER_REASON, StreamAudit};
use crate::store::{Reader, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Tries to find the store at rest before giving up.
pub(super) const TRIES: usize = 100;

impl Engine {
    /// Everything that is wrong; nothing, if all is well. It waits for a moment without changes.
    pub(crate) fn check(&self) -> Result<Vec<String>, Unavailable> {
        for _ in 0..TRIES {
            // Also a commit that has nothing in it, as the idle one, is waited for.
            let group = self.enter()?.state.group;
            self.wait(group)?;
            // The raw tables are those of the database.
            self.checkpoint_all()?;
            let (mut wrong, audits, group) = {
                let core = self.enter()?;
                if core.state.has_work() || core.leading {
                    continue;
                }
                (core.state.audit(), core.state.audits(), core.state.group)
            };
            let raw = self.store.read(|reader| {
                let (mut wrong, mut blocks) = (Vec::new(), BTreeSet::new());
                for audit in &audits {
                    or_tell(check_rows(reader, audit, &mut wrong), &mut wrong)?;
                    let scheduled = check_scheduled(reader, audit, &mut wrong);
                    or_tell(scheduled, &mut wrong)?;
                    let expiries = check_expiries(reader, audit, &mut wrong);
                    or_tell(expiries, &mut wrong)?;
                    or_tell(check_removals(reader, audit, &mut wrong), &mut wrong)?;
                    or_tell(check_ids(reader, audit, &mut wrong), &mut wrong)?;
                    let checked = check_stream(reader, audit, &mut blocks, &mut wrong);
                    let damaged = matches!(checked, Err(StoreError::Damaged { .. }));
                    or_tell(checked, &mut wrong)?;
                    if damaged {
                        let unreadable = unreadable(reader, audit, &mut wrong);
                        or_tell(unreadable, &mut wrong)?;
                    }
                }
                let counted = self.check_used_bytes(reader, &mut wrong);
                or_tell(counted, &mut wrong)?;
                wrong.extend(reader.lone_summaries(&blocks)?);
                Ok(wrong)
            });
            match raw {
                Ok(raw) => wrong.extend(raw),
                Err(StoreError::Damaged { place }) => wrong.push(format!("damaged: {place}")),
                Err(why) => return Err(self.failed(why)),
            }
            let core = self.enter()?;
            if core.state.group == group && !core.state.has_work() {
                return Ok(wrong);
            }
        }
        Ok(vec![
            "the store was never at rest; check it when it is quiet".into(),
        ])
    }

    fn check_used_bytes(&self, reader: &Reader, wrong: &mut Vec<String>) -> Result<(), StoreError> {
        let (said, counted) = (self.store.used_bytes(), reader.count_used_bytes()?);
        if said != counted {
            wrong.push(format!("bytes in use {said}, counted {counted}"));
        }
        Ok(())
    }
}

/// Damage that ended one part of the check is told, and the others go on.
fn or_tell(checked: Result<(), StoreError>, wrong: &mut Vec<String>) -> Result<(), StoreError> {
    match checked {
        Err(StoreError::Damaged { place }) => wrong.push(format!("damaged: {place}")),
        checked => return checked,
    }
    Ok(())
}

/// The stream and its consumers are stored as they are known.
fn check_rows(
    reader: &Reader,
    audit: &StreamAudit,
    wrong: &mut Vec<String>,
) -> Result<(), StoreError> {
    for (key, value) in &audit.rows {
        if reader.row(*key)?.as_ref() != Some(value) {
            let (name, table, id) = (&audit.name, key.table, key.id);
            wrong.push(format!(
                "stream `{name}`: row {id} of {table:?} is stored otherwise"
            ));
        }
    }
    Ok(())
}

/// The rows of messages that wait for their time are those that the index names.
fn check_scheduled(
    reader: &Reader,
    audit: &StreamAudit,
    wrong: &mut Vec<String>,
) -> Result<(), StoreError> {
    let (mut rows, mut failed) = (BTreeMap::new(), None);
    reader.rows(Table::Scheduled, Some(audit.id), 0, |key, value| {
        match decode_row::<ScheduledRow>(value) {
            Ok(row) => {
                // One that comes again has its first time here; its next is one of those that follow.
                let known = audit.scheduled.get(&key.part).map_or(0, |known| known.0);
                let repeat = row.repeat.as_ref();
                let due = repeat.filter(|repeat| repeat.comes_at(row.due, known));
                let due = due.map_or(row.due, |_| known);
                rows.insert(key.part, (due, row.size(), repeat.is_some()));
            }
            Err(why) => {
                let place = format!("scheduled message {} of `{}`: {why}", key.part, audit.name);
                failed.get_or_insert(StoreError::Damaged { place });
            }
        }
        ControlFlow::Continue(())
    })?;
    if rows != audit.scheduled && failed.is_none() {
        wrong.push(format!(
            "stream `{}`: {} messages wait for their time, {} rows of such, not the same",
            audit.name,
            audit.scheduled.len(),
            rows.len()
        ));
    }
    failed.map_or(Ok(()), Err)
}

/// The rows that say when messages expire are what is known of it.
fn check_expiries(
    reader: &Reader,
    audit: &StreamAudit,
    wrong: &mut Vec<String>,
) -> Result<(), StoreError> {
    let (mut rows, mut failed) = (BTreeMap::new(), None);
    reader.rows(Table::Expiries, Some(audit.id), 0, |key, value| {
        match decode_row::<ExpiriesRow>(value) {
            Ok(ExpiriesRow { entries, markers }) => {
                let marked = |seq: &u64| markers.contains(seq);
                let entries = entries.into_iter();
                rows.extend(entries.map(|(seq, time)| (seq, (time, marked(&seq)))));
            }
            Err(why) => {
                let place = format!("expiries {} of `{}`: {why}", key.part, audit.name);
                failed.get_or_insert(StoreError::Damaged { place });
            }
        }
        ControlFlow::Continue(())
    })?;
    if rows != audit.expiries && failed.is_none() {
        wrong.push(format!(
            "stream `{}`: {} messages have a time to live, stored are {}, not the same",
            audit.name,
            audit.expiries.len(),
            rows.len()
        ));
    }
    failed.map_or(Ok(()), Err)
}

/// What the blocks of a stream add up to.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    holes: u64,
    pub(super) next: u64,
    pub(super) time: u64,
    /// By subject: how many messages, the last and the first of them.
    pub(super) subjects: BTreeMap<String, (u64, u64, u64)>,
    /// By consumer: messages ahead of it, and held ones that exist.
    pub(super) ahead: Vec<(u64, u64)>,
    /// Messages that no consumer needs.
    unneeded: u64,
    /// Messages that have a time to live.
    expiring: u64,
    /// Messages that are said to have left.
    left: u64,
}

fn check_stream(
    reader: &Reader,
    audit: &StreamAudit,
    blocks: &mut BTreeSet<(u32, u64)>,
    wrong: &mut Vec<String>,
) -> Result<(), StoreError> {
    let mut sum = Sum::of(audit);
    let mut holes = Holes::default();
    let (gone, ids) = (left(audit), IdsBySeq::of(audit));
    reader.blocks_from(audit.id, audit.head, |block| {
        block.verify().map_err(|why| damaged(block, &why))?;
        blocks.insert((audit.id, block.first_seq()));
        wrong.extend(reader.wrong_summary(block)?);
        for record in block.records() {
            let record = record.map_err(|why| damaged(block, &why))?;
            if record.seq < audit.head || record.seq > audit.last {
                continue;
            }
            if record.seq != sum.next {
                wrong.push(format!("stream `{}`: no message {}", audit.name, sum.next));
            }
            if record.time < sum.time {
                wrong.push(format!(
                    "stream `{}`: time goes back at {}",
                    audit.name, record.seq
                ));
            }
            (sum.next, sum.time) = (record.seq + 1, record.time);
            if holes.is_hole(reader, audit.id, record.seq)? {
                sum.holes += 1;
                continue;
            }
            sum.left += u64::from(record.seq >= audit.first && has_left(&gone, record.seq));
            if ids.contradicts(audit, &record) {
                wrong.push(format!(
                    "stream `{}`: {} has another id than is remembered",
                    audit.name, record.seq
                ));
            }
            let marker = audit.expiries.get(&record.seq).is_some_and(|known| known.1);
            if marker && !is_marker(&record) {
                wrong.push(format!(
                    "stream `{}`: {} is no marker",
                    audit.name, record.seq
                ));
            }
            sum.add(audit, record.seq, record.subject, size_of(&record));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    sum.compare(audit, wrong);
    Ok(())
}

impl Sum {
    /// Nothing yet.
    pub(super) fn of(audit: &StreamAudit) -> Self {
        Self {
            next: audit.head,
            ahead: audit.consumers.iter().map(|_| (0, 0)).collect(),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, audit: &StreamAudit, seq: u64, subject: &str, size: u64) {
        self.messages += 1;
        self.bytes += size;
        self.expiring += u64::from(audit.expiries.contains_key(&seq));
        let known = self.subjects.entry(subject.to_owned());
        let known = known.or_insert((0, seq, seq));
        *known = (known.0 + 1, seq, known.2);
        let mut needed = false;
        for (consumer, (ahead, held)) in audit.consumers.iter().zip(&mut self.ahead) {
            let is_ahead = seq >= consumer.next && wants(consumer, subject);
            let is_held = consumer.held.binary_search(&seq).is_ok();
            *ahead += u64::from(is_ahead);
            *held += u64::from(is_held);
            needed |= is_ahead || is_held;
        }
        self.unneeded += u64::from(!needed);
    }

    fn compare(&self, audit: &StreamAudit, wrong: &mut Vec<String>) {
        let mut same = |what: &str, counted: u64, said: u64| {
            if counted != said {
                wrong.push(format!(
                    "stream `{}`: {what} {said}, counted {counted}",
                    audit.name
                ));
            }
        };
        same("messages", self.messages, audit.messages);
        same("bytes", self.bytes, audit.bytes);
        same("holes", self.holes, audit.holes);
        same("expiring", self.expiring, audit.expiries.len() as u64);
        same("messages that left and are stored", self.left, 0);
        same("end", self.next, audit.last + 1);
        if audit.only_needed {
            same("messages that no consumer needs", self.unneeded, 0);
        }
        same(
            "subjects",
            self.subjects.len() as u64,
            audit.subjects.len() as u64,
        );
        for (name, (count, last, first)) in &self.subjects {
            let (said, bound, least) = audit
                .subjects
                .get(name.as_str())
                .copied()
                .unwrap_or_default();
            same(&format!("messages on `{name}`"), *count, said);
            if audit.last_gone.contains(name.as_str()) {
                let what = format!("last on `{name}`, or more,");
                same(&what, (*last).max(bound), bound);
            } else {
                same(&format!("last on `{name}`"), *last, bound);
            }
            same(
                &format!("first on `{name}`, or less,"),
                (*first).min(least),
                least,
            );
        }
        for (consumer, (ahead, held)) in audit.consumers.iter().zip(&self.ahead) {
            let name = &consumer.name;
            same(&format!("pending of `{name}`"), *ahead, consumer.pending);
            same(
                &format!("held by `{name}`"),
                *held,
                consumer.held.len() as u64,
            );
        }
    }
}

fn is_marker(record: &RecordRef<'_>) -> bool {
    let mut headers = record.headers.iter();
    record.payload.is_empty() && headers.any(|(name, _)| name == MARKER_REASON)
}

fn wants(consumer: &ConsumerAudit, subject: &str) -> bool {
    consumer.filters.is_empty()
        || consumer
            .filters
            .iter()
            .any(|filter| filter.matches(subject))
}
