//! S: alerts that begin once and are over once.

use crate::helpers::*;
use crossbeam_channel::Receiver;
use riverbed::disk::MemoryDisk;
use riverbed::{
    Alerts, ConsumerConfig, Event, ManualClock, OpenError, Purge, Riverbed, StreamConfig, Timestamp,
};
use std::sync::Arc;

fn is_clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

fn bounds() -> Alerts {
    let mut alerts = Alerts::default();
    alerts.stuck_ack_waits = Some(3);
    alerts.lag_messages = Some(4);
    alerts.dead_letters = Some(4);
    alerts
}

fn opened(disk: MemoryDisk, clock: ManualClock, alerts: Alerts) -> Result<World, OpenError> {
    let builder = Riverbed::builder()
        .clock(clock.clock())
        .disk(Arc::new(disk.clone()))
        .alerts(alerts);
    let store = builder.without_threads().open("/store")?;
    Ok(World { clock, disk, store })
}

fn alerted() -> World {
    opened(MemoryDisk::new(), ManualClock::new(), bounds()).unwrap()
}

fn killed(world: World) -> World {
    opened(world.disk.kill_image(), world.clock, bounds()).unwrap()
}

fn told(events: &Receiver<Event>) -> Vec<String> {
    let word = |event: Event| match event {
        Event::ConsumerStuck {
            consumer,
            unfinished,
            after,
            ..
        } => format!("{consumer} stuck with {unfinished} for {after:?}"),
        Event::ConsumerUnstuck { consumer, .. } => format!("{consumer} unstuck"),
        Event::ConsumerBehind {
            consumer,
            lag,
            bound,
            ..
        } => format!("{consumer} behind by {lag}, over {bound}"),
        Event::ConsumerCaughtUp { consumer, lag, .. } => format!("{consumer} caught up to {lag}"),
        Event::DeadLettersPiledUp { stream, messages } => format!("{stream} piled up {messages}"),
        Event::DeadLettersCleared { stream, messages } => format!("{stream} cleared to {messages}"),
        Event::DeadLettered { .. }
        | Event::UnfinishedRemoved { .. }
        | Event::ConsumerIdle { .. } => String::new(),
        other => panic!("{other:?}"),
    };
    let words = events.try_iter().map(word);
    words.filter(|word| !word.is_empty()).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_consumer_that_finishes_nothing_is_told_once_and_again_when_it_goes_on() {
    let world = alerted();
    let stream = world.stream("s");
    publish(&stream, "s.a", 3);
    let worker = create(&stream, ConsumerConfig::new("c").ack_wait(secs(10)));
    let events = world.store.events(20);
    // Nobody has fetched: nothing is in hand.
    world.pass(secs(40));
    assert_eq!(told(&events), NOTHING);
    let held = take(&worker, 2);
    for _ in 0..5 {
        world.pass(secs(5));
        // It keeps its messages, but does nothing with them.
        for message in &held {
            message.in_progress().unwrap();
        }
    }
    assert_eq!(told(&events), NOTHING);
    world.pass(secs(5));
    assert_eq!(told(&events), ["c stuck with 2 for 30s"]);
    for _ in 0..20 {
        world.pass(secs(4));
        for message in &held {
            message.in_progress().unwrap();
        }
    }
    assert_eq!(told(&events), NOTHING);
    held[0].ack().unwrap();
    assert_eq!(told(&events), ["c unstuck"]);
    // The time begins with the ack.
    world.pass(secs(9));
    held[1].ack().unwrap();
    world.pass(secs(60));
    assert_eq!(told(&events), NOTHING);
    is_clean(&world);
}

#[test]
fn a_consumer_that_fails_at_everything_is_stuck_until_it_holds_nothing() {
    let world = alerted();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let worker = create(&stream, ConsumerConfig::new("c").ack_wait(secs(10)));
    let events = world.store.events(20);
    for _ in 0..4 {
        take_one(&worker).nak().unwrap();
        world.pass(secs(10));
    }
    assert_eq!(told(&events), ["c stuck with 1 for 30s"]);
    stream.purge(Purge::all()).unwrap();
    assert_eq!(told(&events), ["c unstuck"]);
    is_clean(&world);
}

#[test]
fn what_is_delayed_or_paused_is_not_stuck() {
    let world = alerted();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let worker = create(&stream, ConsumerConfig::new("c").ack_wait(secs(10)));
    let events = world.store.events(20);
    take_one(&worker).nak_after(secs(300)).unwrap();
    world.pass(secs(100));
    assert_eq!(told(&events), NOTHING);
    take_one(&worker).nak().unwrap();
    let now: Timestamp = world.clock.clock().now();
    worker.pause(now.plus(secs(300))).unwrap();
    world.pass(secs(290));
    assert_eq!(told(&events), NOTHING);
    // From where it was last looked.
    world.pass(secs(30));
    assert_eq!(told(&events), ["c stuck with 2 for 30s"]);
    stream.delete_consumer("c").unwrap();
    assert_eq!(told(&events), ["c unstuck"]);
}

#[test]
fn a_stuck_consumer_is_noticed_by_the_stores_own_clock() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new());
    let store = Riverbed::builder()
        .clock(clock.clock())
        .disk(Arc::new(disk))
        .alerts(bounds())
        .open("/store")
        .unwrap();
    let stream = store.create_stream(StreamConfig::new("s")).unwrap();
    stream.publish("s", "").unwrap();
    let worker = create(&stream, ConsumerConfig::new("c").ack_wait(secs(10)));
    let events = store.events(20);
    take_one(&worker).nak().unwrap();
    // Nobody does anything any more.
    clock.advance(secs(30));
    let event = events.recv_timeout(secs(60)).unwrap();
    assert!(matches!(event, Event::ConsumerStuck { .. }), "{event:?}");
}

#[test]
fn a_lag_over_its_bound_is_told_once_and_over_at_half_of_it() {
    let world = alerted();
    let stream = world.stream("s");
    let all = create(&stream, ConsumerConfig::new("all"));
    create(&stream, ConsumerConfig::new("some").filter("s.b"));
    let events = world.store.events(20);
    publish(&stream, "s.a", 4);
    assert_eq!(told(&events), NOTHING);
    publish(&stream, "s.a", 2);
    assert_eq!(told(&events), ["all behind by 5, over 4"]);
    let held = take(&all, 6);
    for message in held.iter().take(3) {
        message.ack().unwrap();
    }
    publish(&stream, "s.a", 3);
    assert_eq!(told(&events), NOTHING);
    for message in &held[3..] {
        message.ack().unwrap();
    }
    assert_eq!(told(&events), NOTHING);
    take_one(&all).ack().unwrap();
    assert_eq!(told(&events), ["all caught up to 2"]);
    // One that starts behind is told of at once, and gone with the stream.
    create(&stream, ConsumerConfig::new("late"));
    assert_eq!(told(&events), ["late behind by 9, over 4"]);
    world.store.delete_stream("s").unwrap();
    assert_eq!(told(&events), ["late caught up to 0"]);
}

#[test]
fn dead_letters_that_pile_up_are_told_and_again_when_they_are_twice_as_many() {
    let world = alerted();
    let stream = world.stream("s");
    publish(&stream, "s.a", 12);
    let worker = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    let (events, mut said) = (world.store.events(50), Vec::new());
    for _ in 0..9 {
        take_one(&worker).term("no").unwrap();
        said.extend(told(&events));
    }
    said.retain(|word| word.starts_with("dead"));
    assert_eq!(said, ["dead piled up 4", "dead piled up 8"]);
    let dead = world.store.stream("dead").unwrap();
    dead.purge(Purge::all().keep(3)).unwrap();
    assert_eq!(told(&events), NOTHING);
    dead.purge(Purge::all().keep(2)).unwrap();
    assert_eq!(told(&events), ["dead cleared to 2"]);
    is_clean(&world);
}

#[test]
fn what_stands_is_told_to_who_subscribes_also_after_a_restart() {
    let world = alerted();
    let stream = world.stream("s");
    publish(&stream, "s.a", 12);
    let worker = create(
        &stream,
        ConsumerConfig::new("c")
            .dead_letter("dead")
            .ack_wait(secs(10)),
    );
    for message in take(&worker, 4) {
        message.term("no").unwrap();
    }
    take_one(&worker).nak().unwrap();
    world.pass(secs(30));
    let standing = [
        "c stuck with 1 for 30s",
        "c behind by 12, over 4",
        "dead piled up 4",
    ];
    assert_eq!(told(&world.store.events(10)), standing);
    let world = killed(world);
    let events = world.store.events(10);
    // Nothing is stored: how many there are by now, and nothing is stuck before it was looked at as long.
    assert_eq!(told(&events), ["c behind by 8, over 4", "dead piled up 4"]);
    world.pass(secs(29));
    assert_eq!(told(&events), NOTHING);
    world.pass(secs(1));
    assert_eq!(told(&events), ["c stuck with 1 for 30s"]);
    let missed = world.store.info().unwrap().events_missed;
    assert_eq!(world.store.events(1).len(), 1);
    assert_eq!(world.store.info().unwrap().events_missed, missed + 2);
    is_clean(&world);
}

#[test]
fn nobody_is_told_where_no_bound_is_set_and_a_bound_of_nothing_is_refused() {
    let mut none = Alerts::default();
    (none.stuck_ack_waits, none.dead_letters) = (None, None);
    let world = opened(MemoryDisk::new(), ManualClock::new(), none).unwrap();
    let stream = world.stream("s");
    publish(&stream, "s.a", 300);
    let worker = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    let events = world.store.events(500);
    for message in take(&worker, 299) {
        message.term("no").unwrap();
    }
    take_one(&worker).nak().unwrap();
    world.pass(secs(280));
    assert_eq!(told(&events), NOTHING);
    let mut zero = Alerts::default();
    zero.lag_messages = Some(0);
    let refused = opened(MemoryDisk::new(), ManualClock::new(), zero);
    let why = refused.map(drop).unwrap_err().to_string();
    assert!(why.contains("alerts.lag_messages is 0"), "{why}");
}
