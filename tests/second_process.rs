//! One store and several processes: the lock, a killed holder, foreign files (R24, R25).
//!
//! The other process is this test program again, told by an environment variable which store it is to
//! hold.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use riverbed::{OpenError, Riverbed, Seq, StreamConfig};

/// Holds the path of the store, in the other process.
const STORE: &str = "RIVERBED_TEST_STORE";

/// What the other process says.
const SAYS: &str = "the other process: ";

/// The other process's part; without the variable it is nothing.
#[test]
fn other_process() {
    let Some(path) = env::var_os(STORE) else {
        return;
    };
    // The line before this one has no end: the test's name.
    println!();
    let store = match Riverbed::open(Path::new(&path)) {
        Ok(store) => store,
        Err(error) => return println!("{SAYS}{error:?}"),
    };
    store.create_stream(StreamConfig::new("jobs")).unwrap();
    let seq = store.publish("jobs", "from the other process").unwrap().seq;
    println!("{SAYS}published {seq}");
    // Until the test kills this process, closes the pipe, or dies.
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    store.close().unwrap();
}

struct Other {
    process: Child,
    says: BufReader<ChildStdout>,
}

impl Other {
    fn start(path: &Path) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "other_process",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(STORE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(process.stdout.take().unwrap());
        Self { process, says }
    }

    /// What it says next; empty when it has ended without a word.
    fn listen(&mut self) -> String {
        let mut line = String::new();
        while self.says.read_line(&mut line).unwrap() > 0 {
            if let Some(said) = line.trim_end().strip_prefix(SAYS) {
                return said.to_owned();
            }
            line.clear();
        }
        String::new()
    }

    /// On Unix this is SIGKILL: the process does nothing more.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn let_it_close(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // A test that failed leaves nobody behind; who is gone already is fine.
        let _: io::Result<()> = self.process.kill();
        let _: io::Result<_> = self.process.wait();
    }
}

/// Opens, publishes, closes; returns the message's sequence.
fn publish(path: &Path) -> Seq {
    let store = Riverbed::open(path).unwrap();
    store.create_stream(StreamConfig::new("jobs")).unwrap();
    let seq = store.publish("jobs", "from the test").unwrap().seq;
    store.close().unwrap();
    seq
}

#[test]
fn a_second_process_is_refused_until_the_first_closes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.riverbed");
    let mut other = Other::start(&path);
    assert_eq!(other.listen(), "published 1");
    for _ in 0..3 {
        let refused = Riverbed::open(&path).unwrap_err();
        assert!(
            matches!(&refused, OpenError::AlreadyOpen { path: named } if *named == path),
            "{refused:?}"
        );
    }
    other.let_it_close();
    assert_eq!(publish(&path), 2);
}

#[test]
fn this_process_keeps_others_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.riverbed");
    let store = Riverbed::open(&path).unwrap();
    let before = fs::metadata(&path).unwrap().len();
    let said = Other::start(&path).listen();
    assert!(said.starts_with("AlreadyOpen"), "{said}");
    assert_eq!(fs::metadata(&path).unwrap().len(), before);
    store.close().unwrap();
    let mut other = Other::start(&path);
    assert_eq!(other.listen(), "published 1");
}

#[test]
fn a_killed_process_frees_the_lock_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.riverbed");
    for seq in 1..6 {
        let mut other = Other::start(&path);
        assert_eq!(other.listen(), format!("published {seq}"));
        other.kill();
    }
    assert_eq!(publish(&path), 6);
}

#[test]
fn of_many_processes_one_makes_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.riverbed");
    let mut others: Vec<Other> = (0..6).map(|_| Other::start(&path)).collect();
    let said: Vec<String> = others.iter_mut().map(Other::listen).collect();
    let (made, refused): (Vec<_>, Vec<_>) = said.iter().partition(|said| *said == "published 1");
    assert_eq!(made.len(), 1, "{said:?}");
    assert!(
        refused.iter().all(|said| said.starts_with("AlreadyOpen")),
        "{said:?}"
    );
    assert_eq!(names(dir.path()), ["q.riverbed"]);
    drop(others);
    assert_eq!(publish(&path), 2);
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect()
}

#[test]
fn a_foreign_file_is_refused_and_keeps_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.riverbed");
    redb::Database::create(&path).unwrap();
    let plain = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let files: [&[u8]; 5] = [
        b"",
        b"dear diary",
        b"SQLite format 3\0",
        &[0; 9_000],
        &plain,
    ];
    for bytes in files {
        fs::write(&path, bytes).unwrap();
        let before = fs::metadata(&path).unwrap();
        let refused = Riverbed::open(&path).unwrap_err();
        assert!(
            matches!(refused, OpenError::NotAStore { .. }),
            "{refused:?}"
        );
        let said = Other::start(&path).listen();
        assert!(said.starts_with("NotAStore"), "{said}");
        assert!(fs::read(&path).unwrap() == bytes, "{} bytes", bytes.len());
        let after = fs::metadata(&path).unwrap();
        assert_eq!(after.modified().unwrap(), before.modified().unwrap());
        assert_eq!(names(dir.path()), ["q.riverbed"]);
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_keeps_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.riverbed");
    publish(&path);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..4088]);
    bytes[4088..4096].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let refused = Riverbed::open(&path).unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::NewerFormat {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{refused:?}"
    );
    assert!(fs::read(&path).unwrap() == bytes);
}
