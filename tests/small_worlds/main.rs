//! Every history of a small store, step by step against a plain oracle: publish, fetch, ack, nak, term,
//! in progress, a deadline that passes, a power cut, a clean reopening (G3 to G7, R13 to R18).
//!
//! A disagreement is reported with its history; put that into `replay`. `RIVERBED_DEPTH=n` goes n steps
//! deeper than the default.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a fuzz target shares these modules")]

mod explore;
mod op;
mod oracle;
mod world;

use explore::{Bounds, explore, replay};
use op::{Exhausted, Op, Rules, Verdict};

/// Goes through all histories; deeper where the code is fast.
fn all_histories(name: &str, rules: Rules, bounds: Bounds, depth: usize) {
    let deeper = std::env::var("RIVERBED_DEPTH").ok();
    let deeper = deeper.map_or(0, |deeper| deeper.parse().unwrap());
    let depth = depth + deeper - usize::from(cfg!(debug_assertions)) * 2;
    let worlds = explore(rules, bounds, depth);
    println!("{name}: depth={depth} worlds={worlds} disagreements=0");
}

/// Two messages are there, and one step of time ends a lease.
const TWO: Bounds = Bounds {
    stored: 2,
    messages: 2,
    pass: 31,
};

#[test]
fn without_a_limit_every_history_is_the_oracles() {
    // Publishing is a step like any other.
    let bounds = Bounds { stored: 0, ..TWO };
    all_histories("no limit", Rules::PLAIN, bounds, 5);
}

#[test]
fn a_lease_that_is_extended_in_time_does_not_lapse_in_any_history() {
    // Two steps of time end a lease, one does not.
    let bounds = Bounds {
        stored: 1,
        messages: 1,
        pass: 20,
    };
    all_histories("extended leases", Rules::PLAIN, bounds, 5);
}

#[test]
fn with_one_delivery_and_a_dead_letter_stream_every_history_is_the_oracles() {
    let rules = Rules {
        max_deliver: Some(1),
        exhausted: Exhausted::DeadLetter,
        ..Rules::PLAIN
    };
    all_histories("one delivery, dead letters", rules, TWO, 4);
}

#[test]
fn with_two_deliveries_and_a_dead_letter_stream_every_history_is_the_oracles() {
    let rules = Rules {
        max_deliver: Some(2),
        exhausted: Exhausted::DeadLetter,
        ..Rules::PLAIN
    };
    all_histories("two deliveries, dead letters", rules, TWO, 5);
}

#[test]
fn with_parking_every_history_is_the_oracles() {
    for max_deliver in [1, 2] {
        let rules = Rules {
            max_deliver: Some(max_deliver),
            ..Rules::PLAIN
        };
        all_histories(&format!("{max_deliver} deliveries, parked"), rules, TWO, 4);
    }
}

#[test]
fn with_dropping_every_history_is_the_oracles() {
    let rules = Rules {
        max_deliver: Some(1),
        exhausted: Exhausted::Drop,
        ..Rules::PLAIN
    };
    all_histories("dropped", rules, TWO, 4);
}

#[test]
fn with_a_backoff_every_history_is_the_oracles() {
    let rules = Rules {
        max_deliver: Some(3),
        backoff: &[10, 40],
        ..Rules::PLAIN
    };
    let bounds = Bounds {
        stored: 2,
        messages: 2,
        pass: 15,
    };
    all_histories("backoff", rules, bounds, 4);
}

#[test]
fn with_two_consumers_every_history_is_the_oracles() {
    let rules = Rules {
        consumers: 2,
        max_deliver: Some(2),
        exhausted: Exhausted::DeadLetter,
        ..Rules::PLAIN
    };
    all_histories("two consumers", rules, TWO, 4);
}

#[test]
fn with_one_message_in_flight_every_history_is_the_oracles() {
    let rules = Rules {
        max_out: 1,
        max_deliver: Some(2),
        ..Rules::PLAIN
    };
    all_histories("one in flight", rules, TWO, 4);
}

#[test]
fn the_steps_to_a_suspect_are_the_oracles() {
    let fetch = |messages| Op::Fetch {
        consumer: 0,
        messages,
    };
    let settle = |delivery, verdict| Op::Settle {
        consumer: 0,
        delivery,
        verdict,
    };
    let rules = Rules {
        max_deliver: Some(1),
        exhausted: Exhausted::DeadLetter,
        ..Rules::PLAIN
    };
    let history = [
        Op::Publish,
        Op::Publish,
        fetch(2),
        Op::Crash,
        fetch(2),
        Op::Crash,
        fetch(2),
        Op::Publish,
        fetch(2),
        settle(0, Verdict::InProgress),
        Op::Crash,
        fetch(2),
        settle(0, Verdict::Ack),
        fetch(2),
        Op::Reopen,
        fetch(1),
    ];
    replay(rules, &history).unwrap();
}

#[test]
fn the_steps_of_a_nak_with_a_delay_are_the_oracles_across_crashes() {
    let fetch = Op::Fetch {
        consumer: 0,
        messages: 2,
    };
    let settle = |delivery, verdict| Op::Settle {
        consumer: 0,
        delivery,
        verdict,
    };
    let history = [
        Op::Publish,
        Op::Publish,
        fetch,
        settle(1, Verdict::NakAfter(10)),
        settle(0, Verdict::NakAfter(20)),
        fetch,
        Op::Pass(15),
        Op::Crash,
        fetch,
        settle(0, Verdict::NakAfter(0)),
        Op::Pass(10),
        fetch,
        Op::Reopen,
        fetch,
        Op::AckAll { consumer: 0 },
    ];
    replay(Rules::PLAIN, &history).unwrap();
}
