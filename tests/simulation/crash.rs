//! Crashes: what is left behind, opened again, is one of the possible outcomes.

use crate::beside::Beside;
use crate::compare;
use crate::explaining;
use crate::failure::{Class, classify, fail};
use crate::later::{Later, passes_over_torn};
use crate::oracle::Oracle;
use crate::real::{Floors, Real};
use crate::run::{Report, Run, difference};
use crate::stores::open;
use crate::trouble::Trouble;
use fastrand::Rng;
use riverbed::disk::{Disk, MemoryDisk};
use riverbed::{ManualClock, Riverbed, Unavailable};
use std::collections::BTreeMap;
use std::path::Path;

/// Possible outcomes that are shown when none is what was found.
const SHOWN: usize = 6;

impl Run {
    /// Makes the store, on a disk that fails now and then.
    pub(crate) fn new(seed: u64, lines: Option<Vec<String>>) -> Self {
        crate::stores::choose_journal(seed);
        let within = crate::stores::choose_durability(seed);
        let mut rng = Rng::with_seed(!seed);
        let (mut disk, clock) = (MemoryDisk::new(), ManualClock::new());
        let mut report = Report::default();
        let mut cover = |what: &str| *report.coverage.entry(what.to_owned()).or_default() += 1;
        let (mut crashes, mut faults) = (0, 0);
        let store = loop {
            if rng.u8(..3) == 0 {
                Trouble::random(&mut rng, 60).strike(&disk);
            }
            let litter = disk.exists(Path::new("/.store.creating")).unwrap_or(false);
            if let Ok(store) = open(&disk, &clock) {
                if litter {
                    cover("recovery creation taken over");
                }
                break store;
            }
            cover("recovery creation failed");
            (crashes, faults) = (crashes + 1, faults + disk.faults_met());
            disk = match rng.u64(..1_000) {
                seed if seed % 3 == 0 => disk.kill_image(),
                seed => disk.crash_image(seed),
            };
            Trouble::end(&disk);
        };
        Trouble::end(&disk);
        let beside = (rng.u8(..4) == 0).then(|| Beside::begin(&disk, &clock));
        report.crashes = crashes;
        report.faults = faults;
        let mut oracle = Oracle::new(clock.clock().now().as_micros());
        oracle.syncs_later = within.is_some();
        Self {
            later: within.map(|within| Later::new(within, oracle.clone())),
            lost_power: false,
            oracle,
            real: Real::over(disk, clock, store),
            beside,
            rng,
            armed: false,
            troubles: Vec::new(),
            one_commit: false,
            began: 0,
            cut_midway: false,
            purge_cut: false,
            floors: Floors::new(),
            serials: BTreeMap::new(),
            report,
            lines,
        }
    }

    /// Closes cleanly and opens again; if the disk fails meanwhile, what it holds is one of
    /// `before`, or closed.
    pub(crate) fn reopen_from(&mut self, mut before: Vec<Oracle>) {
        let mut closed = self.oracle.clone();
        closed.close();
        if self.rng.bool() {
            if let Err(why) = self.real.store().close() {
                before.push(closed);
                assert!(self.armed, "closing failed: {why:?}");
                self.cover("failed in close".into());
                self.struck();
                let image = self.image();
                self.recover(image, before);
                return;
            }
            if let Some(message) = self.real.messages.values().next() {
                let told = message.ack();
                assert!(
                    matches!(
                        told,
                        Err(riverbed::AckError::Unavailable(Unavailable::Closed))
                    ),
                    "an old delivery of a closed store answers {told:?}"
                );
            }
            self.cover("close done".into());
        } else {
            self.cover("drop done".into());
        }
        let disk = self.real.disk.clone();
        self.real.let_go();
        let mut candidates = vec![closed];
        if self.armed {
            // Dropping tells nothing of a failure.
            candidates.extend(before);
            self.lost_power = self.may_lose_in_a_sync();
        }
        self.recover(disk, candidates);
    }

    /// The process is killed, or the power is cut, while nothing is going on.
    pub(crate) fn crash(&mut self, power_cut: Option<u64>, candidates: Vec<Oracle>) {
        self.report.crashes += 1;
        self.report.faults += self.real.disk.faults_met();
        let (image, word) = match power_cut {
            Some(seed) => (self.real.disk.crash_image(seed), "power_cut quiet"),
            None => (self.real.disk.kill_image(), "kill quiet"),
        };
        self.lost_power = power_cut.is_some();
        self.cover(word.into());
        self.recover(image, candidates);
    }

    /// A sync that fails may lose what it should have made durable, also when only the process dies then.
    fn may_lose_in_a_sync(&self) -> bool {
        self.troubles.contains(&"lost_sync")
    }

    /// The disk failed in an operation: whether that was done is open, but not in part.
    pub(crate) fn fall(&mut self, why: &Unavailable, mut candidates: Vec<Oracle>) {
        self.note(|| format!("  -> {why:?}"));
        assert!(
            self.armed,
            "the store is down although nothing failed: {why:?}"
        );
        if let Unavailable::Poisoned { .. } = why {
            // It says that nothing of the call was stored (R2).
            candidates.truncate(1);
        }
        let word = format!("{why:?}");
        self.mark(&word);
        self.cover(format!(
            "fall {}",
            word.split(' ').next().unwrap_or_default()
        ));
        let after = self.real.store().streams();
        assert!(
            matches!(after, Err(Unavailable::Poisoned { .. })),
            "after a failure the store stops (G12), but it answers {after:?}"
        );
        self.struck();
        let told = self.real.told();
        let image = self.image();
        let one_commit = self.one_commit;
        let undone = self.recover(image, candidates);
        if undone && one_commit && !told.is_empty() {
            let what = format!("told of what is not stored (R1): {told:?}");
            fail(Class::Phantom, what);
        }
    }

    /// It was this trouble that was felt, if there was no other.
    fn struck(&mut self) {
        if let [only] = self.troubles[..] {
            self.cover(format!("struck {only}"));
        }
    }

    /// What the failing disk leaves behind.
    pub(crate) fn image(&mut self) -> MemoryDisk {
        self.report.crashes += 1;
        self.report.faults += self.real.disk.faults_met();
        if self.rng.u8(..3) == 0 {
            self.lost_power = self.may_lose_in_a_sync();
            self.real.disk.kill_image()
        } else {
            self.lost_power = true;
            // The operation that failed is one of them.
            self.cut_midway = self.real.disk.operations() > self.began + 1;
            let seed = self.rng.u64(..1_000);
            self.real.disk.crash_image(seed)
        }
    }

    /// Opens what is left, and finds out which of the candidates it is; says whether it can only be the
    /// first.
    pub(crate) fn recover(&mut self, image: MemoryDisk, candidates: Vec<Oracle>) -> bool {
        let midway = std::mem::take(&mut self.cut_midway);
        let purge_cut = std::mem::take(&mut self.purge_cut);
        Trouble::end(&image);
        let (image, store, failed) = self.open_again(image);
        let newest = candidates.len();
        let (mut candidates, moments) = self.outcomes(candidates, failed);
        self.armed = false;
        self.troubles.clear();
        if let Some(held) = self.beside.take().map(Beside::end) {
            self.beside = Some(Beside::again(&image, &self.real.clock, held));
            self.cover("beside opened again".into());
        }
        self.real = Real::over(image, self.real.clock.clone(), store);
        let found = compare::actual(self.real.store(), true).unwrap();
        let possible: Vec<Vec<String>> = candidates
            .iter()
            .map(|candidate| compare::expected(candidate, true))
            .collect();
        let alike = |at: &usize| possible[*at] == found;
        let alike: Vec<usize> = (0..possible.len()).filter(alike).collect();
        if alike.is_empty() {
            fail(classify(&found, &possible), none_of(&found, &possible));
        }
        let at = self.one_of(&alike, &candidates);
        let same = alike.len();
        let is_older = at % moments >= newest;
        if moments > newest {
            let lost = if is_older { "commits" } else { "nothing" };
            self.cover(format!("written power cut lost {lost}"));
            // They go back as well, also where nothing else does: what was only passed over.
            self.floors.clear();
            self.serials.clear();
        }
        if same < possible.len() && !is_older {
            let older = if at == 0 { "undone" } else { "kept" };
            self.cover(format!("recovery open call {older}"));
            if midway && at == 0 {
                self.cover("recovery fell back".into());
            }
            if purge_cut && at != 0 {
                self.cover("recovery purge resumed".into());
            }
        }
        self.oracle = candidates.swap_remove(at);
        self.found_durable();
        for met in std::mem::take(&mut self.oracle.met) {
            self.cover(format!("rule {met}"));
        }
        self.compare_events();
        compare::check_bounds(&self.oracle, self.real.store(), &mut self.floors);
        for word in explaining::check_explained(&self.oracle, self.real.store()) {
            self.cover(word);
        }
        at == 0 && same == 1 && moments == newest
    }

    /// One of the outcomes that look the same.
    fn one_of(&mut self, alike: &[usize], candidates: &[Oracle]) -> usize {
        if let [only] = alike {
            return *only;
        }
        let store = self.real.store();
        let tells = |at: &usize| explaining::tells_the_same(&candidates[*at], store);
        let mut told: Vec<usize> = alike.iter().copied().filter(tells).collect();
        if told.is_empty() {
            told = alike.to_vec();
        }
        told[self.report.picks.pick(told.len())]
    }

    /// All that may be found, opened: what the candidates become; where the power was cut and commits are synced
    /// later, also what the store was before, back to the last sync. Beside it, how many of them differ in more
    /// than in how often they were opened: each opening that failed may have done its work.
    fn outcomes(&mut self, candidates: Vec<Oracle>, failed: usize) -> (Vec<Oracle>, usize) {
        let mut moments = candidates;
        if std::mem::take(&mut self.lost_power)
            && let Some(later) = &self.later
        {
            moments.extend(later.leaves(self.oracle.now));
        }
        let distinct = moments.len();
        let mut outcomes = Vec::new();
        for _ in 0..=failed {
            for moment in &mut moments {
                moment.defer_limits = false;
                moment.commits.clear();
                moment.open();
            }
            outcomes.extend(moments.iter().cloned());
        }
        for outcome in &mut outcomes {
            outcome.end_all_delays();
        }
        (outcomes, distinct)
    }

    /// Opens the store, now and then on a disk that fails again.
    /// How often that failed is the third of the answers.
    fn open_again(&mut self, mut image: MemoryDisk) -> (MemoryDisk, Riverbed, usize) {
        let mut trouble = self.rng.u8(..4) == 0;
        let mut failed = 0;
        loop {
            let mut loses = false;
            if trouble {
                let trouble = Trouble::random(&mut self.rng, 25);
                loses = trouble.name() == "lost_sync";
                trouble.strike(&image);
            }
            let torn = self.later.is_some() && passes_over_torn(&image);
            let read = image.bytes_read();
            let journal = image.exists(Path::new("/store.journal")).unwrap_or(false);
            match open(&image, &self.real.clock) {
                Ok(store) => {
                    let all = image.bytes_read() - read >= image.used() / 2;
                    let word = if all { "repaired" } else { "quick" };
                    self.cover(format!("recovery {word}"));
                    if journal {
                        self.cover("recovery journal".into());
                    }
                    self.report.faults += image.faults_met();
                    let image = image.clone();
                    Trouble::end(&image);
                    if torn {
                        self.cover("written torn record passed over".into());
                    }
                    return (image, store, failed);
                }
                Err(why) => {
                    assert!(trouble, "the disk works and the store does not open: {why}");
                    self.note(|| format!("  open -> {why:?}"));
                    self.cover("open failed".into());
                    self.report.crashes += 1;
                    self.report.faults += image.faults_met();
                    failed += 1;
                    let seed = self.rng.u64(..1_000);
                    image = if seed.is_multiple_of(3) {
                        self.lost_power |= loses;
                        image.kill_image()
                    } else {
                        self.lost_power = true;
                        image.crash_image(seed)
                    };
                    Trouble::end(&image);
                    trouble = self.rng.u8(..4) == 0;
                }
            }
        }
    }
}

/// How what was found differs from those that could be, the nearest first.
fn none_of(found: &[String], possible: &[Vec<String>]) -> String {
    let differences = possible.iter().enumerate();
    let mut differences: Vec<(usize, String)> = differences
        .map(|(at, possible)| (at, difference(found, possible)))
        .collect();
    differences.sort_by_key(|(_, difference)| difference.lines().count());
    let mut what = vec![format!("none of {} possible outcomes", possible.len())];
    for (at, difference) in differences.iter().take(SHOWN) {
        what.push(format!("candidate {at}:\n{difference}"));
    }
    what.join("\n")
}
