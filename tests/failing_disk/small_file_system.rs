//! A real file system that fills up: a small one in memory, mounted for one process.

use crate::world::payload;
use riverbed::{
    ConsumerConfig, Fetch, OpenError, PublishErrorKind, Riverbed, StreamConfig, Unavailable,
};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Names the place of the mounted file system, in the process that has it.
const MOUNTED: &str = "RIVERBED_TEST_SMALL_FILE_SYSTEM";

/// Runs a command with a file system of 12 MiB at a place, which nobody else sees.
fn with_small_file_system(place: &Path, command: &str) -> Command {
    let mut unshare = Command::new("unshare");
    // Mounting needs rights: where there are none, a user namespace gives them.
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    unshare.arg(format!(
        "mount -t tmpfs -o size=12m tmpfs \"$0\" && {command}"
    ));
    unshare.arg(place);
    unshare
}

#[test]
fn g1_on_a_full_file_system_nothing_acknowledged_is_lost_and_room_mends_the_store() {
    let place = tempfile::tempdir().unwrap();
    let tried = with_small_file_system(place.path(), "true").output();
    match tried {
        Ok(tried) if tried.status.success() => {}
        Ok(tried) => {
            let why = String::from_utf8_lossy(&tried.stderr);
            return println!(
                "SKIPPED: no file system may be mounted here: {}",
                why.trim()
            );
        }
        Err(why) => return println!("SKIPPED: there is no `unshare` here: {why}"),
    }
    let part = "small_file_system::on_the_mounted_file_system";
    let output = with_small_file_system(place.path(), &format!("exec \"$1\" --exact {part}"))
        .arg(std::env::current_exe().unwrap())
        .env(MOUNTED, place.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// The part of the process that has the file system; a test that does nothing otherwise.
#[test]
fn on_the_mounted_file_system() {
    let Some(place) = std::env::var_os(MOUNTED) else {
        return;
    };
    let place = Path::new(&place);
    let path = place.join("store");
    // Something else takes room that can be made again.
    let ballast = place.join("ballast");
    fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let stored = fill(&path);
    assert!(stored > 100, "{stored} messages fit");
    // There is still no room: it opens, or says why it does not; either way nothing changes.
    match Riverbed::open(&path) {
        Ok(store) => drop(store.close()),
        Err(why) => assert!(matches!(why, OpenError::DiskFull { .. }), "{why:?}"),
    }
    fs::remove_file(&ballast).unwrap();
    let store = Riverbed::open(&path).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let stream = store.stream("s").unwrap();
    let mut last = 0;
    for message in stream.range(..) {
        let message = message.unwrap();
        last += 1;
        assert_eq!(message.seq(), last);
        assert!(message.payload() == payload(last), "the bytes of {last}");
    }
    assert!(
        last == stored || last == stored + 1,
        "{last}, {stored} acked"
    );
    assert_eq!(
        stream.publish("s", payload(last + 1)).unwrap().seq,
        last + 1
    );
    let consumer = stream.consumer("c").unwrap();
    let first = consumer.fetch(Fetch::new(1)).unwrap();
    assert_eq!(first[0].seq(), 1);
    assert_eq!(first.ack().unwrap().acked, 1);
    store.close().unwrap();
    refuse_to_be_created(place);
}

/// Publishes until there is no room; returns the last sequence that was acknowledged.
fn fill(path: &Path) -> u64 {
    let store = Riverbed::open(path).unwrap();
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    stream.create_consumer(ConsumerConfig::new("c")).unwrap();
    let mut stored = 0;
    let why = loop {
        match stream.publish("s", payload(stored + 1)) {
            Ok(ack) => stored = ack.seq.get(),
            Err(why) => break why,
        }
    };
    let text = why.to_string();
    assert!(
        text.contains("disk is full") && text.contains("make room"),
        "{text}"
    );
    // The checkpoint that brings the file what the journal has may have met it first.
    assert!(matches!(
        why.kind,
        PublishErrorKind::Unavailable(Unavailable::DiskFull { .. } | Unavailable::Poisoned { .. })
    ));
    store.close().unwrap_err();
    stored
}

/// A store that does not fit leaves its path free (R24).
fn refuse_to_be_created(place: &Path) {
    let (path, ballast) = (place.join("other"), place.join("ballast"));
    let filled = fs::write(&ballast, vec![1; 16 << 20]).unwrap_err();
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    let why = Riverbed::open(&path).unwrap_err();
    assert!(matches!(why, OpenError::DiskFull { .. }), "{why:?}");
    assert!(!path.exists());
    fs::remove_file(&ballast).unwrap();
    Riverbed::open(&path).unwrap().close().unwrap();
}
