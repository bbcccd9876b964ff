//! `Scheduled`: what is known of messages that wait for their time, without their bytes.
//!
//! Each message is a row of its own, read when it is due. When each is due stands in rows of 64
//! neighbours by number, which are all that is read when a store is opened.

use crate::changes::{Change, RowKey, Table};
use crate::format::rows::{ScheduledEntry, ScheduledIndexRow, ScheduledRow, encode_row};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers in a row of the index, as a shift.
const CHUNK_SHIFT: u32 = 6;

/// One message that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) due: u64,
    pub(crate) size: u64,
    /// The group that stores its bytes.
    group: u64,
    /// Whether it was said that the stream refuses it.
    told: bool,
    /// Whether it comes again after it was sent.
    pub(crate) repeats: bool,
}

/// The group of what was stored before the store was opened.
const IN_THE_STORE: u64 = 0;

impl Waiting {
    const fn new(entry: ScheduledEntry, group: u64) -> Self {
        Self {
            due: entry.due,
            size: entry.size,
            group,
            told: false,
            repeats: entry.repeats,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Scheduled {
    by_number: BTreeMap<u64, Waiting>,
    /// By time, then number; without those that are set aside.
    by_time: BTreeSet<(u64, u64)>,
    /// Due, and refused for what they are: tried again when the stream takes more than it did.
    aside: BTreeSet<(u64, u64)>,
    /// How often the stream relented when they were set aside.
    aside_at: u64,
    /// The next one is due and finds no room; how often room had been made then.
    blocked_at: Option<u64>,
    bytes: u64,
    /// Those that come again.
    repeating: u64,
    /// The last number given out.
    last: u64,
    /// Chunks of the index that changed.
    dirty: BTreeSet<u64>,
    /// Rows of messages that came or went in the open group.
    rows: Vec<Change>,
}

/// The next messages to be sent.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) numbers: Vec<u64>,
    /// More are due.
    pub(crate) more: bool,
    /// The next one is not on disk yet.
    pub(crate) not_durable: bool,
}

impl Scheduled {
    pub(crate) fn len(&self) -> u64 {
        self.by_number.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many of them come again.
    pub(crate) fn repeating(&self) -> u64 {
        self.repeating
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.by_number.contains_key(&number)
    }

    /// The bytes of a message; none if there is no such.
    pub(crate) fn size(&self, number: u64) -> u64 {
        let waiting = self.by_number.get(&number);
        waiting.map_or(0, |waiting| waiting.size)
    }

    /// When a message is due, if there is such.
    pub(crate) fn due(&self, number: u64) -> Option<u64> {
        Some(self.by_number.get(&number)?.due)
    }

    pub(crate) fn iter_from(&self, number: u64) -> impl Iterator<Item = (u64, &Waiting)> {
        let from = self.by_number.range(number..);
        from.map(|(number, waiting)| (*number, waiting))
    }

    /// Messages whose time has come.
    pub(crate) fn count_due(&self, now: u64) -> u64 {
        (self.by_time.range(..=(now, u64::MAX)).count() + self.aside.len()) as u64
    }

    /// Takes a message in and returns its number.
    pub(crate) fn add(&mut self, stream: u32, row: &ScheduledRow, size: u64, group: u64) -> u64 {
        self.last += 1;
        let number = self.last;
        let due = row.due;
        self.rows.push(Change::Put {
            key: RowKey::new(Table::Scheduled, stream, number),
            value: encode_row(row),
        });
        self.dirty.insert(number >> CHUNK_SHIFT);
        let repeats = row.repeat.is_some();
        let entry = ScheduledEntry {
            number,
            due,
            size,
            repeats,
        };
        self.insert(number, Waiting::new(entry, group));
        number
    }

    fn insert(&mut self, number: u64, waiting: Waiting) {
        self.bytes += waiting.size;
        self.repeating += u64::from(waiting.repeats);
        self.by_time.insert((waiting.due, number));
        self.by_number.insert(number, waiting);
    }

    /// A message was sent or cancelled; returns its size.
    pub(crate) fn remove(&mut self, stream: u32, number: u64) -> Option<u64> {
        let waiting = self.by_number.remove(&number)?;
        let place = (waiting.due, number);
        self.by_time.remove(&place);
        self.aside.remove(&place);
        // Whoever is next now may fit where it did not.
        self.blocked_at = None;
        self.bytes -= waiting.size;
        self.repeating -= u64::from(waiting.repeats);
        self.dirty.insert(number >> CHUNK_SHIFT);
        let key = RowKey::new(Table::Scheduled, stream, number);
        self.rows.push(Change::Delete { key });
        Some(waiting.size)
    }

    /// A message that comes again was sent: it is due again at this time.
    pub(crate) fn renew(&mut self, number: u64, due: u64) {
        let Some(waiting) = self.by_number.get_mut(&number) else {
            return;
        };
        let place = (waiting.due, number);
        (waiting.due, waiting.told) = (due, false);
        self.by_time.remove(&place);
        self.aside.remove(&place);
        self.by_time.insert((due, number));
        self.blocked_at = None;
        self.dirty.insert(number >> CHUNK_SHIFT);
    }

    /// Whether any message is to be tried: one is due, or may be taken now that was not.
    pub(crate) fn is_due(&self, now: u64, room_made: u64, relented: u64) -> bool {
        let blocked = self.blocked_at == Some(room_made);
        let due = self.by_time.first().is_some_and(|(due, _)| *due <= now);
        let again = !self.aside.is_empty() && self.aside_at != relented;
        again || (due && !blocked)
    }

    /// When the next message is due; one that finds no room waits for that, and not for a time.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let next = self.by_time.first().map(|(due, _)| *due);
        next.filter(|_| self.blocked_at.is_none())
    }

    /// Whether room, or a stream that takes more, would change anything.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.blocked_at.is_some() || !self.aside.is_empty()
    }

    /// What is to be tried next, in order: at most so many, and so many bytes.
    pub(crate) fn step(
        &mut self,
        now: u64,
        relented: u64,
        durable: u64,
        limits: (usize, u64),
    ) -> Step {
        if self.aside_at != relented {
            self.by_time.append(&mut self.aside);
        }
        self.blocked_at = None;
        let (mut step, mut bytes) = (Step::default(), 0);
        for (due, number) in &self.by_time {
            let Some(waiting) = self.by_number.get(number).filter(|_| *due <= now) else {
                break;
            };
            if waiting.group > durable {
                step.not_durable = true;
                break;
            }
            if step.numbers.len() >= limits.0 || bytes >= limits.1 {
                step.more = true;
                break;
            }
            bytes += waiting.size;
            step.numbers.push(*number);
        }
        step
    }

    /// A message finds no room: it and those behind it wait. Says whether that is news.
    pub(crate) fn block(&mut self, number: u64, room_made: u64) -> bool {
        self.blocked_at = Some(room_made);
        self.tell(number)
    }

    /// The stream refuses a message for what it is: it waits, and holds up no others.
    pub(crate) fn set_aside(&mut self, number: u64, relented: u64) -> bool {
        if let Some(waiting) = self.by_number.get(&number) {
            let place = (waiting.due, number);
            self.by_time.remove(&place);
            self.aside.insert(place);
            self.aside_at = relented;
        }
        self.tell(number)
    }

    fn tell(&mut self, number: u64) -> bool {
        let waiting = self.by_number.get_mut(&number);
        waiting.is_some_and(|waiting| !std::mem::replace(&mut waiting.told, true))
    }

    /// Whether every message is in one place, and none is newer than the last.
    pub(crate) fn adds_up(&self) -> bool {
        let bytes: u64 = self.by_number.values().map(|waiting| waiting.size).sum();
        let repeating = self.by_number.values().filter(|known| known.repeats);
        let known = |(due, number): &(u64, u64)| {
            self.by_number
                .get(number)
                .is_some_and(|waiting| waiting.due == *due)
        };
        let last = self.by_number.last_key_value();
        bytes == self.bytes
            && repeating.count() as u64 == self.repeating
            && self.by_time.len() + self.aside.len() == self.by_number.len()
            && self.by_time.is_disjoint(&self.aside)
            && self.by_time.iter().chain(&self.aside).all(known)
            && last.is_none_or(|(number, _)| *number <= self.last)
    }

    /// The rows that changed since the last call.
    pub(crate) fn take_changes(&mut self, stream: u32, changes: &mut Vec<Change>) {
        changes.append(&mut self.rows);
        for chunk in std::mem::take(&mut self.dirty) {
            let key = RowKey::new(Table::ScheduledIndex, stream, chunk);
            let first = chunk << CHUNK_SHIFT;
            let numbers = first..=first | ((1 << CHUNK_SHIFT) - 1);
            let entry = |(number, waiting): (&u64, &Waiting)| ScheduledEntry {
                number: *number,
                due: waiting.due,
                size: waiting.size,
                repeats: waiting.repeats,
            };
            let entries: Vec<_> = self.by_number.range(numbers).map(entry).collect();
            changes.push(if entries.is_empty() {
                Change::Delete { key }
            } else {
                let value = encode_row(&ScheduledIndexRow { entries });
                Change::Put { key, value }
            });
        }
    }

    /// Takes a stored row of the index in.
    pub(crate) fn restore(&mut self, row: ScheduledIndexRow) {
        for entry in row.entries {
            self.insert(entry.number, Waiting::new(entry, IN_THE_STORE));
        }
    }

    pub(crate) fn restore_last(&mut self, last: u64) {
        self.last = last;
    }
}

#[cfg(test)]
mod tests {
    use super::{Scheduled, ScheduledRow};
    use crate::repeat::Repeat;
    use std::time::Duration;

    fn with(dues: &[u64]) -> Scheduled {
        let mut scheduled = Scheduled::default();
        for due in dues {
            let row = ScheduledRow {
                due: *due,
                ..ScheduledRow::default()
            };
            scheduled.add(1, &row, 10, 1);
        }
        scheduled
    }

    #[test]
    fn what_is_due_comes_by_time_and_then_by_number() {
        let mut scheduled = with(&[30, 20, 20, 40]);
        assert_eq!(scheduled.next_due(), Some(20));
        assert_eq!(scheduled.step(30, 0, 1, (9, 99)).numbers, [2, 3, 1]);
        let step = scheduled.step(30, 0, 1, (2, 99));
        assert_eq!((step.numbers, step.more), (vec![2, 3], true));
        assert_eq!(scheduled.step(30, 0, 1, (9, 11)).numbers, [2, 3]);
        assert!(scheduled.step(30, 0, 0, (9, 99)).not_durable);
    }

    #[test]
    fn one_without_room_holds_up_those_behind_it_and_one_that_is_refused_does_not() {
        let mut scheduled = with(&[10, 20]);
        assert!(scheduled.set_aside(1, 7) && !scheduled.set_aside(1, 7));
        assert!(scheduled.is_due(20, 0, 7));
        assert_eq!(scheduled.step(20, 7, 1, (9, 99)).numbers, [2]);
        assert!(scheduled.block(2, 3));
        assert!(!scheduled.is_due(20, 3, 7) && scheduled.next_due().is_none());
        assert!(scheduled.is_due(20, 4, 7), "room was made");
        assert!(scheduled.is_due(20, 3, 8), "the stream takes more");
        assert_eq!(scheduled.step(20, 8, 1, (9, 99)).numbers, [1, 2]);
        assert_eq!((scheduled.remove(1, 1), scheduled.bytes()), (Some(10), 10));
    }

    #[test]
    fn one_that_comes_again_stays_and_counts_as_one() {
        let mut scheduled = with(&[20]);
        let row = ScheduledRow {
            due: 10,
            repeat: Some(Repeat::Every(Duration::from_secs(1))),
            ..ScheduledRow::default()
        };
        let number = scheduled.add(1, &row, 10, 1);
        assert_eq!(scheduled.step(20, 0, 1, (9, 99)).numbers, [2, 1]);
        scheduled.set_aside(number, 0);
        scheduled.renew(number, 30);
        assert_eq!((scheduled.len(), scheduled.repeating()), (2, 1));
        assert_eq!(scheduled.step(20, 0, 1, (9, 99)).numbers, [1]);
        assert!(scheduled.adds_up() && scheduled.set_aside(number, 0));
        scheduled.remove(1, number);
        assert!(scheduled.adds_up() && scheduled.repeating() == 0);
    }
}
