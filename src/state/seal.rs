//! Sealing the open group into one value, and learning that it is durable.

use super::State;
use super::stored::Stored;
use super::stream::Durable;
use crate::changes::{Change, RowKey, Table};
use crate::event::Event;
use crate::format::rows::{StoreRow, encode_row};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A group on its way to the disk: rows, messages still to be cut into blocks, and what to do when it
/// is durable.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    pub(crate) group: u64,
    pub(crate) rows: Vec<Change>,
    pub(crate) appends: Vec<Append>,
    pub(crate) events: Vec<Event>,
    marks: Vec<(u32, Durable)>,
    /// Streams whose publishers may have waited for what their consumers did.
    eased: BTreeSet<u32>,
}

/// What a group appends to one stream.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) stream: u32,
    /// Blocks that start below this are gone with this group, and must not be grown.
    pub(crate) drop_to: u64,
    /// What a purge took and accounted for in the same group, before this, is never written.
    pub(crate) from: u64,
    pub(crate) records: Arc<Vec<Stored>>,
}

impl Append {
    /// The messages to be written, in order.
    pub(crate) fn written(&self) -> &[Stored] {
        let skipped = self
            .records
            .partition_point(|stored| stored.seq < self.from);
        self.records.get(skipped..).unwrap_or_default()
    }
}

impl Sealed {
    /// How many messages the group appended.
    pub(crate) fn messages(&self) -> usize {
        let appends = self.appends.iter();
        appends.map(|append| append.records.len()).sum()
    }

    /// The streams that the group changed.
    pub(crate) fn streams(&self) -> impl Iterator<Item = u32> {
        self.marks.iter().map(|(stream, _)| *stream)
    }

    /// The streams whose publishers may find room now.
    pub(crate) fn eased(&self) -> impl Iterator<Item = u32> {
        self.streams().chain(self.eased.iter().copied())
    }
}

impl State {
    /// Takes the open group and opens the next one.
    pub(crate) fn seal(&mut self) -> Sealed {
        let open = std::mem::take(&mut self.open);
        let mut sealed = Sealed {
            group: self.group,
            events: open.events,
            eased: open.eased,
            ..Sealed::default()
        };
        sealed.rows = open.changes;
        for id in open.streams {
            self.seal_stream(id, &mut sealed);
        }
        for id in open.consumers {
            sealed.eased.extend(self.lag_bounded(id));
            if let Some(consumer) = self.consumers.get_mut(&id) {
                consumer.take_changes(&mut sealed.rows);
            }
        }
        self.room.seal();
        self.group += 1;
        sealed
    }

    fn seal_stream(&mut self, id: u32, sealed: &mut Sealed) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.take_changes(&mut sealed.rows);
        let (drop_to, from) = (stream.drop_to, stream.head);
        if let Some(records) = stream.recent.seal()
            && records.last().is_some_and(|last| last.seq >= from)
        {
            sealed.appends.push(Append {
                stream: id,
                drop_to,
                from,
                records,
            });
        }
        sealed.marks.push((
            id,
            Durable {
                first: stream.first(),
                last: stream.last,
            },
        ));
    }

    /// The group is durable: readers may see it. `used` is what the store takes on disk now.
    pub(crate) fn complete(&mut self, sealed: &Sealed, used: u64) {
        let freed = self.room.freed;
        self.room.complete(used);
        self.durable = sealed.group;
        // Dead letters and messages that are due may find room now that they did not find.
        let waits = || {
            self.streams
                .values()
                .any(|known| known.scheduled.waits_for_room())
        };
        self.sweep_wanted |= self.room.freed != freed && (!self.condemned_in.is_empty() || waits());
        for (id, durable) in &sealed.marks {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.complete(*durable, sealed.group);
            }
        }
    }

    /// Puts the store's own facts into the open group.
    pub(crate) fn save_facts(&mut self) {
        let row = StoreRow {
            secret: self.secret,
            epoch: self.epoch,
            next_stream: self.next_stream,
            next_consumer: self.next_consumer,
            last_time: self.now,
        };
        let key = RowKey::new(Table::Meta, 0, 0);
        self.open.changes.push(Change::Put {
            key,
            value: encode_row(&row),
        });
        self.open.work = true;
    }
}
