//! The records of a journal, wherever they stand: what stream they name, and which blocks are part of a
//! whole one.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::ops::Range;

use super::Bytes;
use crate::changes::{Change, Table};
use crate::format::decode_changes;
use crate::format::journal::{RECORD_HEAD_LEN, RECORD_MAGIC, declared_len, decode_any};
use crate::format::rows::{StreamConfigRow, decode_row};

/// A longer record is not looked into. The blocks in it are found all the same.
const LONGEST: u64 = 64 << 20;
/// How often as many bytes as the file has are hashed in vain, where much looks like a record.
const IN_VAIN: u64 = 16;

impl<R: Read + Seek> Bytes<'_, R> {
    /// The places of whole records of a store, in the order of the file; the names of streams that they
    /// tell are put to those that are known.
    pub(super) fn records(
        &mut self,
        store: u64,
        streams: &mut BTreeMap<u32, String>,
    ) -> Vec<Range<u64>> {
        let mut whole = Vec::new();
        let mut room = self.len.saturating_mul(IN_VAIN);
        self.each(&RECORD_MAGIC, |bytes, at| {
            let len = declared_len(&bytes.read(at, RECORD_HEAD_LEN as u64))?;
            if len > LONGEST.min(room) || at.checked_add(len)? > bytes.len {
                return None;
            }
            let record = bytes.read(at, len);
            let Some(payload) = decode_any(store, &record) else {
                room -= len;
                return None;
            };
            name_streams(payload, streams);
            whole.push(at..at + len);
            usize::try_from(len).ok()
        });
        whole
    }
}

fn name_streams(payload: &[u8], streams: &mut BTreeMap<u32, String>) {
    let Ok(changes) = decode_changes(payload) else {
        return;
    };
    for change in &changes.changes {
        if let Change::Put { key, value } = change
            && key.table == Table::StreamConfig
            && let Ok(row) = decode_row::<StreamConfigRow>(value)
        {
            streams.insert(key.id, row.config.name);
        }
    }
}

/// Whether one of these places, which are in order, has this one in it.
pub(super) fn holds(places: &[Range<u64>], at: u64) -> bool {
    let after = places.partition_point(|place| place.start <= at);
    let place = after.checked_sub(1).and_then(|n| places.get(n));
    place.is_some_and(|place| place.contains(&at))
}
