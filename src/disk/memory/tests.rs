//! Tests of the simulated disk.

use super::{Disk, MemoryDisk};
use std::io::ErrorKind;
use std::path::Path;

fn path(name: &str) -> &Path {
    Path::new(name)
}

#[test]
fn a_rename_that_no_directory_sync_covers_may_vanish() {
    let disk = MemoryDisk::new();
    disk.create(path("/d/a")).unwrap().sync().unwrap();
    disk.sync_dir(path("/d")).unwrap();
    disk.rename(path("/d/a"), path("/d/b")).unwrap();
    assert!(disk.crash_image(0).exists(path("/d/a")).unwrap());
    assert!(disk.crash_image(1).exists(path("/d/b")).unwrap());
    assert!(!disk.crash_image(1).exists(path("/d/a")).unwrap());
    disk.sync_dir(path("/other")).unwrap();
    assert!(disk.crash_image(0).exists(path("/d/a")).unwrap());
    disk.sync_dir(path("/d")).unwrap();
    assert!(disk.crash_image(0).exists(path("/d/b")).unwrap());
}

#[test]
fn random_seeds_keep_some_sectors_and_lose_others() {
    let disk = MemoryDisk::new();
    let file = disk.create(path("/a")).unwrap();
    file.set_len(512 * 100).unwrap();
    file.sync().unwrap();
    disk.sync_dir(path("/")).unwrap();
    file.write_at(0, &vec![1; 512 * 100]).unwrap();
    let kept = |seed| {
        let mut content = vec![0; 512 * 100];
        let image = disk.crash_image(seed);
        image
            .open(path("/a"))
            .unwrap()
            .read_at(0, &mut content)
            .unwrap();
        content
            .chunks(512)
            .filter(|sector| sector == &[1; 512])
            .count()
    };
    assert_eq!((kept(0), kept(1)), (0, 100));
    for seed in 2..10 {
        assert!((1..100).contains(&kept(seed)), "{seed}");
        assert_eq!(kept(seed), kept(seed));
    }
}

#[test]
fn failures_start_at_their_operation_and_stop_when_told() {
    let disk = MemoryDisk::new();
    disk.fail_from(2);
    let file = disk.create(path("/a")).unwrap();
    file.write_at(0, b"x").unwrap();
    assert_eq!(file.len().unwrap(), 1);
    assert!(file.sync().is_err());
    assert!(file.read_at(0, &mut [0]).is_err());
    assert!(disk.exists(path("/a")).is_err());
    disk.stop_failing();
    file.sync().unwrap();
    assert_eq!(disk.operations(), 4);
}

#[test]
fn a_clone_is_the_same_disk_and_an_image_is_another() {
    let disk = MemoryDisk::new();
    let image = disk.kill_image();
    disk.clone().create(path("/a")).unwrap();
    assert!(disk.exists(path("/a")).unwrap());
    assert!(!image.exists(path("/a")).unwrap());
}

#[test]
fn locks_belong_to_handles_and_go_with_them() {
    let disk = MemoryDisk::new();
    let first = disk.create(path("/a")).unwrap();
    let second = disk.open(path("/a")).unwrap();
    assert!(first.try_lock().unwrap());
    assert!(first.try_lock().unwrap());
    assert!(!second.try_lock().unwrap());
    second.unlock().unwrap();
    assert!(!second.try_lock().unwrap());
    drop(first);
    assert!(second.try_lock().unwrap());
}

#[test]
fn a_full_disk_refuses_growth_only() {
    let disk = MemoryDisk::new();
    let file = disk.create(path("/a")).unwrap();
    file.set_len(100).unwrap();
    disk.set_capacity(Some(100));
    file.write_at(50, &[1; 50]).unwrap();
    let full = file.write_at(51, &[1; 50]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
}
