//! How the cases ended.

use crate::hurt::Hurt;
use std::collections::BTreeMap;

/// The end of one case.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Everything is there.
    Intact,
    /// Opening said what is wrong.
    Refused(String),
    /// Checking, reading or delivering said what is wrong; all else is there.
    Reported(String),
    /// The last commit of a file that was not closed is gone.
    RolledBack,
    /// Something was handed out that was never stored, or is missing and nobody said so.
    Wrong(String),
    Panic(String),
    /// It did more than any damage can justify.
    Hang(String),
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    kinds: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    outcomes: BTreeMap<&'static str, u64>,
    failures: Vec<String>,
    contained: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, case: u64, seed: &'static str, hurt: &Hurt, outcome: &Outcome) {
        let (name, failed) = match outcome {
            Outcome::Intact => ("intact", None),
            Outcome::Refused(what) | Outcome::Reported(what) => {
                self.contained += u64::from(what.contains("the database panicked"));
                let refused = matches!(outcome, Outcome::Refused(_));
                (if refused { "refused" } else { "reported" }, None)
            }
            Outcome::RolledBack => ("rolled_back", None),
            Outcome::Wrong(what) => ("wrong", Some(what)),
            Outcome::Panic(what) => ("panics", Some(what)),
            Outcome::Hang(what) => ("hangs", Some(what)),
        };
        *self.outcomes.entry(name).or_default() += 1;
        *self.kinds.entry((seed, hurt.name(), name)).or_default() += 1;
        if std::env::var_os("RIVERBED_SEED").is_some() {
            println!("{seed}, {hurt:?}: {outcome:?}");
        }
        if let Some(what) = failed {
            self.failures.push(format!(
                "RIVERBED_SEED={case} ({seed}, {hurt:?}): {name}: {what}"
            ));
        }
    }

    /// Prints the counts; fails when one of them must be zero and is not.
    pub(crate) fn finish(self) {
        for ((seed, hurt, outcome), count) in &self.kinds {
            println!("{seed:12} {hurt:24} {outcome:12} {count}");
        }
        println!(
            "panics of the database that were contained: {}",
            self.contained
        );
        for failure in self.failures.iter().take(20) {
            println!("{failure}");
        }
        let of = |name| self.outcomes.get(name).copied().unwrap_or_default();
        let cases: u64 = self.outcomes.values().sum();
        println!(
            "cases={cases} intact={} refused={} reported={} rolled_back={} wrong={} panics={} hangs={}",
            of("intact"),
            of("refused"),
            of("reported"),
            of("rolled_back"),
            of("wrong"),
            of("panics"),
            of("hangs"),
        );
        assert!(self.failures.is_empty(), "{:#?}", self.failures.first());
        if cases >= 300 {
            for name in ["intact", "refused", "reported", "rolled_back"] {
                assert!(of(name) > 0, "no case ended {name}");
            }
        }
    }
}
