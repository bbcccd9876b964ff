//! What delivers and settles.

use super::{History, dead, park, plain, some, some_dead, some_out};
use crate::world::{down, payload};
use riverbed::{AckPolicy, ConsumerConfig, DeliverPolicy, Publish, Seq};
use std::time::Duration;

pub(super) const HISTORIES: &[History] = &[
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
];
