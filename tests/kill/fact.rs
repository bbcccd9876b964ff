//! `Fact`: what a child says of itself, a line each.
//!
//! What a child is about to do it says before; that it was done, only after the call returned `Ok`.

use std::fmt;
use std::str::FromStr;

/// Stands before each fact; other lines are the test harness's.
pub(crate) const SAYS: &str = "fact ";

/// How the messages of one publish belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// All of them or none are stored.
    Together,
    /// Stored in this order; a first part may be.
    InOrder,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ack,
    /// It comes again.
    Nak,
    /// It is given up, and a dead letter.
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// The store is about to be opened.
    Opening,
    /// The store is about to be closed.
    Closing,
    /// The store was closed.
    Closed,
    /// These names are about to be published.
    Publishing(Manner, Vec<String>),
    /// Names with their sequences: they are stored.
    Stored(Vec<(String, u64)>),
    /// Names that were stored before, and were refused as duplicates.
    Known(Vec<(String, u64)>),
    /// A consumer delivered these sequences under these serials.
    Got(String, Vec<(u64, u64)>),
    /// These deliveries are about to be settled.
    Settling(String, Verdict, Vec<u64>),
    /// They are.
    Settled(String, Verdict, Vec<u64>),
    /// What the child saw breaks a promise.
    Wrong(String),
}

impl Fact {
    /// How many acknowledged changes of the store this tells.
    pub(crate) fn acknowledged(&self) -> u64 {
        match self {
            Self::Stored(stored) => stored.len() as u64,
            Self::Settled(_, _, seqs) => seqs.len() as u64,
            _ => 0,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str("opening"),
            Self::Closing => f.write_str("closing"),
            Self::Closed => f.write_str("closed"),
            Self::Publishing(Manner::Together, names) => {
                write!(f, "publishing together {}", names.join(" "))
            }
            Self::Publishing(Manner::InOrder, names) => {
                write!(f, "publishing in_order {}", names.join(" "))
            }
            Self::Stored(stored) => write!(f, "stored {}", pairs(stored)),
            Self::Known(known) => write!(f, "known {}", pairs(known)),
            Self::Got(consumer, got) => write!(f, "got {consumer} {}", pairs(got)),
            Self::Settling(consumer, verdict, seqs) => {
                write!(f, "settling {consumer} {verdict:?} {}", numbers(seqs))
            }
            Self::Settled(consumer, verdict, seqs) => {
                write!(f, "settled {consumer} {verdict:?} {}", numbers(seqs))
            }
            Self::Wrong(what) => write!(f, "wrong {what}"),
        }
    }
}

fn pairs<A: fmt::Display, B: fmt::Display>(pairs: &[(A, B)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(a, b)| format!("{a}={b}")).collect();
    pairs.join(" ")
}

fn numbers(numbers: &[u64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(" ")
}

/// The line is not one that a child writes.
#[derive(Debug)]
pub(crate) struct Garbled;

impl FromStr for Fact {
    type Err = Garbled;

    fn from_str(line: &str) -> Result<Self, Garbled> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, others) = rest.split_once(' ').unwrap_or((rest, ""));
        Ok(match verb {
            "opening" => Self::Opening,
            "closing" => Self::Closing,
            "closed" => Self::Closed,
            "publishing" => {
                let manner = match first {
                    "together" => Manner::Together,
                    "in_order" => Manner::InOrder,
                    _ => return Err(Garbled),
                };
                Self::Publishing(manner, others.split(' ').map(str::to_owned).collect())
            }
            "stored" => Self::Stored(parse_pairs(rest)?),
            "known" => Self::Known(parse_pairs(rest)?),
            "got" => Self::Got(first.to_owned(), parse_pairs(others)?),
            "settling" | "settled" => {
                let (verdict, seqs) = others.split_once(' ').ok_or(Garbled)?;
                let verdict = match verdict {
                    "Ack" => Verdict::Ack,
                    "Nak" => Verdict::Nak,
                    "Dead" => Verdict::Dead,
                    _ => return Err(Garbled),
                };
                let seqs: Result<Vec<u64>, _> = seqs.split(' ').map(str::parse).collect();
                let seqs = seqs.map_err(|_| Garbled)?;
                if verb == "settling" {
                    Self::Settling(first.to_owned(), verdict, seqs)
                } else {
                    Self::Settled(first.to_owned(), verdict, seqs)
                }
            }
            "wrong" => Self::Wrong(rest.to_owned()),
            _ => return Err(Garbled),
        })
    }
}

fn parse_pairs<A: FromStr, B: FromStr>(text: &str) -> Result<Vec<(A, B)>, Garbled> {
    let pair = |text: &str| {
        let (a, b) = text.split_once('=').ok_or(Garbled)?;
        let a = a.parse().map_err(|_| Garbled)?;
        let b = b.parse().map_err(|_| Garbled)?;
        Ok((a, b))
    };
    text.split(' ').map(pair).collect()
}

#[test]
fn every_fact_survives_the_pipe() {
    let facts = [
        Fact::Opening,
        Fact::Closing,
        Fact::Closed,
        Fact::Publishing(Manner::Together, vec!["a".into(), "b".into()]),
        Fact::Publishing(Manner::InOrder, vec!["a".into()]),
        Fact::Stored(vec![("a".into(), 1), ("b".into(), 2)]),
        Fact::Known(vec![("a".into(), 1)]),
        Fact::Got("work".into(), vec![(1, 7), (2, 8)]),
        Fact::Settling("work".into(), Verdict::Ack, vec![1, 2]),
        Fact::Settled("work".into(), Verdict::Nak, vec![1]),
        Fact::Settled("work".into(), Verdict::Dead, vec![3]),
        Fact::Wrong("what is wrong".into()),
    ];
    for fact in facts {
        assert_eq!(fact.to_string().parse::<Fact>().unwrap(), fact);
    }
    for garbled in ["", "stored a", "stored a=x", "settled work", "got", "else"] {
        assert!(garbled.parse::<Fact>().is_err(), "{garbled}");
    }
}
