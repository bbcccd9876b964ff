//! What changes streams and consumers, and the store as a whole.

use super::{FIRST, History, begun_config, dead, park, plain, some_dead, some_out, stream_config};
use crate::world::{down, open};
use riverbed::{ConsumerConfig, DeliverPolicy, EmptyReason, Fetch, ReplayPolicy, StreamError};
use std::time::Duration;

pub(super) const HISTORIES: &[History] = &[
    History {
        name: "stream_delete",
        consumer: dead,
        before: some_dead,
        cut: |world| {
            world.told.delete.0 = true;
            world.store.delete_stream("s").map_err(down)?;
            world.told.delete.1 = true;
            world.store.drive().map_err(down)
        },
    },
    History {
        name: "config_update",
        consumer: plain,
        before: some_out,
        cut: |world| {
            let config = stream_config().max_messages(2);
            match world.store.update_stream(config.clone()) {
                Err(StreamError::WouldRemove { .. }) => {}
                Err(why) => return Err(down(why)),
                Ok(_) => panic!("an update removed messages without the word"),
            }
            world.told.limit = (Some(2), false);
            world.told.maybe_gone.extend(["a1", "a2"].map(String::from));
            world.store.update_stream_removing(config).map_err(down)?;
            world.told.limit.1 = true;
            world.told.gone.extend(["a1", "a2"].map(String::from));
            let config = ConsumerConfig::new("c").ack_wait(Duration::from_secs(7));
            world.stream.update_consumer(config).map(drop).map_err(down)
        },
    },
    History {
        name: "guards",
        consumer: plain,
        before: some_out,
        cut: |world| {
            let begun = world.store.create_stream(begun_config()).map_err(down)?;
            world.told.begun = Some(FIRST - 1);
            for seq in [FIRST, FIRST + 1] {
                begun.publish("begun", "").map_err(down)?;
                world.told.begun = Some(seq);
            }
            world.publish(&["b1"])?;
            world.told.seal.0 = true;
            world
                .store
                .update_stream(stream_config().sealed())
                .map_err(down)?;
            world.told.seal.1 = true;
            world.ack(&["a1"])?;
            world.store.drive().map_err(down)
        },
    },
    History {
        name: "close_and_open",
        consumer: dead,
        before: some_dead,
        cut: |world| {
            world.fetch(1)?;
            world.store.close().map_err(down)?;
            world.store = open(&world.disk, &world.clock).map_err(down)?;
            Ok(())
        },
    },
    History {
        name: "reset",
        consumer: park,
        before: some_out,
        cut: |world| {
            world.ack(&["a1"])?;
            world.nak("a2")?;
            // Back: what was acked or parked comes again, with all the rest or not at all.
            world.told.acked.remove("a1");
            world.told.reset = Some(0);
            world.reset(DeliverPolicy::All)?;
            world.told.maybe_acked.remove("a1");
            world.told.reset = None;
            world.fetch(1)?;
            // Ahead: it passes over all of it, and says so.
            let all = ["a1", "a2", "a3", "a4"].map(String::from);
            world.told.maybe_acked.extend(all.clone());
            world.reset(DeliverPolicy::New)?;
            world.told.acked.extend(all);
            world.told.reset = Some(4);
            world.publish(&["b1"])
        },
    },
    History {
        name: "refilter",
        consumer: plain,
        before: some_out,
        cut: |world| {
            world.publish(&["b1", "b2"])?;
            world.ack(&["a1"])?;
            // What is ahead is not wanted any more, and then again; what is out stays.
            let ahead = ["a4", "b1", "b2"].map(String::from);
            world.told.maybe_acked.extend(ahead.clone());
            for (filters, pending) in [(&["s.none"][..], 0), (&[], 3)] {
                let config = ConsumerConfig::new("c").filters(filters.iter().copied());
                world.stream.update_consumer(config).map_err(down)?;
                let found = world.consumer.info().map_err(down)?.pending;
                assert_eq!(found, pending, "ahead of {filters:?}");
            }
            for message in ahead {
                world.told.maybe_acked.remove(&message);
            }
            world.fetch(1)
        },
    },
    History {
        name: "replay",
        consumer: |config| config.replay(ReplayPolicy::Original),
        before: |world| {
            world.publish(&["a1", "a2"])?;
            for name in ["b1", "c1"] {
                world.later(1)?;
                world.publish(&[name])?;
            }
            Ok(())
        },
        cut: |world| {
            // What is in the stream now is replayed; before, nothing was.
            world.reset(DeliverPolicy::All)?;
            world.told.replayed = Some("c1");
            world.fetch(9)?;
            assert_eq!(world.held.len(), 2, "what came together");
            world.ack(&["a1"])?;
            world.publish(&["d1"])
        },
    },
    History {
        name: "pause",
        consumer: plain,
        before: some_out,
        cut: |world| {
            // Over before everything is drained.
            let until = world.clock.clock().now().plus(Duration::from_secs(1));
            world.consumer.pause(until).map_err(down)?;
            let batch = world
                .consumer
                .fetch(Fetch::new(1).no_wait())
                .map_err(down)?;
            assert_eq!(batch.empty_reason(), Some(EmptyReason::Paused { until }));
            world.ack(&["a1"])?;
            world.consumer.resume().map_err(down)?;
            world.fetch(1)
        },
    },
    History {
        name: "inactive",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            let second = ConsumerConfig::new("second").inactive_threshold(Duration::from_secs(10));
            let second = world.stream.create_consumer(second).map_err(down)?;
            let batch = second.fetch(Fetch::new(2).no_wait()).map_err(down)?;
            batch[0].nak().map_err(down)?;
            batch[1].ack().map_err(down)
        },
        cut: |world| {
            world.later(11)?;
            world.told.consumer_gone = true;
            world.ack(&["a1"])?;
            world.publish(&["b1"])
        },
    },
    History {
        name: "lag",
        consumer: plain,
        before: |world| {
            let config = stream_config().max_lag_messages(4);
            world.store.update_stream(config).map_err(down)?;
            some_out(world)
        },
        cut: |world| {
            world.refused_for_lag("b1")?;
            world.ack(&["a2"])?;
            world.publish(&["b2"])?;
            world.refused_for_lag("b3")?;
            world.ack(&["a1", "a3"])?;
            world.publish(&["b4", "b5"])
        },
    },
    History {
        name: "consumer_delete",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            let second = ConsumerConfig::new("second").max_deliver(2);
            let second = world.stream.create_consumer(second).map_err(down)?;
            let batch = second.fetch(Fetch::new(3).no_wait()).map_err(down)?;
            batch[0].nak().map_err(down)
        },
        cut: |world| {
            world.stream.delete_consumer("second").map_err(down)?;
            world.told.consumer_gone = true;
            world.ack(&["a1"])?;
            world.store.drive().map_err(down)
        },
    },
];
