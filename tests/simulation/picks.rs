//! Outcomes of a crash that look the same: which of them it was shows later, or never.

use crate::run::Report;

/// How many other picks are tried for a history that fails.
const TRIES: usize = 16;
/// How many other outcomes of one crash.
const OTHERS: usize = 4;

/// Which outcome is taken at each crash that leaves several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picks {
    /// At the first of those crashes; at all others it is the first outcome.
    forced: Vec<usize>,
    /// How many outcomes there were at each.
    met: Vec<usize>,
}

impl Picks {
    pub(crate) fn pick(&mut self, among: usize) -> usize {
        if among < 2 {
            return 0;
        }
        let forced = self.forced.get(self.met.len()).copied();
        self.met.push(among);
        forced.unwrap_or_default().min(among - 1)
    }

    /// Those that differ in one crash, the last one first.
    fn others(&self) -> Vec<Self> {
        let crashes = (0..self.met.len()).rev();
        let others = crashes.flat_map(|at| {
            let outcomes = 1..self.met[at].min(OTHERS);
            outcomes.map(move |outcome| {
                let mut forced = vec![0; at];
                forced.push(outcome);
                let met = Vec::new();
                Self { forced, met }
            })
        });
        others.take(TRIES).collect()
    }
}

/// A history is right if it is with one of the outcomes that nobody could tell apart: whether a duplicate renewed
/// its id in the commit that was cut off, say.
pub(crate) fn settled<T>(mut run: impl FnMut(Picks) -> (T, Report)) -> (T, Report) {
    let (first, report) = run(Picks::default());
    if report.failure.is_some() {
        for picks in report.picks.others() {
            let (other, mut report) = run(picks);
            if report.failure.is_none() {
                *report
                    .coverage
                    .entry("recovery told apart later".to_owned())
                    .or_default() += 1;
                return (other, report);
            }
        }
    }
    (first, report)
}

#[test]
fn a_history_is_right_with_one_of_the_outcomes_that_look_the_same() {
    let right = |wanted: [usize; 3]| {
        let ((), report) = settled(|mut picks| {
            let picked = [2, 1, 9].map(|among| picks.pick(among));
            let mut report = Report {
                picks,
                ..Report::default()
            };
            if picked != wanted {
                report.failure = crate::failure::catch(|| panic!("another")).err();
            }
            ((), report)
        });
        report.failure.is_none()
    };
    assert!(right([0, 0, 0]) && right([1, 0, 0]) && right([0, 0, 3]));
    assert!(!right([0, 0, 8]), "only some are tried");
    assert!(!right([0, 1, 0]), "one outcome is no choice");
}
