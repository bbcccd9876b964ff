//! Stores with a journal, whose process was killed while the journal held what the file did not have.

use crate::content::Content;
use crate::seed::{
    Seed, bytes_at, bytes_of, clock, disk_of_both, fill, journal_path, open, open_journaled, path,
};
use crate::watched::PAGE;
use riverbed::disk::{Disk, MemoryDisk};
use riverbed::{Fetch, Riverbed};
use std::ops::Range;

/// The journal of a seed, as bytes.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) bytes: Vec<u8>,
    /// The same file some commits before.
    pub(crate) older: Vec<u8>,
    /// The pages that anything was written to.
    pub(crate) used: Vec<u64>,
    /// The last records that the store's file lacks, the last of all first, and what the store held
    /// before each.
    last: Vec<(Range<usize>, Content)>,
    /// Whether it lacks no others.
    are_all: bool,
}

/// A commit each, the last that are made; more than any damage here hits at once.
const LAST: u64 = 40;

pub(crate) fn seeds() -> Vec<Seed> {
    // All in one lap, and over several.
    vec![
        journaled("journaled", 512 << 10),
        journaled("laps", 128 << 10),
    ]
}

impl Journal {
    /// What is true when the journal is damaged like this and opens: a record that is damaged looks torn,
    /// and may, if none behind it is whole.
    pub(crate) fn base<'a>(&'a self, hurt: &[u8], truth: &'a Content) -> &'a Content {
        let is_hurt =
            |range: &Range<usize>| hurt.get(range.clone()) != self.bytes.get(range.clone());
        let torn = self.last.iter().take_while(|(range, _)| is_hurt(range));
        let known = self.are_all || torn.clone().count() < self.last.len();
        assert!(known, "keep more states");
        torn.last().map_or(truth, |(_, before)| before)
    }
}

/// The records of a journal as `docs/format.md` has them, by number, those of earlier laps included.
pub(crate) fn records(journal: &[u8]) -> Vec<(u64, Range<usize>)> {
    let field = |at: usize| u64::from_le_bytes(journal[at..at + 8].try_into().unwrap());
    let starts = (4096..journal.len()).step_by(8);
    let starts = starts.filter(|at| journal[*at..].starts_with(b"RvJr"));
    let record = |at: usize| (field(at + 24), at..at + 56 + field(at + 40) as usize);
    let mut records: Vec<_> = starts.map(record).collect();
    records.sort_by_key(|(number, _)| *number);
    records
}

fn journaled(name: &'static str, segment: u64) -> Seed {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let store = open_journaled(disk.clone(), path(), &clock, segment).unwrap();
    let store = fill(store, &clock);
    let older = (bytes_of(&disk), bytes_at(&disk, journal_path()));
    let mut last = Vec::new();
    for n in 0..LAST {
        let before = content(&disk);
        let known = records(&bytes_at(&disk, journal_path()));
        commit(&store, n);
        let now = records(&bytes_at(&disk, journal_path()));
        match now.last() {
            Some(record) if known.last() != Some(record) => {
                last.insert(0, (record.1.clone(), before));
            }
            // It went to the store's file, which has all that was before it now.
            _ => last.clear(),
        }
    }
    let image = disk.kill_image();
    let (bytes, journal) = (bytes_of(&image), bytes_at(&image, journal_path()));
    // Without any record it is what the file has.
    let mut empty = journal.clone();
    empty[4096..].fill(0);
    let in_file = content_of(&bytes, &empty);
    let lacks = last.iter().position(|(_, before)| *before == in_file);
    last.truncate(lacks.map_or(last.len(), |n| n + 1));
    let pages = journal.chunks(PAGE as usize).enumerate();
    let used = pages.filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    let journal = Journal {
        older: older.1,
        used: used.map(|(page, _)| page as u64).collect(),
        last,
        are_all: lacks.is_some(),
        bytes: journal,
    };
    Seed::with_journal(name, bytes, older.0, None, Some(journal))
}

/// What a kill at this moment would leave.
fn content(disk: &MemoryDisk) -> Content {
    content_of(&bytes_of(disk), &bytes_at(disk, journal_path()))
}

fn content_of(file: &[u8], journal: &[u8]) -> Content {
    let store = open(disk_of_both(file, Some(journal)), path(), &clock()).unwrap();
    Content::read(&store).unwrap()
}

/// A small group: messages of all sizes, and what a consumer did.
fn commit(store: &Riverbed, n: u64) {
    let all = store.stream("orders").unwrap().consumer("all").unwrap();
    if n.is_multiple_of(4) {
        drop(all.fetch(Fetch::new(2).no_wait()).unwrap());
    } else {
        let payload = format!("late {n} ").repeat(n as usize * n as usize % 60 + 1);
        store.publish("orders.late", payload).unwrap();
    }
}

#[test]
fn a_torn_record_takes_its_commit_alone() {
    for seed in &seeds() {
        let journal = seed.journal.as_ref().unwrap();
        assert!(journal.last.len() > 5, "{}", seed.name);
        // Cut behind each of the last, the journal opens with what was true then.
        for n in 0..journal.last.len().min(12) {
            let mut bytes = journal.bytes.clone();
            for (range, _) in &journal.last[..=n] {
                bytes[range.clone()].fill(0);
            }
            let disk = disk_of_both(&seed.bytes, Some(&bytes));
            let store = open(disk.clone(), path(), &clock()).unwrap();
            let found = Content::read(&store).unwrap();
            assert!(
                found == *journal.base(&bytes, &seed.truth),
                "{} {n}",
                seed.name
            );
            assert!(found == journal.last[n].1, "{} {n}", seed.name);
            store.close().unwrap();
            assert!(!disk.exists(journal_path()).unwrap());
        }
    }
}
