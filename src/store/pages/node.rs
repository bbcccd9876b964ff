//! `Node`: one page of a redb tree, as far as its shape goes.

use std::sync::Arc;

use super::header::PageNumber;
use super::{Shape, Tree};
use crate::store::tables::is_verified_by_itself;

const LEAF: u8 = 1;
const BRANCH: u8 = 2;
/// A table's entry in the list of tables: kind, length, root, and the widths of keys and values.
const ROOT_AT: usize = 9;
const KEY_AT: usize = 42;
const VALUE_AT: usize = 47;

/// A page whose lengths make sense.
#[derive(Debug)]
pub(super) enum Node<'a> {
    Branch {
        bytes: &'a [u8],
        children: usize,
        used: usize,
    },
    Leaf {
        bytes: &'a [u8],
        pairs: usize,
        key: Option<usize>,
        value: Option<usize>,
        used: usize,
    },
}

impl<'a> Node<'a> {
    pub(super) fn parse(bytes: &'a [u8], tree: &Tree) -> Option<Self> {
        let (key, value) = match tree {
            Tree::Tables { .. } => (None, None),
            Tree::Table(shape) => (shape.key, shape.value),
        };
        let count = number(bytes, 2, 2)? as usize;
        if count == 0 {
            return None;
        }
        match *bytes.first()? {
            BRANCH => {
                let children = count + 1;
                let behind = 8 + 24 * children;
                let used = match key {
                    Some(width) => behind.checked_add(width.checked_mul(count)?)?,
                    None => number(bytes, behind + 4 * (count - 1), 4)? as usize,
                };
                (used >= behind && used <= bytes.len()).then_some(Self::Branch {
                    bytes,
                    children,
                    used,
                })
            }
            LEAF => {
                let mut leaf = Self::Leaf {
                    bytes,
                    pairs: count,
                    key,
                    value,
                    used: 0,
                };
                let end = leaf.value_end(count - 1)?;
                if let Self::Leaf { used, .. } = &mut leaf {
                    *used = end;
                }
                (end <= bytes.len()).then_some(leaf)
            }
            _ => None,
        }
    }

    /// How many bytes of the page are in use, and under its checksum.
    pub(super) const fn used(&self) -> usize {
        match self {
            Self::Branch { used, .. } | Self::Leaf { used, .. } => *used,
        }
    }

    /// The pages below this one.
    pub(super) fn below(&self, tree: &Tree) -> Vec<(PageNumber, u128, Tree)> {
        match (self, tree) {
            (
                Self::Branch {
                    bytes, children, ..
                },
                _,
            ) => {
                let child = |n: usize| {
                    let page = number(bytes, 8 + 16 * children + 8 * n, 8)?;
                    Some((PageNumber(page), wide(bytes, 8 + 16 * n)?, tree.clone()))
                };
                (0..*children).filter_map(child).collect()
            }
            (Self::Leaf { .. }, Tree::Tables { system }) => self
                .entries()
                .filter_map(|(name, entry)| table(name, entry, *system))
                .collect(),
            (Self::Leaf { .. }, Tree::Table(_)) => Vec::new(),
        }
    }

    /// Whether this is a leaf with keys of a block or a row in ascending order, and values one behind the
    /// other: nothing in it can mislead redb.
    pub(super) fn is_ordered_leaf(&self) -> bool {
        let Self::Leaf {
            pairs,
            key: Some(_),
            ..
        } = self
        else {
            return false;
        };
        let (mut before, mut end) = (None, 0);
        for n in 0..*pairs {
            let (Some(key), Some(value_end)) = (self.key(n).and_then(order), self.value_end(n))
            else {
                return false;
            };
            let start = self.key_end(*pairs - 1).unwrap_or(usize::MAX).max(end);
            if before.is_some_and(|before| key <= before) || value_end < start {
                return false;
            }
            (before, end) = (Some(key), value_end);
        }
        end <= self.used()
    }

    /// Keys and values of a leaf, as far as they lie in the page.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let pairs = match self {
            Self::Leaf { pairs, .. } => *pairs,
            Self::Branch { .. } => 0,
        };
        (0..pairs).filter_map(|n| Some((self.key(n)?, self.value(n)?)))
    }

    fn key(&self, n: usize) -> Option<&'a [u8]> {
        let Self::Leaf { bytes, .. } = self else {
            return None;
        };
        let start = match n.checked_sub(1) {
            Some(before) => self.key_end(before)?,
            None => self.keys_at()?,
        };
        bytes.get(start..self.key_end(n)?)
    }

    fn value(&self, n: usize) -> Option<&'a [u8]> {
        let Self::Leaf { bytes, pairs, .. } = self else {
            return None;
        };
        let start = match n.checked_sub(1) {
            Some(before) => self.value_end(before)?,
            None => self.key_end(*pairs - 1)?,
        };
        bytes.get(start..self.value_end(n)?)
    }

    fn keys_at(&self) -> Option<usize> {
        let Self::Leaf {
            pairs, key, value, ..
        } = self
        else {
            return None;
        };
        let ends = usize::from(key.is_none()) + usize::from(value.is_none());
        Some(4 + 4 * pairs * ends)
    }

    fn key_end(&self, n: usize) -> Option<usize> {
        let Self::Leaf { bytes, key, .. } = self else {
            return None;
        };
        match key {
            Some(width) => self.keys_at()?.checked_add(width.checked_mul(n + 1)?),
            None => Some(number(bytes, 4 + 4 * n, 4)? as usize),
        }
    }

    fn value_end(&self, n: usize) -> Option<usize> {
        let Self::Leaf {
            bytes,
            pairs,
            key,
            value,
            ..
        } = self
        else {
            return None;
        };
        if let Some(width) = value {
            let keys_end = self.key_end(pairs - 1)?;
            return keys_end.checked_add(width.checked_mul(n + 1)?);
        }
        let ends = if key.is_none() { 4 * pairs } else { 0 };
        Some(number(bytes, 4 + ends + 4 * n, 4)? as usize)
    }
}

/// What a key is ordered by: a first sequence, or an id and a part.
fn order(key: &[u8]) -> Option<(u64, u64)> {
    match key.len() {
        8 => Some((0, number(key, 0, 8)?)),
        12 => Some((number(key, 0, 4)?, number(key, 4, 8)?)),
        _ => None,
    }
}

/// The root of a table, out of the list of tables.
fn table(name: &[u8], entry: &[u8], system: bool) -> Option<(PageNumber, u128, Tree)> {
    let name = std::str::from_utf8(name).ok()?.to_owned();
    let is = |at: usize| entry.get(at).map(|flag| *flag != 0);
    if !is(ROOT_AT)? {
        return None;
    }
    // `None` where the entry is cut off, `Some(None)` for a width that varies.
    let width = |at: usize| {
        let width = number(entry, at + 1, 4)? as usize;
        Some(is(at)?.then_some(width))
    };
    let shape = Shape {
        apart: !system && is_verified_by_itself(&name),
        name,
        key: width(KEY_AT)?,
        value: width(VALUE_AT)?,
    };
    let page = PageNumber(number(entry, ROOT_AT + 1, 8)?);
    let checksum = wide(entry, ROOT_AT + 9)?;
    Some((page, checksum, Tree::Table(Arc::new(shape))))
}

/// A little-endian number of up to eight bytes.
pub(super) fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(len)?)?;
    Some(
        field
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

/// A little-endian number of sixteen bytes.
pub(super) fn wide(bytes: &[u8], at: usize) -> Option<u128> {
    let low = number(bytes, at, 8)?;
    let high = number(bytes, at + 8, 8)?;
    Some(u128::from(high) << 64 | u128::from(low))
}
