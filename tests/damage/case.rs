//! One case: a damaged file is opened, checked, read, delivered from, written to, closed and reopened.

use crate::content::Content;
use crate::hurt::Hurt;
use crate::seed::{
    Seed, bytes_at, bytes_of, clock, disk_of_both, journal_path, open, open_journaled, path,
};
use crate::tally::Outcome;
use crate::watched::Watched;
use riverbed::disk::{Disk, FileDisk};
use riverbed::{Fetch, ManualClock, OpenError, Riverbed};
use std::path::Path;
use std::time::Duration;

/// Which file is damaged, and how.
pub(crate) struct Case<'a> {
    seed: &'a Seed,
    beside: bool,
    /// Whether the store that is opened keeps a journal.
    keeps_journal: bool,
    pub(crate) hurt: Hurt,
}

impl std::fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {:?}", self.name(), self.hurt)
    }
}

impl<'a> Case<'a> {
    pub(crate) fn choose(random: &mut fastrand::Rng, seed: &'a Seed) -> Self {
        let journal = seed.journal.as_ref().filter(|_| random.bool());
        Self {
            seed,
            beside: journal.is_some(),
            keeps_journal: random.bool(),
            hurt: match journal {
                Some(journal) => Hurt::choose_beside(random, journal),
                None => Hurt::choose(random, seed),
            },
        }
    }

    pub(crate) fn whole(seed: &'a Seed) -> Self {
        let hurt = Hurt::none();
        Self {
            seed,
            beside: false,
            keeps_journal: false,
            hurt,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.beside {
            "its journal"
        } else {
            self.seed.name
        }
    }

    /// The store's file and its journal, damaged.
    pub(crate) fn files(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        match &self.seed.journal {
            Some(journal) if self.beside => {
                let hurt = self.hurt.done_to(&journal.bytes, &journal.older);
                (self.seed.bytes.clone(), hurt)
            }
            journal => {
                let beside = journal.as_ref().map(|journal| journal.bytes.clone());
                (self.hurt.apply(self.seed), beside)
            }
        }
    }

    pub(crate) fn run(&self, real: bool) -> Outcome {
        let (store, journal) = self.files();
        let bases = self.bases(journal.as_deref());
        if real {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("q.riverbed");
            std::fs::write(&path, store).unwrap();
            if let Some(journal) = journal {
                std::fs::write(folder.path().join("q.riverbed.journal"), journal).unwrap();
            }
            return self.judge(&bases, &FileDisk::new, &path);
        }
        let disk = disk_of_both(&store, journal.as_deref());
        let watched = Watched::new(disk.clone());
        let outcome = self.judge(&bases, &|| watched.clone(), path());
        if let Outcome::Refused(what) = &outcome
            && what.contains("neither file was changed")
        {
            let there = disk.exists(journal_path()).unwrap();
            let beside = there.then(|| bytes_at(&disk, journal_path()));
            if bytes_of(&disk) != store || beside != journal {
                return Outcome::Wrong(format!("changed, although: {what}"));
            }
        }
        match watched.work.lock().unwrap().exceeded.take() {
            Some(what) => Outcome::Hang(what),
            None => outcome,
        }
    }

    /// What the store may hold: the truth, or what was true before where the fault model allows it.
    fn bases(&self, journal: Option<&[u8]>) -> Vec<&'a Content> {
        match (&self.seed.journal, journal) {
            (Some(whole), Some(hurt)) if self.beside => vec![whole.base(hurt, &self.seed.truth)],
            _ => [Some(&self.seed.truth), self.seed.before.as_ref()]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    fn open<D: Disk>(
        &self,
        disk: D,
        path: &Path,
        clock: &ManualClock,
    ) -> Result<Riverbed, OpenError> {
        if self.keeps_journal {
            open_journaled(disk, path, clock, 64 << 10)
        } else {
            open(disk, path, clock)
        }
    }

    fn judge<D: Disk>(&self, bases: &[&Content], disk: &dyn Fn() -> D, path: &Path) -> Outcome {
        let clock = clock();
        let store = match self.open(disk(), path, &clock) {
            Ok(store) => store,
            Err(error) => return refused(&error),
        };
        let mut complaints = match store.check() {
            Ok(wrong) => wrong,
            Err(why) => vec![why.to_string()],
        };
        let checked = complaints.len();
        let (content, while_reading) = Content::read_on(&store);
        let read_fails = !while_reading.is_empty();
        complaints.extend(while_reading);
        let base = match base_of(bases, &content, complaints.is_empty()) {
            Ok(base) => base,
            Err(what) => return Outcome::Wrong(what),
        };
        if read_fails && checked == 0 {
            return Outcome::Wrong(format!("check() found nothing, but: {complaints:?}"));
        }
        if let Err(what) = deliver(&store, base, &mut complaints) {
            return Outcome::Wrong(what);
        }
        clock.advance(Duration::from_secs(7_200));
        complaints.extend(store.drive().err().map(|why| why.to_string()));
        complaints.extend(publish(&store, base));
        // What could not be written is no news after a complaint, and none is expected before one.
        complaints.extend(store.close().err().map(|why| why.to_string()));
        drop(store);
        match self.open(disk(), path, &clock) {
            Ok(store) => complaints.extend(reread(&store)),
            Err(error) => complaints.push(error.to_string()),
        }
        match complaints.into_iter().next() {
            Some(complaint) => Outcome::Reported(complaint),
            None if *base == self.seed.truth => Outcome::Intact,
            None => Outcome::RolledBack,
        }
    }
}

fn refused(error: &OpenError) -> Outcome {
    match error {
        OpenError::Damaged { what, .. } if !what.is_empty() => Outcome::Refused(error.to_string()),
        // Its first bytes are gone: nobody can tell that it was a store.
        OpenError::NotAStore { .. } => Outcome::Refused(error.to_string()),
        other => Outcome::Wrong(format!("{other:?}")),
    }
}

/// What the store must agree with.
fn base_of<'a>(
    bases: &[&'a Content],
    found: &Content,
    complete: bool,
) -> Result<&'a Content, String> {
    let mut reason = String::new();
    for base in bases.iter().copied() {
        let differs = if complete {
            whole(base, found)
        } else {
            part_of(base, found)
        };
        match differs {
            None => return Ok(base),
            Some(what) => reason = format!("{reason}; {what}"),
        }
    }
    Err(reason)
}

fn whole(base: &Content, found: &Content) -> Option<String> {
    (base != found).then(|| {
        part_of(base, found)
            .unwrap_or_else(|| "something is missing, and nobody said so".to_owned())
    })
}

/// What is wrong with what was found, when something may be missing.
fn part_of(base: &Content, found: &Content) -> Option<String> {
    for (name, stream) in &found.streams {
        let Some(known) = base.streams.get(name) else {
            return Some(format!("an unknown stream {name:?}"));
        };
        for (seq, message) in &stream.messages {
            if known.messages.get(seq) != Some(message) {
                return Some(format!("{name} {seq} is {message:?}"));
            }
        }
    }
    None
}

/// Fetches and acks everything from every consumer.
fn deliver(store: &Riverbed, base: &Content, complaints: &mut Vec<String>) -> Result<(), String> {
    for (name, known) in &base.streams {
        let Ok(stream) = store.stream(name) else {
            continue;
        };
        for consumer in stream.consumers().unwrap_or_default() {
            let Ok(consumer) = stream.consumer(&consumer) else {
                continue;
            };
            loop {
                let batch = match consumer.fetch(Fetch::new(100).no_wait()) {
                    Ok(batch) if batch.is_empty() => break,
                    Ok(batch) => batch,
                    Err(why) => {
                        complaints.push(why.to_string());
                        break;
                    }
                };
                for message in &*batch {
                    let right = known
                        .messages
                        .get(&message.seq().get())
                        .is_some_and(|stored| {
                            stored.0 == message.subject() && stored.1 == message.payload()
                        });
                    if !right {
                        return Err(format!("{name} delivered {message:?}"));
                    }
                }
                if let Err(why) = batch.ack() {
                    complaints.push(why.to_string());
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Publishes to every stream; what is acknowledged must be read back.
fn publish(store: &Riverbed, base: &Content) -> Vec<String> {
    let mut complaints = Vec::new();
    for name in base.streams.keys() {
        let published = store
            .stream(name)
            .map_err(|why| why.to_string())
            .and_then(|stream| {
                let subject = if name == "orders" { "orders.new" } else { name };
                if name == "graves" {
                    return Ok(());
                }
                let ack = stream
                    .publish(subject, "new")
                    .map_err(|why| why.to_string())?;
                let back = stream.get(ack.seq).map_err(|why| why.to_string())?;
                assert_eq!(
                    back.expect("what was acknowledged is there").payload(),
                    b"new"
                );
                Ok(())
            });
        complaints.extend(published.err());
    }
    complaints
}

fn reread(store: &Riverbed) -> Vec<String> {
    let (_, mut complaints) = Content::read_on(store);
    match store.check() {
        Ok(wrong) => complaints.extend(wrong),
        Err(why) => complaints.push(why.to_string()),
    }
    complaints.extend(store.close().err().map(|why| why.to_string()));
    complaints
}
