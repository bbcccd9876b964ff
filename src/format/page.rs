//! The pages that redb gives blocks, and where to cut so that little of them is wasted.
//!
//! redb gives a big value pages of a power of two. In our tables (a `u64` key, one value of
//! variable length, one row in the leaf) a value of exactly P - 16 bytes takes one page of P, and
//! one byte more takes 2 P: measured with redb 4.4's `stats()` for every P from 4 KiB to 128 KiB.

/// Bytes of a page that a row's value can't have.
const ROW_COST: usize = 16;
/// The smallest page.
const SMALLEST: usize = 4096;
/// The largest page that a block fills. Larger ones were measured to gain little, and a block is
/// what a read of one message pays for.
const LARGEST: usize = 65536;

/// What a commit writes of a stream's last block, when that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// All of it: it grows while it takes one page, and a batch goes on in it to the full size of a block.
    Whole,
    /// What is added, once more beside the whole: it grows further, as that is written once for many
    /// commits, and a batch only fills it up.
    InJournal,
}

impl Growth {
    /// Up to which length a last block is grown.
    pub(crate) const fn below(self) -> usize {
        match self {
            Self::Whole => fit(SMALLEST),
            Self::InJournal => fit(4 * SMALLEST),
        }
    }

    /// How long a last block becomes at most.
    const fn longest(self) -> usize {
        match self {
            Self::Whole => fit(LARGEST),
            Self::InJournal => self.below(),
        }
    }
}

/// The largest block that fits in a page of `page` bytes.
pub(super) const fn fit(page: usize) -> usize {
    page - ROW_COST
}

/// The page that a block of `len` bytes takes.
pub(super) fn page_of(len: usize) -> usize {
    (len + ROW_COST).next_power_of_two().max(SMALLEST)
}

/// The bytes of the page that a block of `len` bytes takes. Small blocks of one stream may share one.
pub(crate) fn page_bytes(len: usize) -> u64 {
    page_of(len) as u64
}

/// Whether passing over a block of `len` bytes saves anything beside reading it: it has more than the smallest
/// page, and is no last block that each commit writes anew in a store without a journal.
pub(super) const fn worth_passing(len: usize) -> bool {
    len > fit(SMALLEST)
}

/// What is to go into blocks, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// Of one block of all of it, about.
    pub(super) whole: usize,
    /// Of its largest record.
    pub(super) largest: usize,
}

impl Rest {
    /// How long the next block is to become. One that would leave over an eighth of its page empty ends at
    /// the next lower size, if its records are small enough for that to save pages; one that can be grown
    /// later is left alone.
    pub(super) fn longest(self, growth: Growth) -> usize {
        let page = page_of(self.whole);
        if page > LARGEST {
            return fit(LARGEST);
        }
        let wasted = fit(page).saturating_sub(self.whole);
        let splits = wasted > page / 8 && self.largest <= page / 8;
        let longest = if splits { fit(page / 2) } else { fit(page) };
        longest.max(growth.below())
    }

    /// The same of a block that there is already.
    pub(super) fn longest_grown(self, growth: Growth) -> usize {
        self.longest(growth).min(growth.longest())
    }
}
