//! Several callers' work in one commit, as threads would bring it there.

use crate::op::{End, Op};
use crate::oracle::Oracle;
use crate::real::Answer;
use crate::run::Run;

impl Run {
    /// Holds the open group while callers stage into it; then it is committed, or a crash takes it.
    pub(crate) fn group(&mut self, ops: &[Op], end: &End) {
        let before = self.oracle.clone();
        // Deliveries that were never durable were never made: their serials may come again.
        let serials = self.serials.clone();
        self.oracle.defer_limits = true;
        self.real.store().hold_group();
        for op in ops {
            if !self.makes_sense(op) {
                continue;
            }
            self.forget_floor(op);
            self.follow(op);
            let (after, expected) = self.foresee(op);
            match self.real.perform(op) {
                Answer::Said(said) => {
                    self.same(op, &said, &expected);
                    self.cover(format!("grouped {}", op.name()));
                    self.oracle = after;
                    self.real.number(&self.oracle, &mut self.serials);
                }
                Answer::Down(why) => {
                    self.serials = serials;
                    return self.fall(&why, vec![before]);
                }
            }
        }
        self.oracle.defer_limits = false;
        for stream in touched(&before, &self.oracle) {
            self.oracle.trim(&stream);
        }
        match end {
            End::Commit => {
                if let Err(why) = self.real.store().commit_held() {
                    self.serials = serials;
                    let after = std::mem::replace(&mut self.oracle, before.clone());
                    return self.fall(&why, vec![before, after]);
                }
                self.cover("group committed".to_owned());
                self.compare_events();
            }
            End::Kill | End::PowerCut(_) => {
                // Nothing of it was ever on its way to the disk.
                self.serials = serials;
                self.oracle = before.clone();
                let cut = match end {
                    End::PowerCut(seed) => Some(*seed),
                    _ => None,
                };
                self.cover("group lost".to_owned());
                self.crash(cut, vec![before]);
            }
        }
    }
}

/// Streams that messages came to or left, or where a consumer is done with some.
fn touched(before: &Oracle, after: &Oracle) -> Vec<String> {
    let state = |oracle: &Oracle, name: &str| {
        let stream = oracle.streams.get(name);
        stream.map(|stream| {
            let (last, stored) = (stream.last, stream.stored.len());
            (
                last,
                stored,
                stream.finished.clone(),
                stream.unwanted.clone(),
                stream.last_scheduled,
                stream.rejudged,
            )
        })
    };
    let names = after.streams.keys();
    names
        .filter(|name| state(before, name) != state(after, name))
        .cloned()
        .collect()
}
