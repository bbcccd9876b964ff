//! `Ledger`: what the children of one store were told, and what they asked for without an answer.

use crate::fact::{Fact, Manner, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// Promises that were broken.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Acknowledged and not there.
    pub(crate) lost: Vec<String>,
    /// There twice, or back after it was settled.
    pub(crate) doubled: Vec<String>,
    /// There, and never asked for; or in part.
    pub(crate) phantom: Vec<String>,
    /// A child, or a check, says that something is wrong.
    pub(crate) wrong: Vec<String>,
}

impl Findings {
    pub(crate) fn is_empty(&self) -> bool {
        let all = [&self.lost, &self.doubled, &self.phantom, &self.wrong];
        all.iter().all(|findings| findings.is_empty())
    }
}

/// What one consumer's children were told.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pub(crate) acked: BTreeSet<u64>,
    pub(crate) maybe_acked: BTreeSet<u64>,
    pub(crate) dead: BTreeSet<u64>,
    pub(crate) maybe_dead: BTreeSet<u64>,
    /// How often a message was handed out, as far as the children told.
    pub(crate) handed_out: BTreeMap<u64, u64>,
    serials: BTreeSet<u64>,
    /// The highest serial of earlier children.
    serials_before: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Names with their sequences.
    pub(crate) stored: BTreeMap<String, u64>,
    /// What the children of this round asked for.
    pub(crate) published: Vec<(Manner, Vec<String>)>,
    pub(crate) consumers: BTreeMap<String, Deliveries>,
}

impl Ledger {
    /// Another process takes over.
    pub(crate) fn another_child(&mut self) {
        for known in self.consumers.values_mut() {
            known.serials_before = known.serials.last().copied();
        }
    }

    fn consumer(&mut self, name: String) -> &mut Deliveries {
        self.consumers.entry(name).or_default()
    }

    /// Writes down what a child said.
    pub(crate) fn take(&mut self, fact: Fact, findings: &mut Findings) {
        match fact {
            Fact::Opening | Fact::Closing | Fact::Closed => {}
            Fact::Wrong(what) => findings.wrong.push(what),
            Fact::Publishing(manner, names) => self.published.push((manner, names)),
            Fact::Stored(stored) => {
                for (name, seq) in stored {
                    if let Some(before) = self.stored.insert(name.clone(), seq) {
                        let twice = format!("{name} is stored as {before} and as {seq}");
                        findings.doubled.push(twice);
                    }
                }
            }
            Fact::Known(known) => {
                for (name, seq) in known {
                    if self.stored.get(&name) != Some(&seq) {
                        let other = format!("{name} is called a duplicate of {seq}");
                        findings.wrong.push(other);
                    }
                }
            }
            Fact::Got(consumer, got) => self.got(consumer, &got, findings),
            Fact::Settling(consumer, verdict, seqs) => {
                let known = self.consumer(consumer);
                match verdict {
                    Verdict::Ack => known.maybe_acked.extend(seqs),
                    Verdict::Dead => known.maybe_dead.extend(seqs),
                    Verdict::Nak => {}
                }
            }
            Fact::Settled(consumer, verdict, seqs) => {
                let known = self.consumer(consumer);
                let over = match verdict {
                    Verdict::Ack => &mut known.acked,
                    Verdict::Dead => &mut known.dead,
                    Verdict::Nak => return,
                };
                for seq in seqs {
                    if !over.insert(seq) {
                        findings.doubled.push(format!("{seq} is settled twice"));
                    }
                }
            }
        }
    }

    fn got(&mut self, consumer: String, got: &[(u64, u64)], findings: &mut Findings) {
        let known = self.consumer(consumer);
        for (seq, serial) in got {
            if known.acked.contains(seq) || known.dead.contains(seq) {
                findings
                    .doubled
                    .push(format!("{seq} was settled and comes again"));
            }
            if !known.serials.insert(*serial) || Some(*serial) <= known.serials_before {
                findings
                    .wrong
                    .push(format!("serial {serial} is used again"));
            }
            *known.handed_out.entry(*seq).or_default() += 1;
        }
    }
}
