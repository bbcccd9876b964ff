//! Setting a consumer to another place: found like that of a new one.

use super::Engine;
use super::start::{ConsumerRef, Search, Wanted};
use crate::config::DeliverPolicy;
use crate::error::ConsumerError;
use crate::reset::Reset;
use crate::subject::SubjectFilter;
use std::sync::Arc;

impl Engine {
    /// Has a consumer begin again at another place.
    pub(crate) fn reset_consumer(
        &self,
        whose: &ConsumerRef,
        stream_name: &str,
        to: DeliverPolicy,
    ) -> Result<Reset, ConsumerError> {
        let (mut search, mut filters): (Search, Option<Arc<[SubjectFilter]>>) = Default::default();
        loop {
            // What a purge cut but did not free would be counted as ahead of the consumer.
            self.finish_purges(whose.stream)?;
            let mut core = self.enter()?;
            core.note_time(&self.clock);
            let Some(known) = core.state.consumer(whose.id) else {
                let group = core.state.catalog_group();
                drop(core);
                self.wait(group)?;
                return Err(ConsumerError::NotFound {
                    name: whose.name.clone(),
                    stream: stream_name.to_owned(),
                });
            };
            let known = Arc::clone(&known.filters);
            if !filters
                .as_ref()
                .is_some_and(|seen| Arc::ptr_eq(seen, &known))
            {
                search = Search::default();
            }
            filters = Some(Arc::clone(&known));
            if let Err(why) = to.fits(&known) {
                let group = core.observed(whose.id).max(core.state.catalog_group());
                drop(core);
                self.wait(group)?;
                return Err(why.into());
            }
            if core.state.is_purging(whose.stream) {
                continue;
            }
            // What is finished leaves, and does not come again.
            if let Err(need) = core.state.retire_before(whose.stream) {
                drop(core);
                self.load(&need)?;
                continue;
            }
            let wanted = Wanted {
                stream: whose.stream,
                deliver: to,
                filters: known,
            };
            let Some((mut core, start)) = self.look_for(core, &wanted, &mut search)? else {
                continue;
            };
            let reset = core
                .state
                .reset_consumer(whose.id, &start, self.clock.mono());
            core.wake_fetch(whose.id);
            let group = core.observed(whose.id);
            drop(core);
            self.wait(group)?;
            return reset;
        }
    }
}
