//! The subjects of a stream: how many messages each has, and how many it ever had.
//!
//! A subject gets a small number when it is first seen, and rows hold a few dozen neighbours by
//! number. So a stream of ever new subjects appends to its last row instead of touching a leaf of its
//! own per subject.

use crate::changes::{Change, RowKey, Table};
use crate::format::rows::{SubjectRow, SubjectsRow, encode_row};
use crate::subject::SubjectFilter;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Subjects in one row.
pub(crate) const SUBJECTS_PER_CHUNK: u32 = 32;

#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) name: Arc<str>,
    pub(crate) count: u64,
    pub(crate) total: u64,
    /// No message of this subject has a higher sequence; the message itself may be deleted.
    pub(crate) last: u64,
    /// No message of this subject has a lower sequence.
    pub(crate) first: u64,
    /// Whether that message was removed.
    pub(crate) last_gone: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Subjects {
    by_number: BTreeMap<u32, Subject>,
    numbers: HashMap<Arc<str>, u32>,
    next: u32,
    dirty: BTreeSet<u32>,
    /// The subject of the last message: the next one often shares it.
    last_noted: Option<(Arc<str>, u32)>,
}

impl Subjects {
    pub(crate) fn len(&self) -> u64 {
        self.by_number.len() as u64
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.numbers.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Subject> {
        self.by_number.get(self.numbers.get(name)?)
    }

    pub(crate) fn next_number(&self) -> u32 {
        self.next
    }

    /// Counts a new message and returns the shared name.
    pub(crate) fn note(&mut self, name: &str, seq: u64) -> Arc<str> {
        let number = match &self.last_noted {
            Some((last, number)) if **last == *name => *number,
            _ => self.number_of(name),
        };
        let Some(subject) = self.by_number.get_mut(&number) else {
            unreachable!("a subject's number leads to the subject")
        };
        if subject.count == 0 {
            subject.first = seq;
        }
        subject.count += 1;
        subject.total += 1;
        (subject.last, subject.last_gone) = (seq, false);
        Arc::clone(&subject.name)
    }

    fn number_of(&mut self, name: &str) -> u32 {
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => self.add(name),
        };
        if let Some(subject) = self.by_number.get(&number) {
            self.last_noted = Some((Arc::clone(&subject.name), number));
        }
        self.dirty.insert(number / SUBJECTS_PER_CHUNK);
        number
    }

    fn add(&mut self, name: &str) -> u32 {
        let name: Arc<str> = name.into();
        let number = self.next;
        // 2^32 first-seen subjects of one stream: at a million new ones a second, over an hour; the
        // numbers of emptied subjects are free again then.
        while {
            self.next = self.next.wrapping_add(1);
            self.by_number.contains_key(&self.next)
        } {}
        let subject = Subject {
            name: Arc::clone(&name),
            count: 0,
            total: 0,
            last: 0,
            first: 0,
            last_gone: false,
        };
        self.by_number.insert(number, subject);
        self.numbers.insert(name, number);
        number
    }

    /// Takes messages of a subject away, of which `last` is the newest. A subject without messages is forgotten, and what it ever had
    /// is returned: whoever accounts for it (see `Consumer::accounted`) must forget it too.
    pub(crate) fn take(&mut self, name: &str, count: u64, last: u64) -> Option<u64> {
        let number = *self.numbers.get(name)?;
        self.dirty.insert(number / SUBJECTS_PER_CHUNK);
        let subject = self.by_number.get_mut(&number)?;
        assert!(
            subject.count >= count,
            "a subject never has fewer messages than are removed"
        );
        subject.count -= count;
        subject.last_gone |= last == subject.last;
        if subject.count > 0 {
            return None;
        }
        let total = subject.total;
        self.by_number.remove(&number);
        self.numbers.remove(name);
        self.last_noted = None;
        Some(total)
    }

    /// No message of a subject is below this sequence any more. It is stored with the next change of the
    /// subject: it only saves looking again.
    pub(crate) fn raise_first(&mut self, name: &str, to: u64) {
        let number = self.numbers.get(name);
        if let Some(subject) = number.and_then(|number| self.by_number.get_mut(number)) {
            subject.first = subject.first.max(to);
        }
    }

    /// The last message of a subject may be gone: which messages were removed is not known.
    pub(crate) fn doubt_last(&mut self, name: &str) {
        let Some(number) = self.numbers.get(name) else {
            return;
        };
        self.dirty.insert(number / SUBJECTS_PER_CHUNK);
        if let Some(subject) = self.by_number.get_mut(number) {
            subject.last_gone = true;
        }
    }

    /// Forgets everything, as when the whole stream is purged.
    pub(crate) fn clear(&mut self) {
        let chunks = self
            .by_number
            .keys()
            .map(|number| number / SUBJECTS_PER_CHUNK);
        self.dirty.extend(chunks);
        self.by_number.clear();
        self.numbers.clear();
        self.last_noted = None;
    }

    /// How many messages the filters ever matched, among the subjects that still have some.
    pub(crate) fn total_matching(&self, filters: &[SubjectFilter]) -> u64 {
        self.matching(filters).map(|subject| subject.total).sum()
    }

    /// The subjects that a filter matches; one that matches nothing but itself is looked up.
    pub(crate) fn matching<'a>(
        &'a self,
        filters: &'a [SubjectFilter],
    ) -> Box<dyn Iterator<Item = &'a Subject> + 'a> {
        if filters.iter().all(SubjectFilter::is_literal) {
            return Box::new(
                filters
                    .iter()
                    .filter_map(|filter| self.get(filter.as_str())),
            );
        }
        let matches = |name: &str| filters.iter().any(|filter| filter.matches(name));
        Box::new(
            self.by_number
                .values()
                .filter(move |subject| matches(&subject.name)),
        )
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Subject> {
        self.by_number.values()
    }

    /// The rows that changed since the last call.
    pub(crate) fn take_changes(&mut self, stream: u32, changes: &mut Vec<Change>) {
        // The next message must mark its row again.
        self.last_noted = None;
        for chunk in std::mem::take(&mut self.dirty) {
            let key = RowKey::new(Table::Subjects, stream, u64::from(chunk));
            let first = chunk * SUBJECTS_PER_CHUNK;
            let row = self.chunk_row(first);
            changes.push(if row.subjects.is_empty() {
                Change::Delete { key }
            } else {
                Change::Put {
                    key,
                    value: encode_row(&row),
                }
            });
        }
    }

    fn chunk_row(&self, first: u32) -> SubjectsRow {
        let numbers = first..=first.saturating_add(SUBJECTS_PER_CHUNK - 1);
        let row = |(number, subject): (&u32, &Subject)| SubjectRow {
            number: *number,
            name: subject.name.to_string(),
            count: subject.count,
            total: subject.total,
            last: subject.last,
            first: subject.first,
            last_gone: subject.last_gone,
        };
        SubjectsRow {
            subjects: self.by_number.range(numbers).map(row).collect(),
        }
    }

    /// Takes a stored row in.
    pub(crate) fn restore(&mut self, row: SubjectsRow) {
        for stored in row.subjects {
            let name: Arc<str> = stored.name.into();
            self.numbers.insert(Arc::clone(&name), stored.number);
            let subject = Subject {
                name,
                count: stored.count,
                total: stored.total,
                last: stored.last,
                first: stored.first,
                last_gone: stored.last_gone,
            };
            self.by_number.insert(stored.number, subject);
        }
    }

    pub(crate) fn restore_next(&mut self, next: u32) {
        self.next = next;
    }
}
