//! A journal that the store's file expects no more, and that is still there when the store is opened.

use super::journal::{file, groups, journaled, with_groups};
use crate::disk::{Disk, DiskFault, MemoryDisk};

/// What a store that fails while it closes leaves in the file may be no more than written: whoever opens it
/// then, before it is synced, must not remove what is the only other copy.
#[test]
fn a_journal_goes_only_when_the_file_that_expects_it_no_more_is_synced() {
    let (mut leftovers, mut cuts) = (0, 0);
    for failing in 0..6 {
        for at in 0.. {
            let disk = MemoryDisk::new();
            let store = with_groups(&disk, 5);
            disk.fault_sync_after(failing, DiskFault::Refused);
            let closed = store.close();
            drop(store);
            let ended = closed.is_ok();
            disk.stop_failing();
            leftovers += u32::from(!ended && disk.exists(&file()).unwrap());
            disk.fail_from(disk.operations() + at);
            let opened = journaled(&disk);
            let whole = opened.is_ok();
            drop(opened);
            for seed in [0, 1, at + 2, at + 100, at + 1000] {
                let image = disk.crash_image(seed);
                let store = journaled(&image);
                let store = store.unwrap_or_else(|why| {
                    panic!("sync {failing} failed, opening cut at {at}, seed {seed}: {why}")
                });
                assert_eq!(groups(&store), 5);
                cuts += 1;
            }
            if whole {
                break;
            }
        }
    }
    assert!(leftovers > 0 && cuts > 100, "{leftovers} {cuts}");
}
