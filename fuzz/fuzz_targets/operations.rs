//! Arbitrary histories of a small store, against the oracle of `tests/small_worlds`.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/small_worlds/op.rs"]
mod op;
#[allow(dead_code)]
#[path = "../../tests/small_worlds/oracle.rs"]
mod oracle;
#[allow(dead_code)]
#[path = "../../tests/small_worlds/world.rs"]
mod world;

use op::{Exhausted, Op, Rules, Verdict};
use oracle::Oracle;
use world::Origin;

/// Steps of one history, so that an input takes milliseconds.
const STEPS_MAX: usize = 200;

const BACKOFFS: [&[u64]; 4] = [&[], &[10], &[10, 40], &[5, 5, 20]];

/// The first two bytes choose the rules, each two of the rest a step.
fn rules(first: u8, second: u8) -> Rules {
    Rules {
        consumers: 1 + usize::from(first & 1),
        max_deliver: Some(u64::from(first >> 1 & 3)).filter(|limit| *limit > 0),
        exhausted: match first >> 3 & 3 {
            0 | 1 => Exhausted::DeadLetter,
            2 => Exhausted::Park,
            _ => Exhausted::Drop,
        },
        max_out: [1, 2, 3, 1_000][usize::from(second & 3)],
        ack_wait: 30,
        backoff: BACKOFFS[usize::from(second >> 2 & 3)],
    }
    .with_a_limit_beside_dead_letters()
}

/// A dead-letter stream comes with a limit of five unless another is named.
trait WithLimit {
    fn with_a_limit_beside_dead_letters(self) -> Self;
}

impl WithLimit for Rules {
    fn with_a_limit_beside_dead_letters(mut self) -> Self {
        if self.exhausted == Exhausted::DeadLetter {
            self.max_deliver.get_or_insert(5);
        }
        self
    }
}

fn step(kind: u8, what: u8, oracle: &Oracle) -> Option<Op> {
    let consumer = usize::from(what & 1) % oracle.rules().consumers;
    let what = what >> 1;
    let hands = oracle.hands(consumer).len();
    Some(match kind % 16 {
        0 | 1 => Op::Publish,
        2..=4 => Op::Fetch {
            consumer,
            messages: 1 + usize::from(what % 5),
        },
        kind @ 5..=10 => Op::Settle {
            consumer,
            // Newer deliveries are more likely to be current.
            delivery: hands.checked_sub(1 + usize::from(what) % hands.max(1))?,
            verdict: match kind {
                5 | 6 => Verdict::Ack,
                7 => Verdict::Nak,
                8 => Verdict::NakAfter(u64::from(what % 60)),
                9 => Verdict::Term,
                _ => Verdict::InProgress,
            },
        },
        11 => Op::AckAll { consumer },
        12 => Op::Unpark {
            consumer,
            seq: u64::from(what / 2),
            discard: what & 1 == 1,
        },
        13 => Op::Pass(u64::from(what)),
        14 => Op::Crash,
        _ => Op::Reopen,
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [first, second, steps @ ..] = data else {
        return;
    };
    let rules = rules(*first, *second);
    let mut world = Origin::new(rules, 0).start().unwrap();
    let mut history = Vec::new();
    for pair in steps.chunks_exact(2).take(STEPS_MAX) {
        let Some(op) = step(pair[0], pair[1], world.oracle()) else {
            continue;
        };
        history.push(op);
        if let Err(why) = world.step(op) {
            let steps: Vec<String> = history.iter().map(ToString::to_string).collect();
            panic!("{why}\n{rules:?}\nreplay(rules, &[{}])", steps.join(", "));
        }
    }
    world.check().unwrap();
});
