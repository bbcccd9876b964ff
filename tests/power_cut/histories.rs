//! The histories that are cut, each by its name.

use crate::world::{Outcome, World, down, open, payload};
use riverbed::{
    AckPolicy, ConsumerConfig, DedupMode, DeliverPolicy, Deny, EmptyReason, Fetch, OnExhausted,
    Publish, Purge, Retention, Rollup, Seq, StreamConfig,
};
use std::time::Duration;

pub(crate) struct History {
    pub(crate) name: &'static str,
    pub(crate) consumer: fn(ConsumerConfig) -> ConsumerConfig,
    /// What is there before the power may fail.
    pub(crate) before: fn(&mut World) -> Outcome,
    pub(crate) cut: fn(&mut World) -> Outcome,
}

pub(crate) fn plain(config: ConsumerConfig) -> ConsumerConfig {
    config
}

pub(crate) fn dead(config: ConsumerConfig) -> ConsumerConfig {
    config.max_deliver(1).dead_letter("dead")
}

pub(crate) fn park(config: ConsumerConfig) -> ConsumerConfig {
    config.max_deliver(1).on_exhausted(OnExhausted::Park)
}

pub(crate) fn some(world: &mut World) -> Outcome {
    world.publish(&["a1", "a2", "a3", "a4"])
}

pub(crate) fn some_out(world: &mut World) -> Outcome {
    some(world)?;
    world.fetch(3)
}

pub(crate) fn some_dead(world: &mut World) -> Outcome {
    some_out(world)?;
    world.term("a1")?;
    world.nak("a2")
}

/// From now on the stream keeps what a consumer still wants.
fn interested(world: &mut World) -> Outcome {
    let config = stream_config().retention(Retention::Interest);
    world.store.update_stream(config).map_err(down)?;
    world.store.drive().map_err(down)
}

pub(crate) const HISTORIES: &[History] = &[
    History {
        name: "publish",
        consumer: plain,
        before: some,
        cut: |world| {
            world.publish(&["b1"])?;
            world.publish(&["b2"])?;
            world.publish(&["b3"])
        },
    },
    History {
        name: "batch",
        consumer: plain,
        before: some,
        cut: |world| {
            world.publish(&["b1", "b2", "b3", "b13", "b23", "b33", "b43", "b53"])?;
            world.publish(&["c1", "c2"])
        },
    },
    History {
        name: "pipeline",
        consumer: plain,
        before: some,
        cut: |world| {
            for name in ["b1", "b2", "b3"] {
                // Accepted one by one, durable as a prefix; the answer comes with the flush.
                world.told.open.push(vec![name.to_owned()]);
                world.told.without_id.insert(name.to_owned());
                world
                    .stream
                    .publish_async(("s.x", payload(name)))
                    .map_err(down)?;
            }
            world.stream.flush().map_err(down)?;
            for (at, batch) in std::mem::take(&mut world.told.open).iter().enumerate() {
                world.told.stored.insert(batch[0].clone(), 5 + at as u64);
                world.told.highest = 5 + at as u64;
            }
            Ok(())
        },
    },
    History {
        name: "fetch",
        consumer: plain,
        before: some,
        cut: |world| {
            world.fetch(2)?;
            world.fetch(2)
        },
    },
    History {
        name: "ack",
        consumer: plain,
        before: some_out,
        cut: |world| {
            world.ack(&["a1"])?;
            world.ack(&["a2", "a3"])
        },
    },
    History {
        name: "ack_all",
        consumer: |config| config.ack_policy(AckPolicy::All),
        before: some_out,
        cut: |world| {
            world
                .told
                .maybe_acked
                .extend(["a1", "a2"].map(String::from));
            world.ack(&["a2"])?;
            world.told.acked.insert("a1".into());
            world.fetch(1)?;
            world.told.maybe_acked.insert("a3".into());
            world.ack(&["a4"])?;
            world.told.acked.insert("a3".into());
            Ok(())
        },
    },
    History {
        name: "ack_none",
        consumer: |config| config.ack_policy(AckPolicy::None),
        before: some,
        cut: |world| {
            // Counted is finished: delivered at most once.
            world
                .told
                .maybe_acked
                .extend(["a1", "a2"].map(String::from));
            world.fetch(2)?;
            world.told.acked.extend(["a1", "a2"].map(String::from));
            world.told.maybe_acked.insert("a3".into());
            world.fetch(1)?;
            world.told.acked.insert("a3".into());
            Ok(())
        },
    },
    History {
        name: "nak",
        consumer: |config| config.backoff([Duration::from_secs(3)]),
        before: some_out,
        cut: |world| {
            world.nak("a2")?;
            world.nak("a1")?;
            world.later(4)?;
            world.fetch(4)?;
            world.ack(&["a1"])
        },
    },
    History {
        name: "timeout",
        consumer: plain,
        before: some_out,
        cut: |world| {
            world.later(31)?;
            world.fetch(3)?;
            world.later(31)
        },
    },
    History {
        name: "dead_letter",
        consumer: dead,
        before: some_out,
        cut: |world| {
            world.term("a1")?;
            world.nak("a2")?;
            world.told.dead.insert("a2".into());
            world.later(31)?;
            world.told.dead.insert("a3".into());
            Ok(())
        },
    },
    History {
        name: "park",
        consumer: park,
        before: some_out,
        cut: |world| {
            world.nak("a1")?;
            world.nak("a3")?;
            world.told.dead.extend(["a1".to_owned(), "a3".to_owned()]);
            world.told.dead.remove("a1");
            world.consumer.release(Seq::new(1)).map_err(down)?;
            world.fetch(1)
        },
    },
    History {
        name: "redrive",
        consumer: dead,
        before: some_dead,
        cut: |world| {
            world.redrive("a1", 1, false)?;
            world.redrive("a2", 2, true)?;
            world.fetch(2)
        },
    },
    History {
        name: "purge",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            world.publish(&["b1", "b2", "b3"])
        },
        cut: |world| {
            world.remove(&["a1", "a2"], |world| {
                world
                    .stream
                    .purge(Purge::all().up_to(Seq::new(3)))
                    .map(drop)
                    .map_err(down)
            })?;
            world.remove(&["a4"], |world| {
                world.stream.delete(Seq::new(4)).map_err(down)
            })?;
            world.remove(&["a3", "b1"], |world| {
                world
                    .stream
                    .purge(Purge::all().filter("s.*").keep(2))
                    .map(drop)
                    .map_err(down)
            })?;
            world.remove(&["b2", "b3"], |world| {
                world.stream.purge(Purge::all()).map(drop).map_err(down)
            })?;
            world.publish(&["c1"])
        },
    },
    History {
        name: "expiry",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            let config = stream_config().max_age(Duration::from_secs(600));
            world.store.update_stream(config).map(drop).map_err(down)
        },
        cut: |world| {
            world.later(400)?;
            world.publish(&["b1"])?;
            world
                .told
                .maybe_gone
                .extend(["a1", "a2", "a3", "a4"].map(String::from));
            world.told.late = true;
            world.later(300)?;
            world
                .told
                .gone
                .extend(["a1", "a2", "a3", "a4"].map(String::from));
            world.publish(&["b2"])
        },
    },
    History {
        name: "dedup",
        consumer: plain,
        before: some,
        cut: |world| {
            world.publish(&["b1", "b2"])?;
            let again = Publish::new("s.x", payload("b1")).id("b1");
            let ack = world.stream.publish_message(again).map_err(down)?;
            assert!(ack.duplicate);
            world.publish(&["b1", "b4"])
        },
    },
    History {
        name: "schedule",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            world.schedule(&["b1", "b3"], 10)
        },
        cut: |world| {
            world.schedule(&["c1", "c2", "c3"], 20)?;
            world.later(10)?;
            world.told.sent.extend(["b1", "b3"].map(String::from));
            world.schedule(&["d1"], 5)?;
            world.cancel("c2", 4)?;
            world.later(10)?;
            world.told.sent.extend(["c1", "c3", "d1"].map(String::from));
            world.ack(&["a1"])
        },
    },
    History {
        name: "message_ttl",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            let config = stream_config().allow_message_ttl();
            world.store.update_stream(config).map(drop).map_err(down)?;
            world.publish_brief("b1", 100)
        },
        cut: |world| {
            world.publish_brief("c3", 150)?;
            world.publish_brief("c1", 50)?;
            world.publish(&["d1"])?;
            for (seconds, name) in [(50, "c1"), (50, "b1"), (50, "c3")] {
                world.told.maybe_gone.insert(name.to_owned());
                world.later(seconds)?;
                world.told.gone.insert(name.to_owned());
            }
            world.publish(&["e1"])
        },
    },
    History {
        name: "expectations",
        consumer: plain,
        before: |world| {
            some(world)?;
            world.remove(&["a4"], |world| {
                world.stream.delete(Seq::new(4)).map_err(down)
            })
        },
        cut: |world| {
            // Whatever is left after a cut, these are refused or stored by what was on disk before them.
            for (name, last) in [("b1", 3), ("b2", 5)] {
                world.told.open.push(vec![name.to_owned()]);
                let message = Publish::new("s.x", payload(name)).id(name);
                let message = message.expect_last_for_subject("s.*", Seq::new(last));
                let ack = world.stream.publish_message(message).map_err(down)?;
                world.told.open.pop();
                assert_eq!(ack.seq, last.max(4) + 1);
                world.told.stored.insert(name.to_owned(), ack.seq.get());
                world.told.highest = ack.seq.get();
            }
            world.remove(&["b2"], |world| {
                world.stream.delete(Seq::new(6)).map_err(down)
            })?;
            let chained = Publish::new("s.x", payload("b3")).expect_last_id("b1");
            world.told.open.push(vec!["b3".to_owned()]);
            world.told.without_id.insert("b3".to_owned());
            let ack = world.stream.publish_message(chained).map_err(down)?;
            world.told.open.pop();
            world.told.stored.insert("b3".to_owned(), ack.seq.get());
            world.told.highest = ack.seq.get();
            Ok(())
        },
    },
    History {
        name: "rollups",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            world.publish(&["b1", "b2", "b3"])
        },
        cut: |world| {
            // Gone are the old ones with the commit that stores the new one.
            world.replace(
                "c1",
                &["a1", "a2", "a3", "a4", "b1", "b2", "b3"],
                Rollup::Subject,
            )?;
            world.replace("c3", &["c1"], Rollup::Subject)?;
            world.publish(&["d1", "d2"])?;
            world.replace("e1", &["c3", "d1", "d2"], Rollup::All)?;
            world.store.drive().map_err(down)?;
            world.replace("e2", &["e1"], Rollup::Subject)?;
            world.fetch(1)
        },
    },
    History {
        name: "two_streams",
        consumer: plain,
        before: some,
        cut: |world| {
            let beside = world.store.create_stream(beside_config()).map_err(down)?;
            for (round, name) in ["b1", "b2", "b3"].into_iter().enumerate() {
                world.told.open.push(vec![name.to_owned()]);
                let own = Publish::new("s.x", payload(name)).id(name);
                let batch = [own, Publish::new("beside.x", payload(name))];
                let acks = world.store.publish_batch(batch).map_err(down)?;
                world.told.open.pop();
                world.told.highest = acks[0].seq.get();
                world
                    .told
                    .stored
                    .insert(name.to_owned(), world.told.highest);
                assert_eq!(acks[1].seq, round as u64 + 1);
            }
            beside.flush().map_err(down)
        },
    },
    History {
        name: "renewed_ids",
        consumer: plain,
        before: |world| {
            some(world)?;
            let config = stream_config().dedup_mode(DedupMode::Sliding);
            world.store.update_stream(config).map(drop).map_err(down)
        },
        cut: |world| {
            world.later(400)?;
            world.publish(&["a1"])?;
            // Only the one that was sent again is remembered from here on.
            world
                .told
                .maybe_gone
                .extend(["a2", "a3", "a4"].map(String::from));
            world.told.late = true;
            world.later(400)?;
            world.publish(&["a1"])
        },
    },
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
            world.told.limit = (Some(2), false);
            world.told.maybe_gone.extend(["a1", "a2"].map(String::from));
            let config = stream_config().max_messages(2);
            world.store.update_stream(config).map_err(down)?;
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
        name: "term",
        consumer: dead,
        before: some_out,
        cut: |world| {
            world.term("a2")?;
            world.term("a1")?;
            world.fetch(1)
        },
    },
    History {
        name: "discard",
        consumer: park,
        before: |world| {
            some_out(world)?;
            world.nak("a1")?;
            world.nak("a3")?;
            world.told.dead.extend(["a1".to_owned(), "a3".to_owned()]);
            Ok(())
        },
        cut: |world| {
            // Done with, as if it were acked.
            world.told.maybe_acked.insert("a3".into());
            world.consumer.discard(Seq::new(3)).map_err(down)?;
            world.told.acked.insert("a3".into());
            world.told.dead.remove("a1");
            world.consumer.release(Seq::new(1)).map_err(down)?;
            world.fetch(1)
        },
    },
    History {
        name: "purge_by_subject",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            world.publish(&["b1", "b2", "b3", "b13", "b23"])?;
            world.publish(&["c1", "c2", "c3"])
        },
        cut: |world| {
            let all = [
                "a1", "a2", "a3", "a4", "b1", "b2", "b3", "b13", "b23", "c1", "c2", "c3",
            ];
            world.remove(&all[..10], |world| {
                let purge = Purge::all().filter("s.x").keep(2);
                world.stream.purge(purge).map(drop).map_err(down)
            })?;
            world.store.drive().map_err(down)?;
            world.publish(&["d1"])?;
            world.remove(&all[10..], |world| {
                let purge = Purge::all().filter("s.*").up_to(Seq::new(13));
                world.stream.purge(purge).map(drop).map_err(down)
            })?;
            world.store.drive().map_err(down)?;
            world.fetch(1)
        },
    },
    History {
        name: "interest",
        consumer: dead,
        before: |world| {
            some_out(world)?;
            interested(world)
        },
        cut: |world| {
            // An ack and the removal that follows from it are one: check() finds what is kept for nobody, and
            // what is lost is delivered to nobody.
            let all = ["a1", "a2", "a3"].map(ToOwned::to_owned);
            world.told.maybe_gone.extend(all.clone());
            world.ack(&["a2"])?;
            world.told.gone.insert("a2".into());
            world.term("a1")?;
            world.told.gone.insert("a1".into());
            world.publish(&["b1", "b2"])?;
            world.ack(&["a3"])?;
            world.told.gone.insert("a3".into());
            world.fetch(2)
        },
    },
    History {
        name: "subject_limit",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            let config = stream_config().max_messages_per_subject(4);
            world.store.update_stream(config).map_err(down)?;
            world.store.drive().map_err(down)
        },
        cut: |world| {
            // All are on one subject: each message that comes takes the place of the oldest.
            for (came, gone) in [("b1", "a1"), ("b2", "a2")] {
                world.told.maybe_gone.insert(gone.to_owned());
                world.publish(&[came])?;
                world.told.gone.insert(gone.to_owned());
            }
            world.ack(&["a3"])
        },
    },
    History {
        name: "interest_ends",
        consumer: plain,
        before: |world| {
            some_out(world)?;
            let second = ConsumerConfig::new("second");
            let second = world.stream.create_consumer(second).map_err(down)?;
            second.fetch(Fetch::new(1).no_wait()).map_err(down)?;
            interested(world)?;
            world.ack(&["a1", "a3"])
        },
        cut: |world| {
            world
                .told
                .maybe_gone
                .extend(["a1".to_owned(), "a3".to_owned()]);
            world.stream.delete_consumer("second").map_err(down)?;
            world.told.consumer_gone = true;
            world.store.drive().map_err(down)?;
            world.told.gone.extend(["a1".to_owned(), "a3".to_owned()]);
            world.publish(&["b1"])
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
        name: "last_per_subject",
        consumer: plain,
        before: |world| {
            some(world)?;
            for name in ["b1", "b2"] {
                let message = Publish::new("s.y", payload(name)).id(name);
                let ack = world.stream.publish_message(message).map_err(down)?;
                world.told.stored.insert(name.into(), ack.seq.get());
                world.told.highest = ack.seq.get();
            }
            world.remove(&["b2"], |world| {
                world.stream.delete(Seq::new(6)).map_err(down)
            })
        },
        cut: |world| {
            world.told.second = Some((2, false));
            let second = ConsumerConfig::new("second")
                .filter("s.*")
                .deliver(DeliverPolicy::LastPerSubject);
            world.stream.create_consumer(second).map_err(down)?;
            world.told.second = Some((2, true));
            world.fetch(1)
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

/// Where a stream of the history `guards` begins.
pub(crate) const FIRST: u64 = 5_000;

pub(crate) fn begun_config() -> StreamConfig {
    StreamConfig::new("begun")
        .first_sequence(FIRST)
        .max_consumers(1)
        .deny(Deny::Purge)
}

/// A stream that has a copy of what a batch stores in both.
pub(crate) fn beside_config() -> StreamConfig {
    StreamConfig::new("beside").subjects(["beside.*"])
}

pub(crate) fn stream_config() -> StreamConfig {
    StreamConfig::new("s")
        .subjects(["s.*"])
        .dedup_window(Duration::from_secs(600))
}
