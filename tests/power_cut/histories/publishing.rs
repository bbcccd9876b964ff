//! What publishes.

use super::{History, beside_config, plain, some, some_out, stream_config};
use crate::world::{down, payload};
use riverbed::{DedupMode, Publish, Rollup, Seq};

pub(super) const HISTORIES: &[History] = &[
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
        name: "repeat",
        consumer: plain,
        before: some_out,
        cut: |world| {
            world.repeat("b1", 20)?;
            for round in 1..=3 {
                world.later(20)?;
                world.told.repeated = round;
            }
            world.publish(&["c1"])
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
];
