//! What a run found wrong, and of which kind it is.

use crate::oracle::Oracle;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// The kinds of harm, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Something acknowledged is not there.
    Lost,
    /// Something is there twice, or comes again after it was finished.
    Doubled,
    /// Something is there that nobody published, or that was refused or removed.
    Phantom,
    /// Everything else in which the store and the oracle differ, panics included.
    Disagreement,
}

/// Why a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    pub(crate) what: String,
}

impl Failure {
    /// What two failures have in common that are the same to a reader: the class, and what differs.
    pub(crate) fn kind(&self) -> (Class, &str) {
        let first = match self.what.strip_prefix("panicked at ") {
            // Where, and not only that: else any panic would do for the least history.
            Some(place) => place.lines().next(),
            None => self.what.split([' ', '(', ':']).next(),
        };
        (self.class, first.unwrap_or_default())
    }
}

/// Ends the run.
pub(crate) fn fail(class: Class, what: String) -> ! {
    std::panic::panic_any(Failure { class, what })
}

thread_local! {
    /// The message of the last panic, while panics are not to be printed.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
    static QUIET: RefCell<bool> = const { RefCell::new(false) };
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if QUIET.with(|quiet| *quiet.borrow()) {
                CAUGHT.with(|caught| caught.borrow_mut().get_or_insert(info.to_string()).len());
            } else {
                loud(info);
            }
        }));
    });
}

/// Runs something that may end by a panic, quietly.
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Failure> {
    listen();
    QUIET.with(|quiet| *quiet.borrow_mut() = true);
    CAUGHT.with(|caught| caught.borrow_mut().take());
    let outcome = catch_unwind(AssertUnwindSafe(run));
    QUIET.with(|quiet| *quiet.borrow_mut() = false);
    outcome.map_err(|payload| match payload.downcast::<Failure>() {
        Ok(failure) => *failure,
        Err(_) => Failure {
            class: Class::Disagreement,
            what: CAUGHT
                .with(|caught| caught.borrow_mut().take())
                .unwrap_or_default(),
        },
    })
}

/// Messages by stream and content, without their sequences: how often each is there.
fn messages(lines: &[String]) -> BTreeMap<String, u64> {
    let (mut stream, mut found) = (String::new(), BTreeMap::new());
    for line in lines {
        if let Some(rest) = line.strip_prefix("stream ") {
            rest.split(':')
                .next()
                .unwrap_or_default()
                .clone_into(&mut stream);
        }
        let Some(rest) = line.strip_prefix("  ") else {
            continue;
        };
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            let content = rest.split_once(' ').map_or("", |(_, content)| content);
            let content = content
                .rsplit_once(" at ")
                .map_or(content, |(first, _)| first);
            *found.entry(format!("{stream} {content}")).or_default() += 1;
        }
    }
    found
}

/// What kind of harm it is that a store is none of the possible ones.
pub(crate) fn classify(found: &[String], possible: &[Vec<String>]) -> Class {
    let found = messages(found);
    let possible: Vec<_> = possible.iter().map(|lines| messages(lines)).collect();
    let count = |of: &BTreeMap<String, u64>, key: &String| of.get(key).copied().unwrap_or(0);
    let least = |key: &String| possible.iter().map(|of| count(of, key)).min().unwrap_or(0);
    let most = |key: &String| possible.iter().map(|of| count(of, key)).max().unwrap_or(0);
    if let Some(first) = possible.first()
        && first.keys().any(|key| count(&found, key) < least(key))
    {
        return Class::Lost;
    }
    let surplus: Vec<_> = found
        .keys()
        .filter(|key| count(&found, key) > most(key))
        .collect();
    match surplus.iter().any(|key| most(key) > 0) {
        true => Class::Doubled,
        false if !surplus.is_empty() => Class::Phantom,
        false => Class::Disagreement,
    }
}

/// What kind of harm it is that a fetch gave other messages than it should have.
pub(crate) fn classify_fetch(said: &str, oracle: &Oracle, stream: &str, consumer: &str) -> Class {
    let Some(known) = oracle.consumer(stream, consumer) else {
        return Class::Disagreement;
    };
    let Some(fetched) = said.strip_prefix("fetched ") else {
        return Class::Disagreement;
    };
    let seqs = fetched
        .split(", ")
        .filter_map(|one| one.split(' ').next()?.parse::<u64>().ok());
    for seq in seqs {
        if !oracle.streams[stream].stored.contains_key(&seq) {
            return Class::Phantom;
        }
        if seq < known.next && !known.held.contains_key(&seq) {
            return Class::Doubled;
        }
    }
    Class::Disagreement
}
