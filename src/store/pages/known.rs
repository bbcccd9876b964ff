//! `Known`: the checksums learnt so far, within a bound.

use std::collections::HashMap;

use super::header::{Geometry, PageNumber};
use super::{Expected, PAGE, Tree};

/// Pages of one generation. Two are kept, the younger and the one before: some 35 MiB at most, and
/// enough for every page of a store of 16 GiB that is full of blocks of 64 KiB.
const GENERATION: usize = 128 << 10;

/// What pages have to be, by their offset.
///
/// A page that was forgotten because there are too many is read as it is.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) geometry: Option<Geometry>,
    young: HashMap<u64, Expected>,
    old: HashMap<u64, Expected>,
}

impl Known {
    pub(super) fn at(&mut self, offset: u64) -> Option<Expected> {
        if let Some(known) = self.young.get(&offset) {
            return Some(known.clone());
        }
        // What is read again stays.
        let known = self.old.remove(&offset)?;
        self.insert(offset, known.clone());
        Some(known)
    }

    pub(super) fn expect(&mut self, page: PageNumber, checksum: u128, tree: Tree) {
        let place = self.geometry.and_then(|geometry| geometry.place(page));
        if let Some((offset, len)) = place {
            self.old.remove(&offset);
            self.insert(
                offset,
                Expected {
                    len,
                    checksum,
                    tree,
                },
            );
        }
    }

    fn insert(&mut self, offset: u64, expected: Expected) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(offset, expected);
    }

    pub(super) fn forget(&mut self, from: u64, to: u64) {
        let mut at = from - from % PAGE;
        while at < to {
            self.young.remove(&at);
            self.old.remove(&at);
            at += PAGE;
        }
    }

    pub(super) fn truncate(&mut self, len: u64) {
        self.young.retain(|offset, _| *offset < len);
        self.old.retain(|offset, _| *offset < len);
    }
}
