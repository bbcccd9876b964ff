//! Messages that are published without waiting, and acks that are lazy.

use crate::op::{Op, Then};
use crate::oracle::Oracle;
use crate::real::Answer;
use crate::run::Run;
use riverbed::AckPolicy;

/// Whether a refusal says something of what was published before it.
fn observes(refusal: &str) -> bool {
    [
        "WrongLastSequence",
        "WrongLastForSubject",
        "WrongLastId",
        "Full",
        "LagExceeded",
        "Sealed",
        "DedupFull",
        "ScheduledFull",
        "TtlFull",
        "SubjectsFull",
    ]
    .contains(&refusal)
}

impl Run {
    #[allow(clippy::too_many_lines, reason = "one step after the other")]
    pub(crate) fn pipeline(
        &mut self,
        op: &Op,
        to: &str,
        drafts: &[crate::model::Draft],
        then: &Then,
    ) {
        let mut going = self.oracle.clone();
        going.defer_limits = true;
        let (mut prefixes, mut expected) = (vec![self.oracle.clone()], Vec::new());
        let (mut refused_at, mut committed) = (0, Vec::new());
        let last = |oracle: &Oracle| {
            let stream = oracle.streams.get(to);
            // An id that is renewed is written, too, and so the limits are enforced with it.
            let renewed = oracle.met.iter().filter(|met| **met == "id_renewed");
            (
                stream.map(|stream| (stream.last, stream.last_scheduled)),
                renewed.count(),
            )
        };
        let first = last(&self.oracle);
        let settled = |going: &Oracle| {
            let mut settled = going.clone();
            settled.defer_limits = false;
            if last(going) != first {
                settled.trim(to);
            }
            settled
        };
        for draft in drafts {
            let said = going.publish(Some(to), std::slice::from_ref(draft));
            let accepted = said.starts_with(&format!("{to} ["));
            // What a message itself gets wrong is seen before anything else.
            if !accepted && said != "Repeat" {
                // A refusal is an answer about a state that must be durable (R1): it commits.
                going = settled(&going);
                committed.push(going.clone());
                going.defer_limits = true;
                if observes(&said) {
                    refused_at = prefixes.len();
                }
            }
            expected.push(if accepted {
                "accepted".to_owned()
            } else {
                said
            });
            prefixes.push(settled(&going));
        }
        match self.real.pipeline(to, drafts) {
            Ok(said) => assert_eq!(said, expected, "{op:?}"),
            Err(why) => return self.fall(&why, prefixes),
        }
        self.written_before(committed);
        // What came before an answered refusal is stored.
        prefixes.drain(..refused_at);
        let stored = prefixes.last().cloned().unwrap();
        self.cover(format!("{} done", op.name()));
        match then {
            Then::Kill => return self.crash(None, prefixes),
            Then::PowerCut(seed) => return self.crash(Some(*seed), prefixes),
            Then::Reopen => {
                self.oracle = stored;
                return self.reopen_from(prefixes);
            }
            Then::Flush | Then::Fetch { .. } => {}
        }
        if let Then::Fetch {
            stream,
            consumer,
            n,
        } = then
        {
            // What is not yet on disk may be left for the next fetch; the order is the same.
            let answer = self.real.finish_pipeline(to, then);
            let mut after = stored.clone();
            let known = self.oracle.consumer(stream, consumer);
            let without_acks =
                known.is_some_and(|known| known.config.ack_policy == AckPolicy::None);
            let got = self.real.fetched.len();
            let wanted = if got == 0 { *n } else { got };
            let expected = after.fetch(stream, consumer, wanted, u64::MAX);
            match answer {
                Answer::Said(said)
                    if said != expected && (said.starts_with("nothing") || without_acks) =>
                {
                    // The limits had not done their work yet: that comes with the commit. What is finished
                    // when it is counted is handed out all the same.
                    let said_before = going.fetch(stream, consumer, wanted, u64::MAX);
                    assert_eq!(said, said_before, "{op:?}");
                    after = settled(&going);
                }
                Answer::Said(said) => assert_eq!(said, expected, "{op:?}"),
                Answer::Down(why) => {
                    // So many as were on disk when it looked, of up to all.
                    for n in 1..=*n {
                        let mut after = stored.clone();
                        after.fetch(stream, consumer, n, u64::MAX);
                        after.retire_all();
                        prefixes.push(after);
                    }
                    return self.fall(&why, prefixes);
                }
            }
            // What is finished by being delivered leaves with that commit.
            after.retire_all();
            after.doubt_since(&stored, stream, consumer);
            self.oracle = after;
            self.real.number(&self.oracle, &mut self.serials);
            let fetched = self.oracle.clone();
            if let Answer::Down(why) = self.real.finish_pipeline(to, &Then::Flush) {
                let mut unknown = prefixes;
                unknown.push(fetched);
                return self.fall(&why, unknown);
            }
        } else {
            match self.real.finish_pipeline(to, then) {
                Answer::Said(_) => self.oracle = stored,
                Answer::Down(why) => return self.fall(&why, prefixes),
            }
        }
        self.compare_events();
    }

    pub(crate) fn lazy_ack(&mut self, op: &Op, delivery: u64, looks: bool, power_cut: Option<u64>) {
        let (after, expected) = self.foresee(op);
        match self.real.perform(op) {
            Answer::Said(said) => {
                assert_eq!(said, expected, "{op:?}");
                self.cover(format!("lazy_ack {said}"));
                let before = self.oracle.clone();
                if looks {
                    self.oracle = after;
                    self.look(before, delivery, power_cut);
                } else {
                    self.crash(power_cut, vec![before, after]);
                }
            }
            Answer::Down(why) => self.fall(&why, vec![self.oracle.clone(), after]),
        }
    }

    /// Whatever a fetch says behind a lazy ack, it is an answer about a state that must be durable (R1).
    fn look(&mut self, before: Oracle, delivery: u64, power_cut: Option<u64>) {
        let whose = self.oracle.deliveries[&delivery].clone();
        let op = Op::Fetch {
            stream: whose.stream,
            consumer: whose.consumer,
            n: 1,
            bytes: 1 << 30,
        };
        let (fetched, expected) = self.foresee(&op);
        match self.real.perform(&op) {
            Answer::Said(said) => {
                self.same(&op, &said, &expected);
                let word = said.split([' ', ':']).next().unwrap_or_default();
                self.cover(format!("lazy_ack looked {word}"));
                self.oracle = fetched.clone();
                self.real.number(&self.oracle, &mut self.serials);
                self.crash(power_cut, vec![fetched]);
            }
            Answer::Down(why) => {
                let acked = self.oracle.clone();
                self.fall(&why, vec![before, acked, fetched]);
            }
        }
    }
}
