//! All histories up to a depth.

use crate::op::{Op, Rules, Verdict};
use crate::oracle::Oracle;
use crate::world::{Origin, World};

/// Which steps there are at every moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// So many messages are there from the beginning.
    pub(crate) stored: u64,
    /// So many there are at most.
    pub(crate) messages: u64,
    /// Seconds that go by at a time.
    pub(crate) pass: u64,
}

/// A history that is being gone through, and from where it can be gone through again.
struct Explorer {
    bounds: Bounds,
    history: Vec<Op>,
    /// After so many steps of the history nobody knew more than what this disk says.
    origins: Vec<(usize, Origin)>,
    worlds: u64,
}

/// Goes through every history of so many steps, and returns how many worlds it saw.
///
/// A history is gone through from its last crash or reopening on: a process that opens a disk knows
/// nothing else. Nothing is left out because its state looks like one that was seen before.
///
/// # Panics
///
/// When the library and the oracle disagree, with the history that shows it.
pub(crate) fn explore(rules: Rules, bounds: Bounds, depth: usize) -> u64 {
    let origin = Origin::new(rules, bounds.stored);
    let mut explorer = Explorer {
        bounds,
        history: Vec::new(),
        origins: vec![(0, origin.clone())],
        worlds: 0,
    };
    let world = origin.start().unwrap();
    explorer.visit(world, depth);
    explorer.worlds
}

/// Goes through one history, and compares after every step.
pub(crate) fn replay(rules: Rules, history: &[Op]) -> Result<(), String> {
    let mut world = Origin::new(rules, 0).start()?;
    for (at, op) in history.iter().enumerate() {
        world
            .step(*op)
            .map_err(|why| format!("step {at}, {op}: {why}"))?;
        world.check()?;
    }
    Ok(())
}

impl Explorer {
    fn visit(&mut self, world: World, depth: usize) {
        self.worlds += 1;
        if depth == 0 {
            return self.seen(world.check());
        }
        let moves = moves(world.oracle(), self.bounds);
        // The first takes over the world as it is; the others get one of their own.
        let mut live = Some(world);
        for op in moves {
            let mut next = match live.take() {
                Some(world) => world,
                None => self.again(),
            };
            self.history.push(op);
            if matches!(op, Op::Crash | Op::Reopen) {
                let origin = self.seen(next.end(op));
                next = self.seen(origin.start());
                self.origins.push((self.history.len(), origin));
                self.visit(next, depth - 1);
                self.origins.pop();
            } else {
                self.seen(next.step(op));
                self.visit(next, depth - 1);
            }
            self.history.pop();
        }
    }

    /// The world at the end of the history, once more.
    fn again(&self) -> World {
        let (from, origin) = self.origins.last().unwrap();
        let mut world = self.seen(origin.start());
        for op in &self.history[*from..] {
            self.seen(world.step_unseen(*op));
        }
        world
    }

    fn seen<T>(&self, outcome: Result<T, String>) -> T {
        outcome.unwrap_or_else(|why| {
            let steps: Vec<String> = self.history.iter().map(ToString::to_string).collect();
            panic!("{why}\nreplay(rules, &[{}])", steps.join(", "))
        })
    }
}

/// What may happen next.
///
/// Every verdict on every current delivery; an ack and a nak of the newest delivery that is no longer
/// current of each message, because all others meet the same fence.
fn moves(oracle: &Oracle, bounds: Bounds) -> Vec<Op> {
    let mut moves = Vec::new();
    if oracle.published() < bounds.messages {
        moves.push(Op::Publish);
    }
    for consumer in 0..oracle.rules().consumers {
        for messages in 1..=2 {
            moves.push(Op::Fetch { consumer, messages });
        }
        let hands = oracle.hands(consumer);
        for (delivery, (seq, current)) in hands.iter().enumerate() {
            let newer = hands[delivery + 1..].iter().any(|(other, _)| other == seq);
            let verdicts: &[Verdict] = match (current, newer) {
                (true, _) => &[
                    Verdict::Ack,
                    Verdict::Nak,
                    Verdict::Term,
                    Verdict::InProgress,
                ],
                // Only stale because it was delivered again, or because it is over.
                (false, true) if hands.contains(&(*seq, true)) => &[Verdict::Ack, Verdict::Nak],
                (false, true) => &[],
                (false, false) => &[Verdict::Ack, Verdict::Nak],
            };
            moves.extend(verdicts.iter().map(|verdict| Op::Settle {
                consumer,
                delivery,
                verdict: *verdict,
            }));
        }
        if hands.len() > 1 {
            moves.push(Op::AckAll { consumer });
        }
        for seq in oracle.parked(consumer) {
            for discard in [false, true] {
                moves.push(Op::Unpark {
                    consumer,
                    seq,
                    discard,
                });
            }
        }
    }
    if oracle.waits_for_time() {
        moves.push(Op::Pass(bounds.pass));
    }
    moves.extend([Op::Crash, Op::Reopen]);
    moves
}
