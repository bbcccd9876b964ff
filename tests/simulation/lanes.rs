//! Fetches from several consumers, the urgent one first.

use crate::answers::{Answer, fetch_error, variant};
use crate::delivering::Plan;
use crate::history::{chance, some_consumer};
use crate::op::Op;
use crate::oracle::Oracle;
use crate::real::Real;
use fastrand::Rng;
use riverbed::{Fetch, LanesError};

/// Lanes of what there is, mostly of consumers that share nothing.
pub(crate) fn lanes(rng: &mut Rng, oracle: &Oracle) -> Option<Op> {
    lanes_of(rng, oracle, None)
}

/// The same of one stream only.
pub(crate) fn lanes_of(rng: &mut Rng, oracle: &Oracle, stream: Option<&str>) -> Option<Op> {
    let mut lanes: Vec<(String, String)> = Vec::new();
    for _ in 0..rng.usize(2..8) {
        let lane = some_consumer(rng, oracle)?;
        let fits = !lanes.iter().any(|other| oracle.share(other, &lane));
        let wanted = stream.is_none_or(|stream| lane.0 == stream);
        if wanted && !lanes.contains(&lane) && (fits || chance(rng, 20)) {
            lanes.push(lane);
        }
    }
    let bytes = if chance(rng, 6) {
        rng.u64(1..300)
    } else {
        1 << 30
    };
    let n = rng.usize(1..5);
    (!lanes.is_empty()).then_some(Op::Lanes { lanes, n, bytes })
}

/// Whether two filters can match one subject.
fn meet(one: &[&str], other: &[&str]) -> bool {
    match (one, other) {
        ([], []) | ([">"], [_, ..]) | ([_, ..], [">"]) => true,
        ([a, one @ ..], [b, other @ ..]) => (a == b || *a == "*" || *b == "*") && meet(one, other),
        _ => false,
    }
}

impl Oracle {
    /// Whether two consumers can be given the same message.
    fn share(&self, one: &(String, String), other: &(String, String)) -> bool {
        let filters = |lane: &(String, String)| {
            let consumer = self.consumer(&lane.0, &lane.1).unwrap();
            let mut filters = consumer.config.filters.clone();
            if filters.is_empty() {
                filters.push(">".to_owned());
            }
            filters
        };
        let tokens = |filter: &str| filter.split('.').map(str::to_owned).collect::<Vec<_>>();
        one.0 == other.0
            && filters(one).iter().any(|a| {
                filters(other).iter().any(|b| {
                    let (a, b) = (tokens(a), tokens(b));
                    let a: Vec<&str> = a.iter().map(String::as_str).collect();
                    let b: Vec<&str> = b.iter().map(String::as_str).collect();
                    meet(&a, &b)
                })
            })
    }

    pub(crate) fn lanes(&mut self, lanes: &[(String, String)], n: usize, bytes: u64) -> String {
        let is_there = |(stream, name): &(String, String)| self.consumer(stream, name).is_some();
        if !lanes.iter().all(is_there) {
            return "no consumer".to_owned();
        }
        for (at, lane) in lanes.iter().enumerate() {
            if lanes[..at].iter().any(|other| self.share(other, lane)) {
                return "Overlap".to_owned();
            }
        }
        let now = self.now;
        for (stream, name) in lanes {
            // Whoever fetches is at work with all of them.
            self.consumer_mut(stream, name).unwrap().active = now;
        }
        let mut reason = None;
        for (at, (stream, name)) in lanes.iter().enumerate() {
            let said = self.fetch(stream, name, n, bytes);
            let Some(why) = said.strip_prefix("nothing: ") else {
                if at > 0 {
                    self.met.push("lane_after_others");
                }
                if reason.is_some() {
                    self.met.push("lane_passed_by");
                }
                let gives = |(stream, name): &(String, String)| {
                    matches!(self.plan(stream, name, n, bytes), Plan::Take(_))
                };
                if lanes[at + 1..].iter().any(gives) {
                    self.met.push("lane_before_others");
                }
                if said.starts_with("fetched") {
                    return format!("{said} of {stream}/{name}");
                }
                return said;
            };
            if why != "NoMessages" {
                reason.get_or_insert((why.to_owned(), name));
            }
        }
        let (why, name) = reason.unwrap_or(("NoMessages".to_owned(), &lanes[0].1));
        format!("nothing: {why} of {name}")
    }
}

impl Real {
    pub(crate) fn fetch_lanes(
        &mut self,
        lanes: &[(String, String)],
        n: usize,
        bytes: u64,
    ) -> Result<Answer, Answer> {
        let consumers = lanes
            .iter()
            .map(|(stream, name)| self.consumer(stream, name));
        let consumers = consumers.collect::<Result<Vec<_>, _>>()?;
        let lanes = self.store().lanes(&consumers).map_err(|why| match why {
            LanesError::Unavailable(why) => Answer::Down(why),
            why => variant(&why).into(),
        })?;
        let fetch = Fetch::new(n).max_bytes(bytes).no_wait();
        let batch = lanes.fetch(fetch).map_err(fetch_error)?;
        let of = match batch.first() {
            Some(message) => format!("{}/{}", message.stream_name(), message.consumer_name()),
            None => batch.consumer_name().to_owned(),
        };
        Ok(match self.took(batch) {
            Answer::Said(taken) => format!("{taken} of {of}").into(),
            down @ Answer::Down(_) => down,
        })
    }
}
