//! Subjects and filters against an oracle that tries every subject there is.

use super::source::Source;
use crate::subject::{SubjectFilter, validate_subject};

/// The tokens of all subjects that are tried; `z` is in no filter.
const TOKENS: [&str; 4] = ["a", "b", "a*", "z"];
/// Tokens of the longest subject that is tried: one more than filters have.
const LONGEST: usize = 4;

/// Checks the rules on any text, then compares two filters with the oracle.
pub fn subject(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let valid = validate_subject(&text).is_ok();
    match SubjectFilter::try_from(&*text) {
        Ok(filter) => {
            assert_eq!(valid, filter.is_literal());
            assert_eq!(filter.as_str(), text);
            assert!(filter.overlaps(&filter) && filter.is_subset_of(&filter));
            assert!(filter.matches(&text));
        }
        Err(_) => assert!(!valid),
    }
    assert_eq!(valid, is_valid(&text));
    let mut source = Source::new(data);
    if let (Some(a), Some(b)) = (filter(&mut source), filter(&mut source)) {
        compare(&a, &b);
    }
}

/// The rule, said the other way round.
fn is_valid(text: &str) -> bool {
    let tokens: Vec<&str> = text.split('.').collect();
    let plain = |token: &&str| !token.is_empty() && *token != "*" && *token != ">";
    let blank = |c: char| c.is_whitespace() || c.is_control();
    text.len() <= 1024 && tokens.len() <= 64 && tokens.iter().all(plain) && !text.contains(blank)
}

fn filter(source: &mut Source<'_>) -> Option<SubjectFilter> {
    let token = |source: &mut Source<'_>| ["a", "b", "a*", "*", ">"][source.below(5) as usize];
    let count = 1 + source.below(LONGEST as u8 - 1);
    let tokens: Vec<_> = (0..count).map(|_| token(source)).collect();
    let misplaced = tokens.iter().rev().skip(1).any(|token| *token == ">");
    let parsed = tokens.join(".").parse();
    assert_eq!(parsed.is_err(), misplaced);
    parsed.ok()
}

fn compare(a: &SubjectFilter, b: &SubjectFilter) {
    let (mut overlap, mut a_in_b) = (false, true);
    for_each_subject(&mut Vec::new(), &mut |subject| {
        let (in_a, in_b) = (oracle(a, subject), oracle(b, subject));
        let joined = subject.join(".");
        assert_eq!(a.matches(&joined), in_a, "{a} {joined}");
        assert_eq!(b.matches(&joined), in_b, "{b} {joined}");
        overlap |= in_a && in_b;
        a_in_b &= !in_a || in_b;
    });
    assert_eq!(a.overlaps(b), overlap, "{a} {b}");
    assert_eq!(b.overlaps(a), overlap, "{b} {a}");
    assert_eq!(a.is_subset_of(b), a_in_b, "{a} {b}");
}

fn for_each_subject(tokens: &mut Vec<&'static str>, visit: &mut impl FnMut(&[&str])) {
    if !tokens.is_empty() {
        visit(tokens);
    }
    if tokens.len() < LONGEST {
        for token in TOKENS {
            tokens.push(token);
            for_each_subject(tokens, visit);
            tokens.pop();
        }
    }
}

fn oracle(filter: &SubjectFilter, subject: &[&str]) -> bool {
    fn matches(filter: &[&str], subject: &[&str]) -> bool {
        match (filter, subject) {
            ([], []) => true,
            ([">"], rest) => !rest.is_empty(),
            ([first, filter @ ..], [token, rest @ ..]) => {
                (*first == "*" || first == token) && matches(filter, rest)
            }
            _ => false,
        }
    }
    matches(&filter.as_str().split('.').collect::<Vec<_>>(), subject)
}
