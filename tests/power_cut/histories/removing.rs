//! What removes messages.

use super::{History, dead, interested, plain, some, some_out, stream_config};
use crate::world::down;
use riverbed::{ConsumerConfig, DedupRelease, Fetch, Purge, Retention, Seq, StreamConfig};
use std::time::Duration;

pub(super) const HISTORIES: &[History] = &[
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
        name: "delete_marker",
        consumer: plain,
        before: |world| {
            some(world)?;
            let config = StreamConfig::new("marked").subjects(["m.>"]);
            let config = config.max_age(Duration::from_secs(30));
            let config = config.subject_delete_marker_ttl(Duration::from_secs(30));
            world.store.create_stream(config).map(drop).map_err(down)
        },
        cut: |world| {
            let marked = world.store.stream("marked").map_err(down)?;
            for subject in ["m.a", "m.b"] {
                marked.publish(subject, "x").map_err(down)?;
                world.told.marked.insert(subject.to_owned(), false);
            }
            world.later(30)?;
            for is_marker in world.told.marked.values_mut() {
                *is_marker = true;
            }
            marked.publish("m.c", "x").map_err(down)?;
            world.told.marked.insert("m.c".to_owned(), false);
            world.publish(&["b1"])
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
        name: "released_ids",
        consumer: dead,
        before: |world| {
            some_out(world)?;
            let config = stream_config()
                .retention(Retention::Interest)
                .dedup_release(DedupRelease::Finished);
            world.store.update_stream(config).map_err(down)?;
            world.store.drive().map_err(down)
        },
        cut: |world| {
            // Whatever is left, as many ids are remembered as there are messages that have one.
            let all = ["a1", "a2", "a3"].map(ToOwned::to_owned);
            world.told.maybe_gone.extend(all);
            world.ack(&["a2"])?;
            world.told.gone.insert("a2".into());
            world.publish_as("b9", "a2")?;
            world.schedule(&["d1", "d2"], 10)?;
            world.term("a1")?;
            world.told.gone.insert("a1".into());
            world.publish(&["a4"])?;
            world.later(10)?;
            world.told.sent.extend(["d1", "d2"].map(String::from));
            world.publish_as("c1", "a1")?;
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
];
