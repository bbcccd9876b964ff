//! K: whose delivery it is, and batches of acks.

use crate::helpers::*;
use riverbed::{AckError, ConsumerConfig, Fetch, Refusal, Seq};

#[test]
fn k1_an_ack_through_another_consumer_is_refused_and_changes_nothing() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let one = create(&stream, ConsumerConfig::new("one"));
    let two = create(&stream, ConsumerConfig::new("two"));
    let batch = one.fetch(Fetch::new(1).no_wait()).unwrap();
    take_one(&two);
    let foreign = two.ack_batch(&batch).unwrap_err();
    assert_eq!(
        foreign,
        AckError::Foreign {
            seq: Seq::new(1),
            consumer: "two".into()
        }
    );
    assert_eq!((info(&one).in_flight, info(&two).in_flight), (1, 1));
    // Another handle of the same consumer is the same consumer.
    let acked = stream.consumer("one").unwrap().ack_batch(&batch).unwrap();
    assert_eq!(acked.acked, 1);
}

#[test]
fn k2_a_batch_ack_applies_what_is_current_and_returns_the_rest() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 6);
    let consumer = create(&stream, ConsumerConfig::new("c").ack_wait(secs(10)));
    let batch = consumer.fetch(Fetch::new(6).no_wait()).unwrap();
    world.pass(secs(5));
    for at in [0, 1, 2, 3] {
        batch[at].in_progress().unwrap();
    }
    world.pass(secs(5));
    batch[3].ack().unwrap();
    stream.delete(3.into()).unwrap();
    let answer = batch.ack().unwrap();
    assert_eq!(answer.acked, 2);
    let mut refused = answer.refused;
    refused.sort_by_key(|refusal| match refusal {
        Refusal::Gone { seq } | Refusal::Stale { seq } => *seq,
        other => panic!("{other:?}"),
    });
    assert_eq!(
        refused,
        [
            Refusal::Gone { seq: Seq::new(3) },
            Refusal::Gone { seq: Seq::new(4) },
            Refusal::Stale { seq: Seq::new(5) },
            Refusal::Stale { seq: Seq::new(6) },
        ]
    );
    assert_eq!(seqs(&take(&consumer, 10)), [5, 6]);
}

#[test]
fn a_message_twice_in_one_batch_ack_is_acked_once() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let message = take_one(&consumer);
    let answer = consumer.ack_batch(&[message.clone(), message]).unwrap();
    assert_eq!(
        (answer.acked, answer.refused),
        (1, vec![Refusal::Gone { seq: Seq::new(1) }])
    );
    assert_eq!(info(&consumer).acked, 1);
}

#[test]
fn an_empty_batch_ack_is_fine() {
    let world = World::new();
    let consumer = create(&world.stream("s"), ConsumerConfig::new("c"));
    let batch = consumer.fetch(Fetch::new(1).no_wait()).unwrap();
    let answer = batch.ack().unwrap();
    assert_eq!((answer.acked, answer.refused), (0, vec![]));
}

#[test]
fn k4_a_released_message_goes_to_anyone_and_counts_when_it_is_taken() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    take_one(&consumer).nak().unwrap();
    assert_eq!(info(&consumer).deliveries, 1);
    let other = stream.consumer("c").unwrap();
    assert_eq!(take_one(&other).deliveries(), 2);
    assert_eq!(info(&consumer).deliveries, 2);
}

#[test]
fn c17_k7_a_new_ack_wait_is_for_deliveries_from_then_on() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let config = ConsumerConfig::new("c").ack_wait(secs(10));
    let consumer = create(&stream, config.clone());
    take_one(&consumer);
    stream.update_consumer(config.ack_wait(secs(2))).unwrap();
    take_one(&consumer);
    world.pass(secs(2));
    assert_eq!(seqs(&take(&consumer, 10)), [2]);
    world.pass(secs(8));
    assert_eq!(seqs(&take(&consumer, 10)), [1, 2]);
}

#[test]
fn r13_serials_grow_with_every_delivery_and_are_never_used_again() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 2);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let mut serials = Vec::new();
    let first = take_one(&consumer);
    serials.push(first.serial());
    first.nak().unwrap();
    serials.extend(take(&consumer, 2).iter().map(riverbed::Message::serial));
    let world = world.killed();
    let consumer = world.consumer("s", "c");
    let stream = world.store.stream("s").unwrap();
    serials.extend(take(&consumer, 2).iter().map(riverbed::Message::serial));
    stream.purge(riverbed::Purge::all()).unwrap();
    stream.publish("s.a", "").unwrap();
    serials.push(take_one(&consumer).serial());
    assert!(serials.is_sorted_by(|one, next| one < next), "{serials:?}");
}

#[test]
fn r13_a_delivery_of_an_earlier_opening_is_not_one_of_this() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let old = take_one(&consumer);
    let later = World::on(world.disk.kill_image(), world.clock.clone());
    let consumer = later.consumer("s", "c");
    take_one(&consumer);
    let foreign = consumer.ack_batch(&[old]).unwrap_err();
    assert!(matches!(foreign, AckError::Foreign { .. }));
    assert_eq!(info(&consumer).in_flight, 1);
}

#[test]
fn r14_stale_while_it_is_stored_for_the_consumer_and_gone_after() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 4);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let taken = take(&consumer, 4);
    taken[0].nak().unwrap();
    assert!(is_stale(&taken[0].ack()), "due");
    taken[1].nak_after(secs(5)).unwrap();
    assert!(is_stale(&taken[1].ack()), "delayed");
    taken[2].term("x").unwrap();
    assert!(is_gone(&taken[2].ack()), "terminated");
    taken[3].ack().unwrap();
    assert!(is_gone(&taken[3].ack()), "acked");
    assert!(is_gone(&taken[3].in_progress()), "acked");
    stream.delete(1.into()).unwrap();
    assert!(is_gone(&taken[0].ack()), "deleted");
}

#[test]
fn a_delay_of_more_than_a_year_is_refused() {
    let world = World::new();
    let stream = world.stream("s");
    publish(&stream, "s.a", 1);
    let consumer = create(&stream, ConsumerConfig::new("c"));
    let message = take_one(&consumer);
    let refused = message.nak_after(secs(366 * 24 * 3600 + 1)).unwrap_err();
    assert!(matches!(refused, AckError::DelayTooLong { .. }));
    message.ack().unwrap();
}
