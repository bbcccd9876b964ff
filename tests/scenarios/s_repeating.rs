//! S: messages that are published again and again.

use crate::helpers::*;
use riverbed::{
    Discard, Event, Publish, PublishErrorKind, Purge, Repeat, RepeatError, ScheduleError, Stream,
    StreamConfig, Timestamp,
};

/// Midnight, the first of January 2024, a Monday.
const MONDAY: u64 = 1_704_067_200;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// When each message was due, and what its headers say of the next.
fn times(stream: &Stream) -> Vec<(u64, u64)> {
    let number = |message: &riverbed::StoredMessage, name: &str| {
        let value = message.headers().get(name).unwrap();
        value.parse::<u64>().unwrap() / 1_000_000
    };
    let stored = stream.range(..).map(Result::unwrap);
    let times = stored.map(|message| {
        let due = number(&message, "Riverbed-Schedule-Due");
        (due, number(&message, "Riverbed-Schedule-Next"))
    });
    times.collect()
}

fn is_sound(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

/// Lets time pass until it is so late.
fn until(world: &World, seconds: u64) {
    let now = world.clock.clock().now();
    world.pass(at(seconds).since(now));
}

#[test]
fn a_message_comes_at_its_interval_until_it_is_cancelled() {
    let world = World::new();
    let stream = world.stream("s");
    let start = world.clock.clock().now().as_micros() / 1_000_000;
    let hourly = Publish::new("s.a", "x").header("H", "v").every(secs(3600));
    let ack = stream.publish_message(hourly.clone()).unwrap();
    assert_eq!((ack.seq.get(), ack.scheduled), (0, Some(1)));
    for _ in 0..3 {
        world.pass(secs(3600));
    }
    let hour = |n: u64| start + n * 3600;
    let expected = [(hour(1), hour(2)), (hour(2), hour(3)), (hour(3), hour(4))];
    assert_eq!(times(&stream), expected);
    let message = stream.get(riverbed::Seq::new(3)).unwrap().unwrap();
    assert_eq!((message.subject(), message.payload()), ("s.a", &b"x"[..]));
    assert_eq!(message.headers().get("H"), Some("v"));
    assert_eq!(message.headers().get("Riverbed-Schedule"), Some("1"));
    let listed = stream.scheduled(0, 9).unwrap().remove(0);
    assert_eq!((listed.number, listed.due), (1, at(hour(4))));
    assert_eq!(listed.repeat, Some(Repeat::Every(secs(3600))));
    let info = stream.info().unwrap();
    assert_eq!((info.messages, info.scheduled, info.schedules), (3, 1, 1));
    is_sound(&world);
    stream.purge(Purge::all()).unwrap();
    stream.cancel_scheduled(1).unwrap();
    world.pass(secs(7200));
    let info = stream.info().unwrap();
    assert_eq!((info.messages, info.scheduled, info.schedules), (0, 0, 0));
    let again = stream.cancel_scheduled(1).unwrap_err();
    assert!(matches!(
        again,
        ScheduleError::NotScheduled { number: 1, .. }
    ));
    is_sound(&world);
}

#[test]
fn a_cron_expression_is_in_utc_and_may_begin_later() {
    let world = World::new();
    let stream = world.stream("s");
    until(&world, MONDAY);
    let working_days = Publish::new("s.a", "x").cron("0 30 9 * * MON-FRI");
    stream.publish_message(working_days.clone()).unwrap();
    let day = |n: u64| MONDAY + n * 86_400 + 9 * 3600 + 30 * 60;
    for n in 0..8 {
        until(&world, day(n));
    }
    // Saturday and Sunday are left out.
    let expected = [0, 1, 2, 3, 4, 7].map(day);
    let found: Vec<u64> = times(&stream).into_iter().map(|(due, _)| due).collect();
    assert_eq!(found, expected);
    let later = working_days.at(at(day(9)));
    stream.publish_message(later).unwrap();
    let due: Vec<Timestamp> = stream
        .scheduled(0, 9)
        .unwrap()
        .iter()
        .map(|s| s.due)
        .collect();
    assert_eq!(due, [at(day(8)), at(day(9))]);
    is_sound(&world);
}

#[test]
fn of_the_times_that_were_missed_comes_one_message() {
    let world = World::new();
    let stream = world.stream("s");
    let start = world.clock.clock().now().as_micros() / 1_000_000;
    let every = Publish::new("s.a", "x").after(secs(5)).every(secs(60));
    stream.publish_message(every).unwrap();
    // While it was open and nobody looked, while it was closed, and while it was killed.
    world.pass(secs(605));
    let first = (start + 5, start + 665);
    assert_eq!(times(&stream), [first]);
    is_sound(&world);
    world.clock.advance(secs(120));
    let world = world.reopened();
    let stream = world.store.stream("s").unwrap();
    let second = (start + 665, start + 785);
    assert_eq!(times(&stream), [first, second]);
    world.clock.advance(secs(120));
    let world = world.killed();
    let stream = world.store.stream("s").unwrap();
    let third = (start + 785, start + 905);
    assert_eq!(times(&stream), [first, second, third]);
    is_sound(&world);
}

#[test]
fn a_schedule_survives_a_restart_and_misses_nothing() {
    for restart in [World::reopened as fn(World) -> World, World::killed] {
        let mut world = World::new();
        let stream = world.stream("s");
        stream
            .publish_message(Publish::new("s.a", "x").every(secs(10)))
            .unwrap();
        stream
            .publish_message(Publish::new("s.b", "y").cron("* * * * * *"))
            .unwrap();
        for round in 1..=5 {
            world.pass(secs(10));
            world = restart(world);
            let stream = world.store.stream("s").unwrap();
            let info = stream.info().unwrap();
            assert_eq!((info.messages, info.schedules), (2 * round, 2));
            is_sound(&world);
        }
    }
}

#[test]
fn a_wrong_schedule_is_refused_and_says_where() {
    let world = World::new();
    let stream = world.stream("s");
    let refused = |message: Publish| publish_kind(stream.publish_message(message));
    let plain = || Publish::new("s.a", "x");
    let often = refused(plain().every(millis(999)));
    let least = secs(1);
    let every = millis(999);
    assert_eq!(
        often,
        PublishErrorKind::Repeat(RepeatError::TooOften { every, least })
    );
    let wrong = refused(plain().cron("0 0 25 * * *"));
    assert!(matches!(
        wrong,
        PublishErrorKind::Repeat(RepeatError::Cron { place: 4, .. })
    ));
    assert_eq!(
        wrong.to_string(),
        "the cron expression `0 0 25 * * *` is wrong at byte 4: `25` is no hour (Component error: Number out of bounds.)"
    );
    let never = refused(plain().cron("0 0 30 2 *"));
    assert!(matches!(
        never,
        PublishErrorKind::Repeat(RepeatError::NeverDue { .. })
    ));
    let rollup = refused(plain().every(secs(9)).rollup(riverbed::Rollup::Subject));
    assert!(matches!(rollup, PublishErrorKind::NotForLater { .. }));
    let batch = [plain(), plain().cron("x")];
    assert!(stream.publish_batch(batch).is_err(), "all or none");
    assert_eq!(stream.info().unwrap().messages, 0);
    is_sound(&world);
}

#[test]
fn a_full_stream_delays_a_schedule_and_does_not_pile_it_up() {
    let world = World::new();
    let config = StreamConfig::new("s").max_messages(2).discard(Discard::New);
    let stream = world.store.create_stream(config).unwrap();
    let events = world.store.events(64);
    stream
        .publish_message(Publish::new("s", "x").every(secs(10)))
        .unwrap();
    for _ in 0..7 {
        world.pass(secs(10));
    }
    let info = stream.info().unwrap();
    assert_eq!(
        (info.messages, info.schedules, info.scheduled_due),
        (2, 1, 1)
    );
    let refused = |event: &Event| matches!(event, Event::ScheduledRefused { number: 1, .. });
    assert_eq!(events.try_iter().filter(refused).count(), 1);
    stream.delete(riverbed::Seq::new(1)).unwrap();
    world.store.drive().unwrap();
    let start = world.clock.clock().now().as_micros() / 1_000_000 - 70;
    assert_eq!(
        times(&stream),
        [(start + 20, start + 30), (start + 30, start + 80)]
    );
    is_sound(&world);
}

#[test]
fn the_id_is_the_schedules_own() {
    let world = World::new();
    let stream = world.stream("s");
    let hourly = Publish::new("s.a", "x").id("hourly").every(secs(30));
    stream.publish_message(hourly.clone()).unwrap();
    world.pass(secs(30));
    let again = stream.publish_message(hourly).unwrap();
    assert_eq!((again.duplicate, again.scheduled), (true, Some(1)));
    let message = stream.get(riverbed::Seq::new(1)).unwrap().unwrap();
    assert_eq!(message.id(), None);
    is_sound(&world);
}
