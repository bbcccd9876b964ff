//! Commit groups: who leads, who waits, and what a group's failure or end says to them.

use crate::world::{LONG, World, explore, payloads};
use riverbed::{Discard, Publish, StreamConfig};
use shuttle::sync::mpsc;
use shuttle::thread;

#[test]
fn g1_three_publishers_share_groups_and_every_message_is_stored_once() {
    explore(|| {
        let world = World::new();
        let (stream, consumer) = world.stream_and_consumer();
        let publishers: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let stream = stream.clone();
                thread::spawn(move || {
                    let first = stream.publish("s", format!("{name}1")).unwrap().seq;
                    let second = stream.publish("s", format!("{name}2")).unwrap().seq;
                    assert!(
                        first < second,
                        "a publisher's own messages keep their order"
                    );
                    [first, second]
                })
            })
            .collect();
        let answers = publishers.into_iter().flat_map(|own| own.join().unwrap());
        let mut seqs: Vec<u64> = answers.map(riverbed::Seq::get).collect();
        seqs.sort_unstable();
        assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
        assert_eq!(payloads(&stream), ["a1", "a2", "b1", "b2", "c1", "c2"]);
        assert_eq!(consumer.info().unwrap().pending, 6);
        world.end();
    });
}

#[test]
fn g1_an_answer_is_on_disk_when_it_is_given() {
    explore(|| {
        let world = World::new();
        let (stream, _) = world.stream_and_consumer();
        let other = {
            let stream = stream.clone();
            thread::spawn(move || stream.publish("s", "other").unwrap())
        };
        stream.publish("s", "own").unwrap();
        let killed = world.killed();
        let found = payloads(&killed.store.stream("s").unwrap());
        assert!(found.contains(&"own".into()), "{found:?}");
        killed.end();
        other.join().unwrap();
        world.end();
    });
}

#[test]
fn r23_what_was_accepted_is_stored_although_its_handles_are_dropped_and_the_store_closes() {
    explore(|| {
        let world = World::new();
        let (stream, _) = world.stream_and_consumer();
        let publishers: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|name| {
                let stream = stream.clone();
                thread::spawn(move || {
                    let names = (1..=2).map(|number| format!("{name}{number}"));
                    let accepted = names.filter(|name| {
                        stream.publish_async(("s", name.as_str())).map(drop).is_ok()
                    });
                    accepted.collect::<Vec<String>>()
                })
            })
            .collect();
        world.store.close().unwrap();
        let accepted = publishers.into_iter().flat_map(|own| own.join().unwrap());
        let mut accepted: Vec<String> = accepted.collect();
        accepted.sort_unstable();
        let world = world.reopened();
        assert_eq!(payloads(&world.store.stream("s").unwrap()), accepted);
        world.end();
    });
}

#[test]
fn a_pipelined_publisher_and_waiting_ones_are_all_answered() {
    explore(|| {
        let world = World::new();
        let (stream, _) = world.stream_and_consumer();
        let pipelined = {
            let stream = stream.clone();
            thread::spawn(move || {
                let handles = ["a", "b"].map(|name| stream.publish_async(("s", name)).unwrap());
                handles.map(|handle| handle.wait().unwrap().seq.get())
            })
        };
        let waiting = {
            let stream = stream.clone();
            thread::spawn(move || stream.publish("s", "c").unwrap())
        };
        stream.flush().unwrap();
        assert!(pipelined.join().unwrap().is_sorted());
        waiting.join().unwrap();
        assert_eq!(payloads(&stream), ["a", "b", "c"]);
        world.end();
    });
}

#[test]
fn publishers_that_wait_for_room_all_get_it_in_the_end() {
    explore(|| {
        let world = World::new();
        let config = StreamConfig::new("s").max_messages(1).discard(Discard::New);
        let stream = world.store.create_stream(config).unwrap();
        stream.publish("s", "full").unwrap();
        let (done, finished) = mpsc::channel();
        let publishers: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|name| {
                let (stream, done) = (stream.clone(), done.clone());
                thread::spawn(move || {
                    let message = Publish::new("s", name).wait_for_room(LONG);
                    stream.publish_message(message).unwrap();
                    done.send(()).unwrap();
                })
            })
            .collect();
        for _ in &publishers {
            assert_eq!(stream.purge(riverbed::Purge::all()).unwrap(), 1);
            finished.recv().unwrap();
        }
        for publisher in publishers {
            publisher.join().unwrap();
        }
        let known = stream.info().unwrap();
        assert_eq!((known.messages, known.last_seq.get()), (1, 3));
        world.end();
    });
}
