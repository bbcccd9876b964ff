//! How the disk of a run fails.

use fastrand::Rng;
use riverbed::disk::{DiskFault, MemoryDisk};

/// How the disk is going to fail, after so many more operations, syncs or reads.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// Everything from there on fails.
    NoPower(u64),
    Refused(u64),
    Torn {
        after: u64,
        seed: u64,
    },
    LostSync {
        after: u64,
        seed: u64,
    },
    FailedSync(u64),
    Full(u64),
    /// The files together can grow by no more than so many bytes, until the store is opened anew.
    NoRoom(u64),
    BadRead(u64),
}

impl Trouble {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::NoPower(_) => "no_power",
            Self::Refused(_) => "refused",
            Self::Torn { .. } => "torn",
            Self::LostSync { .. } => "lost_sync",
            Self::FailedSync(_) => "failed_sync",
            Self::Full(_) => "full",
            Self::NoRoom(_) => "no_room",
            Self::BadRead(_) => "bad_read",
        }
    }

    pub(crate) fn random(rng: &mut Rng, most: u64) -> Self {
        let (after, seed) = (rng.u64(..most), rng.u64(..1_000));
        match rng.u8(..11) {
            0..=2 => Self::NoPower(after),
            3 => Self::Refused(after),
            4 => Self::Torn { after, seed },
            5 | 6 => {
                let after = after / 8;
                Self::LostSync { after, seed }
            }
            7 => Self::FailedSync(after / 8),
            8 => Self::Full(after),
            9 => Self::NoRoom(seed * 64),
            _ => Self::BadRead(after),
        }
    }

    pub(crate) fn strike(&self, disk: &MemoryDisk) {
        let at = |after: &u64| disk.operations() + after;
        match self {
            Self::NoPower(after) => disk.fail_from(at(after)),
            Self::Refused(after) => disk.fault_at(at(after), DiskFault::Refused),
            Self::Full(after) => disk.fault_at(at(after), DiskFault::Full),
            Self::Torn { after, seed } => {
                disk.fault_at(at(after), DiskFault::Torn { seed: *seed });
            }
            Self::LostSync { after, seed } => {
                disk.fault_sync_after(*after, DiskFault::LostSync { seed: *seed });
            }
            Self::FailedSync(after) => disk.fault_sync_after(*after, DiskFault::Refused),
            Self::NoRoom(room) => disk.set_capacity(Some(disk.used() + room)),
            Self::BadRead(after) => disk.fail_read_after(*after),
        }
    }

    /// Everything works from now on.
    pub(crate) fn end(disk: &MemoryDisk) {
        disk.stop_failing();
        disk.set_capacity(None);
    }
}
