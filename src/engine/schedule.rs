//! Messages that wait for their time: read when they are due, listed and cancelled.

use super::Engine;
use crate::changes::{RowKey, Table};
use crate::error::{ReadError, ScheduleError, Unavailable};
use crate::format::rows::{ScheduledRow, decode_row};
use crate::store::{Reader, StoreError};

/// Bytes of messages that are read at once; what is left out is asked for again.
const LOADED_BYTES: usize = 16 << 20;

impl Engine {
    /// Reads messages that are due and hands them in.
    pub(crate) fn load_scheduled(&self, stream: u32, numbers: &[u64]) -> Result<(), Unavailable> {
        let found = self.store.read(|reader| {
            let (mut found, mut bytes) = (Vec::new(), 0);
            for number in numbers {
                let row = read_scheduled(reader, stream, *number)?;
                bytes += row.as_ref().map_or(0, |row| row.payload.0.len());
                found.push((*number, row));
                if bytes >= LOADED_BYTES {
                    break;
                }
            }
            Ok(found)
        });
        let found = found.map_err(|why| self.failed(why))?;
        let mut core = self.enter_closing()?;
        for (number, row) in found {
            let known = core.state.stream(stream);
            let waits = known.is_some_and(|known| known.scheduled.contains(number));
            match row {
                Some(row) => core.state.supply_scheduled(stream, number, row),
                None if waits => return Err(missing(stream, number)),
                // Cancelled meanwhile.
                None => {}
            }
        }
        Ok(())
    }

    /// Reads them one by one and marks those that are damaged.
    pub(crate) fn load_each_scheduled_or_mark(
        &self,
        stream: u32,
        numbers: &[u64],
    ) -> Result<(), Unavailable> {
        for number in numbers {
            match self.load_scheduled(stream, &[*number]) {
                Ok(()) => {}
                Err(Unavailable::Damaged { .. }) => {
                    let mut core = self.enter_closing()?;
                    core.state.mark_scheduled_unreadable(stream, *number);
                }
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }

    /// The messages of a stream that wait, from a number on, at most `limit`.
    pub(crate) fn scheduled(
        &self,
        id: u32,
        name: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, ScheduledRow)>, ReadError> {
        let (numbers, group) = {
            let core = self.enter()?;
            let stream = core.state.stream(id);
            let numbers = stream.map(|stream| {
                let waiting = stream.scheduled.iter_from(from).take(limit);
                waiting
                    .map(|(number, known)| (number, known.due))
                    .collect::<Vec<_>>()
            });
            let group = stream.map_or(core.state.catalog_group(), |stream| stream.group);
            (numbers, group)
        };
        self.wait(group)?;
        let Some(numbers) = numbers else {
            return Err(ReadError::StreamGone {
                stream: name.to_owned(),
            });
        };
        let found = self.store.read(|reader| {
            let (mut found, mut bytes) = (Vec::new(), 0);
            for (number, due) in numbers {
                // One that is not there was sent or cancelled meanwhile.
                let row = read_scheduled(reader, id, number)?;
                bytes += row.as_ref().map_or(0, |row| row.payload.0.len());
                found.extend(row.map(|row| (number, ScheduledRow { due, ..row })));
                if bytes >= LOADED_BYTES {
                    break;
                }
            }
            Ok(found)
        });
        found.map_err(|why| self.failed(why).into())
    }

    /// Takes a message that waits away before it is sent.
    pub(crate) fn cancel_scheduled(
        &self,
        id: u32,
        name: &str,
        number: u64,
    ) -> Result<(), ScheduleError> {
        let (cancelled, group) = {
            let mut core = self.enter()?;
            core.note_time(&self.clock);
            let cancelled = core.state.cancel_scheduled(id, number);
            let absent = core.state.catalog_group();
            let group = core.state.stream(id).map_or(absent, |known| known.group);
            (cancelled, group)
        };
        self.wait(group)?;
        cancelled.map_err(|why| match why {
            ScheduleError::StreamGone { .. } => ScheduleError::StreamGone {
                stream: name.to_owned(),
            },
            why => why,
        })
    }
}

/// A message that waits, as the store has it.
pub(super) fn read_scheduled(
    reader: &Reader,
    stream: u32,
    number: u64,
) -> Result<Option<ScheduledRow>, StoreError> {
    let key = RowKey::new(Table::Scheduled, stream, number);
    let Some(row) = reader.row(key)? else {
        return Ok(None);
    };
    let row = decode_row(&row).map_err(|why| StoreError::Damaged {
        place: format!("scheduled message {number} of stream {stream}: {why}"),
    })?;
    Ok(Some(row))
}

fn missing(stream: u32, number: u64) -> Unavailable {
    Unavailable::Damaged {
        place: format!("stream {stream}: no row holds the scheduled message {number}"),
    }
}
