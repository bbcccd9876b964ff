//! redb's header: which commit is in force, and where its trees begin.

use xxhash_rust::xxh3::xxh3_128;

use super::node::{number, wide};

/// Where the two commit slots are.
const SLOTS: [usize; 2] = [64, 192];
const SLOT_LEN: usize = 128;
const SLOT_SUM_AT: usize = 112;
const FILE_FORMAT: u8 = 3;

const PRIMARY: u8 = 1;
const UNCLEAN: u8 = 2;
const TWO_PHASE: u8 = 4;

/// How page numbers become offsets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    header_pages: u64,
    region_pages: u64,
}

/// A page as redb numbers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageNumber(pub(super) u64);

/// Where a tree begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub(super) page: PageNumber,
    pub(super) checksum: u128,
}

/// What a header says.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) geometry: Geometry,
    /// Roots, and whether each is of redb's own tables.
    pub(super) roots: Vec<(Root, bool)>,
    /// Whether the commit in force is known to be whole.
    pub(super) trusted: bool,
}

impl Geometry {
    /// The offset and the length of a page; `None` for one that no file can have.
    pub(super) fn place(self, number: PageNumber) -> Option<(u64, u64)> {
        let order = number.0 >> 59;
        if order > 20 {
            return None;
        }
        let index = number.0 & (0x000F_FFFF >> order);
        let region = (number.0 >> 20) & 0x000F_FFFF;
        let len = super::PAGE << order;
        let region_len = (self.header_pages + self.region_pages).checked_mul(super::PAGE)?;
        let start = super::PAGE
            .checked_add(region.checked_mul(region_len)?)?
            .checked_add(self.header_pages.checked_mul(super::PAGE)?)?
            .checked_add(index.checked_mul(len)?)?;
        Some((start, len))
    }
}

struct Slot {
    valid: bool,
    roots: Vec<(Root, bool)>,
}

/// What a redb file begins with.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// Whether the first page of a redb file may be that of one that was not closed: for salvage, where nothing
/// may be left of it.
pub(in crate::store) fn may_be_unclean(page: &[u8]) -> bool {
    let flags = page.get(9).filter(|_| page.starts_with(MAGIC));
    flags.is_none_or(|flags| flags & UNCLEAN != 0)
}

/// Reads the header of a redb file. What redb itself refuses with an error of its own is left to it.
pub(super) fn read(page: &[u8]) -> Result<Begin, String> {
    let [first, second] = SLOTS.map(|at| slot(page, at));
    let (Some(flags), Some(first), Some(second)) = (page.get(9).copied(), first, second) else {
        return Err("redb's header is cut off".to_owned());
    };
    let geometry = Geometry {
        header_pages: number(page, 16, 4).unwrap_or(0),
        region_pages: number(page, 20, 4).unwrap_or(0),
    };
    let (primary, other) = if flags & PRIMARY == 0 {
        (first, second)
    } else {
        (second, first)
    };
    // Only then does redb take the commit as it is. Otherwise it verifies all of it, and a file that says
    // that it was closed may be one whose repair a crash interrupted: redb calls it closed in the middle.
    let trusted = flags & TWO_PHASE != 0;
    // redb would go back to the other commit, and nobody would hear of it.
    if flags & UNCLEAN == 0 && !primary.valid {
        return Err("the file was closed, but its last commit slot is damaged".to_owned());
    }
    let mut roots = primary.roots;
    if !trusted {
        roots.extend(other.roots);
    }
    Ok(Begin {
        geometry,
        roots,
        trusted,
    })
}

fn slot(page: &[u8], at: usize) -> Option<Slot> {
    let slot = page.get(at..at + SLOT_LEN)?;
    let valid = xxh3_128(slot.get(..SLOT_SUM_AT)?) == wide(slot, SLOT_SUM_AT)?
        && slot.first() == Some(&FILE_FORMAT);
    let mut roots = Vec::new();
    for (present, at, system) in [(1, 8, false), (2, 40, true)] {
        if valid && slot.get(present) != Some(&0) {
            let (page, checksum) = (PageNumber(number(slot, at, 8)?), wide(slot, at + 8)?);
            roots.push((Root { page, checksum }, system));
        }
    }
    Some(Slot { valid, roots })
}
