//! A stream as its rows say, and what a group writes of it.

use super::{FREED_AT_ONCE, Stream};
use crate::changes::{Change, RowKey, Table};
use crate::config::StreamConfig;
use crate::format::rows::{PurgeRow, StreamConfigRow, StreamRow, encode_row};
use crate::state::windows::window_of;
use crate::subject::{SubjectError, SubjectFilter};

/// A purge by subject that is not finished: everything it names is gone, not all of it is freed.
#[derive(Clone, Debug)]
pub(crate) struct PurgeMark {
    pub(crate) filter: SubjectFilter,
    pub(crate) below: u64,
    pub(crate) at: u64,
}

impl PurgeMark {
    pub(super) fn restore(row: &PurgeRow) -> Result<Self, SubjectError> {
        let filter = row.filter.parse()?;
        Ok(Self {
            filter,
            below: row.below,
            at: row.at,
        })
    }

    pub(crate) fn covers(&self, seq: u64, subject: &str) -> bool {
        seq < self.below && self.filter.matches(subject)
    }
}

/// The counters of a stream that has stored nothing.
pub(in crate::state) fn new_row(config: &StreamConfig) -> StreamRow {
    let head = config.first_sequence.get();
    StreamRow {
        head,
        last: head - 1,
        ..StreamRow::default()
    }
}

impl Stream {
    /// The rows that changed, and the blocks that may go; the messages themselves are taken apart.
    pub(crate) fn take_changes(&mut self, changes: &mut Vec<Change>) {
        if self.first() > self.last {
            self.drop_to = self.last + 1;
        }
        if self.drop_to > self.dropped_to && self.drop_to - self.dropped_to <= FREED_AT_ONCE {
            self.dropped_to = self.drop_to;
            let (stream, to) = (self.id, self.drop_to - 1);
            changes.push(Change::DropBlocks {
                stream,
                from: 0,
                to,
            });
        }
        self.drop_windows(changes);
        self.windows.take_changes(self.id, changes);
        self.subjects.take_changes(self.id, changes);
        self.dedup.take_changes(self.id, changes);
        self.scheduled.take_changes(self.id, changes);
        self.expiries.take_changes(self.id, changes);
        self.removed.take_changes(self.id, changes);
        let (key, value) = self.state_row();
        changes.push(Change::Put { key, value });
    }

    /// Its own row, as its newest group has it.
    pub(crate) fn state_row(&self) -> (RowKey, Vec<u8>) {
        let key = RowKey::new(Table::StreamState, self.id, 0);
        (key, encode_row(&self.row()))
    }

    fn drop_windows(&mut self, changes: &mut Vec<Change>) {
        let window = window_of(self.head);
        if let Some(from) = self.hole_from.filter(|from| *from < window) {
            let (table, id) = (Table::Holes, self.id);
            changes.push(Change::DeleteParts {
                table,
                id,
                from,
                to: window - 1,
            });
            self.hole_from = Some(window);
            self.windows.drop_below(window);
        }
    }

    fn row(&self) -> StreamRow {
        let purge = |mark: &PurgeMark| PurgeRow {
            filter: mark.filter.to_string(),
            below: mark.below,
            at: mark.at,
        };
        StreamRow {
            head: self.head,
            cut: self.cut,
            last: self.last,
            last_time: self.last_time,
            messages: self.messages,
            bytes: self.bytes,
            published: self.published,
            holes: self.holes,
            hole_from: self.hole_from,
            next_subject: self.subjects.next_number(),
            next_dedup: self.dedup.next_row(),
            last_scheduled: self.scheduled.last(),
            purges: self.purges.iter().map(purge).collect(),
            rejudged: self.rejudged,
            removed: self.departed.clone(),
            emptied: self.emptied,
        }
    }

    pub(crate) fn config_change(&self) -> Change {
        let (key, value) = self.config_row();
        Change::Put { key, value }
    }

    /// The row of its configuration.
    pub(crate) fn config_row(&self) -> (RowKey, Vec<u8>) {
        let row = StreamConfigRow {
            config: StreamConfig::clone(&self.config),
        };
        let key = RowKey::new(Table::StreamConfig, self.id, 0);
        (key, encode_row(&row))
    }
}
