//! Infos: facts of the state, told when they are durable (R1).

use super::start::ConsumerRef;
use super::{Engine, load::read_message, scan::Scan};
use crate::clock::Timestamp;
use crate::error::Unavailable;
use crate::info::{ConsumerInfo, StoreInfo, StreamInfo};
use crate::state::{Oldest, PendingPlace};

/// Bytes of messages that one answer lists; the caller goes on from there.
pub(super) const LISTED_BYTES: u64 = 16 << 20;

impl Engine {
    /// `None` when the stream is gone.
    pub(crate) fn stream_info(&self, id: u32) -> Result<Option<StreamInfo>, Unavailable> {
        let (info, group) = {
            let mut core = self.enter()?;
            let now = core.now(&self.clock).now;
            let group = core
                .state
                .stream(id)
                .map_or(core.state.catalog_group(), |s| s.group);
            (core.state.stream_info(id, now), group)
        };
        self.wait(group)?;
        Ok(info)
    }

    /// `None` when the consumer is gone.
    pub(crate) fn consumer_info(
        &self,
        whose: &ConsumerRef,
    ) -> Result<Option<ConsumerInfo>, Unavailable> {
        let (found, now, group) = {
            let mut core = self.enter()?;
            let now = core.now(&self.clock).now;
            core.state.end_delays_of(whose.id, now);
            core.state.save_cursor(whose.id);
            let group = core.observed(whose.id).max(core.state.catalog_group());
            (core.state.consumer_info(whose.id), now, group)
        };
        self.wait(group)?;
        let Some((mut info, oldest)) = found else {
            return Ok(None);
        };
        let time = self.oldest_time(whose, oldest)?;
        info.oldest_unfinished = time.map(|time| Timestamp::from_micros(now).since(time));
        Ok(Some(info))
    }

    /// When the oldest unfinished message of a consumer was published.
    fn oldest_time(
        &self,
        whose: &ConsumerRef,
        oldest: Oldest,
    ) -> Result<Option<Timestamp>, Unavailable> {
        let scan = {
            let core = self.enter()?;
            let filters = core
                .state
                .consumer(whose.id)
                .map(|known| known.filters.to_vec());
            core.scan_of(whose.stream, filters.unwrap_or_default())
        };
        let time = self.store.read(|reader| {
            let mut times = Vec::new();
            if let Some(seq) = oldest.held {
                times.extend(read_message(reader, whose.stream, seq)?.map(|stored| stored.time));
            }
            let mut from = oldest.undelivered_from.unwrap_or(u64::MAX);
            while from <= scan.to {
                let scan = Scan {
                    from,
                    messages: 1,
                    ..scan.clone()
                };
                let found = scan.collect(reader)?;
                times.extend(found.messages.first().map(|stored| stored.time));
                from = if found.messages.is_empty() && found.next > from {
                    found.next
                } else {
                    u64::MAX
                };
            }
            Ok(times.into_iter().min())
        });
        let time = time.map_err(|why| self.failed(why))?;
        Ok(time.map(Timestamp::from_micros))
    }

    pub(crate) fn store_info(&self) -> Result<StoreInfo, Unavailable> {
        self.check_process()?;
        let file_bytes = self.store.file_len().map_err(|why| self.failed(why))?;
        let (info, group) = {
            let core = self.enter()?;
            let info = StoreInfo {
                streams: core.state.streams.len() as u64,
                consumers: core.state.consumers.len() as u64,
                file_bytes,
                used_bytes: self.store.used_bytes(),
                events_missed: core.events_missed,
            };
            (info, core.state.catalog_group())
        };
        self.wait(group)?;
        Ok(info)
    }

    /// Parked messages with their bytes; `None` when the consumer is gone.
    pub(crate) fn parked(
        &self,
        whose: &ConsumerRef,
        from: u64,
        limit: usize,
    ) -> Result<Option<Vec<(PendingPlace, crate::state::Stored)>>, Unavailable> {
        let (places, group) = {
            let core = self.enter()?;
            if core.state.consumer(whose.id).is_none() {
                let group = core.state.catalog_group();
                drop(core);
                self.wait(group)?;
                return Ok(None);
            }
            (
                core.state.parked(whose.id, from, limit),
                core.observed(whose.id),
            )
        };
        self.wait(group)?;
        let found = self.store.read(|reader| {
            let (mut found, mut bytes) = (Vec::new(), 0);
            for place in places {
                if let Some(stored) = read_message(reader, whose.stream, place.seq)? {
                    bytes += stored.size();
                    found.push((place, stored));
                }
                if bytes >= LISTED_BYTES {
                    break;
                }
            }
            Ok(found)
        });
        found.map(Some).map_err(|why| self.failed(why))
    }
}
