//! A disk that fails in the middle: everybody is told, nobody hangs, nothing acknowledged is lost (G12).

use crate::world::{LONG, World, explore, one, payloads};
use riverbed::{
    CloseError, ConsumerConfig, Discard, Event, FetchError, Publish, PublishErrorKind,
    StreamConfig, Unavailable,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

/// Operations of one commit, and some more.
const SOON: u64 = 24;

/// Whether a call failed because the store did; anything else is a finding.
fn stopped(why: &Unavailable) -> bool {
    use Unavailable::{Io, OutcomeUnknown, Poisoned};
    matches!(why, Poisoned { .. } | OutcomeUnknown { .. } | Io { .. })
}

#[test]
fn g12_a_failing_disk_answers_everybody_and_keeps_what_was_acknowledged() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let events = world.store.events(10);
        let last = world.disk.operations() + thread_rng().gen_range(0..SOON);
        world.disk.fail_from(last);
        let publishers: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let stream = stream.clone();
                thread::spawn(
                    move || match stream.publish("s", name).map_err(|why| why.kind) {
                        Ok(_) => Ok(name.to_owned()),
                        Err(PublishErrorKind::Unavailable(why)) => Err((name.to_owned(), why)),
                        Err(other) => panic!("{other}"),
                    },
                )
            })
            .collect();
        let fetchers: Vec<_> = (0..2)
            .map(|_| {
                let consumer = consumer.clone();
                thread::spawn(move || match consumer.fetch(one()) {
                    Ok(batch) => assert_eq!(batch.len(), 1),
                    Err(FetchError::Unavailable(why)) => assert!(stopped(&why), "{why}"),
                    Err(why) => panic!("{why}"),
                })
            })
            .collect();
        let (mut stored, mut unknown) = (Vec::new(), Vec::new());
        for publisher in publishers {
            match publisher.join().unwrap() {
                Ok(name) => stored.push(name),
                Err((name, Unavailable::OutcomeUnknown { .. })) => unknown.push(name),
                Err((_, why)) => assert!(stopped(&why), "{why}"),
            }
        }
        // Had all of it gone well, both fetches might still wait.
        let failed = loop {
            match stream.publish("s", "d").map_err(|why| why.kind) {
                Ok(_) => stored.push("d".into()),
                Err(PublishErrorKind::Unavailable(why)) => break why,
                Err(other) => panic!("{other}"),
            }
        };
        if matches!(failed, Unavailable::OutcomeUnknown { .. }) {
            unknown.push("d".into());
        }
        for fetcher in fetchers {
            fetcher.join().unwrap();
        }
        assert!(
            events
                .try_iter()
                .any(|event| matches!(event, Event::Poisoned { .. }))
        );
        let closed = world.store.close();
        assert!(matches!(
            closed,
            Err(CloseError::Unavailable(Unavailable::Poisoned { .. }))
        ));
        world.disk.stop_failing();
        let world = world.reopened();
        let found = payloads(&world.store.stream("s").unwrap());
        stored.sort_unstable();
        let surely: Vec<_> = found
            .iter()
            .filter(|name| !unknown.contains(name))
            .collect();
        let acked: Vec<_> = stored
            .iter()
            .filter(|name| !unknown.contains(name))
            .collect();
        assert_eq!(surely, acked, "unknown: {unknown:?}");
        world.end();
    });
}

#[test]
fn g12_whoever_waits_for_room_or_in_the_pipeline_is_told_of_a_failing_disk() {
    explore(|| {
        let world = World::new();
        let config = StreamConfig::new("s").max_messages(1).discard(Discard::New);
        let stream = world.store.create_stream(config).unwrap();
        stream.publish("s", "full").unwrap();
        let other = world
            .store
            .create_stream(StreamConfig::new("other"))
            .unwrap();
        other.create_consumer(ConsumerConfig::new("c")).unwrap();
        let for_room = {
            let message = Publish::new("s", "x").wait_for_room(LONG);
            thread::spawn(move || stream.publish_message(message).unwrap_err().kind)
        };
        world.disk.fail_from(world.disk.operations());
        let handle = other.publish_async(("other", "y")).unwrap();
        let why = handle.wait().unwrap_err().kind;
        let unknown = PublishErrorKind::Unavailable(Unavailable::OutcomeUnknown {
            cause: String::new(),
        });
        assert_eq!(
            std::mem::discriminant(&why),
            std::mem::discriminant(&unknown)
        );
        match for_room.join().unwrap() {
            PublishErrorKind::Unavailable(why) => assert!(stopped(&why), "{why}"),
            why => panic!("{why}"),
        }
        drop(world.store.close());
    });
}
