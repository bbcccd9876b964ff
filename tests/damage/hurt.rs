//! The kinds of damage.

use crate::journaled::Journal;
use crate::seed::Seed;
use crate::watched::PAGE;

/// One damage, with all that is needed to do it again.
#[derive(Clone, Debug)]
pub(crate) enum Hurt {
    None,
    Flip {
        at: u64,
        bit: u8,
    },
    Zero {
        at: u64,
        len: u64,
    },
    Truncate {
        len: u64,
    },
    Append {
        len: u64,
    },
    Swap {
        one: u64,
        other: u64,
        len: u64,
    },
    /// An older version of the same page: a write that was lost.
    Stale {
        page: u64,
        len: u64,
    },
    /// The whole file is gone.
    Gone,
}

impl Hurt {
    pub(crate) fn none() -> Self {
        Self::None
    }

    /// Damage in a part of the file that is in use.
    pub(crate) fn choose(random: &mut fastrand::Rng, seed: &Seed) -> Self {
        if random.u8(..12) == 0 {
            // Where it says which commit is in force.
            let (at, bit) = (PAGE + random.u64(..320), random.u8(..8));
            return Self::Flip { at, bit };
        }
        Self::choose_in(random, &seed.bytes, seed.used())
    }

    /// Damage of the journal.
    pub(crate) fn choose_beside(random: &mut fastrand::Rng, journal: &Journal) -> Self {
        match random.u8(..24) {
            0 => Self::Gone,
            1 => Self::Flip {
                at: random.u64(..48),
                bit: random.u8(..8),
            },
            _ => Self::choose_in(random, &journal.bytes, &journal.used),
        }
    }

    fn choose_in(random: &mut fastrand::Rng, bytes: &[u8], used: &[u64]) -> Self {
        let page = |random: &mut fastrand::Rng| used[random.usize(..used.len())];
        let at = page(random) * PAGE;
        match random.u8(..16) {
            0..=6 => {
                // A byte that says something, if the page has one.
                let bytes = &bytes[at as usize..(at + PAGE) as usize];
                let full: Vec<u64> = (0..PAGE).filter(|n| bytes[*n as usize] != 0).collect();
                let within = if full.is_empty() {
                    random.u64(..PAGE)
                } else {
                    full[random.usize(..full.len())]
                };
                let (at, bit) = (at + within, random.u8(..8));
                Self::Flip { at, bit }
            }
            7 | 8 => Self::Zero {
                at: at + 512 * random.u64(..8),
                len: 512,
            },
            9 => Self::Zero { at, len: PAGE },
            10 => Self::Truncate {
                len: random.u64(..bytes.len() as u64),
            },
            11 => Self::Append {
                len: [1, 512, PAGE, 1 << 20][random.usize(..4)],
            },
            12 => Self::Swap {
                one: at,
                other: page(random) * PAGE,
                len: PAGE,
            },
            13 => Self::Swap {
                one: at + 512 * random.u64(..8),
                other: page(random) * PAGE + 512 * random.u64(..8),
                len: 512,
            },
            14 => Self::Stale {
                page: at,
                len: PAGE,
            },
            _ => Self::Stale {
                page: at + 512 * random.u64(..8),
                len: 512,
            },
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Flip { .. } => "a flipped bit",
            Self::Zero { len: 512, .. } => "a zeroed sector",
            Self::Zero { .. } => "a zeroed page",
            Self::Truncate { .. } => "a cut file",
            Self::Append { .. } => "bytes behind the end",
            Self::Swap { len: 512, .. } => "two swapped sectors",
            Self::Swap { .. } => "two swapped pages",
            Self::Stale { len: 512, .. } => "an older sector",
            Self::Stale { .. } => "an older page",
            Self::Gone => "a missing file",
        }
    }

    /// The seed's file with the damage done to it.
    pub(crate) fn apply(&self, seed: &Seed) -> Vec<u8> {
        self.done_to(&seed.bytes, &seed.older).unwrap()
    }

    /// A file with the damage done to it, if one is left; `older` is the same file some commits before.
    pub(crate) fn done_to(&self, whole: &[u8], older: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = whole.to_vec();
        let range = |at: u64, len: u64| at as usize..(at + len) as usize;
        match *self {
            Self::None => {}
            Self::Flip { at, bit } => bytes[at as usize] ^= 1 << bit,
            Self::Zero { at, len } => bytes[range(at, len)].fill(0),
            Self::Truncate { len } => bytes.truncate(len as usize),
            Self::Append { len } => bytes.resize(bytes.len() + len as usize, 0x5a),
            Self::Swap { one, other, len } => {
                bytes[range(one, len)].copy_from_slice(&whole[range(other, len)]);
                bytes[range(other, len)].copy_from_slice(&whole[range(one, len)]);
            }
            Self::Stale { page, len } => {
                if let Some(old) = older.get(range(page, len)) {
                    bytes[range(page, len)].copy_from_slice(old);
                }
            }
            Self::Gone => return None,
        }
        Some(bytes)
    }
}
