//! Where a journal stands: beside the store's file, by whatever path that was opened and wherever the process
//! goes afterwards.
#![allow(clippy::unwrap_used, reason = "a test")]

use riverbed::{Riverbed, StreamConfig};
use std::env::set_current_dir;
use std::fs;
use std::path::Path;

fn open(path: impl AsRef<Path>) -> Riverbed {
    let store = Riverbed::builder().without_threads().open(path).unwrap();
    store.create_stream(StreamConfig::new("log")).unwrap();
    store
}

fn work(store: &Riverbed) {
    for n in 0..10 {
        store.publish("log", format!("message {n}")).unwrap();
        store.drive().unwrap();
    }
}

/// What a kill would leave of the store in one folder, opened elsewhere.
fn after_a_kill(from: &Path, to: &Path) -> Result<u64, String> {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    let store = Riverbed::builder()
        .without_threads()
        .open(to.join("q"))
        .map_err(|why| why.to_string())?;
    Ok(store.stream("log").unwrap().info().unwrap().messages)
}

#[test]
fn a_process_that_changes_its_directory_finds_its_journals_again() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    for dir in [&a, &b] {
        fs::create_dir(dir).unwrap();
    }
    let mut wrong = Vec::new();

    // As a daemon does: open, then leave the directory.
    set_current_dir(&a).unwrap();
    let daemon = open("q");
    set_current_dir(folder.path()).unwrap();
    work(&daemon);
    if folder.path().join("q.journal").exists() {
        wrong.push("the journal of a/q is made at ./q.journal".to_owned());
    }
    if let Err(why) = after_a_kill(&a, &folder.path().join("a-killed")) {
        wrong.push(format!("killed: {why}"));
    }
    daemon.close().unwrap();

    // Two stores of the same name: closing one takes the other's journal.
    set_current_dir(&a).unwrap();
    let first = open("q");
    work(&first);
    set_current_dir(&b).unwrap();
    let second = open("q");
    work(&second);
    assert!(b.join("q.journal").exists());
    first.close().unwrap();
    if !b.join("q.journal").exists() {
        wrong.push("closing a/q removed b/q.journal, which is in use".to_owned());
    }
    work(&second);
    if let Err(why) = after_a_kill(&b, &folder.path().join("b-killed")) {
        wrong.push(format!("20 were acknowledged: {why}"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_store_that_was_moved_away_takes_no_journal_of_another_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let [live, old] = ["live", "old"].map(|name| folder.path().join(name));
    for dir in [&live, &old] {
        fs::create_dir(dir).unwrap();
    }
    let first = open(live.join("q"));
    work(&first);
    for name in ["q", "q.journal"] {
        fs::rename(live.join(name), old.join(name)).unwrap();
    }
    let second = open(live.join("q"));
    work(&second);
    first.close().unwrap();
    let left = after_a_kill(&live, &folder.path().join("killed"));
    assert_eq!(left, Ok(10));
}

#[cfg(unix)]
#[test]
fn a_store_that_is_opened_by_a_link_has_its_journal_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let [real, by] = ["real", "by"].map(|name| folder.path().join(name));
    for dir in [&real, &by] {
        fs::create_dir(dir).unwrap();
    }
    open(real.join("q")).close().unwrap();
    std::os::unix::fs::symlink(real.join("q"), by.join("q")).unwrap();
    let store = open(by.join("q"));
    work(&store);
    let left = after_a_kill(&real, &folder.path().join("killed"));
    assert_eq!(left, Ok(10));
}
