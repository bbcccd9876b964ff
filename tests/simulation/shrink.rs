//! Shrinking: the least of a history that still fails in the same way.

use std::time::{Duration, Instant};

/// How long a failing history is shrunk.
const PATIENCE: Duration = Duration::from_secs(60);

/// Removes chunks, halves at first and single steps in the end, as long as the rest still fails.
pub(crate) fn shrink<T: Clone>(whole: &[T], still_fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let until = Instant::now() + PATIENCE;
    let (mut kept, mut chunk) = (whole.to_vec(), whole.len().div_ceil(2));
    while chunk > 0 && Instant::now() < until {
        let (mut at, before) = (0, kept.len());
        while at < kept.len() && Instant::now() < until {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + chunk).min(kept.len()));
            if still_fails(&fewer) {
                kept = fewer;
            } else {
                at += chunk;
            }
        }
        // Single steps are tried until none can go any more.
        if chunk > 1 {
            chunk = chunk.div_ceil(2);
        } else if kept.len() == before {
            chunk = 0;
        }
    }
    kept
}

#[test]
fn shrinking_leaves_what_a_failure_needs() {
    let whole: Vec<u32> = (0..200).collect();
    let fails = |steps: &[u32]| steps.contains(&17) && steps.contains(&18) && steps.contains(&150);
    assert_eq!(shrink(&whole, fails), [17, 18, 150]);
}
