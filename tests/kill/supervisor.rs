//! `Supervisor`: starts children, listens to them, and kills them.

use crate::fact::{Fact, SAYS};
use crate::ledger::{Findings, Ledger};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Tells a child its number, its seed and the store's path.
pub(crate) const CHILD: &str = "RIVERBED_TEST_KILLED";

/// Every round has at least so many acknowledged facts.
const LEAST: u64 = 60;

/// A child and its pipe.
struct Running {
    process: Child,
    says: BufReader<ChildStdout>,
}

impl Running {
    fn start(path: &Path, number: u64, seed: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "run_as_child", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{number}|{seed}|{}", path.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(process.stdout.take().unwrap());
        Self { process, says }
    }

    /// What it says next; nothing when it is gone. A line without an end was cut off by the kill.
    fn listen(&mut self) -> Option<Fact> {
        let mut line = String::new();
        while self.says.read_line(&mut line).unwrap() > 0 {
            let whole = line.strip_suffix('\n');
            if let Some(said) = whole.and_then(|line| line.strip_prefix(SAYS)) {
                let fact = said.parse();
                return Some(fact.unwrap_or_else(|_| Fact::Wrong(format!("garbled: {said}"))));
            }
            line.clear();
        }
        None
    }

    /// On Unix this is SIGKILL: the process does nothing more.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A supervisor that failed leaves nobody behind; who is gone already is fine.
        let _: std::io::Result<()> = self.process.kill();
        let _: std::io::Result<_> = self.process.wait();
    }
}

pub(crate) struct Supervisor {
    random: fastrand::Rng,
    children: u64,
    facts: u64,
    while_opening: u64,
    while_closing: u64,
}

impl Supervisor {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            children: 0,
            facts: 0,
            while_opening: 0,
            while_closing: 0,
        }
    }

    /// Whether the next round gets a store of its own.
    pub(crate) fn starts_afresh(&mut self) -> bool {
        self.random.u8(0..8) == 0
    }

    pub(crate) fn facts(&self) -> u64 {
        self.facts
    }

    pub(crate) fn kinds(&self) -> String {
        let (opening, closing) = (self.while_opening, self.while_closing);
        format!(
            "{} processes killed: {opening} of them while opening, {closing} while closing",
            self.children
        )
    }

    fn start(&mut self, path: &Path, ledger: &mut Ledger) -> Running {
        ledger.another_child();
        self.children += 1;
        Running::start(path, self.children, self.random.u64(..))
    }

    /// Some children die while they open the store, and then one dies while it works or closes it.
    pub(crate) fn round(&mut self, path: &Path, ledger: &mut Ledger, findings: &mut Findings) {
        while self.random.u8(0..3) == 0 {
            self.kill_while_opening(path, ledger, findings);
        }
        let mut child = self.start(path, ledger);
        let before = self.facts;
        let wanted = self.random.u64(LEAST..LEAST * 10);
        while self.facts - before < wanted && findings.is_empty() {
            let fact = child.listen();
            let fact = fact.unwrap_or_else(|| Fact::Wrong("the child ended by itself".into()));
            self.take(fact, ledger, findings);
        }
        if self.random.u8(0..4) == 0 {
            self.while_closing += 1;
            self.close(&mut child, ledger, findings);
        }
        child.kill();
        // What it had said before it died.
        while let Some(fact) = child.listen() {
            self.take(fact, ledger, findings);
        }
        let facts = self.facts - before;
        assert!(
            facts >= LEAST || !findings.is_empty(),
            "only {facts} facts in a round"
        );
    }

    fn take(&mut self, fact: Fact, ledger: &mut Ledger, findings: &mut Findings) {
        self.facts += fact.acknowledged();
        ledger.take(fact, findings);
    }

    /// Kills a child some steps after it says that it opens the store: before, in the middle of, or
    /// after what it has to mend there.
    fn kill_while_opening(&mut self, path: &Path, ledger: &mut Ledger, findings: &mut Findings) {
        self.while_opening += 1;
        let mut child = self.start(path, ledger);
        while child.listen().is_some_and(|fact| fact != Fact::Opening) {}
        let steps = 1 << self.random.u32(0..16);
        for _ in 0..self.random.u32(0..steps) {
            std::thread::yield_now();
        }
        child.kill();
        while let Some(fact) = child.listen() {
            self.take(fact, ledger, findings);
        }
    }

    /// Has the child close its store, and listens to it for a while.
    fn close(&mut self, child: &mut Running, ledger: &mut Ledger, findings: &mut Findings) {
        drop(child.process.stdin.take());
        let mut lines = self.random.u32(0..30);
        let mut closing = false;
        while !closing || lines > 0 {
            let Some(fact) = child.listen() else {
                return findings.wrong.push("the child ended while closing".into());
            };
            if fact == Fact::Closed {
                return;
            }
            closing |= fact == Fact::Closing;
            lines = lines.saturating_sub(u32::from(closing));
            self.take(fact, ledger, findings);
        }
    }
}
