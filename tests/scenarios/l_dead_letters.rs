//! L: dead letters and what they carry.

use crate::helpers::*;
use riverbed::{ConsumerConfig, DeadReason, Event, Publish, Seq};

#[test]
fn l2_a_terminated_message_carries_its_payload_and_the_reason() {
    let world = World::new();
    let events = world.store.events(8);
    let stream = world.stream("s");
    let sent = world.clock.clock().now();
    let message = Publish::new("s.a.b", "payload")
        .header("Own", "1")
        .header("Own", "2")
        .id("m-1");
    stream.publish_message(message).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    take_one(&consumer).nak_now().unwrap();
    world.pass(secs(5));
    take_one(&consumer).term("can't be read").unwrap();

    let dead = world.store.stream("dead").unwrap();
    let letter = dead.dead_letters().next().unwrap().unwrap();
    assert_eq!(letter.message.subject(), "dead.s.c");
    assert_eq!(letter.message.payload(), b"payload");
    assert_eq!(
        letter.message.headers().get_all("Own").collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert_eq!(letter.message.timestamp(), sent.plus(secs(5)));
    assert_eq!((letter.stream.as_str(), letter.seq.get()), ("s", 1));
    assert_eq!((letter.subject.as_str(), letter.published), ("s.a.b", sent));
    assert_eq!(
        (letter.consumer.as_str(), letter.id.as_deref()),
        ("c", Some("m-1"))
    );
    assert_eq!(
        (letter.deliveries, letter.failures, letter.crashes),
        (2, 1, 0)
    );
    assert_eq!(letter.reason, DeadReason::Term("can't be read".into()));

    let Event::DeadLettered {
        whose,
        reason,
        to,
        to_seq,
    } = events.try_recv().unwrap()
    else {
        panic!("dead-lettered")
    };
    assert_eq!((whose.stream.as_str(), whose.consumer.as_str()), ("s", "c"));
    assert_eq!((whose.seq, whose.deliveries), (Seq::new(1), 2));
    assert_eq!(
        (reason, to.as_str(), to_seq),
        (letter.reason, "dead", Seq::new(1))
    );
    // The original stays in its stream, and is finished for its consumer.
    assert_eq!(stored(&stream), [1]);
    let known = info(&consumer);
    assert_eq!((known.dead_lettered, known.ack_floor.get()), (1, 1));
}

#[test]
fn the_envelope_is_made_of_headers_that_anybody_can_read() {
    let world = World::new();
    let stream = world.stream("s");
    stream
        .publish_message(Publish::new("s.a", "p").id("i"))
        .unwrap();
    let consumer = create(
        &stream,
        ConsumerConfig::new("c").max_deliver(2).dead_letter("dead"),
    );
    take_one(&consumer).nak_now().unwrap();
    take_one(&consumer).nak_now().unwrap();
    let copy = world
        .store
        .stream("dead")
        .unwrap()
        .get(1.into())
        .unwrap()
        .unwrap();
    let expected = [
        ("Riverbed-Dead-Stream", "s"),
        ("Riverbed-Dead-Sequence", "1"),
        ("Riverbed-Dead-Subject", "s.a"),
        ("Riverbed-Dead-Consumer", "c"),
        ("Riverbed-Dead-Deliveries", "2"),
        ("Riverbed-Dead-Failures", "2"),
        ("Riverbed-Dead-Crashes", "0"),
        ("Riverbed-Dead-Reason", "max_deliver"),
        ("Riverbed-Dead-Id", "i"),
    ];
    for (name, value) in expected {
        assert_eq!(copy.headers().get(name), Some(value), "{name}");
    }
    assert_eq!(copy.headers().get("Riverbed-Dead-Detail"), None);
}

#[test]
fn each_consumer_has_a_copy_of_its_own() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    for name in ["one", "two"] {
        let config = ConsumerConfig::new(name).max_deliver(1).dead_letter("dead");
        take_one(&create(&stream, config)).nak().unwrap();
    }
    let dead = world.store.stream("dead").unwrap();
    let whose: Vec<_> = dead
        .dead_letters()
        .map(|letter| letter.unwrap().consumer)
        .collect();
    assert_eq!(whose, ["one", "two"]);
    assert_eq!(
        dead.last_for_subject("dead.s.one").unwrap().unwrap().seq(),
        1
    );
}

#[test]
fn r19_the_envelope_is_outside_the_limits_of_the_user() {
    let world = World::new();
    let stream = world.stream("s");
    let mut message = Publish::new("s.a", vec![7; (8 << 20) - 65_536]);
    for number in 0..4 {
        message = message.header(format!("{number:04}"), "v".repeat(16_380));
    }
    stream.publish_message(message.clone()).unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    take_one(&consumer).term("x").unwrap();
    let dead = world.store.stream("dead").unwrap();
    assert_eq!(
        (info(&consumer).dead_lettered, info(&consumer).refused),
        (1, 0)
    );
    assert_eq!(dead.redrive(1.into()).unwrap(), 2);
    let back = take_one(&consumer);
    assert_eq!(back.payload(), message.payload());
    // And once more, with the envelope that it has by now.
    back.term("y").unwrap();
    assert_eq!(info(&consumer).dead_lettered, 2);
}

#[test]
fn r19_a_reason_is_cut_at_1_kib_on_a_character_and_loses_its_line_breaks() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let consumer = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    let taken = take(&consumer, 2);
    taken[0].term(format!("x{}", "é".repeat(600))).unwrap();
    taken[1].term("line\nbreak\0").unwrap();
    let dead = world.store.stream("dead").unwrap();
    let reasons: Vec<_> = dead
        .dead_letters()
        .map(|letter| letter.unwrap().reason)
        .collect();
    assert_eq!(
        reasons[0],
        DeadReason::Term(format!("x{}", "é".repeat(511)))
    );
    assert_eq!(reasons[1], DeadReason::Term("line break ".into()));
}

#[test]
fn a_message_can_die_again_on_its_way_through_dead_letter_streams() {
    let world = World::new();
    let stream = world.stream("s");
    stream
        .publish_message(Publish::new("s.a", "p").header("Own", "1").id("i"))
        .unwrap();
    let consumer = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    take_one(&consumer).term("first").unwrap();
    let dead = world.store.stream("dead").unwrap();
    let second = create(&dead, ConsumerConfig::new("d").dead_letter("deader"));
    take_one(&second).term("second").unwrap();
    let deader = world.store.stream("deader").unwrap();
    let letter = deader.dead_letters().next().unwrap().unwrap();
    assert_eq!(
        (letter.stream.as_str(), letter.subject.as_str()),
        ("dead", "dead.s.c")
    );
    assert_eq!(letter.reason, DeadReason::Term("second".into()));
    assert_eq!(letter.message.headers().get("Own"), Some("1"));
    assert_eq!(
        letter
            .message
            .headers()
            .get_all("Riverbed-Dead-Stream")
            .count(),
        1
    );
}

#[test]
fn a_dead_letter_stream_is_a_stream_like_any_other() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, ConsumerConfig::new("c").dead_letter("dead"));
    let dead = world.store.stream("dead").unwrap();
    dead.publish("dead.by.hand", "no envelope").unwrap();
    take_one(&consumer).term("x").unwrap();
    let reader = create(&dead, ConsumerConfig::new("reader").filter("dead.s.*"));
    assert_eq!(seqs(&take(&reader, 10)), [2]);
    // Without an envelope it is not a dead letter.
    assert_eq!(dead.dead_letters().count(), 1);
    assert_eq!(stored(&dead), [1, 2]);
}
