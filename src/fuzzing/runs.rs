//! Packed sets: any bytes as their encoding, and any operations against a tree of numbers.

use std::collections::BTreeSet;

use super::source::Source;
use crate::format::{decode_runs, encode_runs};
use crate::state::runset::RunSet;

/// Numbers that the operations are about.
const WINDOW: u8 = 50;

/// Decodes the bytes as a packed set, then takes them as operations.
pub fn runs(data: &[u8]) {
    if let Ok((runs, rest)) = decode_runs(data, 1 << 20) {
        let mut again = Vec::new();
        encode_runs(&mut again, runs.into_iter());
        assert_eq!([&again, rest].concat(), data);
        let (set, _) = RunSet::decode(data, 1 << 20).expect("the same bytes");
        let mut packed = Vec::new();
        set.encode(&mut packed);
        assert_eq!(packed, again);
    }
    let mut source = Source::new(data);
    let base = [0, u64::MAX - u64::from(WINDOW) + 1, 1 << 32, 1][source.below(4) as usize];
    let (mut set, mut model) = (RunSet::new(), BTreeSet::new());
    while !source.is_empty() {
        step(&mut source, base, &mut set, &mut model);
    }
    assert!(set.iter().eq(model.iter().copied()));
    assert_eq!(set.len(), model.len() as u64);
    assert!(set == model.iter().rev().copied().collect());
}

fn step(source: &mut Source<'_>, base: u64, set: &mut RunSet, model: &mut BTreeSet<u64>) {
    let operation = source.below(8);
    let lo = base + u64::from(source.below(WINDOW));
    let hi = lo
        .saturating_add(source.below(20).into())
        .min(base + u64::from(WINDOW - 1));
    let each = lo..=hi;
    match operation {
        0 => assert_eq!(set.insert(lo), model.insert(lo)),
        1 => assert_eq!(set.remove(lo), model.remove(&lo)),
        2 => {
            let new = each.filter(|&seq| model.insert(seq)).count();
            assert_eq!(set.insert_range(lo, hi), new as u64);
        }
        3 => {
            let gone = each.filter(|seq| model.remove(seq)).count();
            assert_eq!(set.remove_range(lo, hi), gone as u64);
        }
        4 => assert_eq!(set.count_range(lo, hi), model.range(each).count() as u64),
        5 => assert_eq!(set.next_at_or_after(lo), model.range(lo..).next().copied()),
        6 => {
            let absent = (lo..=u64::MAX).find(|seq| !model.contains(seq));
            assert_eq!(set.next_absent_at_or_after(lo), absent);
        }
        _ => {
            assert_eq!(set.contains(lo), model.contains(&lo));
            assert_eq!(
                (set.first(), set.last()),
                (model.first().copied(), model.last().copied())
            );
        }
    }
}
