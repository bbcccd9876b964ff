//! Updating consumers: other filters need a count of what they match from the consumer's place on.

use super::start::{Search, Wanted};
use super::{Engine, Entered};
use crate::config::{ConsumerConfig, DeliverPolicy};
use crate::error::ConsumerError;
use crate::seq::Seq;
use crate::state::{Consumer, Losing};

/// How often it is looked before fetches go on.
const ROUNDS_HELD: u32 = 8;

/// What is counted, and from where.
struct Recount {
    next: u64,
    wanted: Wanted,
    search: Search,
}

impl Engine {
    /// Gives a consumer another configuration. While other filters are counted, it is given no message that has to
    /// be read.
    pub(crate) fn update_consumer(
        &self,
        id: u32,
        config: ConsumerConfig,
        losing: Losing,
    ) -> Result<(), ConsumerError> {
        let reading = self.reading_of(id);
        let counts = |known: &Consumer| known.changes_filters(&config);
        let counts = self.enter()?.state.consumer(id).is_some_and(counts);
        let mut held = counts.then(|| reading.take_to_count());
        let mut recount: Option<Recount> = None;
        let mut rounds = 0;
        loop {
            let mut core = self.enter()?;
            let known = core.state.consumer(id);
            let Some(known) = known.filter(|known| known.changes_filters(&config)) else {
                return self.finish_update(core, id, config, (losing, None));
            };
            let (stream, next) = (known.stream, known.next);
            if core.state.is_purging(stream) {
                drop(core);
                // What a purge cut but did not free would be counted.
                self.finish_purges(stream)?;
                continue;
            }
            // What is finished leaves, and is not wanted any more.
            if let Err(need) = core.state.retire_before(stream) {
                drop(core);
                self.load(&need)?;
                continue;
            }
            let mut count = recount
                .take()
                .filter(|begun| begun.next == next)
                .unwrap_or_else(|| Recount {
                    next,
                    wanted: Wanted {
                        stream,
                        deliver: DeliverPolicy::FromSequence(Seq::new(next)),
                        filters: config.parsed_filters().into(),
                    },
                    search: Search::default(),
                });
            match self.look_for(core, &count.wanted, &mut count.search)? {
                Some((core, start)) => {
                    return self.finish_update(core, id, config, (losing, Some(start.live)));
                }
                None => recount = Some(count),
            }
            rounds += 1;
            if rounds == ROUNDS_HELD {
                // Others delete what is counted, and it begins again and again: fetches go on meanwhile.
                drop(held.take());
            }
        }
    }

    fn finish_update(
        &self,
        mut core: Entered<'_>,
        id: u32,
        config: ConsumerConfig,
        (losing, ahead): (Losing, Option<u64>),
    ) -> Result<(), ConsumerError> {
        core.now(&self.clock);
        let updated = core.state.update_consumer(id, config, losing, ahead);
        // All of them: a limit may have made what one waits for impossible.
        core.wake_all_fetches(id);
        // What would be dropped is an answer about what the consumer holds.
        let group = core.observed(id).max(core.state.catalog_group());
        drop(core);
        self.wait(group)?;
        updated
    }
}
