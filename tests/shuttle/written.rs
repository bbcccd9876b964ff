//! Commits that are synced later (J12): a sync covers what was answered before it, also beside others and on a
//! disk that fails.

use crate::world::{World, explore, payloads};
use riverbed::disk::{Disk, MemoryDisk};
use riverbed::{PublishErrorKind, Riverbed, Stream, Unavailable};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Mutex;
use shuttle::thread::{self, JoinHandle};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

type Answered = Arc<Mutex<Vec<String>>>;

/// A store that writes to its journal, and a stream of it.
fn prepared() -> (World, Stream) {
    let world = World::written(Duration::from_secs(1));
    let (stream, _) = world.stream_and_consumer();
    let journal = Path::new("/store.journal");
    while !world.disk.exists(journal).unwrap() {
        stream.publish("s", "before").unwrap();
        thread::yield_now();
    }
    world.store.sync().unwrap();
    (world, stream)
}

/// Publishes two messages, and notes each that is answered.
fn publisher(stream: &Stream, name: &str, answered: &Answered) -> JoinHandle<()> {
    let (stream, answered) = (stream.clone(), Arc::clone(answered));
    let names = [format!("{name} 1"), format!("{name} 2")];
    thread::spawn(move || {
        for name in names {
            match stream.publish("s", name.as_str()).map_err(|why| why.kind) {
                Ok(_) => answered.lock().unwrap().push(name),
                Err(PublishErrorKind::Unavailable(why)) => return stopped(&why),
                Err(why) => panic!("{why}"),
            }
        }
    })
}

fn stopped(why: &Unavailable) {
    use Unavailable::{Io, OutcomeUnknown, Poisoned};
    let known = matches!(why, Poisoned { .. } | OutcomeUnknown { .. } | Io { .. });
    assert!(known, "{why}");
}

/// Syncs; what was answered before that is on the disk then, whatever a power cut takes.
fn syncer(store: &Riverbed, disk: &MemoryDisk, answered: &Answered) -> JoinHandle<()> {
    let (store, disk, answered) = (store.clone(), disk.clone(), Arc::clone(answered));
    thread::spawn(move || {
        let before = answered.lock().unwrap().clone();
        match store.sync() {
            Ok(()) => {
                let found = World::found(&disk.crash_image(thread_rng().gen_range(0..9)));
                for name in before {
                    assert!(found.contains(&name), "{name}: {found:?}");
                }
            }
            Err(why) => stopped(&why),
        }
    })
}

#[test]
fn j12_a_sync_covers_what_was_answered_before_it() {
    explore(|| {
        let (world, stream) = prepared();
        let answered = Answered::default();
        let mut threads: Vec<_> = ["a", "b"]
            .map(|name| publisher(&stream, name, &answered))
            .into();
        threads.extend([0, 1].map(|_| syncer(&world.store, &world.disk, &answered)));
        for thread in threads {
            thread.join().unwrap();
        }
        let found = payloads(&stream);
        let own = found.iter().filter(|name| *name != "before").count();
        assert_eq!(own, 4, "{found:?}");
        world.end();
    });
}

#[test]
fn j12_a_sync_beside_one_that_fails_says_ok_for_nothing_that_was_lost() {
    explore(|| {
        let (world, stream) = prepared();
        let answered = Answered::default();
        let soon = world.disk.operations() + thread_rng().gen_range(0..8);
        world.disk.fail_from(soon);
        let mut threads = vec![publisher(&stream, "a", &answered)];
        threads.extend([0, 1].map(|_| syncer(&world.store, &world.disk, &answered)));
        for thread in threads {
            thread.join().unwrap();
        }
        drop(world.store.close());
    });
}
