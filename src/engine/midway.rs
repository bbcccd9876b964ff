//! What is settled in the middle of a purge that takes it: it is lost to the purge, and to nothing else.

use super::regressions::{cut, lose_blocks, store};
use crate::config::{ConsumerConfig, OnExhausted, StreamConfig};
use crate::consumer::Consumer;
use crate::error::{AckError, Refusal};
use crate::event::{Event, Removal};
use crate::fetch::Fetch;
use crate::message::Message;
use crate::riverbed::Riverbed;
use crate::state::PurgeBound;
use crate::stream::Stream;
use std::time::Duration;

/// How a delivery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Nak,
    Term,
    Lapse,
}

/// A message out with a worker whose consumer gives it up after one failure.
fn delivered(store: &Riverbed, then: OnExhausted) -> (Stream, Consumer, Message) {
    let jobs = StreamConfig::new("jobs").subjects(["jobs.*"]);
    let jobs = store.create_stream(jobs).unwrap();
    let mut config = ConsumerConfig::new("worker").max_deliver(1);
    config.on_exhausted = then;
    let worker = jobs.create_consumer(config).unwrap();
    jobs.publish_batch([("jobs.a", "purged"), ("jobs.b", "kept")])
        .unwrap();
    let batch = worker.fetch(Fetch::new(1).no_wait()).unwrap();
    let message = batch.into_iter().next().unwrap();
    (jobs, worker, message)
}

fn ways() -> impl Iterator<Item = (OnExhausted, End)> {
    let dead = || OnExhausted::DeadLetter {
        stream: "dead".into(),
    };
    [End::Nak, End::Term, End::Lapse]
        .into_iter()
        .flat_map(move |end| [dead(), OnExhausted::Park, OnExhausted::Drop].map(|then| (then, end)))
}

#[test]
fn g5_what_a_purge_took_becomes_nothing_else_however_its_delivery_ends() {
    for (then, end) in ways() {
        let place = format!("{then:?} {end:?}");
        let (_disk, clock, store) = store();
        let (jobs, worker, message) = delivered(&store, then);
        let events = store.events(100);
        let group = cut(&jobs, Some("jobs.a"), &PurgeBound::All);
        jobs.root.engine.wait(group).unwrap();
        let answer = match end {
            End::Nak => message.nak(),
            End::Term => message.term("no"),
            End::Lapse => {
                clock.advance(Duration::from_secs(31));
                store.drive().unwrap();
                message.ack()
            }
        };
        // Whoever still holds it is told (R14).
        let gone = AckError::Refused(Refusal::Gone { seq: message.seq() });
        assert_eq!(answer, Err(gone), "{place}");
        store.drive().unwrap();
        let info = worker.info().unwrap();
        let ends = (info.dead_lettered, info.parked, info.dropped, info.refused);
        assert_eq!(ends, (0, 0, 0, 0), "{place}");
        assert_eq!((info.lost, info.failures), (1, 0), "{place}");
        if let Ok(dead) = store.stream("dead") {
            assert_eq!(dead.info().unwrap().messages, 0, "{place}");
        }
        let told: Vec<Event> = events.try_iter().collect();
        let lost = |event: &Event| {
            matches!(
                event,
                Event::UnfinishedRemoved {
                    messages: 1,
                    by: Removal::Purge,
                    ..
                }
            )
        };
        assert!(matches!(&told[..], [one] if lost(one)), "{place}: {told:?}");
        assert_eq!(store.check().unwrap(), Vec::<String>::new(), "{place}");
        // The purge itself counts it once.
        assert_eq!(jobs.info().unwrap().messages, 1, "{place}");
    }
}

#[test]
fn g5_what_a_purge_does_not_cover_is_given_up_in_its_middle_as_ever() {
    for (then, end) in ways() {
        let place = format!("{then:?} {end:?}");
        let (_disk, clock, store) = store();
        let (jobs, worker, message) = delivered(&store, then.clone());
        let group = cut(&jobs, Some("jobs.b"), &PurgeBound::All);
        jobs.root.engine.wait(group).unwrap();
        match end {
            End::Nak => message.nak().unwrap(),
            End::Term => message.term("no").unwrap(),
            End::Lapse => clock.advance(Duration::from_secs(31)),
        }
        store.drive().unwrap();
        let info = worker.info().unwrap();
        let ends = (info.dead_lettered, info.parked, info.dropped);
        let expected = match (then, end) {
            (OnExhausted::DeadLetter { .. }, _) => (1, 0, 0),
            (OnExhausted::Park, End::Nak | End::Lapse) => (0, 1, 0),
            _ => (0, 0, 1),
        };
        assert_eq!(ends, expected, "{place}");
        assert_eq!(store.check().unwrap(), Vec::<String>::new(), "{place}");
    }
}

/// A condemned message is tried again, by a consumer that names no dead-letter stream any more.
#[test]
fn g5_a_purged_message_that_was_refused_is_neither_parked_nor_dropped() {
    for then in [OnExhausted::Park, OnExhausted::Drop] {
        let (_disk, _clock, store) = store();
        let dead = StreamConfig::new("dead").subjects(["dead.>"]);
        let dead = dead.max_messages(1).discard(crate::config::Discard::New);
        let dead = store.create_stream(dead).unwrap();
        dead.publish("dead.x", "in the way").unwrap();
        let to_dead = OnExhausted::DeadLetter {
            stream: "dead".into(),
        };
        let (jobs, worker, message) = delivered(&store, to_dead);
        message.nak().unwrap();
        assert_eq!(worker.info().unwrap().refused, 1);
        let mut config = worker.info().unwrap().config;
        config.on_exhausted = then;
        jobs.update_consumer_dropping(config).unwrap();
        cut(&jobs, Some("jobs.a"), &PurgeBound::All);
        store.drive().unwrap();
        let info = worker.info().unwrap();
        let ends = (info.parked, info.dropped, info.refused);
        assert_eq!((ends, info.lost), ((0, 0, 0), 1));
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    }
}

/// Where the bytes can't be read, nobody can say whether the purge covers the message: it goes on as ever.
#[test]
fn g9_an_unreadable_message_under_a_purge_stops_no_timeout() {
    let (_disk, clock, store) = store();
    let (jobs, worker, _held) = delivered(&store, OnExhausted::Park);
    let fine = store.create_stream(StreamConfig::new("fine")).unwrap();
    let other = fine.create_consumer(ConsumerConfig::new("other")).unwrap();
    fine.publish("fine", "kept").unwrap();
    let _other_held = other.fetch(Fetch::new(1).no_wait()).unwrap();
    cut(&jobs, Some("jobs.a"), &PurgeBound::All);
    lose_blocks(&jobs, 10);
    clock.advance(Duration::from_secs(31));
    store.drive().unwrap();
    assert_eq!(other.info().unwrap().due, 1);
    assert_eq!(worker.info().unwrap().parked, 1);
}
