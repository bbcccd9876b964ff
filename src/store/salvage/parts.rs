//! Which block each message is taken from, where several have it.
//!
//! A block that grows is written anew, and what was written before stays in pages that were freed, or in
//! the journal. A message whose publish a crash cut off may be in a block, too, and its sequence may have
//! been given to another one since: so the newest decides, and beside it what is part of a whole record.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Found, Origin};

/// What makes a block the newer one of two; the last of it only decides between equals.
type Rank = (u64, bool, u64, Reverse<(Origin, u64)>);

fn rank(found: &Found) -> Rank {
    let place = Reverse((found.origin, found.at));
    (found.last_time, found.whole, found.last_seq, place)
}

/// Parts of these, in the order of streams and sequences, in which every message is once.
pub(super) fn newest(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by_key(|run| (run.stream, run.first_seq, Reverse(rank(run))));
    let mut parts = Vec::new();
    for runs in found.chunk_by(|one, next| one.stream == next.stream) {
        sweep(runs, &mut parts);
    }
    parts
}

/// Goes through the sequences of one stream: the newest of the blocks around each gives the message.
fn sweep(runs: &[Found], parts: &mut Vec<Found>) {
    let mut runs = runs.iter().peekable();
    // The blocks that may hold the next message, the newest on top.
    let mut around: BinaryHeap<(Rank, usize)> = BinaryHeap::new();
    let mut known: Vec<&Found> = Vec::new();
    let mut next = 0;
    loop {
        while let Some(run) = runs.next_if(|run| run.first_seq <= next) {
            around.push((rank(run), known.len()));
            known.push(run);
        }
        let best = around.peek().and_then(|(_, n)| known.get(*n).copied());
        match (best, runs.peek()) {
            (Some(best), _) if best.last_seq < next => drop(around.pop()),
            (Some(best), later) => {
                let before = later.map_or(u64::MAX, |run| run.first_seq.saturating_sub(1));
                let last_seq = best.last_seq.min(before);
                give(parts, *best, next, last_seq);
                match last_seq.checked_add(1) {
                    Some(seq) => next = seq,
                    None => return,
                }
            }
            (None, Some(later)) => next = later.first_seq,
            (None, None) => return,
        }
    }
}

/// Adds a part, or goes on with that before it.
fn give(parts: &mut Vec<Found>, from: Found, first_seq: u64, last_seq: u64) {
    let place = |found: &Found| (found.origin, found.at, found.stream);
    match parts.last_mut() {
        Some(part)
            if place(part) == place(&from) && part.last_seq.checked_add(1) == Some(first_seq) =>
        {
            part.last_seq = last_seq;
        }
        _ => parts.push(Found {
            first_seq,
            last_seq,
            ..from
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::newest;
    use crate::store::salvage::{Found, Origin};
    use fastrand::Rng;

    fn run(first_seq: u64, last_seq: u64, last_time: u64, at: u64) -> Found {
        Found {
            origin: Origin::Store,
            at,
            len: 10,
            store: 1,
            stream: 2,
            first_seq,
            last_seq,
            last_time,
            whole: true,
        }
    }

    fn taken(found: Vec<Found>) -> Vec<(u64, u64, u64)> {
        let parts = newest(found).into_iter();
        let parts = parts.map(|part| (part.first_seq, part.last_seq, part.at));
        parts.collect()
    }

    #[test]
    fn a_grown_block_stands_for_all_that_it_grew_from() {
        let grown: Vec<_> = (1..=9).map(|n| run(5, 4 + n, n, n)).collect();
        assert_eq!(taken(grown), [(5, 13, 9)]);
        let single: Vec<_> = (1..=9).map(|n| run(4 + n, 4 + n, n, n)).collect();
        let first = [run(1, 4, 0, 100), run(1, 9, 6, 101)];
        let all: Vec<_> = single.into_iter().chain(first).collect();
        let expected = [
            (1, 9, 101),
            (10, 10, 6),
            (11, 11, 7),
            (12, 12, 8),
            (13, 13, 9),
        ];
        assert_eq!(taken(all), expected);
    }

    #[test]
    fn a_sequence_that_was_given_away_twice_is_that_of_the_later_block() {
        // The first block was cut off by a crash; what was stored after it began in its middle.
        let found = vec![run(5, 8, 10, 1), run(5, 6, 20, 2), run(7, 7, 30, 3)];
        assert_eq!(taken(found), [(5, 6, 2), (7, 7, 3), (8, 8, 1)]);
    }

    #[test]
    fn of_two_at_the_same_time_the_one_in_a_whole_record_is_taken() {
        let torn = Found {
            whole: false,
            ..run(5, 8, 10, 1)
        };
        assert_eq!(taken(vec![torn, run(5, 5, 10, 2)]), [(5, 5, 2), (6, 8, 1)]);
    }

    #[test]
    fn the_last_sequence_of_all_ends_it() {
        let found = vec![
            run(u64::MAX - 1, u64::MAX, 1, 1),
            run(u64::MAX, u64::MAX, 2, 2),
        ];
        let expected = [(u64::MAX - 1, u64::MAX - 1, 1), (u64::MAX, u64::MAX, 2)];
        assert_eq!(taken(found), expected);
    }

    #[test]
    fn every_sequence_is_taken_once_from_the_newest_block_that_has_it() {
        let mut rng = Rng::with_seed(5);
        for _ in 0..500 {
            let mut found = Vec::new();
            for at in 0..rng.u64(1..20) {
                let first = rng.u64(0..30);
                found.push(run(first, first + rng.u64(0..10), rng.u64(0..1000), at));
            }
            let mut parts = newest(found.clone()).into_iter().peekable();
            for seq in 0..50 {
                let around = found.iter();
                let around = around.filter(|run| run.first_seq <= seq && seq <= run.last_seq);
                let best = around.max_by_key(|run| super::rank(run)).map(|run| run.at);
                while parts.next_if(|part| part.last_seq < seq).is_some() {}
                let part = parts.peek().filter(|part| part.first_seq <= seq);
                assert_eq!(part.map(|part| part.at), best, "{seq} of {found:?}");
            }
        }
    }
}
