//! Commits that are written at once and synced later (J12): what a power cut may leave of them.

use crate::oracle::Oracle;
use crate::run::Run;
use riverbed::disk::{Disk, MemoryDisk};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What the store was after each of its commits since one that is known to be synced, which is the first.
#[derive(Debug)]
pub(crate) struct Later {
    /// Microseconds within which a commit is synced.
    within: u64,
    moments: Vec<Oracle>,
}

impl Later {
    pub(crate) fn new(within_ms: u64, made: Oracle) -> Self {
        Self {
            within: within_ms * 1_000,
            moments: vec![made],
        }
    }

    /// What a power cut may leave now, were the time this.
    pub(crate) fn leaves(&self, now: u64) -> Vec<Oracle> {
        let mut left = self.moments.clone();
        for moment in &mut left {
            moment.now = now;
        }
        left
    }
}

impl Oracle {
    /// A message that was due is sent; whether the next one comes with the same commit is the store's to say.
    pub(crate) fn sent(&mut self) {
        let Some(mut halfway) = self.halfway.take() else {
            return;
        };
        let mut moment = self.clone();
        moment.trim_all();
        moment.commits.clear();
        moment.met.clear();
        moment.told.clear();
        halfway.push(moment);
        self.halfway = Some(halfway);
    }

    /// A commit ends here, and more of the same operation come.
    pub(crate) fn committed(&mut self) {
        if self.syncs_later {
            let mut moment = self.clone();
            moment.commits.clear();
            moment.met.clear();
            moment.told.clear();
            self.commits.push(moment);
        }
    }
}

impl Run {
    /// The running operation has committed more than once already.
    pub(crate) fn written_before(&mut self, moments: Vec<Oracle>) {
        for mut moment in moments {
            moment.committed();
            if let Some(later) = &mut self.later {
                later.moments.extend(moment.commits);
            }
        }
    }

    /// The operation is done, and what it committed is written.
    pub(crate) fn written(&mut self) {
        self.oracle.committed();
        let commits = std::mem::take(&mut self.oracle.commits);
        if let Some(later) = &mut self.later {
            later.moments.extend(commits);
        }
    }

    /// Everything is durable.
    pub(crate) fn synced(&mut self) {
        let Some(later) = &mut self.later else {
            return;
        };
        if later.moments.len() > 1 {
            self.cover("written synced on demand".into());
        }
        self.found_durable();
    }

    /// What was found when the store was opened is durable, and so is what was synced on demand.
    pub(crate) fn found_durable(&mut self) {
        if let Some(later) = &mut self.later {
            later.moments.clear();
        }
        self.written();
    }

    /// The store did what was due: commits that are older than they may be without a sync are durable.
    pub(crate) fn time_came(&mut self) {
        let now = self.oracle.now;
        let Some(later) = &mut self.later else {
            return;
        };
        let is_due = |moment: &Oracle| moment.now + later.within <= now;
        let synced = later.moments.iter().rposition(is_due).unwrap_or(0);
        if synced > 0 {
            later.moments.drain(..synced);
            self.cover("written synced in time".into());
        }
    }
}

const HEAD: usize = 4096;
const RECORD_HEAD: usize = 56;

/// Whether a record of the journal is not whole, and one of the same lap behind it is: what a power cut leaves
/// only where several were not synced. Read from docs/format.md and not from the library.
pub(crate) fn passes_over_torn(image: &MemoryDisk) -> bool {
    let Ok(file) = image.open(Path::new("/store.journal")) else {
        return false;
    };
    let mut bytes = vec![0; file.len().unwrap_or(0) as usize];
    if bytes.len() <= HEAD || file.read_at(0, &mut bytes).is_err() {
        return false;
    }
    let (store, segment) = (number_at(&bytes, 16), number_at(&bytes, 32));
    let segments = bytes[HEAD..].chunks(segment.max(1) as usize);
    segments.into_iter().any(|segment| is_torn(store, segment))
}

fn is_torn(store: u64, segment: &[u8]) -> bool {
    let (mut at, mut lap) = (0, None);
    while let Some((of, len)) = whole_record(store, &segment[at..]) {
        if lap.is_some_and(|lap| lap != of) {
            return false;
        }
        (at, lap) = (at + len, Some(of));
    }
    let behind = (at..segment.len()).step_by(8);
    lap.is_some()
        && behind
            .filter_map(|at| whole_record(store, &segment[at..]))
            .any(|(of, _)| Some(of) == lap)
}

/// The lap and the length of the whole record that begins here.
fn whole_record(store: u64, bytes: &[u8]) -> Option<(u64, usize)> {
    if !bytes.starts_with(b"RvJr") || bytes.len() < RECORD_HEAD {
        return None;
    }
    let len = number_at(bytes, 40) as usize;
    let payload = bytes.get(RECORD_HEAD..RECORD_HEAD.checked_add(len)?)?;
    let place = xxh3_64_with_seed(&bytes[..48], store);
    let whole = xxh3_64_with_seed(payload, place) == number_at(bytes, 48);
    let len = (RECORD_HEAD + len).next_multiple_of(8);
    (whole && len <= bytes.len()).then(|| (number_at(bytes, 16), len))
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
