//! A packed set of `u64`: its runs, as the gap in front of each and its length less one.
//!
//! Both are varints and there is one way to write a set, so that equal sets have equal bytes.

use super::reader::Reader;
use super::varint::put_varint;

/// Why bytes are not a packed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RunsError {
    #[error("the packed set ends early or holds a malformed number")]
    Malformed,
    #[error("the packed set has {count} runs; at most {max} are allowed here")]
    TooMany { count: u64, max: usize },
    #[error("run {n} of the packed set goes beyond the largest number")]
    Overflow { n: u64 },
}

/// Appends runs (first, last), which must grow and neither touch nor overlap.
pub(crate) fn encode_runs(out: &mut Vec<u8>, runs: impl ExactSizeIterator<Item = (u64, u64)>) {
    put_varint(out, runs.len() as u64);
    let mut least = 0_u64;
    for (first, last) in runs {
        debug_assert!(
            least <= first && first <= last,
            "runs grow and do not touch"
        );
        put_varint(out, first.wrapping_sub(least));
        put_varint(out, last.wrapping_sub(first));
        // The number behind a run is not in the set, or the run would have been longer.
        least = last.saturating_add(2);
    }
}

/// Runs, first and last sequence each, and the bytes behind them.
type Decoded<'a> = (Vec<(u64, u64)>, &'a [u8]);

/// Takes a packed set of at most `max_runs` runs off the front; returns its runs and the rest.
pub(crate) fn decode_runs(bytes: &[u8], max_runs: usize) -> Result<Decoded<'_>, RunsError> {
    let mut reader = Reader::new(bytes);
    let count = reader.varint().ok_or(RunsError::Malformed)?;
    if count > max_runs as u64 {
        return Err(RunsError::TooMany {
            count,
            max: max_runs,
        });
    }
    // A run has two bytes at least: a wrong count can't make us allocate more than the input has.
    if count > reader.rest().len() as u64 / 2 {
        return Err(RunsError::Malformed);
    }
    let mut runs = Vec::with_capacity(count as usize);
    let mut lowest = Some(0_u64);
    for n in 0..count {
        let gap = reader.varint().ok_or(RunsError::Malformed)?;
        let more = reader.varint().ok_or(RunsError::Malformed)?;
        let overflow = RunsError::Overflow { n };
        let first = lowest
            .and_then(|lowest| lowest.checked_add(gap))
            .ok_or(overflow)?;
        let last = first.checked_add(more).ok_or(overflow)?;
        runs.push((first, last));
        lowest = last.checked_add(2);
    }
    Ok((runs, reader.rest()))
}

#[cfg(test)]
mod tests {
    use super::{RunsError, decode_runs, encode_runs};

    fn encode(runs: &[(u64, u64)]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_runs(&mut out, runs.iter().copied());
        out
    }

    #[test]
    fn golden_bytes() {
        assert_eq!(encode(&[]), [0]);
        assert_eq!(encode(&[(0, 0)]), [1, 0, 0]);
        assert_eq!(
            encode(&[(1, 3), (5, 5), (1000, 1200)]),
            [3, 1, 2, 0, 0, 0xe1, 0x07, 0xc8, 0x01]
        );
        let all = [
            1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ];
        assert_eq!(encode(&[(0, u64::MAX)]), all);
    }

    #[test]
    fn round_trips_up_to_the_largest_number() {
        for runs in [
            &[(u64::MAX, u64::MAX)][..],
            &[(0, 0), (2, u64::MAX)],
            &[(7, 9), (11, 40)],
        ] {
            let mut bytes = encode(runs);
            bytes.extend_from_slice(b"rest");
            assert_eq!(decode_runs(&bytes, 2), Ok((runs.to_vec(), &b"rest"[..])));
        }
    }

    #[test]
    fn refuses_what_it_would_not_write() {
        assert_eq!(decode_runs(&[], 9), Err(RunsError::Malformed));
        assert_eq!(decode_runs(&[1, 0], 9), Err(RunsError::Malformed));
        assert_eq!(decode_runs(&[1, 0x80, 0, 0], 9), Err(RunsError::Malformed));
        assert_eq!(
            decode_runs(&[3, 0, 0, 0, 0, 0, 0], 2),
            Err(RunsError::TooMany { count: 3, max: 2 })
        );
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(decode_runs(&huge, usize::MAX), Err(RunsError::Malformed));
        let mut over = encode(&[(0, u64::MAX)]);
        over[0] = 2;
        over.extend([0, 0]);
        assert_eq!(decode_runs(&over, 9), Err(RunsError::Overflow { n: 1 }));
    }
}
