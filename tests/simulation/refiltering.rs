//! Consumers that are given other filters.

use crate::op::Op;
use crate::run::Run;
use riverbed::ConsumerConfig;

impl Run {
    /// Whether an update gives a consumer other filters.
    pub(crate) fn refilters(&self, stream: &str, config: &ConsumerConfig) -> bool {
        let known = self.oracle.consumer(stream, &config.name);
        known.is_some_and(|known| known.config.filters != config.filters)
    }

    /// Other filters hold from the place of the consumer on, and that shows only in what it passed over.
    pub(crate) fn follow(&mut self, op: &Op) {
        let Op::UpdateConsumer(stream, config, _) = op else {
            return;
        };
        if !self.refilters(stream, config) {
            return;
        }
        let handle = self.real.store().stream(stream).unwrap();
        let info = handle.consumer(&config.name).unwrap().info().unwrap();
        let next = info.delivered.get() + 1;
        let known = &self.oracle.streams[stream];
        let consumer = &known.consumers[&config.name];
        if next > consumer.next {
            let passed = known.stored.range(consumer.next..next);
            let wanted = passed
                .filter(|(_, m)| consumer.wants(&m.draft.subject))
                .count();
            assert_eq!(wanted, 0, "{} passed over what it wants", config.name);
            let name = &config.name;
            self.oracle.consumer_mut(stream, name).unwrap().next = next;
        }
    }
}
