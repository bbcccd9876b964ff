//! Lanes: consumers that a worker takes one before the other.

use super::work_queue::shared;
use super::{Consumer, State};
use crate::error::LanesError;

impl State {
    /// Refuses consumers of one stream whose filters overlap: the worker would be given a message in both lanes.
    pub(crate) fn fit_lanes(&self, ids: &[u32]) -> Result<(), LanesError> {
        let mut before: Vec<&Consumer> = Vec::with_capacity(ids.len());
        for lane in ids.iter().filter_map(|id| self.consumers.get(id)) {
            let beside = before.iter().filter(|other| other.stream == lane.stream);
            for other in beside {
                if let Some((first_filter, second_filter)) = shared(&other.filters, &lane.filters) {
                    let stream = self.streams.get(&lane.stream);
                    return Err(LanesError::Overlap {
                        stream: stream.map_or_else(String::new, |known| known.config.name.clone()),
                        first: other.config.name.clone(),
                        first_filter,
                        second: lane.config.name.clone(),
                        second_filter,
                    });
                }
            }
            before.push(lane);
        }
        Ok(())
    }
}
