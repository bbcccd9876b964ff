//! `RunSet`: a set of sequences kept as runs, small when they are dense.

use std::collections::BTreeMap;

use crate::format::{RunsError, decode_runs, encode_runs};

/// A set of `u64`. Its runs never touch: between two of them at least one number is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunSet {
    /// First number of a run to its last one.
    runs: BTreeMap<u64, u64>,
    /// Numbers in the set. All of `u64` are one more than a `u64` can count.
    len: u128,
}

impl RunSet {
    pub(crate) const fn new() -> Self {
        Self {
            runs: BTreeMap::new(),
            len: 0,
        }
    }

    /// Says whether the number is new.
    pub(crate) fn insert(&mut self, seq: u64) -> bool {
        self.insert_range(seq, seq) == 1
    }

    /// Adds `lo` to `hi`, both included, and returns how many of them are new.
    pub(crate) fn insert_range(&mut self, lo: u64, hi: u64) -> u64 {
        if lo > hi {
            return 0;
        }
        let (mut first, mut last) = (lo, hi);
        let mut known = 0;
        // Swallow every run that overlaps or touches, from the right.
        let reach = hi.saturating_add(1);
        while let Some((&start, &end)) = self.runs.range(..=reach).next_back()
            && end >= lo.saturating_sub(1)
        {
            self.runs.remove(&start);
            known += size(start.max(lo), end.min(hi));
            first = first.min(start);
            last = last.max(end);
        }
        self.runs.insert(first, last);
        let new = size(lo, hi) - known;
        self.len += new;
        saturate(new)
    }

    /// Says whether the number was there.
    pub(crate) fn remove(&mut self, seq: u64) -> bool {
        self.remove_range(seq, seq) == 1
    }

    /// Removes `lo` to `hi`, both included, and returns how many of them were there.
    pub(crate) fn remove_range(&mut self, lo: u64, hi: u64) -> u64 {
        let mut removed = 0;
        if lo > hi {
            return 0;
        }
        while let Some((&start, &end)) = self.runs.range(..=hi).next_back()
            && end >= lo
        {
            self.runs.remove(&start);
            removed += size(start.max(lo), end.min(hi));
            if start < lo {
                self.runs.insert(start, lo - 1);
            }
            if end > hi {
                self.runs.insert(hi + 1, end);
            }
        }
        self.len -= removed;
        saturate(removed)
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        self.run_from_below(seq).is_some_and(|(_, end)| end >= seq)
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.runs.first_key_value().map(|(&start, _)| start)
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.runs.last_key_value().map(|(_, &end)| end)
    }

    /// How many numbers there are; `u64::MAX` stands for one more, too.
    pub(crate) fn len(&self) -> u64 {
        saturate(self.len)
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// All numbers, growing.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.runs().flat_map(|(first, last)| first..=last)
    }

    /// The runs (first, last), growing.
    pub(crate) fn runs(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(&start, &end)| (start, end))
    }

    /// How many of `lo` to `hi`, both included, are in the set.
    pub(crate) fn count_range(&self, lo: u64, hi: u64) -> u64 {
        if lo > hi {
            return 0;
        }
        let from = self.run_from_below(lo).map_or(lo, |(start, _)| start);
        let overlapping = self.runs.range(from..=hi).filter(|&(_, &end)| end >= lo);
        saturate(
            overlapping
                .map(|(&start, &end)| size(start.max(lo), end.min(hi)))
                .sum(),
        )
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn next_at_or_after(&self, seq: u64) -> Option<u64> {
        if self.contains(seq) {
            return Some(seq);
        }
        self.runs.range(seq..).next().map(|(&start, _)| start)
    }

    #[cfg(any(test, fuzzing))]
    /// The next number that is not in the set.
    pub(crate) fn next_absent_at_or_after(&self, seq: u64) -> Option<u64> {
        match self.run_from_below(seq) {
            // Runs do not touch, so the number behind one is absent.
            Some((_, end)) if end >= seq => end.checked_add(1),
            _ => Some(seq),
        }
    }

    /// Appends the packed set.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        encode_runs(out, self.runs());
    }

    /// Takes a packed set of at most `max_runs` runs off the front; returns it and the rest.
    pub(crate) fn decode(bytes: &[u8], max_runs: usize) -> Result<(Self, &[u8]), RunsError> {
        let (runs, rest) = decode_runs(bytes, max_runs)?;
        let len = runs.iter().map(|&(first, last)| size(first, last)).sum();
        Ok((
            Self {
                runs: runs.into_iter().collect(),
                len,
            },
            rest,
        ))
    }

    /// The last run that starts at `seq` or below.
    fn run_from_below(&self, seq: u64) -> Option<(u64, u64)> {
        self.runs
            .range(..=seq)
            .next_back()
            .map(|(&start, &end)| (start, end))
    }
}

impl FromIterator<u64> for RunSet {
    fn from_iter<I: IntoIterator<Item = u64>>(seqs: I) -> Self {
        let mut set = Self::new();
        for seq in seqs {
            set.insert(seq);
        }
        set
    }
}

/// Numbers from `first` to `last`, none if they are the wrong way round (a run that only touches).
fn size(first: u64, last: u64) -> u128 {
    (u128::from(last) + 1).saturating_sub(first.into())
}

fn saturate(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::RunSet;

    /// Numbers in `base..base + 40`, without overflow.
    fn window(base: u64) -> impl Iterator<Item = u64> {
        base..=base.saturating_add(39)
    }

    fn agree(set: &RunSet, model: &BTreeSet<u64>, base: u64) {
        assert!(set.iter().eq(model.iter().copied()));
        assert_eq!(set.len(), model.len() as u64);
        assert_eq!(set.is_empty(), model.is_empty());
        assert_eq!(
            (set.first(), set.last()),
            (model.first().copied(), model.last().copied())
        );
        let runs: Vec<_> = set.runs().collect();
        assert!(
            runs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0),
            "runs touch: {runs:?}"
        );
        for seq in window(base) {
            assert_eq!(set.contains(seq), model.contains(&seq));
            assert_eq!(
                set.next_at_or_after(seq),
                model.range(seq..).next().copied()
            );
            let absent = (seq..=u64::MAX).find(|seq| !model.contains(seq));
            assert_eq!(set.next_absent_at_or_after(seq), absent);
        }
        let mut bytes = Vec::new();
        set.encode(&mut bytes);
        assert_eq!(RunSet::decode(&bytes, 64), Ok((set.clone(), &[][..])));
    }

    #[test]
    fn agrees_with_a_tree_of_numbers() {
        for seed in 0..60 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let base = [0, 1, 1 << 40, u64::MAX - 39][seed as usize % 4];
            let (mut set, mut model) = (RunSet::new(), BTreeSet::new());
            for _ in 0..200 {
                let (a, b) = (base + rng.u64(0..40), base + rng.u64(0..40));
                let (lo, hi) = if rng.u8(0..8) == 0 {
                    (a, b)
                } else {
                    (a, (a | 3).min(b).max(a))
                };
                match rng.u8(0..6) {
                    0 => assert_eq!(set.insert(a), model.insert(a)),
                    1 => assert_eq!(set.remove(a), model.remove(&a)),
                    2 | 3 => {
                        let new = (lo..=hi).filter(|&seq| model.insert(seq)).count();
                        assert_eq!(set.insert_range(lo, hi), new as u64);
                    }
                    4 => {
                        let gone = (lo..=hi).filter(|seq| model.remove(seq)).count();
                        assert_eq!(set.remove_range(lo, hi), gone as u64);
                    }
                    _ => {
                        let count = (lo..=hi).filter(|seq| model.contains(seq)).count();
                        assert_eq!(set.count_range(lo, hi), count as u64);
                    }
                }
            }
            agree(&set, &model, base);
        }
    }

    #[test]
    fn holds_all_numbers() {
        let mut set = RunSet::new();
        assert_eq!(set.insert_range(0, u64::MAX), u64::MAX);
        assert_eq!(set.len(), u64::MAX);
        assert_eq!(set.next_absent_at_or_after(0), None);
        assert_eq!(set.count_range(1, u64::MAX), u64::MAX);
        assert!(!set.insert(u64::MAX));
        assert!(set.remove(u64::MAX));
        assert_eq!(set.last(), Some(u64::MAX - 1));
        assert_eq!(set.next_absent_at_or_after(5), Some(u64::MAX));
        assert_eq!(set.remove_range(0, u64::MAX), u64::MAX);
        assert!(set.is_empty());
    }

    #[test]
    fn a_range_the_wrong_way_round_is_empty() {
        let mut set: RunSet = [1, 2, 3].into_iter().collect();
        assert_eq!(set.insert_range(9, 8), 0);
        assert_eq!(set.remove_range(3, 1), 0);
        assert_eq!(set.count_range(3, 1), 0);
        assert_eq!(set.len(), 3);
    }
}
