//! `Layers`: what lies over redb while a reader looks, the newest first.

use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::RwLock;

use super::overlay::{Overlay, Said};
use crate::changes::RowKey;

/// An overlay that grows while others read it.
pub(super) type Layer = Arc<RwLock<Overlay>>;

/// The overlays of one moment, the newest first. Each grows at most: what a reader found decided here
/// stays decided, and what goes to redb meanwhile stays here, too.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers(pub(super) Vec<Layer>);

/// Where a block is.
#[derive(Debug)]
pub(super) enum Found {
    /// In an overlay.
    Here(Arc<[u8]>),
    /// In redb.
    Below,
}

impl Layers {
    pub(super) fn are_same(&self, others: &Self) -> bool {
        let same = |(layer, other): (&Layer, &Layer)| Arc::ptr_eq(layer, other);
        self.0.len() == others.0.len() && self.0.iter().zip(&others.0).all(same)
    }

    pub(super) fn row(&self, key: RowKey) -> Said {
        self.first(|overlay| overlay.row(key))
    }

    /// The keys between two that an overlay says anything of, in order.
    pub(super) fn row_keys(&self, first: RowKey, last: RowKey) -> Vec<RowKey> {
        let mut keys: Vec<RowKey> = Vec::new();
        for layer in &self.0 {
            keys.extend(layer.read().row_keys(first, last));
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Whether a stream's blocks are all in redb, and all that are there.
    pub(super) fn know_nothing_of(&self, stream: u32) -> bool {
        !self.0.iter().any(|layer| layer.read().knows_blocks(stream))
    }

    pub(super) fn block(&self, stream: u32, first_seq: u64) -> Said {
        self.first(|overlay| overlay.block(stream, first_seq))
    }

    fn first(&self, ask: impl Fn(&Overlay) -> Said) -> Said {
        let said = self.0.iter().map(|layer| ask(&layer.read()));
        let mut said = said.filter(|said| *said != Said::Nothing);
        said.next().unwrap_or(Said::Nothing)
    }

    /// The block that begins last up to a sequence; `below` asks redb for the last that begins in a range.
    pub(super) fn floor<E>(
        &self,
        stream: u32,
        seq: u64,
        below: impl Fn(u64) -> Result<Option<u64>, E>,
    ) -> Result<Option<(u64, Found)>, E> {
        let (mut here_to, mut below_to) = (Some(seq), Some(seq));
        loop {
            let here = here_to.and_then(|to| {
                let starts = self.0.iter();
                starts
                    .filter_map(|layer| layer.read().last_start(stream, to))
                    .max()
            });
            let beneath = below_to.map(&below).transpose()?.flatten();
            let Some(start) = here.max(beneath) else {
                return Ok(None);
            };
            if let Some(found) = self.found(stream, start) {
                return Ok(Some((start, found)));
            }
            here_to = start.checked_sub(1);
            let gone = self.gone_around(stream, start);
            below_to = gone.start().checked_sub(1);
        }
    }

    /// The block that begins first from a sequence on; `below` asks redb for the same.
    pub(super) fn ceiling<E>(
        &self,
        stream: u32,
        seq: u64,
        below: impl Fn(u64) -> Result<Option<u64>, E>,
    ) -> Result<Option<(u64, Found)>, E> {
        let (mut here_from, mut below_from) = (Some(seq), Some(seq));
        loop {
            let here = here_from.and_then(|from| {
                let starts = self.0.iter();
                starts
                    .filter_map(|layer| layer.read().first_start(stream, from))
                    .min()
            });
            let beneath = below_from.map(&below).transpose()?.flatten();
            let Some(start) = [here, beneath].into_iter().flatten().min() else {
                return Ok(None);
            };
            if let Some(found) = self.found(stream, start) {
                return Ok(Some((start, found)));
            }
            here_from = start.checked_add(1);
            let gone = self.gone_around(stream, start);
            below_from = gone.end().checked_add(1);
        }
    }

    fn found(&self, stream: u32, start: u64) -> Option<Found> {
        match self.block(stream, start) {
            Said::Value(bytes) => Some(Found::Here(bytes)),
            Said::Nothing => Some(Found::Below),
            Said::Gone => None,
        }
    }

    /// The blocks that are gone around one that is: what lies below them need not be asked.
    fn gone_around(&self, stream: u32, start: u64) -> RangeInclusive<u64> {
        let layers = self.0.iter();
        let mut gone = layers.filter_map(|layer| layer.read().gone_around(stream, start));
        gone.next().unwrap_or(start..=start)
    }
}
